"""Counts are said as people say them."""

from __future__ import annotations

import pytest

from tilewright.contract.faults import too_many
from tilewright.contract.words import counted
from tilewright.merge.write.facts import UnreadFacts


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 objects"), (1, "1 object"), (2, "2 objects"), (1234, "1,234 objects")],
)
def test_one_is_one_and_the_others_are_several(number: int, said: str) -> None:
    assert counted(number, "object") == said


def test_one_tile_that_couldnt_be_read_has_no_result() -> None:
    assert too_many(1, 1) == "Its only tile can't be read."
    said = UnreadFacts(1, 9, [0], [[0, 0, 8, 8]], squares=[1, 3], saved=1).sentence
    assert said.startswith("1 of its 9 tiles couldn't be read and has no result, at y 0 x 0")
    assert (
        "1 of the 3 pieces that its intensities are measured on couldn't be read, and doesn't"
        in said
    )
    assert said.endswith("Of the image in its store 1 value is 0, since the file is damaged there.")
    assert "4 values are 0" in UnreadFacts(0, 9, [], [], saved=4).sentence
