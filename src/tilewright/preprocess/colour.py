"""Colour spaces: what a model's channels are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from skimage import color  # loaded where it is used

from tilewright.contract.values import Span

Array = np.ndarray
Colour = Callable[[Array], Array]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and OpenCV make grey


def own_span(dtype: np.dtype) -> Span:
    """Black and white of a dtype: 0 and its greatest value, or 1 for real numbers."""
    return 0.0, float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def span_of(said: Span | None, dtype: np.dtype) -> Span:
    """Black and white of an image: what is said of it, else its dtype's."""
    return own_span(dtype) if said is None else said


def real(dtype: np.dtype) -> np.dtype:
    """The real numbers that hold a dtype's values: float32, or float64 for 32 bits and more."""
    return np.result_type(dtype, np.float32)


def shares(pixels: Array, span: Span) -> Array:
    """Pixels, of any shape, as shares of the way from black to white; float32."""
    low, high = span
    if low:
        pixels = pixels.astype(float) - low
    return np.asarray(pixels.astype(np.float32) / (high - low))


def same(pixels: Array) -> Array:
    """The channels as they are, (C, ...)."""
    return pixels


def _bgr(pixels: Array) -> Array:
    return pixels[::-1]


def _gray(pixels: Array) -> Array:
    if len(pixels) == 1:
        return pixels
    red, green, blue = pixels.astype(real(pixels.dtype))
    return np.asarray(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[None]


def _hed(pixels: Array, span: Span) -> Array:
    return np.asarray(color.rgb2hed(shares(pixels, span), channel_axis=0), np.float32)


COLOURS: dict[str, Colour] = {"MULTI": same, "RGB": same, "BGR": _bgr, "GRAY": _gray}
COMBINED: dict[str, Callable[..., Array]] = {"max": np.max, "mean": np.mean, "sum": np.sum}
"""How several channels of an image can become one of a model's."""


def colour_of(space: str, span: Span) -> Colour:
    """What makes one of `contract.colours.COLOUR_SPACES` of RGB, or of what is there.

    Parameters
    ----------
    span
        Black and white of what it is made from.
    """
    return partial(_hed, span=span) if space == "HED" else COLOURS[space]


def combined(pixels: Array, groups: Sequence[tuple[str, int]]) -> Array:
    """Channels put together, (C, …), in turn as `groups` says: by what, and how many."""
    parts, start = [], 0
    for by, count in groups:
        some = pixels[start : start + count]
        parts.append(COMBINED[by](some, axis=0, keepdims=True) if by else some)
        start += count
    return np.concatenate(parts)
