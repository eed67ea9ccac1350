"""What does one tile bank? Its labels on the valid region, and one row for each of its objects.

The worker calls `prepare` on what a model returns; `labels` matches and paints from the result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import cc3d
import fastremap
import numpy as np

from tilewright.contract.grid import Box, Grid, Tile, shape_of, shared, slices
from tilewright.errors import TilewrightError

from .strips import Strips

Array = np.ndarray

AREA, IN_CORE, CUT, BOX = 0, 1, 2, 3
"""Columns of an object table; from `BOX` on: start and stop along each axis."""


def prepare(labels: Array, tile: Tile, grid: Grid) -> tuple[Array, Array]:
    """Crop a model's labels to the tile's valid region and number its objects 1..n.

    Objects are numbered in raster order of their first pixel, so that neither the order nor the
    offset of the model's own ids matters. An id used for several pieces stays one object.

    Parameters
    ----------
    labels
        Integers of the shape of the tile's window, 0 is background.
    tile, grid
        The tile, and the grid it is of.

    Returns
    -------
    labels
        The valid region, in the smallest unsigned integer that holds n.
    table
        (n, 3 + 2 * axes) int64, row i is object i + 1: pixels in the valid region, pixels in the
        core, 1 if it touches an inner side of the valid region (it may go on beyond), then start
        and stop along each axis, in pixels of the plane.

    Raises
    ------
    TilewrightError
        The labels are of another shape than the window, aren't integers, or are negative.
    """
    check_labels(labels, tile)
    valid = np.ascontiguousarray(crop(labels, tile.window, tile.valid))
    dense, ids = fastremap.renumber(valid, preserve_zero=True, in_place=False)
    n = len(ids) - (0 in ids)
    dense = dense.astype(np.min_scalar_type(n))
    return dense, _table(dense, n, tile, grid)


def empty_table(axes: int) -> Array:
    """The object table of a tile without objects, ``(0, 3 + 2 * axes)`` int64."""
    return np.zeros((0, BOX + 2 * axes), np.int64)


def crop(array: Array | Strips, box: Box, part: Box) -> Array:
    """Part of an array; of an array in memory a view.

    Parameters
    ----------
    array
        Its shape is that of `box`.
    box, part
        What it covers and what is wanted, in pixels of the plane.
    """
    return array[slices(part, box)]


def paint_cores(grid: Grid, box: Box, dtype: np.dtype, read: Callable[[int, Box], Array]) -> Array:
    """A box of the plane, each pixel by the tile whose core it lies in.

    Parameters
    ----------
    box
        In pixels of the plane; its shape is what is returned.
    dtype
        Of what is returned.
    read
        Gives a tile's pixels on a part of its core, by its number.
    """
    canvas = np.zeros(shape_of(box), dtype)
    for i in grid.intersecting(box):
        core = grid.tile(i).core
        part = shared(core, box)
        if part is not None:
            crop(canvas, box, part)[...] = read(i, part)
    return canvas


def row(grid: Grid, number: int) -> range:
    """The tiles of one row: all along the last axis."""
    length = grid.counts[-1]
    return range(number * length, (number + 1) * length)


def rows(grid: Grid) -> int:
    """How many rows of tiles there are."""
    return len(grid) // grid.counts[-1]


def tally(values: Array) -> tuple[Array, Array]:
    """Distinct values of ``(n,)``, ascending, and how often each is there: as `numpy.unique`.

    Neighbours are mostly equal: only the runs of equal values are sorted.
    """
    starts = run_starts(values)
    return summed(values[starts], np.diff(starts, append=len(values)))


def run_starts(*arrays: Array) -> Array:
    """Where, in arrays ``(n,)``, a value of any differs from the one before; and 0."""
    changes = np.ones(len(arrays[0]), bool)
    if len(changes):
        changes[1:] = reduce(np.logical_or, (a[1:] != a[:-1] for a in arrays))
    return np.flatnonzero(changes)


def summed(values: Array, amounts: Array) -> tuple[Array, Array]:
    """Distinct values, ascending, and the int64 sum of the amounts of each; both are ``(n,)``."""
    found, place = np.unique(values, return_inverse=True)
    return found, np.bincount(place, amounts, len(found)).astype(np.int64)


def counts(labels: Array, n: int) -> Array:
    """Pixels of each of the ids 0..n, (n + 1,) int64."""
    flat = labels.reshape(-1)
    starts = run_starts(flat)
    lengths = np.diff(starts, append=len(flat))
    return np.bincount(flat[starts], lengths, minlength=n + 1).astype(np.int64)


def check_labels(labels: Array, tile: Tile) -> None:
    """Refuse what isn't one whole number from 0 for each pixel of the tile's window.

    Raises
    ------
    TilewrightError
        65: another shape than the window's, a dtype that isn't of integers, or negative values.
    """
    where = f"The model's labels of tile {tile.index}"
    window = shape_of(tile.window)
    if labels.shape != window:
        raise TilewrightError(
            f"{where} have the shape {labels.shape} px, wanted is the tile's, {window} px.",
            fix="Return one integer per pixel.",
        )
    if labels.dtype.kind not in "iu":
        raise TilewrightError(
            f"{where} are {labels.dtype}, wanted are integers.",
            fix="Give each object its own integer, 0 is background (scipy.ndimage.label does).",
        )
    if labels.min(initial=0) < 0:
        raise TilewrightError(
            f"{where} go down to {labels.min()}, wanted is 0 or more.",
            fix="Give background the value 0 and objects values from 1.",
        )


def _table(labels: Array, n: int, tile: Tile, grid: Grid) -> Array:
    table = np.zeros((n, BOX + 2 * labels.ndim), np.int64)
    if n == 0:
        return table
    table[:, AREA] = counts(labels, n)[1:]
    table[:, IN_CORE] = counts(crop(labels, tile.valid, tile.core), n)[1:]
    table[_on_inner_sides(labels, tile, grid) - 1, CUT] = 1
    boxes = cc3d.statistics(labels, no_slice_conversion=True)["bounding_boxes"][1:].astype(np.int64)
    boxes[:, 1::2] += 1  # cc3d gives the last pixel, we the one after it
    table[:, BOX:] = boxes + np.repeat([start for start, _ in tile.valid], 2)
    return table


def _on_inner_sides(labels: Array, tile: Tile, grid: Grid) -> Array:
    """Ids with a pixel on a side of the valid region that isn't the image's edge."""
    sides = []
    for axis, ((start, stop), extent) in enumerate(zip(tile.valid, grid.shape, strict=True)):
        if start > 0:
            sides.append(labels.take(0, axis).ravel())
        if stop < extent:
            sides.append(labels.take(-1, axis).ravel())
    ids = np.unique(np.concatenate(sides)).astype(np.int64) if sides else np.zeros(0, np.int64)
    return ids[ids > 0]
