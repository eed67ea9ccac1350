#!/usr/bin/env python3
"""Run Empanada's networks (MitoNet and its kin), which are TorchScript files, by its own engine.

It finds a plane's objects; the pipeline joins those of neighbouring tiles. No pickle is loaded.
"""

import os

import numpy as np
import torch
from empanada.data.utils import resize_by_factor
from empanada.inference.engines import PanopticDeepLabRenderEngine
from empanada.inference.rle import connected_components
from scipy.ndimage import binary_fill_holes
from skimage.measure import regionprops

from tilewright.runtime.torchscript import check_archive

CLASS = 1  # its networks know one class
PADDING = {"empanada-mitonet_v1": 16, "empanada-mitonet_mini_v1": 128}  # px, as the library pads
MOST = 512  # px, of its other networks; a multiple of all
DIVISOR = 1 << 24  # an object's code is its class times this, and its number: none is too many
TAKES = {"render_steps", "interpolate_ins"}  # what the engine asks of a network, beside the picture


def open_network(weights, device):
    """The network in a TorchScript file, which must be one that the engine can use."""
    check_archive(weights)
    try:
        network = torch.jit.load(weights, map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{weights} can't be read: it is cut off or damaged") from error
    takes = {argument.name for argument in network.forward.schema.arguments}
    if not takes >= TAKES:
        raise ValueError(
            f"{weights} isn't one of Empanada's networks (PanopticDeepLabPR): it doesn't take "
            f"{' and '.join(sorted(TAKES - takes))}"
        )
    return network


def settings(spec, params):
    """The engine's own names for the parameters."""
    return {
        "thing_list": [] if params["semantic_only"] else [CLASS],
        "label_divisor": DIVISOR,
        "nms_threshold": params["center_threshold"],
        "nms_kernel": params["min_distance"],
        "confidence_thr": params["conf_threshold"],
        "padding_factor": PADDING.get(spec["model_name"], MOST),
        "coarse_boundaries": not params["fine_boundaries"],
    }


def load(weights, device, spec, params):
    """Open the TorchScript file `weights` on `device` ("cpu", "cuda" or "cuda:1")."""
    if os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network = open_network(weights, device)
    return PanopticDeepLabRenderEngine(network, **settings(spec, params)), params


def fill_holes(labels):
    """Fill the holes of each object, but not where another one lies."""
    for region in regionprops(labels):
        inside = labels[region.slice]
        inside[binary_fill_holes(region.image) & (inside == 0)] = region.label
    return labels


def flat(engine, plane, params):
    """(Y, X) int32 labels of a (Y, X) plane."""
    small = resize_by_factor(plane, params["downsampling"])
    picture = torch.from_numpy(np.ascontiguousarray(small))[None, None]
    found = engine(picture, plane.shape, params["downsampling"])[0].cpu().numpy()
    labels = connected_components(found).astype(np.int32)  # of more than 16 bits
    labels[np.bincount(labels.ravel())[labels] < params["min_size"]] = 0
    return fill_holes(labels) if params["fill_holes_in_segmentation"] else labels


def predict(model, tiles):
    """(batch, Y, X) int32 labels of (batch, 1, Y, X) float32 tiles; 0 is background."""
    engine, params = model
    return np.stack([flat(engine, tile[0], params) for tile in tiles])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
