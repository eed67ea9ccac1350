"""Which pixels of one class hang together over all tiles? The policy `components`.

Each tile's core is labelled by itself, and pieces of one class that touch across two cores are
one: the whole array's connected components, class by class, as `scipy.ndimage.label` finds them.
For the whole image one number per piece of a tile is held; classes are asked for tile by tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cc3d
import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from tilewright.contract.grid import Box, Grid, shape_of, shared
from tilewright.tile_results.objects import crop, paint_cores, row
from tilewright.tile_results.strips import Strips

Array = np.ndarray[Any, Any]
ReadClasses = Callable[[int], Array | Strips]
"""The classes of tile number i on its core: integers, 0 is background."""

Touch = tuple[int, int, Array]
"""Two tiles, and what `touching` gives of them."""

NAMES: dict[int, tuple[Any, ...]] = {2: (4, 8), 3: (6, 18, 26)}
"""What cc3d calls each connectivity, by the number of axes."""


@dataclass(frozen=True)
class Pieces:
    """A tile's core: its classes, and the components of the core alone, 1..n."""

    core: Box
    classes: Array
    labels: Array


def pieces(core: Box, classes: Array | Strips, connectivity: int) -> Pieces:
    """Label one core by itself.

    Parameters
    ----------
    core
        In pixels of the plane.
    classes
        ((z,) y, x) integers on the core, 0 the background.
    connectivity
        1: pixels that share a face are neighbours; 2: an edge, too; 3: a corner of voxels.
    """
    # cc3d is wrong about some arrays that are not in one piece, and takes none that is read-only
    whole = np.array(classes, order="C")
    found = cc3d.connected_components(whole, connectivity=NAMES[whole.ndim][connectivity - 1])
    return Pieces(core, whole, found)


def row_touches(
    grid: Grid, number: int, read_classes: ReadClasses, connectivity: int
) -> tuple[Array, list[Touch]]:
    """Pieces of each tile of one row of tiles, and what they touch in it and in later rows.

    Rows can be done in any order. Of each row that meets this one three tiles are held.

    Parameters
    ----------
    grid
        The tiles.
    number
        The row's.
    read_classes
        Called with a tile's number, some times for each.
    connectivity
        1: pixels that share a face are neighbours; 2: an edge, too; 3: a corner of voxels.

    Returns
    -------
    counts
        (tiles of the row,) int64, how many pieces each has.
    found
        What touches, by pairs of tiles.
    """
    ahead = int(3 ** (len(grid.shape) - 1)) // 2  # rows that come later and meet this one

    @lru_cache(maxsize=3 * (1 + ahead))
    def labelled(i: int) -> Pieces:
        return pieces(grid.tile(i).core, read_classes(i), connectivity)

    counts, found = [], []
    for index in row(grid, number):
        core = grid.tile(index).core
        counts.append(int(labelled(index).labels.max(initial=0)))
        around = grid.intersecting(tuple((lo - 1, hi + 1) for lo, hi in core))
        later = [i for i in around if i > index and _beside(core, grid.tile(i).core)]
        found += [(index, i, touching(labelled(index), labelled(i), connectivity)) for i in later]
    return np.array(counts, np.int64), found


def join(grid: Grid, found: Iterable[tuple[Array, list[Touch]]], connectivity: int) -> Components:
    """The image's components, numbered in the order of their first pieces.

    Parameters
    ----------
    grid
        The tiles.
    found
        What `row_touches` gives of every row, in order: (tiles of the row,) int64, and touches.
    connectivity
        As `row_touches` had it.
    """
    counts, touches = [np.zeros(0, np.int64)], []
    for some, touch in found:
        counts.append(some)
        touches += touch
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    edges = [pairs - 1 + first[[a, b]] for a, b, pairs in touches]
    ids = _joined(np.concatenate([np.zeros((0, 2), np.int64), *edges]), int(first[-1]))
    return Components(grid, first, ids, connectivity, int(ids.max(initial=0)))


def _beside(a: Box, b: Box) -> bool:
    """Whether two cores touch, by a corner at least."""
    return all(p <= stop and start <= q for (p, q), (start, stop) in zip(a, b, strict=True))


def touching(a: Pieces, b: Pieces, connectivity: int) -> Array:
    """Pairs of pieces of one class that touch across the cores of two tiles.

    Parameters
    ----------
    a, b
        The tiles' pieces.
    connectivity
        As of `pieces`.

    Returns
    -------
    ndarray
        (n, 2) int64, numbers from 1 of a's pieces and of b's; each pair once, ascending.
    """
    grown = [tuple((lo - 1, hi + 1) for lo, hi in p.core) for p in (a, b)]
    strip = shared(*grown)
    if strip is None:
        return np.zeros((0, 2), np.int64)
    shape = shape_of(strip)
    ids, classes = (np.zeros((2, *shape), np.int64) for _ in range(2))
    for side, piece in enumerate((a, b)):
        part = shared(piece.core, strip)
        if part is not None:
            crop(ids[side], strip, part)[...] = crop(piece.labels, piece.core, part)
            crop(classes[side], strip, part)[...] = crop(piece.classes, piece.core, part)
    found = []
    for one, other in _shifts(len(shape), connectivity):
        left, right = ids[0][one], ids[1][other]
        met = (left > 0) & (right > 0) & (classes[0][one] == classes[1][other])
        found.append(np.stack([left[met], right[met]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _shifts(axes: int, connectivity: int) -> Iterator[tuple[tuple[slice, ...], ...]]:
    """For each step to a neighbour, the part of an array to step from and the part to step to."""
    ends = {-1: slice(1, None), 0: slice(None), 1: slice(None, -1)}
    for step in itertools.product((-1, 0, 1), repeat=axes):
        if 0 < sum(map(abs, step)) <= connectivity:
            yield tuple(ends[s] for s in step), tuple(ends[-s] for s in step)


def _joined(edges: Array, n: int) -> Array:
    """The component, from 1, of each of n pieces, in the order of its first piece."""
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(n, n))
    group = connected_components(graph, directed=False)[1]
    _, first = np.unique(group, return_index=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    return np.asarray(rank[group]) if n else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Components:
    """The component of every piece of every core, and the image they make.

    Parameters
    ----------
    grid
        The tiles.
    first
        (tiles + 1,) int64: tile i's pieces are rows ``first[i]`` to ``first[i + 1]``.
    ids
        (pieces,) int64, global ids 1..count.
    connectivity
        Which pixels are neighbours.
    count
        Components of the whole image.
    """

    grid: Grid
    first: Array
    ids: Array
    connectivity: int
    count: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer that holds `count`."""
        return np.min_scalar_type(self.count)

    def paint(self, box: Box, read_pieces: ReadClasses) -> Array:
        """Global ids of a box, ((z,) y, x) of `dtype`; `read_pieces` gives a core's own, 1..n."""

        def ids_of(i: int, part: Box) -> Array:
            lut = np.zeros(self.first[i + 1] - self.first[i] + 1, self.dtype)
            lut[1:] = self.ids[self.first[i] : self.first[i + 1]]
            return lut.take(crop(read_pieces(i), self.grid.tile(i).core, part))

        return paint_cores(self.grid, box, self.dtype, ids_of)
