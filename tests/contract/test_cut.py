"""Tiles are cut into jobs of as many that are predicted."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.contract.cut import bounds


@pytest.mark.parametrize(("tiles", "most"), [(1, 1), (10, 3), (81, 8), (7, 100), (100, 1)])
def test_without_a_mask_jobs_differ_by_one_tile_at_most(tiles: int, most: int) -> None:
    sizes = [stop - start for start, stop in bounds(tiles, most)]
    assert sum(sizes) == tiles
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("most", [1, 5, 8, 1000])
def test_jobs_hold_every_tile_once_and_share_what_is_predicted(most: int) -> None:
    found = np.flatnonzero(np.random.default_rng(most).random(500) < 0.3)
    cut = bounds(500, most, found)
    assert [n for start, stop in cut for n in range(start, stop)] == list(range(500))
    sizes = [int(((found >= start) & (found < stop)).sum()) for start, stop in cut]
    assert len(cut) == -(-len(found) // most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


def test_where_nothing_is_predicted_there_is_one_job() -> None:
    assert bounds(12, 3, np.zeros(0, int)) == [(0, 12)]
