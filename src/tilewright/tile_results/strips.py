"""A tile's array in strips, each some of its rows or slices: whoever wants a part reads a part."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
STRIP_PIXELS = 1 << 21  # pixels of a strip: 1,024 px squared is one, 256 voxels cubed are eight


def thickness(shape: tuple[int, ...]) -> int:
    """How many of an array's first axis are in one strip; at least one."""
    return max(1, STRIP_PIXELS // max(1, math.prod(shape[1:])))


def cut(array: Array) -> Iterator[Array]:
    """An array's strips, in order, views of shape `strip_shape`; of an empty one, itself."""
    step = thickness(array.shape)
    for start in range(0, max(1, len(array)), step):
        yield array[start : start + step]


def strip_shape(shape: tuple[int, ...], number: int) -> tuple[int, ...]:
    """The shape of one strip."""
    step = thickness(shape)
    return (min(step, shape[0] - number * step), *shape[1:])


@dataclass(frozen=True)
class Strips:
    """An array that is read strip by strip, as far as it is asked for.

    Parameters
    ----------
    shape
        Of the whole array.
    read
        Gives the strip of a number, from 0; not to be changed.
    """

    shape: tuple[int, ...]
    read: Callable[[int], Array]

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        """A part, one slice per axis; a view where it lies in one strip."""
        start, stop, _ = box[0].indices(self.shape[0])
        step = thickness(self.shape)
        first = min(start, max(self.shape[0] - 1, 0)) // step  # of no rows at the end, too
        last = max(first, (stop - 1) // step)
        parts = (
            self.read(n)[(slice(max(start - n * step, 0), stop - n * step), *box[1:])]
            for n in range(first, last + 1)
        )
        found = next(parts)
        if first == last:
            return found
        whole = np.empty((stop - start, *found.shape[1:]), found.dtype)
        at = 0
        for part in itertools.chain([found], parts):  # one after the other: strips are big
            whole[at : at + len(part)] = part
            at += len(part)
        return whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of it."""
        whole = self[tuple(slice(n) for n in self.shape)]
        return np.array(whole, dtype, copy=copy)
