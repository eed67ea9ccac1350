"""Cellpose 3 in its own environment: a network that finds round things, and the library's call.

make FOLDER FILE: train one of the published networks' architecture within a minute or two.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from cellpose.resnet_torch import CPnet
from cellpose_taught import label, taught, train

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


if __name__ == "__main__":
    {"make": make, "call": partial(label, USED)}[sys.argv[1]](*sys.argv[2:])
