#!/usr/bin/env python3
"""Run any ONNX model: the file's first input takes tiles, its first output is the result.

For labels, `postprocess` says how maps become objects; every rule here looks at one connected
piece of foreground at a time, so a tile that holds the whole piece labels it as the whole image
would. The environment needs numpy, scipy, scikit-image and onnxruntime.
"""

from __future__ import annotations

import os
from typing import Any, Dict

import numpy as np
import onnxruntime
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed as flood

Params = Dict[str, Any]
FOUR, EIGHT = (ndimage.generate_binary_structure(2, n) for n in (1, 2))


def threads(params: Params) -> int:
    """Threads to use: `threads`, else OMP_NUM_THREADS, else the CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return int(params.get("threads") or os.environ.get("OMP_NUM_THREADS") or allowed)


def providers(device: str) -> list[str]:
    """CUDA if it is asked for and there, then the CPU."""
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    wanted = device.startswith("cuda") and cuda in onnxruntime.get_available_providers()
    return [cuda, cpu] if wanted else [cpu]


def watershed(maps: np.ndarray, params: Params) -> np.ndarray:
    """Objects from maps of foreground, boundary and distance.

    Parameters
    ----------
    maps
        (3, H, W) float32 from 0 to 1: chance of foreground, chance of a boundary between two
        objects, distance to the object's edge over its greatest (1 at each centre).
    params
        ``foreground_threshold``; ``seed_threshold``, the least peak of the distance that starts
        an object; ``split_ratio``: two peaks are two objects if the saddle between them is under
        this part of the lower one; ``boundary_weight``, how much a boundary lowers the distance
        (0 to 1); ``min_area`` and ``max_hole``, both in px.

    Returns
    -------
        (H, W) int32, 0 for background.
    """
    foreground = fill(maps[0] > params["foreground_threshold"], params["max_hole"])
    height = np.where(foreground, maps[2] * (1 - params["boundary_weight"] * maps[1]), 0)
    seeds, _ = ndimage.label(peaks(height, params["split_ratio"], params["seed_threshold"]), EIGHT)
    return drop_small(flood(-height, seeds, mask=foreground), params["min_area"])


def peaks(height: np.ndarray, ratio: float, least: float) -> np.ndarray:
    """Plateaus left when every peak is lowered to `ratio` of itself, of peaks over `least`."""
    lowered = reconstruction(height * ratio, height, footprint=EIGHT)
    return local_maxima(lowered) & (lowered > least * ratio)


def components(maps: np.ndarray, params: Params) -> np.ndarray:
    """Objects as connected pieces of the first map above ``foreground_threshold``."""
    foreground = fill(maps[0] > params["foreground_threshold"], params["max_hole"])
    return drop_small(ndimage.label(foreground)[0], params["min_area"])


def argmax(maps: np.ndarray, params: Params) -> np.ndarray:
    """Each pixel's class: the number of its greatest map, 0 being background."""
    return maps.argmax(0).astype(np.int32)


def fill(mask: np.ndarray, most: float) -> np.ndarray:
    """Fill enclosed background of at most `most` px; what reaches the tile's edge is open."""
    holes, _ = ndimage.label(~mask, FOUR)
    closed = np.bincount(holes.ravel()) <= most
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        closed[edge] = False
    closed[0] = False
    return mask | closed[holes]


def drop_small(labels: np.ndarray, least: float) -> np.ndarray:
    """Labels without the objects under `least` px."""
    keep = np.bincount(labels.ravel()) >= least
    keep[0] = False
    return np.where(keep[labels], labels, 0).astype(np.int32)


POSTPROCESS = {"watershed": watershed, "components": components, "argmax": argmax}
DEFAULTS = {
    "foreground_threshold": 0.45,
    "seed_threshold": 0.25,
    "split_ratio": 0.6,
    "boundary_weight": 0.0,
    "min_area": 20,
    "max_hole": 100,
}


def postprocess(maps: np.ndarray, params: Params) -> np.ndarray:
    """(batch, H, W) int32 labels from (batch, class, H, W) maps, by ``params["postprocess"]``."""
    name = params.get("postprocess", "watershed")
    if name not in POSTPROCESS:
        known = ", ".join(sorted(POSTPROCESS))
        raise ValueError(f"postprocess is {name!r}; it must be one of {known}.")
    settings = dict(DEFAULTS, **params)
    return np.stack([POSTPROCESS[name](each, settings) for each in maps])


class Model:
    """An ONNX Runtime session and how to read its output."""

    def __init__(self, session: onnxruntime.InferenceSession, spec: Params, params: Params) -> None:
        self.session, self.spec, self.params = session, spec, params
        self.input = session.get_inputs()[0].name
        self.output = session.get_outputs()[0].name


def load(weights: str, device: str, spec: Params, params: Params) -> Model:
    """Open the file `weights` on `device` ("cpu" or "cuda")."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(params)
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(weights, options, providers=providers(device))
    return Model(session, spec, params)


def predict(model: Model, tiles: np.ndarray) -> np.ndarray:
    """Labels, maps or vectors of (batch, C, H, W) float32 tiles, by the spec's `output_kind`."""
    (result,) = model.session.run([model.output], {model.input: tiles})
    if model.spec.get("output_kind") == "labels":
        return postprocess(result, model.params)
    return result


if __name__ == "__main__":
    from tilewright.serve import serve

    serve(load, predict)
