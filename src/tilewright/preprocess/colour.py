"""Colour spaces: what a model's channels are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from skimage.color import rgb2hed

Array = np.ndarray
Colour = Callable[[Array], Array]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV make grey


def white(dtype: np.dtype) -> float:
    """The value of white: the dtype's greatest, or 1 for real numbers."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def same(pixels: Array) -> Array:
    """The channels as they are, (C, ...)."""
    return pixels


def _bgr(pixels: Array) -> Array:
    return pixels[::-1]


def _gray(pixels: Array) -> Array:
    if len(pixels) == 1:
        return pixels
    red, green, blue = pixels.astype(np.float32)
    return np.asarray(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[None]


def _hed(pixels: Array) -> Array:
    scaled = pixels.astype(np.float32) / white(pixels.dtype)
    return np.asarray(rgb2hed(scaled, channel_axis=0), np.float32)


COLOURS: dict[str, Colour] = {
    "MULTI": same,
    "RGB": same,
    "BGR": _bgr,
    "GRAY": _gray,
    "HED": _hed,
}
"""How each of `contract.colours.COLOUR_SPACES` is made of RGB, or of what is there."""
COMBINED: dict[str, Callable[..., Array]] = {"max": np.max, "mean": np.mean, "sum": np.sum}
"""How several channels of an image can become one of a model's."""


def combined(pixels: Array, groups: Sequence[tuple[str, int]]) -> Array:
    """Channels put together, (C, …), in turn as `groups` says: by what, and how many."""
    parts, start = [], 0
    for by, count in groups:
        some = pixels[start : start + count]
        parts.append(COMBINED[by](some, axis=0, keepdims=True) if by else some)
        start += count
    return np.concatenate(parts)
