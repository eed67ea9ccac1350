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

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
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
}
REFUSED = {
    "do_3D": "planes are segmented one by one; --link_z iou joins them",
    "stitch_threshold": "planes are segmented one by one; --link_z iou joins them",
    "segment_channel": "name the channels by --channels segment=0,nucleus=1",
    "nucleus_channel": "name the channels by --channels segment=0,nucleus=1",
}
NEEDLESS = {
    "anisotropy": "it is for 3D, and planes are segmented one by one",
    "channel_axis": "the image or --axes says which axis is which",
    "z_axis": "the image or --axes says which axis is which",
}


def check_params(params):
    """Refuse what would change the result and can't be honoured; say what isn't needed."""
    for name, instead in REFUSED.items():
        if params.get(name):
            raise ValueError(f"{name} is {params[name]!r}, which isn't used here: {instead}.")
    for name, why in NEEDLESS.items():
        if params.get(name) is not None:
            print(f"{name} isn't used: {why}.")  # noqa: T201  # goes to the log


def check_weights(weights):
    """Refuse all but a whole Cellpose 3 network; the library starts missing layers at random."""
    refusal = f"{weights} isn't a file of Cellpose 3 weights"
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)  # never a whole pickle
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{refusal}: it doesn't hold plain tensors.") from error
    for name, wanted in CPnet(WIDTHS, MAPS, sz=3).state_dict().items():
        found = state.get(name) if isinstance(state, dict) else None
        if found is None and name not in SIZES:
            raise ValueError(f"{refusal}: the layer {name} is missing.")
        shape = tuple(getattr(found, "shape", ()))
        if found is not None and shape != tuple(wanted.shape):
            raise ValueError(f"{refusal}: {name} is {shape}, not {tuple(wanted.shape)}.")


def shorten(network, kind, dtype):
    """Run the network in `dtype`; what the library uses of its outputs is float32 again."""
    forward = network.forward

    def shorter(tiles):
        with torch.autocast(kind, dtype):
            maps, style, *inner = forward(tiles)
        return (maps.float(), style.float(), *inner)

    network.forward = shorter


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    from tilewright.runtime.precision import precision

    check_params(params)
    check_weights(weights)
    trained_at = params.get("diam_mean") or None
    # The device itself, not gpu=True: that falls back to the CPU without a word.
    network = CellposeModel(
        pretrained_model=str(weights), device=torch.device(device), diam_mean=trained_at or 30.0
    )
    network.diam_mean = trained_at or network.diam_mean
    half = HALVES.get(precision(spec, device))
    if half and device == "cpu":
        print("Cellpose's layers for the CPU are float32: fp32 is used.")  # noqa: T201  # to the log
    elif half:
        shorten(network.net, torch.device(device).type, half)
    return network, {name: params.get(name, value) for name, value in DEFAULTS.items()}


def segment(network, settings, tile):
    """(Y, X) labels of a (C, Y, X) tile; a second channel equal to the first is none at all."""
    if len(tile) == 2 and np.array_equal(tile[0], tile[1]):
        tile = tile[:1]  # the library fills a missing nucleus channel with zeros
    masks = network.eval(tile, channel_axis=0, normalize=False, **settings)[0]
    return masks.reshape(tile.shape[1:]).astype(np.int32)


def predict(model, tiles):
    """(batch, Y, X) int32 labels, 0 for background, of (batch, C, Y, X) float32 tiles."""
    return np.stack([segment(*model, tile) for tile in tiles])


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
