"""An image made small: each pixel the mean of a block of the coarsest level that is fine enough.

Blocks are read band by band, so that a file without a pyramid takes a band's memory and not an
image's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tilewright.contract.grid import Interval
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.image import Image

Array = np.ndarray
BAND_BYTES = 1 << 25  # of pixels that are read at once
CHANNELS = 3  # at most: red, green and blue
LEAST = 16  # blocks along a side that are given up together where a file is damaged


def thumbnail(
    image: Image, at: Mapping[str, int], window: tuple[Interval, Interval], sides: tuple[int, int]
) -> Array:
    """A part of a plane, made small.

    Parameters
    ----------
    image
        Its levels are looked through for the coarsest that has `sides` pixels of the part.
    at
        Which of the axes T and Z, by numbers of level 0.
    window
        Rows and columns of level 0.
    sides
        Of the small picture, (y, x); at most the window's.

    Returns
    -------
        (C, y, x) float64: the first three channels or, where there are fewer, the first. NaN where
        a block has no number, or the file is damaged, there and up to `LEAST` blocks around.
    """
    level = _level(image, window, sides)
    here = dict(zip(image.axes, image.levels[level], strict=True))
    index: dict[str, int | slice] = {
        a: n * here[a] // image.size(a) for a, n in at.items() if a in here
    }
    channels = CHANNELS if here.get("C", 1) >= CHANNELS else 1
    if "C" in here:
        index["C"] = slice(0, channels)
    y, x = (edges(part, n) for part, n in zip(_part(image, level, window), sides, strict=True))
    order = [a for a in image.axes if not isinstance(index.get(a, slice(0)), int)]

    def read(rows: slice, columns: slice) -> Array:
        inner = [e[part.start : part.stop + 1] for e, part in ((y, rows), (x, columns))]
        some = {k: slice(int(e[0]), int(e[-1])) for k, e in zip("YX", inner, strict=True)}
        pixels = image.read(level, {**index, **some})
        return means(pixels.transpose([order.index(a) for a in "CYX" if a in order]), *inner)

    found = np.full((channels, *sides), np.nan)
    for rows, columns in _bands(y, x, channels * image.dtype.itemsize):
        _fill(found, read, rows, columns)
    return found


def _fill(found: Array, read: Callable[[slice, slice], Array], rows: slice, columns: slice) -> None:
    """Fill in some blocks; of what is damaged, as many as can be read."""
    try:
        found[:, rows, columns] = read(rows, columns)
    except TilewrightError as error:
        if error.code != BAD_DATA:
            raise
        (top, bottom), (left, right) = ((s.start, s.stop) for s in (rows, columns))
        if bottom - top > max(LEAST, right - left):
            middle = (top + bottom) // 2
            for part in (slice(top, middle), slice(middle, bottom)):
                _fill(found, read, part, columns)
        elif right - left > LEAST:
            middle = (left + right) // 2
            for part in (slice(left, middle), slice(middle, right)):
                _fill(found, read, rows, part)


def edges(interval: Interval, count: int) -> Array:
    """Where `count` blocks of an interval begin, and the last ends: whole numbers, ascending."""
    start, stop = interval
    return np.asarray(start + np.arange(count + 1) * (stop - start) // count)


def means(pixels: Array, y: Array, x: Array) -> Array:
    """The mean of each block of pixels, (…, y, x) float64; NaN where it has no number.

    Parameters
    ----------
    pixels
        (…, y, x) of any dtype, from the first of `y` and `x` on.
    y, x
        As `edges` gives them; no block is empty.
    """
    if pixels.dtype.kind != "f":
        return np.asarray(_sums(pixels, y, x) / (np.diff(y)[:, None] * np.diff(x)))
    good = np.isfinite(pixels)
    count = _sums(good, y, x)
    with np.errstate(invalid="ignore"):
        return np.asarray(_sums(np.where(good, pixels, 0), y, x) / count)


def _sums(pixels: Array, y: Array, x: Array) -> Array:
    small = pixels.dtype.kind in "bu" and pixels.dtype.itemsize <= 2
    kind = np.uint32 if small else np.float64  # 2^16 rows of 16 bits fit, and take a third
    sums = np.add.reduceat(pixels, y[:-1] - y[0], axis=-2, dtype=kind)  # rows lie together
    return np.add.reduceat(sums, x[:-1] - x[0], axis=-1, dtype=np.float64)


def _part(image: Image, level: int, window: tuple[Interval, Interval]) -> tuple[Interval, Interval]:
    """Rows and columns of a level that show those of level 0."""
    here = dict(zip(image.axes, image.levels[level], strict=True))
    y, x = (
        (math.floor(a / step), min(here[k], math.ceil(b / step)))
        for k, (a, b), step in zip("YX", window, image.steps[level], strict=True)
    )
    return y, x


def _level(image: Image, window: tuple[Interval, Interval], sides: tuple[int, int]) -> int:
    """The number of the coarsest level that has so many pixels of the window."""
    fits = {0: image.size("Y")}
    for number, shape in enumerate(image.levels):
        here = dict(zip(image.axes, shape, strict=True))
        there = [b - a for a, b in _part(image, number, window)]
        same = all(here[a] == image.size(a) for a in "TC" if a in here)
        if same and all(n >= m for n, m in zip(there, sides, strict=True)):
            fits[number] = here["Y"]
    return min(fits, key=lambda number: fits[number])


def _bands(y: Array, x: Array, itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Blocks that are read together: whole rows of them, where a row isn't too much."""
    high = math.ceil((y[-1] - y[0]) / (len(y) - 1))
    wide = math.ceil((x[-1] - x[0]) / (len(x) - 1))
    columns = max(1, min(len(x) - 1, BAND_BYTES // (high * wide * itemsize)))
    rows = max(1, BAND_BYTES // (high * wide * columns * itemsize))
    for top in range(0, len(y) - 1, rows):
        for left in range(0, len(x) - 1, columns):
            yield (
                slice(top, min(top + rows, len(y) - 1)),
                slice(left, min(left + columns, len(x) - 1)),
            )
