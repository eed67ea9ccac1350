"""Which parts of a big image are shown by themselves: where much is, where little, and between.

The plane is cut into equal windows of at most `CROP` pixels. Of those that were looked at for at
least a half, and have something, the one with most, the median and the one with least are shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tilewright.contract.grid import Interval
from tilewright.preprocess.thumbnail import edges, means

from . import picture

Array = np.ndarray[Any, Any]
Rank = Literal["dense", "median", "sparse", "empty"]
HALF = 0.5


@dataclass(frozen=True)
class Place:
    """A part of a plane.

    Parameters
    ----------
    rank
        Whether it has most, the median or least, or nothing as all others.
    box
        Rows and columns, in model pixels.
    """

    rank: Rank
    box: tuple[Interval, Interval]


@dataclass(frozen=True)
class Windows:
    """Equal windows of a plane.

    Parameters
    ----------
    y, x
        Where they begin and the last ends, in model pixels.
    extent
        The plane's rows and columns.
    """

    y: Array
    x: Array
    extent: tuple[int, int]

    @classmethod
    def of(cls, extent: tuple[int, int], sides: tuple[int, int]) -> Windows:
        """Of at most `CROP` pixels each side, though no smaller than a pixel of a picture.

        Parameters
        ----------
        extent
            The plane's rows and columns.
        sides
            The picture's.
        """
        y, x = (
            edges((0, n), min(math.ceil(n / picture.CROP), m))
            for n, m in zip(extent, sides, strict=True)
        )
        return cls(y, x, extent)

    @property
    def shape(self) -> tuple[int, int]:
        """How many there are, (rows, columns)."""
        return len(self.y) - 1, len(self.x) - 1

    def counts(self, y: Array, x: Array) -> Array:
        """How many of some points lie in each window, (rows, columns) int64.

        Parameters
        ----------
        y, x
            Pixels of the plane, (n,).
        """
        rows, columns = (
            np.searchsorted(e[1:-1], at, "right") for e, at in ((self.y, y), (self.x, x))
        )
        found = np.bincount(rows * self.shape[1] + columns, minlength=math.prod(self.shape))
        return np.asarray(found.reshape(self.shape))

    def means(self, small: Array) -> Array:
        """The mean in each window of a small picture of the plane, (rows, columns) float64."""
        y, x = (
            np.round(e * m / n).astype(np.int64)
            for e, n, m in zip((self.y, self.x), self.extent, small.shape, strict=True)
        )
        return means(small, y, x)

    def box(self, row: int, column: int) -> tuple[Interval, Interval]:
        """A window's rows and columns, its middle where it is larger than is shown."""
        return _middle(self.y[row : row + 2]), _middle(self.x[column : column + 2])


def _middle(interval: Array) -> Interval:
    start, stop = interval.tolist()
    start += max(0, stop - start - picture.CROP) // 2
    return start, min(stop, start + picture.CROP)


def chosen(windows: Windows, value: Array, looked: Array, there: Array) -> list[Place]:
    """The places that are shown, from most to least; of equals the first, row by row.

    Parameters
    ----------
    windows
        The plane's.
    value
        What they are ranked by, of each.
    looked
        Which share of each was looked at, from 0 to 1.
    there
        Which of them have something, bool.

    Returns
    -------
        Up to three; one where nothing is anywhere, that which was looked at most; none where
        nothing was looked at.
    """
    if not (looked > 0).any():
        return []
    for least in (looked >= HALF, looked > 0):
        (found,) = np.nonzero((least & there).ravel())
        if found.size:
            break
    else:
        return [Place("empty", windows.box(*_at(windows, int(looked.argmax()))))]
    order = found[np.argsort(-value.ravel()[found], kind="stable")]
    ranks: tuple[tuple[Rank, int], ...] = (
        ("dense", 0),
        ("median", len(order) // 2),
        ("sparse", len(order) - 1),
    )
    if len(order) < len(ranks):
        ranks = (ranks[0], ranks[2])[: len(order)]
    return [Place(rank, windows.box(*_at(windows, int(order[n])))) for rank, n in ranks]


def _at(windows: Windows, number: int) -> tuple[int, int]:
    row, column = divmod(number, windows.shape[1])
    return row, column
