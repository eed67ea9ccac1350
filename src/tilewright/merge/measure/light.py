"""What `--features all` adds to an object, on its bounding box: intensities, a ring's, solidity.

References
----------
Solidity is scikit-image's, https://scikit-image.org/docs/stable/api/skimage.measure.html;
percentiles are numpy's, linear between pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]
PERCENTS = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
OF_OBJECT = ("std", *PERCENTS)
OF_RING = ("mean", *OF_OBJECT)


def names(channels: Sequence[str]) -> tuple[str, ...]:
    """What the columns of `figures` are called: ``std_DAPI``, ``ring_mean_DAPI``.

    Parameters
    ----------
    channels
        What each channel is called.
    """
    own = [f"{what}_{channel}" for what in OF_OBJECT for channel in channels]
    return (*own, *(f"ring_{what}_{channel}" for what in OF_RING for channel in channels))


def figures(labels: Array, label: int, pixels: Array, ring: int, sides: Sequence[float]) -> Array:
    """What is measured of an object's pixels and its ring's, by `names`; (n,) float64.

    Parameters
    ----------
    labels
        ((z,) y, x) of the object's bounding box and `ring` pixels around it, as far as the image
        goes.
    label
        The object's.
    pixels
        (C, *labels.shape).
    ring
        How far it reaches: of pixels without any object, those whose centre is as near to one of
        the object's.
    sides
        How far pixels are apart along each axis, in pixels.
    """
    own = labels == label
    near = ndimage.distance_transform_edt(~own, sampling=sides) <= ring
    around = pixels[:, near & (labels == 0)]
    found = [_values(pixels[:, own]), _means(around), _values(around)]
    return np.concatenate(found)


def _means(values: Array) -> Array:
    """The mean of each channel, (C,); NaN of nothing."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    return np.asarray(values.mean(axis=1, dtype=np.float64))


def _values(values: Array) -> Array:
    """Standard deviation and percentiles of each channel: (8 * C,); NaN of nothing."""
    if not values.shape[1]:
        return np.full(len(OF_OBJECT) * len(values), np.nan)
    spread = values.std(axis=1, dtype=np.float64)
    percentiles = np.percentile(values.astype(np.float64), list(PERCENTS.values()), axis=1)
    return np.concatenate([spread, percentiles.ravel()])


def solidity(own: Array) -> float:
    """The share of an object's convex hull that it fills; NaN of a volume too flat to have one.

    Parameters
    ----------
    own
        ((z,) y, x) bool: its bounding box.
    """
    from skimage.morphology import convex_hull_image  # half a second, that few runs need

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such a volume has no hull
        hull = int(convex_hull_image(own).sum())  # type: ignore[no-untyped-call]
    return float(own.sum() / hull) if hull else np.nan
