"""Cellpose 3 in its own environment: a network that finds round things, and the library's call.

make FOLDER FILE: train one of the published networks' architecture within a minute or two.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from cellpose.models import CellposeModel
from cellpose.resnet_torch import CPnet
from cellpose_taught import taught, train

SIDE, COUNT, BATCH, STEPS, RATE = 96, 12, 3, 60, 5e-3
USED = ("diameter", "cellprob_threshold", "flow_threshold", "niter", "batch_size", "min_size",
        "max_size_fraction", "augment")  # fmt: skip


def make(folder, file):
    """Train all of it."""
    torch.manual_seed(0)
    network = CPnet([2, 32, 64, 128, 256], 3, sz=3).train()
    pictures, truth = taught(COUNT, SIDE, 2, smaller=4)
    train(lambda some: network(pictures[some])[0], network.parameters(), truth, STEPS, RATE, BATCH)
    network.save_model(str(Path(folder) / file))


def call(weights, tile, out, params):
    """Keep the labels (Y, X) or (Z, Y, X) that the library gives of a tile (C, …)."""
    said, pixels = json.loads(params), np.load(tile)
    settings = {name: said[name] for name in USED}
    if pixels.ndim == 4:
        settings |= {"z_axis": 1, "do_3D": True, "flow3D_smooth": said["flow3D_smooth"]}
        settings["anisotropy"] = said["anisotropy"]
    network = CellposeModel(pretrained_model=weights)
    np.save(out, network.eval(pixels, channel_axis=0, normalize=False, **settings)[0])


if __name__ == "__main__":
    {"make": make, "call": call}[sys.argv[1]](*sys.argv[2:])
