"""Heat maps of a big image: how dense objects lie, in squares, and colours for values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
COLOURS = ("#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59",
           "#b4de2c", "#fde725")  # fmt: skip
"""From least to most: matplotlib's viridis, which is equally bright steps, in print too."""
BLANK = 245  # grey of what wasn't looked at
SQUARES = 128  # along the longer side, at most
FEWEST = 8  # of them
WANTED = 12  # objects in a square, in the mean
SEEN = 0.1  # share of a square that must have been looked at
SURE = 0.5  # share from which on a square may be the densest


@dataclass(frozen=True)
class Heat:
    """How dense something lies.

    Parameters
    ----------
    picture
        (y, x, 3) uint8.
    most
        What the brightest colour stands for; the darkest stands for 0.
    side
        Of a square, in picture pixels.
    """

    picture: Array
    most: float
    side: int


def density(amount: Array, looked: Array, area: float) -> Heat:
    """How much there is per area that was looked at, square by square.

    Squares are so large that they have some objects in the mean. One of which less than a tenth
    was looked at is blank.

    Parameters
    ----------
    amount
        Of each picture pixel, (y, x).
    looked
        Which were looked at, (y, x) bool.
    area
        Of a picture pixel, in the unit of area that is wanted.
    """
    side = square(looked.shape, float(amount.sum()), int(looked.sum()))
    starts = [np.arange(0, n, side) for n in looked.shape]
    found, seen, whole = (
        np.add.reduceat(np.add.reduceat(a, starts[0], 0, dtype=float), starts[1], 1)
        for a in (amount, looked, np.ones(looked.shape))
    )
    shown = seen >= SEEN * whole
    values = np.where(shown, found / np.maximum(seen, 1) / area, np.nan)
    sure = values[seen >= SURE * whole]
    most = float((sure if sure.size and sure.max() > 0 else values[shown]).max(initial=0.0))
    y, x = (np.arange(n) // side for n in looked.shape)
    return Heat(coloured(values[np.ix_(y, x)] / (most or 1)), most, side)


def square(shape: tuple[int, ...], amount: float, looked: int) -> int:
    """The side of a square, in picture pixels.

    Parameters
    ----------
    shape
        The picture's.
    amount
        How many objects there are.
    looked
        Picture pixels that were looked at.
    """
    wanted = math.sqrt(WANTED * looked / amount) if amount else 0.0
    longest = max(shape)
    return max(1, math.ceil(min(max(wanted, longest / SQUARES), longest / FEWEST)))


def coloured(values: Array) -> Array:
    """(y, x, 3) uint8: colours of values from 0 to 1; grey where they are NaN."""
    known = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], float)
    at = np.linspace(0, 1, len(known))
    clipped = np.clip(np.nan_to_num(values), 0, 1)
    found = np.stack([np.interp(clipped, at, known[:, c]) for c in range(3)], axis=-1)
    found[np.isnan(values)] = BLANK
    return np.asarray(found.round().astype(np.uint8))
