"""Where the tissue of a slide is: found in its picture at low resolution, by colour against glass.

Glass, dust, bubbles, shadows and borders are grey, whatever their brightness; stained tissue isn't.
So the white balance is set by the slide's own glass, and what is coloured then and isn't ink is
tissue. Lengths and areas are in µm, so that slides of any resolution are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray
RGB = 3
BINS = 256


@dataclass(frozen=True)
class TissueRule:
    """By what tissue is told from glass.

    Parameters
    ----------
    mpp
        µm per pixel of the picture that it is looked for in.
    saturation
        Least saturation of tissue, 0 to 1, after the white balance.
    darkness
        Of an image without colours, by what share tissue is darker than glass.
    smooth_um
        Over how many µm colours are averaged first.
    close_um
        Gaps up to so wide are tissue: between cells, and inside fat.
    open_um
        What is narrower is no tissue: hairs, fibres, scratches.
    hole_mm2
        Holes up to this area are tissue.
    speck_mm2
        Pieces under this area aren't tissue.
    """

    mpp: float = 8.0
    saturation: float = 0.035
    darkness: float = 0.06
    smooth_um: float = 24.0
    close_um: float = 64.0
    open_um: float = 40.0
    hole_mm2: float = 0.25
    speck_mm2: float = 0.02


def find_tissue(
    picture: Array, mpp: tuple[float, float] | None = None, rule: TissueRule | None = None
) -> Array:
    """Which pixels of a slide's picture are tissue.

    Parameters
    ----------
    picture
        ``(y, x, 3)`` RGB or ``(y, x)`` grey, uint8, of the whole slide.
    mpp
        µm of its pixel ``(y, x)``; None is as much as the rule's.
    rule
        By what; its defaults, if not given.

    Returns
    -------
        ``(y, x)`` bool.
    """
    rule = rule or TissueRule()
    size = mpp or (rule.mpp, rule.mpp)
    planes = _smoothed(picture, [rule.smooth_um / m for m in size])
    found = _coloured(planes, rule) if len(planes) == RGB else _dark(planes[0], rule)
    found = _closed(found, [rule.close_um / m for m in size])
    found = _opened(found, [rule.open_um / m for m in size])
    area = size[0] * size[1] / 1e6
    found = ~_large(~found, rule.hole_mm2 / area)
    return _large(found, rule.speck_mm2 / area)


def _smoothed(picture: Array, widths: list[float]) -> Array:
    """The picture's planes ``(c, y, x)``, 0 to 1, averaged over so many pixels; float32."""
    planes = np.moveaxis(picture if picture.ndim == RGB else picture[..., None], -1, 0)
    sizes = [max(1, round(w)) for w in widths]
    return np.stack(
        [ndimage.uniform_filter(p.astype(np.float32), sizes, mode="nearest") / 255 for p in planes]
    )


def _coloured(planes: Array, rule: TissueRule) -> Array:
    glass = _glass(planes)
    balanced = planes / glass[:, None, None]
    most, least = balanced.max(0), balanced.min(0)
    saturation = (most - least) / np.maximum(most, 0.1)
    coloured = (saturation > rule.saturation) & (most > 0.15)
    return np.asarray(coloured & ~_ink(balanced, most, least))


def _glass(planes: Array) -> Array:
    """The colour of glass: the mode of what is bright, even and nearly grey; else white."""
    light = planes.mean(0)
    chroma = planes.max(0) - planes.min(0)
    even = (light > 0.6) & (light < 0.995) & (chroma < 0.12)
    if np.count_nonzero(even) < 0.005 * even.size:
        return np.ones(RGB, np.float32)
    counts = np.bincount((light[even] * (BINS - 1)).astype(int), minlength=BINS)
    peak = counts.argmax()
    near = even & (np.abs(light * (BINS - 1) - peak) < 3)
    return np.asarray([np.median(p[near]) for p in planes], np.float32)


def _ink(balanced: Array, most: Array, least: Array) -> Array:
    """What has a pen's colour: strongly green, blue or red, purer than any stain."""
    red, green, blue = balanced
    strong = most - least > 0.25 * np.maximum(most, 0.1)
    greenish = strong & (green >= red) & (green > blue * 0.95)
    bluish = strong & (blue >= green) & (green > red * 1.1)
    reddish = (red > 0.6) & (green < 0.45) & (blue < 0.45) & (np.abs(green - blue) < 0.15)
    return np.asarray(greenish | bluish | reddish)


def _dark(plane: Array, rule: TissueRule) -> Array:
    counts = np.bincount((plane * (BINS - 1)).astype(int).ravel(), minlength=BINS)
    glass = counts.argmax() / (BINS - 1)
    if glass < 0.5:  # fluorescence
        return np.asarray(plane > glass + rule.darkness, bool)
    return np.asarray(plane < glass - rule.darkness, bool)


def _closed(mask: Array, widths: list[float]) -> Array:
    sizes = [max(1, round(w)) | 1 for w in widths]
    pad = [(s, s) for s in sizes]
    wide = ndimage.maximum_filter(np.pad(mask.astype(np.uint8), pad), sizes)
    return np.asarray(_within(ndimage.minimum_filter(wide, sizes), sizes) > 0)


def _opened(mask: Array, widths: list[float]) -> Array:
    sizes = [max(1, round(w)) | 1 for w in widths]
    pad = [(s, s) for s in sizes]
    thin = ndimage.minimum_filter(np.pad(mask.astype(np.uint8), pad, mode="edge"), sizes)
    return np.asarray(_within(ndimage.maximum_filter(thin, sizes), sizes) > 0)


def _within(padded: Array, pad: list[int]) -> Array:
    return padded[pad[0] : -pad[0], pad[1] : -pad[1]]


def _large(mask: Array, least: float) -> Array:
    """The mask without pieces of less than so many pixels."""
    labels, count = ndimage.label(mask)
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= least
    keep[0] = False
    return np.asarray(keep[labels], bool)
