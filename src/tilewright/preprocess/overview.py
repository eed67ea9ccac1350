"""A slide's picture at low resolution: its coarsest level that is fine enough, averaged in blocks.

Rows are read band by band, so that a file without a pyramid, whose level 0 has to be read whole,
takes a band's memory and not an image's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tilewright.contract.colours import RGB
from tilewright.images.image import Image

from .colour import own_span

Array = np.ndarray
OVERVIEW_BYTES = 2**26  # of pixels that are read at once, where a block's row isn't more
OVERVIEW_SIDE = 2500  # px of the picture's longer side at most, where the pixel size isn't known


@dataclass(frozen=True)
class Overview:
    """A picture of a whole image at low resolution.

    Parameters
    ----------
    pixels
        ``(y, x, 3)`` uint8 RGB, or ``(y, x)`` of an image that isn't in colours.
    scale
        Level-0 pixels of its pixel, ``(y, x)``; the last row and column may be of fewer.
    mpp
        µm of its pixel ``(y, x)``, or None.
    unread
        ``(y, x)`` bool: pixels that are white in whole or part since the file is damaged there.
    """

    pixels: Array
    scale: tuple[float, float]
    mpp: tuple[float, float] | None
    unread: Array


def overview(
    image: Image,
    mpp: float,
    t: int = 0,
    z: int | None = None,
    size: tuple[float, float] | None = None,
) -> Overview:
    """The whole of an image at about so many µm a pixel.

    The coarsest level is read that isn't coarser, and whole blocks of its pixels are averaged; of
    a level that is damaged, the next finer one; the coarsest, where each is. The picture's
    pixels are about as large as wanted, within a third where blocks are small. Pixels of more than
    8 bits are scaled by the value of white that the file says, else by the bits that are in use.

    Parameters
    ----------
    mpp
        µm per pixel that are wanted; of an image without a pixel size, its longer side is
        `OVERVIEW_SIDE` px at most.
    t, z
        Which timepoint and slice; the middle slice where none is given.
    size
        µm of a level-0 pixel ``(y, x)``, where others count than the file's.

    Raises
    ------
    TilewrightError
        When the file can't be read at all.
    """
    own = size or image.mpp
    wanted = _wanted(image, mpp, own)
    seen = (_of_level(image, n, wanted, own, t, z) for n in _levels(image, wanted))
    coarsest = next(seen)
    return next((s for s in chain([coarsest], seen) if not s.unread.any()), coarsest)


def _of_level(
    image: Image,
    level: int,
    wanted: tuple[float, float],
    own: tuple[float, float] | None,
    t: int,
    z: int | None,
) -> Overview:
    """The whole of one level, in pixels of about as many level-0 pixels as wanted."""
    step = image.steps[level]
    block = [max(1, round(w / s)) for w, s in zip(wanted, step, strict=True)]
    at = {"T": t, "Z": image.size("Z") // 2 if z is None else z}
    index = {a: n for a, n in at.items() if a in image.axes}
    rows, unread = [], []
    for pixels, lost in _bands(image, level, index, block[0]):
        rows.append(_averaged(pixels, block))
        none = np.zeros(rows[-1].shape[:2], bool)
        unread.append(none if lost is None else _averaged(lost, block)[..., 0] > 0)
    scale = (block[0] * step[0], block[1] * step[1])
    found = None if own is None else (own[0] * scale[0], own[1] * scale[1])
    return Overview(_shown(np.concatenate(rows), image), scale, found, np.concatenate(unread))


def _wanted(image: Image, mpp: float, own: tuple[float, float] | None) -> tuple[float, float]:
    """Level-0 pixels of a pixel of the picture that is wanted, (y, x)."""
    if own is None:
        factor = max(1.0, max(image.size("Y"), image.size("X")) / OVERVIEW_SIDE)
        return factor, factor
    return max(1.0, mpp / own[0]), max(1.0, mpp / own[1])


def _levels(image: Image, wanted: tuple[float, float]) -> list[int]:
    """Levels whose pixels aren't larger than wanted, within rounding; the coarsest first."""
    fits = [n for n, step in enumerate(image.steps) if _is_fine(step, wanted)]
    return sorted(fits, key=image.steps.__getitem__, reverse=True) or [0]


def _is_fine(step: tuple[float, float], wanted: tuple[float, float]) -> bool:
    return all(s <= w * 1.01 for s, w in zip(step, wanted, strict=True))


def _size(image: Image, level: int, axis: str) -> int:
    return image.levels[level][image.axes.index(axis)]


def _bands(
    image: Image, level: int, index: dict[str, int], block: int
) -> Iterator[tuple[Array, Array | None]]:
    """Whole rows of a level from above to below, (y, x, c), each of whole blocks and chunks.

    With each which of its pixels are damaged, (y, x, 1) uint8, if any are: these are white.
    """
    height, width = (_size(image, level, a) for a in "YX")
    chunks = image.chunks[level]
    chunk = chunks[image.axes.index("Y")] if chunks else 1
    row = width * image.size("C") * image.dtype.itemsize
    each = math.lcm(block, chunk) if math.lcm(block, chunk) * row <= OVERVIEW_BYTES else block
    high = max(1, OVERVIEW_BYTES // (row * each)) * each
    left = [a for a in image.axes if a not in index]
    order = [left.index(a) for a in "YXC" if a in left]
    for top in range(0, height, high):
        at: dict[str, int | slice] = {**index, "Y": slice(top, min(top + high, height))}
        white = own_span(image.dtype)[1] if image.white is None else image.white.value
        pixels, lost = image.read_around(level, at, white)
        unread = _by_row(pixels != image.read_around(level, at)[0], order) if lost else None
        damaged = None if unread is None else np.asarray(unread.any(-1, keepdims=True), np.uint8)
        yield _by_row(pixels, order), damaged


def _by_row(pixels: Array, order: list[int]) -> Array:
    """Pixels as (y, x, c)."""
    ordered = pixels.transpose(order)
    return ordered if ordered.ndim == len(RGB) else ordered[..., None]


def _averaged(pixels: Array, block: list[int]) -> Array:
    """The mean of each block of (y, x, c) pixels, those at the end of what is there; float32."""
    high, wide = block
    whole = len(pixels) // high * high
    kind = np.uint32 if pixels.dtype.kind in "bu" and pixels.dtype.itemsize <= 2 else np.float64
    # summed by rows of memory first, which is 15 times as fast as by blocks
    sums = pixels[:whole].reshape(-1, high, *pixels.shape[1:]).sum(1, dtype=kind)
    if whole < len(pixels):
        sums = np.concatenate([sums, pixels[whole:].sum(0, dtype=kind)[None]])
    sums = np.add.reduceat(sums, np.arange(0, sums.shape[1], wide), axis=1, dtype=np.float64)
    y, x = (
        np.minimum(size, n - np.arange(0, n, size))
        for size, n in zip(block, pixels.shape, strict=False)
    )
    return np.asarray(sums / (y[:, None, None] * x[:, None]), np.float32)


def _shown(pixels: Array, image: Image) -> Array:
    """Averaged (y, x, c) as uint8 from black to white."""
    low, high = _span(pixels, image)
    shown = np.clip((pixels - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    return shown if shown.shape[-1] == len(RGB) else shown.max(-1)


def _span(pixels: Array, image: Image) -> tuple[float, float]:
    """Black and white: as the file says, of 8 bits, or of the bits that are in use."""
    if image.white is not None:
        return image.white.black, image.white.value
    if image.dtype.kind == "b" or image.dtype == np.uint8:
        return own_span(image.dtype)
    most = float(np.nanmax(pixels))
    if image.dtype.kind == "f" and most <= 1:
        return 0.0, 1.0
    return 0.0, float(2 ** max(8, math.ceil(math.log2(max(most, 1) + 1))) - 1)
