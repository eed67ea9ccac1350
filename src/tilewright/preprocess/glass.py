"""The light that passes a slide where nothing is: glass, as the scanner sees it.

Glass is the most frequent colour among what is bright and could be glass: white, grey, a little
yellow or blue, but never pink, and not what a scanner fills unscanned places with. Where glass is
seen all over the slide, its light may differ from place to place.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray
COLOUR_BITS = 6  # of a channel, in the count of colours: four levels of 8 bits are one
SAMPLE = 2**20  # pixels that are counted, at most
BRIGHT = 0.45  # light that passes glass, at least
TINT = 0.3  # by how much of its brightest channel glass is coloured, at most
PINK = 0.03  # by how much of its light green may be less than red and blue: that is eosin
FILLED = 254  # levels from which on all channels are a scanner's filling, or all white glass
LEAST_GLASS = 0.015  # share of a slide that has glass's colour, where glass is in view
GLASS_BLOCK = 8  # px, averaged for light that differs from place to place
FLAT = 0.012  # deviation of density inside a block of glass
GLASS_NEAR = 0.015  # density by which glass may differ from the fit
GLASS_GREY = 0.006  # and its channels from each other
ROUNDS = 5
SEEN = 6  # ninths of a slide in which there must be glass


def density(picture: Array) -> Array:
    """Optical density over glass.

    Parameters
    ----------
    picture
        ``(y, x, 3)`` uint8 RGB.

    Returns
    -------
        ``(3, y, x)`` float32; 0 is glass, 1 a tenth of its light.
    """
    table = -np.log10((np.arange(256) + 0.5) / 255).astype(np.float32)
    found = np.stack([table[picture[..., c]] for c in range(3)])
    found += np.log10(colour(picture))[:, None, None]
    fit = _uneven(found)
    if fit is not None:
        _level(found, fit)
    return found


def colour(picture: Array) -> Array:
    """Glass's light (3,), 0 to 1; 1 where no glass is seen."""
    step = max(1, picture.shape[0] * picture.shape[1] // SAMPLE)
    pixels = picture.reshape(-1, 3)[::step]
    may = pixels[_may_be_glass(pixels)]
    bins = (may >> (8 - COLOUR_BITS)).astype(np.int64)
    side = 1 << COLOUR_BITS
    counts = np.bincount(bins @ (side * side, side, 1), minlength=side**3).reshape((side,) * 3)
    around = ndimage.uniform_filter(counts.astype(np.float32), 3, mode="constant") * 27
    if around.max() < LEAST_GLASS * len(pixels):
        return np.ones(3, np.float32)
    level = np.arange(side)
    bright = level[:, None, None] + level[:, None] + level
    peak = np.unravel_index((around * bright).argmax(), around.shape)
    near = (np.abs(bins - peak) <= 1).all(1)
    return np.asarray((may[near].mean(0) + 0.5) / 255, np.float32)


def _may_be_glass(pixels: Array) -> Array:
    """Which of pixels (n, 3) have a colour that glass can have."""
    red, green, blue = pixels.T.astype(np.int16)
    most, least = pixels.max(1), pixels.min(1)
    light = (red + green + blue) / 3
    tinted = most - least > TINT * most
    pink = (red + blue) / 2 - green > PINK * light
    return np.asarray((light > BRIGHT * 255) & ~tinted & ~pink & (least < FILLED))


def _uneven(found: Array) -> Array | None:
    """How glass's density (6, 3) differs by place, in `_terms`; None where too little is seen."""
    small = found[:, :: GLASS_BLOCK // 2, :: GLASS_BLOCK // 2]
    height, width = (n // 2 for n in small.shape[1:])
    blocks = small[:, : 2 * height, : 2 * width].reshape(3, height, 2, width, 2)
    means, flat = blocks.mean((2, 4)), (blocks.std((2, 4)) < FLAT).all(0)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(y), y, y * y, x, x * y, x * x], -1)
    fit = np.zeros((6, 3))
    for _ in range(ROUNDS):
        rest = means - (terms @ fit).transpose(2, 0, 1)
        near = (np.abs(rest.mean(0)) < GLASS_NEAR) & (np.ptp(rest, 0) < GLASS_GREY) & flat
        if not _all_over(near):
            return None
        at = terms[near]
        fit = np.linalg.lstsq(at.T @ at, at.T @ means[:, near].T, rcond=None)[0]
    return fit


def _level(found: Array, fit: Array) -> None:
    """Take what `_uneven` found off a density, in place; a term after the other, to save memory."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in found.shape[1:])
    for channel, terms in enumerate(fit.T.astype(np.float32)):
        one, by_y, by_yy, by_x, by_xy, by_xx = terms
        found[channel] -= (one + by_y * y + by_yy * y * y)[:, None]
        found[channel] -= by_xx * x * x
        found[channel] -= np.outer(by_x + by_xy * y, x)


def _all_over(glass: Array) -> bool:
    """Whether there is glass in most ninths of a slide."""
    parts = [p for row in np.array_split(glass, 3) for p in np.array_split(row, 3, axis=1)]
    return int(sum(p.mean() > 0.02 for p in parts if p.size)) >= SEEN
