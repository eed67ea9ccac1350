"""A big image's plane as a small picture: glass as glass, what was looked at, and its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from skimage.segmentation import find_boundaries

from tilewright.contract.grid import Grid

from .picture import CORE_BORDER, outline

Array = np.ndarray[Any, Any]
SIDE = 1200  # picture pixels along the longer side
MASK_OUTLINE = (0, 200, 83)
LEAST_TILE = 6  # picture pixels of a tile from which on each is drawn, and not all of them as one
FAINT, PLAIN = 0.35, 0.75  # how strong lines between tiles are, and those round them
GLASS = 0.6  # of white: from here on a colour picture's bright pixels are glass
BRIGHT = 0.4  # of white: a picture whose half is brighter is of light, not of glowing


@dataclass(frozen=True)
class Canvas:
    """A plane on the pixels of a small picture.

    Parameters
    ----------
    extent
        Rows and columns of the plane, in model pixels.
    sides
        Rows and columns of the picture.
    """

    extent: tuple[int, int]
    sides: tuple[int, int]

    @classmethod
    def of(cls, extent: tuple[int, int], there: tuple[int, int]) -> Canvas:
        """The canvas of a plane, of which the file has `there` rows and columns."""
        shrunk = max(1.0, max(extent) / SIDE)
        y, x = (max(1, min(round(n / shrunk), most)) for n, most in zip(extent, there, strict=True))
        return cls(extent, (y, x))

    @property
    def step(self) -> tuple[float, float]:
        """Model pixels per picture pixel, (y, x)."""
        return self.extent[0] / self.sides[0], self.extent[1] / self.sides[1]

    def centres(self, axis: int) -> Array:
        """Where the picture's rows (0) or columns (1) have their middle, in model pixels."""
        return np.asarray((np.arange(self.sides[axis]) + 0.5) * self.step[axis])

    def cells(self, at: Array, axis: int) -> Array:
        """The picture rows (0) or columns (1) of places in model pixels, whole numbers."""
        cells = ((at + 0.5) / self.step[axis]).astype(np.int64)
        return np.asarray(np.minimum(cells, self.sides[axis] - 1))

    def spread(self, small: Array) -> Array:
        """A plane's array of any size, (…, y, x), on the picture's pixels: the nearest of it."""
        y, x = (
            ((np.arange(n) + 0.5) * m / n).astype(np.int64)
            for n, m in zip(self.sides, small.shape[-2:], strict=True)
        )
        return np.asarray(small[..., y[:, None], x])


def tiles_on(canvas: Canvas, grid: Grid, predicted: Array) -> Array:
    """The tile that each pixel of a picture lies in, by cores.

    Parameters
    ----------
    canvas
        The picture's pixels.
    grid
        The plane's tiles.
    predicted
        (rows, columns) of tiles, bool.

    Returns
    -------
        (y, x) int64: row-major numbers of tiles, -1 where none was predicted.
    """
    at = []
    for k, (axis, n) in enumerate(zip(grid.axes[-2:], grid.shape[-2:], strict=True)):
        starts = [axis.core(i, n)[0] for i in range(1, axis.count(n))]
        at.append(np.searchsorted(starts, canvas.centres(k), "right"))
    y, x = at
    number = y[:, None] * predicted.shape[1] + x
    return np.where(predicted[np.ix_(y, x)], number, -1)


def white_of(pixels: Array, dtype: np.dtype[Any]) -> float | None:
    """The value of white of a picture of transmitted light, by what there is; else None.

    Parameters
    ----------
    pixels
        (C, y, x) of the whole, made small.
    dtype
        Of the file.
    """
    if len(pixels) < 3 or dtype.kind not in "uf":
        return None
    good = pixels[:, np.isfinite(pixels).all(axis=0)]
    if not good.size:
        return None
    white = 255.0 if dtype == np.uint8 else float(np.percentile(good, 99.8))
    glass = np.percentile(good.min(axis=0), 90) > GLASS * white
    return white if glass or np.median(good.mean(axis=0)) > BRIGHT * white else None


def drawn(picture: Array, tiles: Array, inside: Array | None, labels: Array | None) -> Array:
    """The whole with its tiles, the mask's outline and those of objects.

    Parameters
    ----------
    picture
        (3, y, x) float, as `picture.shown` gives it.
    tiles
        As `tiles_on` gives them.
    inside
        (y, x) bool: where the mask says to look; None where there is none.
    labels
        (y, x) integers whose outlines are drawn, or None.

    Returns
    -------
        (y, x, 3) uint8.
    """
    found = picture.copy()
    predicted = tiles >= 0
    if _side(tiles) >= LEAST_TILE:
        _paint(found, _borders(tiles) & predicted, CORE_BORDER, FAINT)
    _paint(found, _borders(predicted) & predicted, CORE_BORDER, PLAIN)
    if labels is not None:
        outline(found, _borders(labels) & (labels > 0))
    if inside is not None:
        _paint(found, find_boundaries(inside, mode="thick"), MASK_OUTLINE, 1)  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.moveaxis(found, 0, -1).round().astype(np.uint8))


def faded(picture: Array) -> Array:
    """(y, x, 3) uint8: a picture (3, y, x) in light greys, as a ground for colours."""
    grey = 255 - (255 - picture.mean(axis=0)) * 0.25
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1)


def _side(tiles: Array) -> float:
    """About how many picture pixels the side of a tile has."""
    numbers = tiles[tiles >= 0]
    count = len(np.unique(numbers))
    return float(np.sqrt(numbers.size / count)) if count else 0.0


def _borders(values: Array) -> Array:
    """(y, x) bool: pixels that differ from their upper or left neighbour, or end what is there."""
    found = np.zeros(values.shape, bool)
    for axis in (0, 1):
        differ = np.diff(values.astype(np.int64), axis=axis) != 0
        after = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        before = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        found[after] |= differ
        found[before] |= differ & (values[after] <= 0)  # the last of what is there
    return found


def _paint(picture: Array, where: Array, colour: tuple[int, int, int], share: float) -> None:
    tint = np.array(colour, picture.dtype)[:, None]
    picture[:, where] = (1 - share) * picture[:, where] + share * tint
