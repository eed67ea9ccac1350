"""What is tried: combinations of values, and the crop that is looked at."""

import numpy as np
import pytest

from tilewright.errors import TilewrightError
from tilewright.tuning.crop import busiest
from tilewright.tuning.values import as_set, combinations


def test_a_piece_without_a_name_is_a_further_value_of_the_name_before_it() -> None:
    assert combinations(["a=1,2,3"]) == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    both = combinations(["a=1,2,b=x", "b=y"])
    assert [as_set(c) for c in both] == ["a=1,b=x", "a=1,b=y", "a=2,b=x", "a=2,b=y"]


def test_lists_and_texts_with_commas_are_one_value_each() -> None:
    assert combinations(['a=[1,2],[3],b="x,y"']) == [
        {"a": "[1,2]", "b": '"x,y"'},
        {"a": "[3]", "b": '"x,y"'},
    ]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (["3,4"], "'3' has no name in front of it. Write --set NAME=VALUE,VALUE"),
        ([","], "nothing beside one of its commas"),
        (["a=1,,2"], "--set 'a=1,,2': there is nothing beside one of its commas"),
        (["a=1", ""], "--set '': it is empty"),
        ([], "nothing to try"),
        (["a=5,5"], r"--set gives a the value 5 twice\. Say it once"),
        (["a=1,2", "a=1"], "--set gives a the value 1 twice"),
        (["a="], "--set a=: there is no value behind the =. Write a=VALUE; null says that"),
        (["a=1", "b=,2"], "--set b=: there is no value"),
        (["a=1,2,3,4,5", "b=1,2,3,4,5"], "5 x 5 values are 25 combinations, and at most 24"),
    ],
)
def test_what_cant_be_tried_is_one_sentence(said: list[str], says: str) -> None:
    with pytest.raises(TilewrightError, match=says) as caught:
        combinations(said)
    assert caught.value.code == 2


def test_the_crop_lies_where_values_change_most() -> None:
    pixels = np.zeros((400, 600), np.uint16)
    pixels[200:300, 400:500] = np.random.default_rng(0).integers(0, 999, (100, 100))
    y, x = busiest(pixels, (160, 160))
    assert y <= 200
    assert y + 160 >= 300
    assert x <= 400
    assert x + 160 >= 500


def test_a_crop_as_large_as_the_image_begins_at_its_corner() -> None:
    assert busiest(np.zeros((30, 40), bool), (30, 40)) == (0, 0)
