"""A model's own parameters by ``--set``: read, checked as a file's are, and over them."""

from pathlib import Path
from typing import Any

import pytest
from planning import grey, planned

from tilewright.errors import ProblemsError, TilewrightError
from tilewright.plan.params import Params, check_params
from tilewright.plan.settings import by_name, settings

READ: list[tuple[str, dict[str, Any]]] = [
    ("diameter=30,min_area=50", {"diameter": 30, "min_area": 50}),
    (" a = 1 , b=0.5", {"a": 1, "b": 0.5}),
    ("a=true,b=null,c='',d=1e-3", {"a": True, "b": None, "c": "", "d": 1e-3}),
    ("a=[1,2],b=3", {"a": [1, 2], "b": 3}),
    ('a="x,y=z",b=u=v', {"a": "x,y=z", "b": "u=v"}),
]


@pytest.mark.parametrize(("said", "means"), READ, ids=[said for said, _ in READ])
def test_a_set_is_names_and_values_with_commas(said: str, means: dict[str, Any]) -> None:
    assert dict(by_name(said)) == means


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("3", "'3' has no name. Write --set NAME=VALUE"),
        ("min_area", "'min_area' has no value"),
        ("a=1,2", r"'2' has no name.*A list goes into brackets: NAME=\[1,2\]"),
        ("a=1,a=2", "says a twice: 1 and 2. Say it once; ./tilewright try compares several"),
        ("a b=1", "'a b' is no parameter's name"),
        ("a=[1", "can't be read as a value. Put a text into quotes"),
        ("a=!!python/object:x", "the tag or form"),
        (",", "--set ',': there is nothing beside one of its commas. Leave it out. Write --set"),
        ("a=1,", "nothing beside one of its commas"),
        ("a=1, ,b=2", "nothing beside one of its commas"),
        (",a=1", "nothing beside one of its commas"),
        ("a=1,min_area=", "--set min_area=: there is no value behind the =. Write min_area=VALUE"),
        ("", "--set '': it is empty. Leave it out."),
        (" ", "it is empty"),
    ],
)
def test_what_isnt_name_and_value_is_one_sentence(said: str, says: str) -> None:
    with pytest.raises(TilewrightError, match=says) as caught:
        list(by_name(said))
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("min_are=3", "no parameter 'min_are'. Say --set min_area=VALUE, with a whole number"),
        ("min_area=wide", "Say --set min_area=VALUE, with a whole number of at least 0"),
        ("split_ratio=3", "Say --set split_ratio=VALUE, with a number from 0 to 1"),
        ("postprocess=x", "with one of watershed, components"),
        ("bogus=3", "Known: foreground_threshold, max_area"),
    ],
)
def test_an_unfit_value_is_refused_with_what_would_fit(
    tmp_path: Path, said: str, says: str
) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(ProblemsError, match=says) as caught:
        planned(tmp_path, set=said)
    assert caught.value.code == 2
    assert not (tmp_path / "out").exists()


def test_a_set_makes_the_same_recipe_as_a_file_that_says_the_same(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "own.yml").write_text("min_area: 50\nmax_area: 900\n")
    by_file = planned(tmp_path, model_config=str(tmp_path / "own.yml"))
    assert planned(tmp_path, set="max_area=900,min_area=50").recipe == by_file.recipe


def test_a_set_wins_over_a_file_and_it_is_said(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "own.yml").write_text("min_area: 5\nmax_hole: 7\nmax_area: 9\n")
    plan = planned(tmp_path, model_config=str(tmp_path / "own.yml"), set="min_area=6,max_area=9")
    assert [plan.recipe.params[n] for n in ("min_area", "max_hole", "max_area")] == [6, 7, 9]
    told = [line for line in plan.warnings if "--set" in line]
    assert told == ["--set min_area=6 wins over min_area: 5 of own.yml."]


def test_nothing_said_is_nothing_set(tmp_path: Path) -> None:
    assert settings(None, None, tmp_path).values == {}


def test_a_models_own_parameter_among_nextflows_is_answered_with_set() -> None:
    _, problems = check_params({"input": ".", "min_area": 100})
    assert [str(p) for p in problems] == [
        "There is no parameter --min_area: it is a model's own. Say --set min_area=100."
    ]


def test_a_number_alone_that_nextflow_made_of_it_is_told_as_what_it_is() -> None:
    assert Params.model_validate({"input": ".", "set": 5}).set_ == "5"
