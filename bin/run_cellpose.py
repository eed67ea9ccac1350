#!/usr/bin/env python3
"""Run a Cellpose 3 network: the given weights file and no other, one tile at a time.

Intensities arrive scaled by the pipeline, so that all tiles of an image share one scale; the
library's own scaling, which would look at each tile alone, is off. Its size model isn't used:
it is a pickle, and a diameter estimated per tile would differ between neighbours.
"""

import numpy as np
import torch
from cellpose.models import CellposeModel
from cellpose.resnet_torch import CPnet

from tilewright.runtime.precision import precision
from tilewright.runtime.torch_network import in_precision
from tilewright.runtime.torch_weights import read
from tilewright.runtime.volumes import anisotropy

WIDTHS = [2, 32, 64, 128, 256]  # channels in, and at each scale, of the networks in the manifest
MAPS = 3  # flow along y, flow along x, chance of a cell
SIZES = {"diam_mean", "diam_labels"}  # a file older than Cellpose 2 may lack them
DEFAULTS = {
    "diameter": 0,
    "cellprob_threshold": 0.0,
    "flow_threshold": 0.4,
    "niter": 0,
    "batch_size": 8,
    "min_size": 15,
    "max_size_fraction": 0.4,
    "augment": False,
    "flow3D_smooth": 0.0,
}
REFUSED = {
    "do_3D": "tiles are planes, and volumes are those of --variant 3d",
    "stitch_threshold": "planes are segmented one by one; --link_z iou joins them",
    "segment_channel": "name the channels by --channels segment=0,nucleus=1",
    "nucleus_channel": "name the channels by --channels segment=0,nucleus=1",
}
NEEDLESS = ("channel_axis", "z_axis")


def check_params(params, deep):
    """Refuse what would change the result and can't be honoured; say what isn't needed."""
    for name, instead in REFUSED.items():
        if params.get(name) and not (deep and name == "do_3D"):
            raise ValueError(f"{name} is {params[name]!r}, which isn't used here: {instead}.")
    for name in NEEDLESS:
        if params.get(name) is not None:
            print(f"{name} isn't used: the image or --axes says which axis is which.")  # noqa: T201


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    deep = "Z" in spec.get("axes", "")
    check_params(params, deep)
    wanted = CPnet(WIDTHS, MAPS, sz=3).state_dict()
    # The library itself would start a missing layer at random.
    read(weights, "Cellpose 3").check(wanted, optional=SIZES, ignore=[""])
    trained_at = params.get("diam_mean") or None
    # The device itself, not gpu=True: that falls back to the CPU without a word.
    network = CellposeModel(
        pretrained_model=str(weights), device=torch.device(device), diam_mean=trained_at or 30.0
    )
    network.diam_mean = trained_at or network.diam_mean
    if device != "cpu":
        network.net.forward = in_precision(network.net.forward, spec, device)
    elif precision(spec, device) != "fp32":
        print("Cellpose's layers for the CPU are float32: fp32 is used.")  # noqa: T201  # to the log
        precision({}, device)  # what the worker is told
    settings = {name: params.get(name, value) for name, value in DEFAULTS.items()}
    if deep:
        settings |= {"z_axis": 1, "do_3D": True}
    return network, settings, params.get("anisotropy")


def segment(network, settings, tile):
    """(Y, X) or (Z, Y, X) labels of a tile; a second channel equal to the first is none at all."""
    if 1 in tile.shape[1:] and "z_axis" in settings:
        raise ValueError(f"{tile.shape[1:]} voxels are no volume: leave out --variant 3d")
    if len(tile) == 2 and np.array_equal(tile[0], tile[1]):
        tile = np.stack([tile[0], np.zeros_like(tile[0])])  # the library does so for one channel
    masks = network.eval(tile, channel_axis=0, normalize=False, **settings)[0]
    return masks.reshape(tile.shape[1:]).astype(np.int32)


def predict(model, tiles, um=None):
    """(batch, (Z,) Y, X) int32 labels, 0 for background, of (batch, C, (Z,) Y, X) float32 tiles."""
    network, settings, said = model
    if "z_axis" in settings:
        settings = {**settings, "anisotropy": anisotropy(said, um)}
    return np.stack([segment(network, settings, tile) for tile in tiles])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
