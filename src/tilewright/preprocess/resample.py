"""Resample an image to the model's resolution, so that any tile of it has the whole image's pixels.

Each output pixel is a weighted sum of source pixels that depends on its place in the whole image
alone, summed in one order. The weights are those of Pillow's resize and of torchvision's
antialiased one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tilewright.contract.grid import Interval
from tilewright.contract.spec import ModelSpec

Array = np.ndarray


def _box(x: Array) -> Array:
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def _triangle(x: Array) -> Array:
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(x)))


def _cubic(x: Array) -> Array:
    """Keys' cubic convolution, a = -0.5."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1
    return np.where(x < 1, inner, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0.0))


def _lanczos(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "nearest": (0.5, _box),
    "area": (0.5, _box),
    "box": (0.5, _box),
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, _lanczos),
}
"""Per interpolation its kernel and the radius beyond which that is 0, in px."""

AREAS = ("area", "box")  # two names for one: Pillow's box counts every pixel, always
Taps = tuple[Array, Array]
"""Per output pixel the source pixels it is made of, and their weights, both (n, taps)."""


def taps(
    interval: Interval,
    *,
    factor: float,
    n: int,
    interpolation: str,
    antialias: bool,
) -> Taps:
    """What each output pixel of `interval` is made of along one axis.

    Parameters
    ----------
    interval
        Of the whole output, whose grid begins where the source does.
    factor
        Output pixels per source pixel.
    n
        Source pixels there are; at the image's edge the kernel is cut and still sums to 1.
    antialias
        Stretch the kernel when the image shrinks, so that every source pixel counts.

    References
    ----------
    Pillow's ``precompute_coeffs`` (src/libImaging/Resample.c).
    """
    output = np.arange(*interval)
    if factor == 1:
        return output[:, None], np.ones((len(output), 1))
    centre = (output + 0.5) / factor
    # rounding up the size puts the last centre up to half a pixel past the last pixel
    nearest = np.minimum(centre.astype(int), n - 1)[:, None]
    if interpolation == "nearest":
        return nearest, np.ones(nearest.shape)
    radius, kernel = KERNELS[interpolation]
    stretch = max(1.0, 1 / factor) if antialias or interpolation in AREAS else 1.0
    first = np.floor(centre - radius * stretch).astype(int)[:, None]
    source = first + np.arange(math.ceil(2 * radius * stretch) + 2)
    weights = kernel((source + 0.5 - centre[:, None]) / stretch)
    weights[(source < 0) | (source >= n)] = 0
    source = np.where(weights == 0, nearest, source)  # so that no other pixel's NaN is met
    weights[:, :1] += weights.sum(axis=1, keepdims=True) == 0  # off the edge: the nearest pixel
    return source, weights / weights.sum(axis=1, keepdims=True)


def scaled(n: int, to: int, spec: ModelSpec) -> Taps:
    """Taps that make `to` pixels of all `n` along one axis.

    Parameters
    ----------
    n, to
        Source and output pixels.
    spec
        `interpolation` and `antialias` are read.
    """
    return taps(
        (0, to),
        factor=to / n,
        n=n,
        interpolation=spec.interpolation,
        antialias=spec.antialias,
    )


def weigh(pixels: Array, taps: Taps, axis: int) -> Array:
    """Weighted sums along an axis, each in one order whatever else is summed.

    float64 where the pixels are, else float32.

    Parameters
    ----------
    pixels
        Any axes and dtype.
    taps
        Of as many output pixels as the axis has afterwards.
    axis
        Its number.
    """
    source, weights = taps
    shape = [1] * pixels.ndim
    shape[axis] = -1
    kind = np.float64 if pixels.dtype == np.float64 else np.float32
    out = np.zeros((), kind)
    for k in range(source.shape[1]):
        weight = weights[:, k].astype(kind).reshape(shape)
        out = np.asarray(out + np.take(pixels, source[:, k], axis) * weight)
    return out
