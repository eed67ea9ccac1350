"""What a tile banks doesn't depend on how a model names its objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import dense_cells, square_grid

from tilewright.contract.grid import Grid, TileAxis
from tilewright.errors import TilewrightError
from tilewright.tile_results.objects import AREA, CUT, IN_CORE, prepare

TWO_TILES = Grid((TileAxis(1), TileAxis(12, band=2)), (1, 20))
"""One row of 20 px in two tiles: valid regions 0-11 and 8-19, cores 0-9 and 10-19."""


def row(drawn: str) -> np.ndarray:
    """(1, n) labels: one character a pixel, a dot is background."""
    return np.array([[0 if c == "." else ord(c) for c in drawn]])


def test_an_object_table_gives_areas_cut_and_box_in_pixels_of_the_plane() -> None:
    labels, table = prepare(row("bb..a.a.cc.."), TWO_TILES.tile(1), TWO_TILES)
    assert labels.tolist() == [[1, 1, 0, 0, 2, 0, 2, 0, 3, 3, 0, 0]]
    assert labels.dtype == np.uint8
    assert table.tolist() == [
        # area, in the core, cut, y start and stop, x start and stop
        [2, 0, 1, 0, 1, 8, 10],
        [2, 2, 0, 0, 1, 12, 15],
        [2, 2, 0, 0, 1, 16, 18],
    ]


def test_the_context_is_thrown_away_before_anything_is_counted() -> None:
    grid = Grid((TileAxis(1), TileAxis(12, band=1, context=2)), (1, 18))
    labels, table = prepare(row("bbbbbb...aaa"), grid.tile(0), grid)  # valid region 0-9
    assert labels.tolist() == [[1, 1, 1, 1, 1, 1, 0, 0, 0, 2]]
    assert table[:, [AREA, IN_CORE, CUT]].tolist() == [[6, 6, 0], [1, 0, 1]]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.integers(0, 2**40))
def test_neither_order_nor_offset_of_a_models_ids_changes_what_is_banked(
    seed: int, offset: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = square_grid((20, 20), core=8, band=2, context=1)
    tile = grid.tile(int(rng.integers(len(grid))))
    seen = rng.integers(0, 9, [stop - start for start, stop in tile.window])
    other = np.concatenate([[0], rng.permutation(np.arange(1, 9)) + offset])[seen]
    for a, b in zip(prepare(seen, tile, grid), prepare(other, tile, grid), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
def test_any_integer_and_memory_order_gives_the_same_bank(dtype: str, order: str) -> None:
    grid = square_grid((30, 30), core=10, band=3, context=2)
    tile = grid.tile(4)
    seen = dense_cells((20, 20), 3, 1)
    want = prepare(seen, tile, grid)
    got = prepare(np.asarray(seen, dtype=dtype, order=order), tile, grid)
    assert all(np.array_equal(a, b) for a, b in zip(want, got, strict=True))


BAD_LABELS = [
    pytest.param(np.zeros((1, 11), int), r"shape \(1, 11\) px, wanted .* \(1, 12\) px", id="shape"),
    pytest.param(np.zeros((1, 12)), "are float64, wanted are integers", id="float"),
    pytest.param(np.ones((1, 12), bool), "are bool, wanted are integers", id="mask"),
    pytest.param(np.full((1, 12), -3), "go down to -3, wanted is 0", id="negative"),
]


@pytest.mark.parametrize(("labels", "says"), BAD_LABELS)
def test_labels_a_model_must_not_return_are_refused_by_tile(labels: np.ndarray, says: str) -> None:
    with pytest.raises(TilewrightError, match=f"labels of tile 1 .*{says}") as error:
        prepare(labels, TWO_TILES.tile(1), TWO_TILES)
    assert error.value.code == 65
