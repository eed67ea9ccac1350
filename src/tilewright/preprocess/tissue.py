"""Where the tissue of a slide is: found in its picture at low resolution, by colour against glass.

Dust, bubbles, shadows, smears and borders absorb all colours alike, however dark they are; stains
don't. So what is coloured, in optical density over the slide's own glass, is tissue, unless it is
ink. Where colour is faint, structure decides: tissue changes from pixel to pixel, dirt hardly does.
Lengths and areas are in µm, so that slides of any resolution are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from tilewright.contract.colours import RGB

from .glass import density
from .ink import AROUND_UM, inked, roughness

Array = np.ndarray
GREYS = 256
VOID = 1.1  # density over which in all channels nothing was scanned


@dataclass(frozen=True)
class TissueRule:
    """By what tissue is told from glass.

    Parameters
    ----------
    mpp
        µm per pixel of the picture that it is looked for in.
    colour
        Density by which tissue's channels differ at least.
    share
        That, as a share of its strongest channel: under it is grey.
    faint, faint_share
        The same where there is structure.
    rough
        Structure: by how much of what it absorbs it changes from pixel to pixel.
    edge
        Least colour as a share of the mean within `edge_um`, so that outlines are sharp.
    edge_um
        See `edge`.
    darkness
        Of an image without colours, density over glass.
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
    colour: float = 0.014
    share: float = 0.22
    faint: float = 0.006
    faint_share: float = 0.13
    rough: float = 0.1
    edge: float = 0.8
    edge_um: float = 72.0
    darkness: float = 0.03
    smooth_um: float = 24.0
    close_um: float = 64.0
    open_um: float = 72.0
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
    look = _coloured if picture.ndim == len(RGB) else _dark
    found = look(picture, size, rule)
    found = _closed(found, _px(rule.close_um, size))
    found = _opened(found, _px(rule.open_um, size))
    area = size[0] * size[1] / 1e6
    found = _without_holes(found, rule.hole_mm2 / area, rule.speck_mm2 / area)
    return _large(found, rule.speck_mm2 / area)


def _px(length: float, size: tuple[float, float]) -> list[int]:
    """A length in µm as an odd number of pixels (y, x)."""
    return [max(1, round(length / m)) | 1 for m in size]


def _coloured(picture: Array, size: tuple[float, float], rule: TissueRule) -> Array:
    """What has a stain's colour."""
    found = density(picture)
    over = _px(rule.smooth_um, size)
    rough = roughness(picture, found, [2 * n - 1 for n in over])
    for plane in found:
        ndimage.uniform_filter(plane, over, output=plane)
    most, least = found.max(0), found.min(0)
    spread = most - least
    least_here = rule.edge * ndimage.uniform_filter(spread, _px(rule.edge_um, size))
    coloured = (spread > np.maximum(rule.colour, least_here)) & (spread > rule.share * most)
    yellow = (found[2] > 1.12 * found[1]) & (found[0] > 0.6 * found[1]) & (spread < 0.06)
    faint = (spread > rule.faint) & (spread > rule.faint_share * most) & (rough > rule.rough)
    faint &= (spread > least_here) & (most > 0.015)
    ink = inked(found, rough, [n // 2 for n in _px(2 * AROUND_UM, size)])
    return np.asarray((coloured | faint) & (least < VOID) & ~yellow & ~ink)


def _dark(picture: Array, size: tuple[float, float], rule: TissueRule) -> Array:
    """What is darker than glass; brighter, where most of the image is dark, as fluorescence."""
    light = ndimage.uniform_filter(picture.astype(np.float32), _px(rule.smooth_um, size)) / 255
    counts = np.bincount(picture.ravel(), minlength=GREYS)
    glass = float(counts.argmax()) / (GREYS - 1)
    if glass < 0.5:
        return np.asarray(light > glass + rule.darkness)
    return np.asarray(-np.log10(np.maximum(light, 1e-3) / glass) > rule.darkness)


def _closed(mask: Array, sizes: list[int]) -> Array:
    """The mask with gaps and narrow bays filled, up to so many pixels wide."""
    pad = [(s, s) for s in sizes]
    wide = ndimage.maximum_filter(np.pad(mask.astype(np.uint8), pad), sizes)
    return _within(ndimage.minimum_filter(wide, sizes), sizes)


def _opened(mask: Array, sizes: list[int]) -> Array:
    """The mask without what is narrower than so many pixels; what is left keeps its outline."""
    pad = [(s, s) for s in sizes]
    thin = ndimage.minimum_filter(np.pad(mask.astype(np.uint8), pad, mode="edge"), sizes)
    near = ndimage.maximum_filter(thin, [2 * s - 1 for s in sizes])
    return np.asarray(mask & _within(near, sizes))


def _within(padded: Array, pad: list[int]) -> Array:
    return np.asarray(padded[pad[0] : -pad[0], pad[1] : -pad[1]] > 0)


def _without_holes(mask: Array, least: float, least_at_edge: float) -> Array:
    """The mask with holes of less than so many pixels filled; at the edge, who knows how large."""
    beyond = np.pad(_large(~mask, least_at_edge), 1, constant_values=True)
    labels, _ = ndimage.label(beyond)
    glass = _large(beyond, least) | (labels == labels[0, 0])
    return np.asarray(~glass[1:-1, 1:-1])


def _large(mask: Array, least: float) -> Array:
    """The mask without pieces of less than so many pixels."""
    labels, count = ndimage.label(mask)
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= least
    keep[0] = False
    return np.asarray(keep[labels], bool)
