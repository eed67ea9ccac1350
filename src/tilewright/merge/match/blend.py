"""How much each tile counts where several saw a pixel: weights that add to 1. The policy `blend`.

A tile's weight is the product of its weights along each axis. Along an axis each tile that keeps a
pixel counts by the pixel's distance from the tile's nearest inner side, over the sum of these
distances. So in a band that two tiles share, one fades out evenly as the other fades in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilewright.contract.grid import Interval

Array = np.ndarray[Any, Any]


def axis_weights(valid: Sequence[Interval], extent: int) -> list[Array]:
    """Each tile's weights along one axis.

    Parameters
    ----------
    valid
        What each tile keeps, in pixels of the result; together they cover it.
    extent
        Its pixels.

    Returns
    -------
    list of ndarray
        (pixels that the tile keeps,) float32 each. For every pixel of the result they add to 1, but
        for rounding.
    """
    heights = [_height(start, stop, extent) for start, stop in valid]
    total = np.zeros(extent)
    for (start, stop), height in zip(valid, heights, strict=True):
        total[start:stop] += height
    return [
        (height / total[start:stop]).astype(np.float32)
        for (start, stop), height in zip(valid, heights, strict=True)
    ]


def _height(start: int, stop: int, extent: int) -> Array:
    """Distance of each pixel's centre from the nearest side that isn't the image's edge."""
    centre = np.arange(start, stop) + 0.5
    left = centre - start if start > 0 else np.full(stop - start, float(extent))
    right = stop - centre if stop < extent else np.full(stop - start, float(extent))
    return np.asarray(np.minimum(left, right))
