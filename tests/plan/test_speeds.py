"""How fast models were: noted by machine and recipe, and counted for no other."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from tilewright.contract.jobs import ModelId
from tilewright.plan.speeds import KEPT, Speed, fitting, folder_of, keep, known, latest

MODEL = ModelId("toy", "toy", "v1", release="1", task="nuclei")
FOUR = Speed("r1", "bench", "cpu", jobs=1, tiles=4, pixels=4_000_000, load=1.0, seconds=2.0)
BOTH = replace(FOUR, jobs=2, tiles=8, pixels=8_000_000, load=2.0, seconds=4.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_runs_of_one_recipe_add_up_and_others_stay_apart() -> None:
    others = [
        replace(FOUR, recipe="r2"),
        replace(FOUR, device="NVIDIA H100"),
        replace(FOUR, host="node7"),
    ]
    for speeds in ([FOUR], others, [FOUR]):
        keep(MODEL, speeds)
    assert sorted(map(str, known(MODEL))) == sorted(map(str, [BOTH, *others]))
    assert FOUR.per_million == BOTH.per_million == 0.5


def test_each_model_version_and_task_has_its_own() -> None:
    keep(MODEL, [FOUR])
    for other in ({"model_name": "toy2"}, {"release": "2"}, {"task": "cyto"}):
        assert known(replace(MODEL, **other)) == []


def test_two_runs_that_end_at_once_both_count() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(keep, [(MODEL, [FOUR])] * 24)
    (speed,) = known(MODEL)
    assert (speed.jobs, speed.tiles, speed.seconds) == (24, 96, 48.0)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"recipe": "r1"}]', '{"a": 1}'])
def test_a_file_that_is_broken_says_nothing_and_is_replaced(text: str) -> None:
    keep(MODEL, [FOUR])
    (file,) = folder_of(MODEL).glob("*.json")
    file.write_text(text)
    assert known(MODEL) == []
    keep(MODEL, [FOUR])
    assert known(MODEL) == [FOUR]


def test_a_cache_that_cant_be_written_changes_nothing(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    keep(MODEL, [FOUR])
    assert known(MODEL) == []


def test_the_name_of_a_machine_is_no_path(cache: Path) -> None:
    odd = replace(FOUR, host="../../etc")
    keep(MODEL, [odd])
    assert known(MODEL) == [odd]
    assert [p.name for p in folder_of(MODEL).iterdir()] == ["..-..-etc.json"]


def test_the_oldest_recipes_are_dropped_where_they_are_many() -> None:
    for number in range(KEPT + 2):
        keep(MODEL, [replace(FOUR, recipe=f"r{number}")])
    assert [s.recipe for s in known(MODEL)] == [f"r{n}" for n in range(2, KEPT + 2)]


def test_a_run_is_told_by_the_same_recipe_on_this_machine_and_device() -> None:
    mine, big = replace(FOUR, host="me"), replace(BOTH, host="node7", device="NVIDIA H100")
    card = replace(FOUR, host="me", device="NVIDIA A2")
    speeds = [replace(BOTH, host="me", recipe="r2"), mine, card, FOUR, big]
    assert fitting(speeds, "r1", "me", gpu=False) == mine
    assert fitting(speeds, "r1", "me", gpu=True) == card
    assert fitting(speeds, "r1", "a third", gpu=False) == big  # where most was done
    assert fitting([mine], "r1", "me", gpu=True) is None  # the CPU's says nothing of a GPU
    assert fitting(speeds, "r3", "me", gpu=False) is None


def test_the_last_run_here_tells_how_fast_a_model_is() -> None:
    slow = replace(FOUR, recipe="r2", seconds=8.0)
    for speed in (FOUR, slow, replace(FOUR, host="node7")):
        keep(MODEL, [speed])
    assert latest(known(MODEL), "bench", gpu=False) == slow
    keep(MODEL, [FOUR])
    assert latest(known(MODEL), "bench", gpu=False) == BOTH
    assert latest(known(MODEL), "bench", gpu=True) is None
