"""Outlines of a store's objects, streamed: of each block of pixels those that are whole by then.

Corners of an object that lies in several blocks are held until the last of them, which its row in
the table tells. So memory is bounded by a block, and by what crosses a row of blocks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .corners import Corners, corners, joined
from .rings import Rings, rings
from .store import Result, Table, blocks, lacking

Array = np.ndarray[Any, Any]
SIDE = 2048  # of a block, at least
DEEP_SIDE = 512  # of one that has several slices
ENDS, BEGINS, ASKS = range(3)
"""What happens in a row, in this order: upright edges end and begin, and holes ask for theirs."""


@dataclass(frozen=True)
class Outlines:
    """Some objects of one plane, each whole; in the order of their labels.

    Parameters
    ----------
    t, z
        Time point and slice, from 0.
    labels
        (m,) label values.
    objects
        (m + 1,) where each object's rings begin.
    rings
        Theirs: an outer one, then its holes, then the next outer one.
    outer
        (r,) bool, which rings are outer ones: a polygon begins.
    """

    t: int
    z: int
    labels: Array
    objects: Array
    rings: Rings
    outer: Array

    def __len__(self) -> int:
        return len(self.labels)


def outlines(store: Result) -> Iterator[Outlines]:
    """The outlines of all labels of a store, plane by plane and block by block.

    Parameters
    ----------
    store
        With labels; those of classes are whole at the end of a plane.

    Raises
    ------
    TilewrightError
        At the end, when there are fewer objects than in the table: shards are missing.
    """
    count = 0
    for some in _of_planes(store):
        count += len(some)
        yield some
    table = store.table
    if table is not None and "bbox_z0" not in table.columns and count != len(table):
        raise lacking(store, count)


def _of_planes(store: Result) -> Iterator[Outlines]:
    """The same, whether or not all that the table tells of is there."""
    array, sizes = store.levels[0], store.sizes
    files = getattr(array, "shards", None) or array.chunks
    side = dict(zip(store.axes, files, strict=True))
    deep = side.get("z", 1)
    least = SIDE if deep == 1 else DEEP_SIDE
    block = tuple(side[a] * max(1, least // side[a]) for a in "yx")
    for t in range(sizes["t"]):
        for first in range(0, sizes["z"], deep):
            slices = range(first, min(first + deep, sizes["z"]))
            planes = {z: _Plane(store, t, z) for z in slices}
            for y, x in blocks(sizes["y"], sizes["x"], (block[0], block[1])):
                at = {"t": slice(t, t + 1), "z": slice(slices.start, slices.stop), "y": y, "x": x}
                pixels = np.asarray(array[tuple(at[a] for a in store.axes)])
                for z, labels in zip(slices, pixels.reshape(-1, *pixels.shape[-2:]), strict=True):
                    yield from planes[z].take(labels, y, x)


class _Plane:
    """What is known of a plane so far: the last row and column of blocks, and unfinished corners.

    Parameters
    ----------
    store
        Whose plane.
    t, z
        Which.
    """

    def __init__(self, store: Result, t: int, z: int) -> None:
        self._at = t, z
        self._table = store.table
        self._place = store.place
        self._shape = store.sizes["y"], store.sizes["x"]
        dtype = store.levels[0].dtype
        self._above = np.zeros(self._shape[1] + 1, dtype)  # of the row of blocks; 0 left of all
        self._below = self._above.copy()
        self._left = np.zeros(0, dtype)
        self._held: list[Corners] = []

    def take(self, labels: Array, y: slice, x: slice) -> Iterator[Outlines]:
        """The next block in row-major order; what is whole after it comes out."""
        ends = y.stop == self._shape[0], x.stop == self._shape[1]
        found = corners(self._padded(labels, y, x, ends), y.start, x.start)
        last = y.stop - (not ends[0]), x.stop - (not ends[1])
        self._held.append(found)
        if all(ends):
            whole, self._held = joined(self._held), []
        else:
            whole = self._whole(last)
        if len(whole):
            yield _outlined(*self._at, rings(whole))

    def _padded(self, labels: Array, y: slice, x: slice, ends: tuple[bool, bool]) -> Array:
        """A block with the row above, the column before and, at the plane's ends, background."""
        height, width = labels.shape
        padded = np.zeros((height + 1 + ends[0], width + 1 + ends[1]), labels.dtype)
        if x.start == 0:
            self._above, self._below = self._below, self._above
            self._below[:] = 0
            self._left = np.zeros(height, labels.dtype)
        padded[1 : height + 1, 1 : width + 1] = labels
        padded[0, : width + 1] = self._above[x.start : x.stop + 1]
        padded[1 : height + 1, 0] = self._left
        self._below[x.start + 1 : x.stop + 1] = labels[-1]
        self._left = labels[:, -1].copy()
        return padded

    def _whole(self, last: tuple[int, int]) -> Corners:
        """The corners of objects that end by these lattice points; the others are held."""
        if self._table is None or "bbox_y1_px" not in self._table.columns:
            return self._held[0][np.zeros(0, np.int64)]
        parts, held = [], []
        for some in self._held:
            done = self._ended(self._table, some.label, last)
            parts.append(some[done])
            held.append(some[~done])
        self._held = [joined(held)]
        return joined(parts)

    def _ended(self, table: Table, label: Array, last: tuple[int, int]) -> Array:
        """Of each corner, whether its object ends by these lattice points."""
        if not len(label):
            return np.zeros(0, bool)
        first, most = int(label.min()), int(label.max())
        if not table.is_dense or most - first > len(label):
            return self._ends(table, label, last)
        done = self._ends(table, np.arange(first, most + 1), last)
        return np.asarray(done[label - label.dtype.type(first)])

    def _ends(self, table: Table, label: Array, last: tuple[int, int]) -> Array:
        rows, done = table.rows(label), np.ones(len(label), bool)
        for axis, name in enumerate(("bbox_y1_px", "bbox_x1_px")):
            stop = table.values(name, rows)
            at = (stop - self._place.origin[axis]) / self._place.step[axis]
            done &= at <= last[axis]
        return done


def _outlined(t: int, z: int, of: Rings) -> Outlines:
    """Rings as polygons: each hole after the outer ring that it lies in."""
    owner = _owners(of)
    order = np.lexsort((np.arange(len(owner)), owner))
    if np.any(order[1:] < order[:-1]):
        of = _reordered(of, order)
    first = np.flatnonzero(np.concatenate([[True], of.label[1:] != of.label[:-1]]))
    return Outlines(t, z, of.label[first], np.append(first, len(of.label)), of, of.area > 0)


def _owners(of: Rings) -> Array:
    """The number of the outer ring that each ring is, or lies in."""
    outer = of.area > 0
    numbers = np.arange(len(outer))
    before = np.maximum.accumulate(np.where(outer, numbers, -1))
    owner = np.where(outer, numbers, before)  # right where an object is one piece: its first ring
    new = np.concatenate([[True], of.label[1:] != of.label[:-1]])
    number = np.cumsum(new) - 1
    unsure = (np.bincount(number[outer], minlength=number[-1] + 1) > 1)[number]
    if np.any(unsure & ~outer):
        _owned(of, number, unsure, owner)
    return owner


def _owned(of: Rings, number: Array, which: Array, owner: Array) -> None:
    """Say of objects in several pieces in which outer ring each hole lies: a sweep from above.

    The pixel above a hole's first edge is of its piece, and so is the upright edge next to its
    left: one of the outer ring, or of a hole that begins higher up, whose owner is known by then.

    Parameters
    ----------
    of
        The rings.
    number, which
        (r,): each ring's object, and whether that has several pieces.
    owner
        (r,): what is said, in place; outer rings own themselves.
    """
    ring = np.repeat(np.arange(len(which)), np.diff(of.first) // 2)
    x, ends, starts = of.x[1::2], of.y[1::2], of.y[0::2]
    after = np.roll(starts, -1)
    after[of.first[1:] // 2 - 1] = starts[of.first[:-1] // 2]
    edges = np.flatnonzero(which[ring])
    holes = np.flatnonzero(which & (of.area < 0))
    first, ring = of.first[holes], ring[edges]
    low, high = np.minimum(ends, after)[edges], np.maximum(ends, after)[edges]
    rows = np.concatenate([high, low, of.y[first] - 1])
    kind = np.repeat([ENDS, BEGINS, ASKS], [len(edges), len(edges), len(holes)])
    columns = np.concatenate([x[edges], x[edges], of.x[first] - 1])
    rings = np.concatenate([ring, ring, holes])
    order = np.lexsort((kind, rows))
    there: list[tuple[int, int, int]] = []  # upright edges of this row by object and column
    events = (a[order].tolist() for a in (kind, number[rings], columns, rings))
    for what, thing, column, one in zip(*events, strict=True):
        if what == ENDS:
            del there[bisect_left(there, (thing, column))]
        elif what == BEGINS:
            insort(there, (thing, column, one))
        else:
            owner[one] = owner[there[bisect_left(there, (thing, column + 1)) - 1][2]]


def _reordered(of: Rings, order: Array) -> Rings:
    length = np.diff(of.first)[order]
    first = np.concatenate([[0], np.cumsum(length)])
    at = np.repeat(of.first[:-1][order] - first[:-1], length) + np.arange(first[-1])
    return Rings(of.label[order], first, of.x[at], of.y[at], of.area[order])
