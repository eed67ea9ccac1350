"""A pen's ink on a slide: purer and denser than stains, and smooth, as it lies out of focus."""

from __future__ import annotations

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray
FAINT = 0.02  # density under which a colour can't be told
DENSE = 0.25  # of the strongest channel, where ink is looked for
FAINT_RED = 0.15  # of green, where red ink is looked for
PURE = 0.7  # of it, where ink needs no smoothness to be told from blue and green stains
BLACK = 0.5  # of all channels' mean
OPAQUE = 0.85  # of it, of two inks one over the other
SMOOTH, VERY_SMOOTH = 0.09, 0.045  # roughness that ink has at most
SMOOTH_RED = 0.03  # the same of red ink: lakes of blood are little rougher
CLEAN_RED = 0.08  # red's density in green's, under which no blood is
NOISE = 3  # of the median change on glass: more is structure
AROUND_UM = 56.0  # ink's rim: as far as a thin stroke's light reaches


def inked(density: Array, rough: Array, rim: list[int]) -> Array:
    """Where a pen has drawn, in black, blue, green or red.

    Parameters
    ----------
    density
        ``(3, y, x)`` over glass, averaged a little.
    rough
        ``(y, x)``: by how much of what is absorbed it changes from pixel to pixel.
    rim
        Over how many pixels ``(y, x)`` ink's own rim is looked for.

    Returns
    -------
        ``(y, x)`` bool.
    """
    red, green, blue = density
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    smooth, pure = rough < SMOOTH, most > PURE
    cold = _cold(red, green, blue)
    core = cold & (most > DENSE) & (smooth | (pure & (red > 1.3 * green)))
    warm = (green > FAINT_RED) & (red < 0.12 * green)
    core |= warm & (blue > 0.65 * green) & smooth & pure
    even = warm & (blue > 0.65 * green) & ((rough < SMOOTH_RED) | (red < CLEAN_RED * green))
    even |= warm & (blue > 0.5 * green) & (rough < VERY_SMOOTH / 2)
    core |= even & (ndimage.uniform_filter(even.astype(np.float32), rim) > 0.5)
    dark = density.mean(0)
    core |= (least > 0.62 * most) & (((dark > BLACK) & smooth) | (dark > PURE))
    core |= (dark > OPAQUE) & smooth
    if not core.any():
        return np.asarray(core)
    core = _overlapping(core, (most > DENSE) & (rough < VERY_SMOOTH))
    like = cold | ((blue > 0.5 * green) & (red < 0.2 * green)) | (least > 0.7 * most) | smooth
    near = ndimage.maximum_filter(core.astype(np.uint8), [2 * r + 1 for r in rim]) > 0
    return np.asarray(core | (near & like & (most > FAINT)))


def _overlapping(core: Array, smooth: Array) -> Array:
    """Ink with the smooth parts of its own strokes, where two colours lie over each other."""
    strokes, count = ndimage.label(core | smooth)
    sizes = np.bincount(strokes.ravel(), minlength=count + 1)
    inks = np.bincount(strokes[core], minlength=count + 1)
    whole = inks > 0.5 * sizes
    whole[0] = False
    return np.asarray(core | whole[strokes])


def _cold(red: Array, green: Array, blue: Array) -> Array:
    """Blue and green, as no stain of nuclei is: less red, or green, or more blue comes through."""
    cyan = (red > 1.25 * green) & (red > 1.1 * blue)
    lime = (green < 0.8 * red) & (green < 0.8 * blue)
    return np.asarray(cyan | lime | ((blue < 0.33 * green) & (red > 0.9 * green)))


def roughness(picture: Array, density: Array, over: list[int]) -> Array:
    """By how much of the light that is absorbed a picture changes from pixel to pixel.

    Parameters
    ----------
    picture
        ``(y, x, 3)`` uint8.
    density
        ``(3, y, x)`` of it over glass.
    over
        Of how many pixels ``(y, x)`` it is the mean.

    Returns
    -------
        ``(y, x)`` float32, 0 of an even colour, some 0.1 to 1 of tissue in focus.
    """
    light = picture.mean(-1, dtype=np.float32) / 255
    change = ndimage.uniform_filter(np.abs(ndimage.laplace(light)), over)
    absorbed = 1 - np.power(10, -ndimage.uniform_filter(density.mean(0), over).clip(0))
    glass = change[absorbed < FAINT / 2]
    noise = NOISE * float(np.median(glass)) if glass.size else 0.0
    return np.asarray((change - noise) / np.maximum(absorbed, FAINT))
