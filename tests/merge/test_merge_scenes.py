"""Scenes whose objects are known, cut into tiles, come out as if there had been no tiles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from oracle import (
    BankReader,
    big_discs,
    dense_cells,
    fibres,
    linked,
    matched,
    merged,
    score,
    square_grid,
    tiles_of,
    whole,
)

from tilewright.contract.grid import Grid, TileAxis
from tilewright.merge.match.groups import Edges, Match
from tilewright.merge.match.labels import resolve
from tilewright.tile_results.objects import AREA, BOX, IN_CORE

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_without_matching_the_same_scene_falls_apart() -> None:
    """Shows that the scenes above can fail."""
    truth, grid = big_discs((700, 700), 90, 1), square_grid((700, 700), 64, 16, 4)
    banked = tiles_of(truth, grid, seed=5)
    unlinked = resolve(grid, banked.tables, Edges.of([], banked.tables))
    found = score(truth, unlinked.compose(whole(grid), banked.read))
    assert found.ap < 0.1
    assert found.split > 10


def test_noisy_fibres_neither_split_nor_merge() -> None:
    truth = fibres((900, 900), 2)
    image = merged(tiles_of(truth, square_grid(truth.shape, 192, 48, 8), 7, jitter=1))
    found = score(truth, image)
    assert (found.merged, found.split) == (0, 0)


# --- any order, any number ------------------------------


def noisy_scene() -> BankReader:
    truth = dense_cells((300, 300), 10, 3)
    return tiles_of(truth, square_grid((300, 300), 48, 16, 4), 7, jitter=1.5, drop=0.3)


def test_the_order_in_which_tiles_are_matched_changes_nothing() -> None:
    banked = noisy_scene()
    tables, found = matched(banked)
    np.random.default_rng(1).shuffle(found)  # type: ignore[arg-type]
    other = resolve(banked.grid, tables, Edges.of(found, tables))
    one = linked(banked)
    assert np.array_equal(one.ids, other.ids)
    assert np.array_equal(one.role, other.role)


@pytest.mark.parametrize("side", [37, 64, 299])
def test_an_image_composed_of_boxes_is_the_image_composed_at_once(side: int) -> None:
    banked = noisy_scene()
    resolved = linked(banked)
    want = resolved.compose(whole(banked.grid), banked.read)
    for y in range(0, 300, side):
        for x in range(0, 300, side):
            box = ((y, min(y + side, 300)), (x, min(x + side, 300)))
            part = resolved.compose(box, banked.read)
            assert part.dtype == want.dtype == resolved.dtype
            assert np.array_equal(part, want[tuple(slice(*b) for b in box)])


def test_matching_reads_each_tile_three_times_and_never_an_empty_one() -> None:
    truth = dense_cells((300, 300), 10, 3)
    truth[:100] = 0
    banked = tiles_of(truth, square_grid((300, 300), 48, 16, 4), 7)
    reads: Counter[int] = Counter()

    def read(tile: int) -> np.ndarray:
        reads[tile] += 1
        return banked.labels[tile]

    matched(banked, read=read)
    assert all(len(banked.tables[i]) for i in reads)
    assert max(reads.values()) <= 3


def test_a_million_objects_are_resolved_without_their_pixels() -> None:
    """Tables alone: 500 tiles in a row, each of 2,000 objects, the last one also in the next."""
    tables = [np.zeros((2000, BOX + 4), np.int64) for _ in range(500)]
    for table in tables:
        table[:, AREA], table[:, IN_CORE] = 10, 10
    pair = Match(np.array([2000]), np.array([1]), np.array([0.9]))
    edges = Edges.of([(i, i + 1, pair) for i in range(499)], tables)
    grid = Grid((TileAxis(1), TileAxis(1)), (1, 500))
    resolved = resolve(grid, tables, edges)
    assert resolved.count == 1_000_000 - 499
    last = resolved.lut(499, *range(4))
    assert last[[1, 2, 2000]].tolist() == [499 * 2000 - 498, 499 * 2000 - 497, 1_000_000 - 499]
