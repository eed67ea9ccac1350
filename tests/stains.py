"""Stains as torchstain itself normalises them: what ours is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
from pictures import Array
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

MACENKO = {"HERef": [[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]],
           "maxCRef": [1.9705, 1.0308]}  # fmt: skip
REINHARD = {"means": [70.0, 20.0, -10.0], "stds": [15.0, 8.0, 6.0]}
TARGETS = {"macenko": MACENKO, "reinhard": REINHARD}


def torchstains(method: str, pixels: Array, target: Any) -> Array:
    """What torchstain itself makes of an image (y, x, 3); the target is an image or figures."""
    if method == "macenko":
        macenko = NumpyMacenkoNormalizer()
        if isinstance(target, np.ndarray):
            macenko.fit(target)
        else:
            macenko.HERef, macenko.maxCRef = (np.array(target[k]) for k in ("HERef", "maxCRef"))
        return np.asarray(macenko.normalize(pixels)[0])
    reinhard = NumpyReinhardNormalizer()
    if isinstance(target, np.ndarray):
        reinhard.fit(target)
    else:
        reinhard.target_means, reinhard.target_stds = (
            np.array(target[k], "f4") for k in ("means", "stds")
        )
    return np.asarray(reinhard.normalize(pixels))
