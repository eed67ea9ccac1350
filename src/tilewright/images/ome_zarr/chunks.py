"""Decoded chunks of a Zarr array, kept for the next window, which often meets them.

Tiles are seldom cut as chunks are: without this, each chunk would be decoded for every tile that
meets it, and Zarr's own work for a read would be done for every tile.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tilewright.contract.cache import Cache
from tilewright.images.pieces import row_pixels
from tilewright.images.source import Array, Window

Position = tuple[int, ...]


class Chunks:
    """Windows of an array, of whose chunks the last ones are kept.

    Parameters
    ----------
    array
        A Zarr array.
    kept
        Decoded chunks, of all levels.
    axes
        The array's, a letter each: which chunks a row of windows meets.
    """

    def __init__(self, array: Any, kept: Cache[Position, Array], axes: str) -> None:
        self._array, self._kept, self._axes = array, kept, axes
        self._sides = tuple(array.chunks)
        self._dtype = np.dtype(array.dtype)

    def read(self, window: Window) -> Array:
        """A window's pixels: the array's axes and dtype, in a new array that nothing else holds."""
        met = [
            range(s.start // n, -(-s.stop // n)) for s, n in zip(window, self._sides, strict=True)
        ]
        pixels = math.prod(len(r) * n for r, n in zip(met, self._sides, strict=True))
        if pixels * self._dtype.itemsize > self._kept.limit or self._is_whole(window, met):
            return np.asarray(self._array[window])
        row = row_pixels(self._axes, self._array.shape, self._sides, window)
        self._kept.grow(row * self._dtype.itemsize, id(self))
        positions = list(itertools.product(*met))
        fresh = self._decode([p for p in positions if (id(self), *p) not in self._kept])
        out = np.empty([s.stop - s.start for s in window], self._dtype)
        for position in sorted(positions, key=fresh.__contains__):  # what is kept, before it goes
            chunk = self._kept.get((id(self), *position), partial(fresh.__getitem__, position))
            self._put(out, window, position, chunk)
        return out

    def _is_whole(self, window: Window, met: Sequence[range]) -> bool:
        """Whether the window is all of its chunks: no other will meet them."""
        return window == self._box([(r.start, r.stop) for r in met])

    def _box(self, bounds: Sequence[tuple[int, int]]) -> Window:
        """The pixels of chunks first to last, per axis."""
        sizes = zip(bounds, self._sides, self._array.shape, strict=True)
        return tuple(slice(a * side, min(b * side, n)) for (a, b), side, n in sizes)

    def _decode(self, missing: list[Position]) -> dict[Position, Array]:
        """Chunks, by one read of the box around them, which is seldom more than they are."""
        if not missing:
            return {}
        bounds = [(min(at), max(at) + 1) for at in zip(*missing, strict=True)]
        block = np.asarray(self._array[self._box(bounds)])
        found = {}
        for position in missing:
            part = tuple(
                slice((p - a) * side, (p - a + 1) * side)
                for p, (a, _), side in zip(position, bounds, self._sides, strict=True)
            )
            found[position] = np.ascontiguousarray(block[part])
        return found

    def _put(self, out: Array, window: Window, position: Position, chunk: Array) -> None:
        """Copy what a chunk has of the window."""
        into, out_of = [], []
        for s, p, side, n in zip(window, position, self._sides, chunk.shape, strict=True):
            lo, hi = max(s.start, p * side), min(s.stop, p * side + n)
            into.append(slice(lo - s.start, hi - s.start))
            out_of.append(slice(lo - p * side, hi - p * side))
        out[tuple(into)] = chunk[tuple(out_of)]
