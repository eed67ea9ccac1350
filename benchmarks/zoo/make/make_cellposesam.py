"""Cellpose-SAM in its own environment: weights that find round things, and the library's call.

make FOLDER FILE: train what comes after the transformer within a minute or two; save all of it.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.

The transformer is the library's own, of full size and started at random, but adds nothing to what
its patches show: so a pixel's result follows from its surroundings, as it does with good weights.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from cellpose.models import CellposeModel
from cellpose.vit import CPSAM
from cellpose_taught import taught, train

SIDE, COUNT, BATCH, STEPS, RATE = 256, 8, 4, 160, 2e-3
USED = ("diameter", "resample", "cellprob_threshold", "flow_threshold", "niter", "batch_size",
        "min_size", "max_size_fraction", "tile_overlap", "augment")  # fmt: skip


def silence(encoder):
    """Let no block add anything, wherever a patch lies."""
    encoder.pos_embed.zero_()
    for block in encoder.blocks:
        for layer in (block.attn.proj, block.mlp.lin2):
            layer.weight.zero_()
            layer.bias.zero_()


def make(folder, file):
    """Train the neck and the readout on a random transformer's patches."""
    torch.manual_seed(0)
    network = CPSAM().train()
    pictures, truth = taught(COUNT, SIDE, 3)
    with torch.no_grad():
        silence(network.encoder)
        patches = network.encoder.patch_embed(pictures).permute(0, 3, 1, 2)

    def maps(some):
        found = network.out(network.encoder.neck(patches[some]))
        return torch.nn.functional.conv_transpose2d(found, network.W2, stride=network.ps)

    layers = [*network.encoder.neck.parameters(), *network.out.parameters()]
    train(maps, layers, torch.from_numpy(truth), STEPS, RATE, BATCH)
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
