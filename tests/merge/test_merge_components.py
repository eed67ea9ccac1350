"""The policy `components` against scipy's label of the whole array, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tilewright.contract.grid import Box, Grid, TileAxis
from tilewright.merge.match.components import join, pieces, row_touches
from tilewright.tile_results.objects import crop, rows

Array = np.ndarray[Any, Any]


def whole(classes: Array, connectivity: int) -> Array:
    """The answer: scipy's label of each class."""
    found = np.zeros(classes.shape, np.int64)
    structure = ndimage.generate_binary_structure(classes.ndim, connectivity)
    for value in np.unique(classes[classes > 0]):
        labels, _ = ndimage.label(classes == value, structure)
        found[labels > 0] = labels[labels > 0] + found.max()
    return found


def tiled(classes: Array, grid: Grid, connectivity: int) -> tuple[Array, int]:
    full: Box = tuple((0, n) for n in classes.shape)

    def read(i: int) -> Array:
        return crop(classes, full, grid.tile(i).core)

    def labels(i: int) -> Array:
        return pieces(grid.tile(i).core, read(i), connectivity).labels

    found = (row_touches(grid, number, read, connectivity) for number in range(rows(grid)))
    joined = join(grid, found, connectivity)
    return joined.paint(full, labels), joined.count


@pytest.mark.parametrize("connectivity", [1, 2])
def test_a_diagonal_across_four_cores_is_one_where_corners_touch(connectivity: int) -> None:
    classes = np.eye(8, dtype=np.uint8)
    grid = Grid((TileAxis(4), TileAxis(4)), classes.shape)
    assert tiled(classes, grid, connectivity)[1] == {1: 8, 2: 1}[connectivity]


def test_ids_are_in_the_order_of_their_first_core() -> None:
    classes = np.zeros((4, 12), np.uint8)
    classes[1, 9] = classes[2, 1] = 1
    found, _ = tiled(classes, Grid((TileAxis(4), TileAxis(4)), classes.shape), 1)
    assert (found[2, 1], found[1, 9]) == (1, 2)
