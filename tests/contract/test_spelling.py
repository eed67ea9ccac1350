"""What is meant by a word that isn't known; and what isn't near."""

import pytest

from tilewright.contract.spelling import near


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("modle", "model"),
        ("chanels", "channels"),
        ("tile", "tile_size"),
        ("tile-size", "tile_size"),
        ("TILE_SIZE", "tile_size"),
        ("GPF", "GFP"),
        ("mim", "min"),
        ("dpi", "DAPI"),
    ],
)
def test_a_slip_is_answered_with_the_word_that_is_meant(given: str, meant: str) -> None:
    known = ["model", "channels", "tile_size", "slurm_array", "GFP", "min", "DAPI"]
    assert near(given, known) == meant


@pytest.mark.parametrize(
    ("given", "known"),
    [("min_area", "slurm_array"), ("CD4", "CD8"), ("Cy3", "Cy5"), ("Hoechst", "DAPI"), ("", "a")],
)
def test_what_isnt_near_is_no_answer(given: str, known: str) -> None:
    assert near(given, [known]) is None
