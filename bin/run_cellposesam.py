#!/usr/bin/env python3
"""Run Cellpose-SAM (Cellpose 4): the given weights file and no other, one tile at a time.

Intensities arrive scaled by the pipeline, so that all tiles of an image share one scale; the
library's own scaling, which would look at each tile alone, is off.
"""

import numpy as np
import torch
from cellpose.models import CellposeModel
from cellpose.vit import CPSAM

from tilewright.runtime.precision import precision
from tilewright.runtime.torch_weights import read
from tilewright.runtime.volumes import anisotropy

SIZES = {"diam_mean", "diam_labels"}  # that Cellpose 4 saves, and doesn't use
USED = ("diameter", "resample", "cellprob_threshold", "flow_threshold", "niter", "batch_size",
        "min_size", "max_size_fraction", "tile_overlap", "augment", "flow3D_smooth")  # fmt: skip
REFUSED = {
    "do_3D": "tiles are planes, and volumes are those of --variant 3d",
    "stitch_threshold": "planes are segmented one by one; --link_z iou joins them",
    "segment_channel": "name the channels by --channels segment=0,second=1",
}


def half(spec, device):
    """Whether it computes in bf16, all its weights included: the library knows no fp16."""
    chosen = "fp32" if precision(spec, device) == "fp32" else "bf16"
    precision({"precision": chosen}, device)  # what the worker is told
    return chosen == "bf16"


def check_params(params, deep):
    """Refuse what would change the result and can't be honoured."""
    for name, instead in REFUSED.items():
        if params.get(name) and not (deep and name == "do_3D"):
            raise ValueError(f"{name} is {params[name]!r}, which isn't used here: {instead}.")


def load(weights, device, spec, params):
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    deep = "Z" in spec["axes"]
    check_params(params, deep)
    with torch.device("meta"):
        wanted = CPSAM().state_dict()
    # The library itself would start a missing layer at random, or download another file.
    read(weights, "Cellpose-SAM").check(wanted, optional=SIZES)
    # The device itself, not gpu=True: that falls back to the CPU without a word.
    network = CellposeModel(
        pretrained_model=str(weights),
        device=torch.device(device),
        use_bfloat16=half(spec, device),
    )
    return again((network, {"z_axis": 1} if deep else {}, None), params)


def again(model, params):
    """The same network with other parameters."""
    network, before, _ = model
    check_params(params, "z_axis" in before)
    settings = {name: params[name] for name in USED if name in params}
    if "z_axis" in before:
        settings |= {"z_axis": 1, "do_3D": True}
    return network, settings, params.get("anisotropy")


def predict(model, tiles, um=None):
    """(batch, (Z,) Y, X) int32 labels, 0 for background, of (batch, C, (Z,) Y, X) float32 tiles."""
    network, settings, said = model
    if "z_axis" in settings:
        settings = {**settings, "anisotropy": anisotropy(said, um)}
    found = [network.eval(t, channel_axis=0, normalize=False, **settings)[0] for t in tiles]
    return np.reshape(found, (len(tiles), *tiles.shape[2:])).astype(np.int32)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict, again)
