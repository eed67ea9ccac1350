"""What is measured of the objects in one box: by their runs, pixels of one object side by side.

An object of 40 px across has some 40 runs and 1,200 pixels, so only runs are sorted and summed by
object; of the pixels, each is compared with the next and added to its run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .shapes import pairs

Array = np.ndarray[Any, Any]


class Runs:
    """A box's runs of pixels of one object, in order of the objects.

    Parameters
    ----------
    labels
        Integers of any number of axes, 0 the background.
    """

    def __init__(self, labels: Array) -> None:
        lines = labels.reshape(-1, labels.shape[-1])
        begins = np.ones(lines.shape, bool)
        np.not_equal(lines[:, 1:], lines[:, :-1], out=begins[:, 1:])
        self._start = np.flatnonzero(begins)
        own = lines.reshape(-1)[self._start]
        inside = np.flatnonzero(own)
        self._inside = inside
        self._order = inside[np.argsort(own[inside], kind="stable")]
        sorted_ids = own[self._order]
        new = np.ones(len(sorted_ids), bool)
        np.not_equal(sorted_ids[1:], sorted_ids[:-1], out=new[1:])
        self._first = np.flatnonzero(new)
        self.ids = sorted_ids[self._first].astype(np.int64)
        self._shape = labels.shape
        self._length = np.diff(self._start, append=lines.size)[self._order]

    def shapes(self) -> tuple[Array, Array, Array, Array]:
        """What the objects measure, in pixels; all int64, in the order of `ids`.

        Returns
        -------
        area
            (n,)
        sums, first, stop
            (n, axes): per axis the sum of positions, the first one, and the one after the last.
        """
        n, start, length = len(self.ids), self._start[self._order], self._length
        sums, first, stop = (np.zeros((n, len(self._shape)), np.int64) for _ in range(3))
        if not n:
            return np.zeros(0, np.int64), sums, first, stop
        area = np.add.reduceat(length, self._first)
        last = len(self._shape) - 1
        for axis, at in enumerate(np.unravel_index(start, self._shape)):
            ends = at + length if axis == last else at + 1
            total = at * length + (length * (length - 1) // 2 if axis == last else 0)
            sums[:, axis] = np.add.reduceat(total, self._first)
            first[:, axis] = np.minimum.reduceat(at, self._first)
            stop[:, axis] = np.maximum.reduceat(ends, self._first)
        return area, sums, first, stop

    def second(self, first: Array) -> Array:
        """Sums of products of positions, from each object's first pixel: (n, pairs) int64.

        Parameters
        ----------
        first
            (n, axes), of `shapes`.
        """
        count, last = len(self.ids), len(self._shape) - 1
        sizes = np.diff(self._first, append=len(self._order))
        at = np.stack(np.unravel_index(self._start[self._order], self._shape), axis=1)
        at = at - np.repeat(first, sizes, axis=0) if count else at
        length, start = self._length, at[:, last]
        along = start * length + length * (length - 1) // 2
        square = length * start**2 + start * length * (length - 1)
        square += (length - 1) * length * (2 * length - 1) // 6
        found = np.zeros((count, len(pairs(last + 1))), np.int64)
        for n, (i, j) in enumerate(pairs(last + 1) if count else ()):
            one = square if i == last else at[:, i] * (along if j == last else at[:, j] * length)
            found[:, n] = np.add.reduceat(one, self._first)
        return found

    def light(self, image: Array, dtype: np.dtype[Any]) -> Array:
        """Intensities summed by object and channel, (n, C) `dtype`: int64 or float64.

        Parameters
        ----------
        image
            ``(C, *labels.shape)``.
        """
        found = np.zeros((len(self.ids), len(image)), dtype)
        for c, channel in enumerate(image if len(self.ids) else ()):
            own = np.add.reduceat(channel.reshape(-1), self._start, dtype=dtype)[self._order]
            found[:, c] = np.add.reduceat(own, self._first)
        return found
