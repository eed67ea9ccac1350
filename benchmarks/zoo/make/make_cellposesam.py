"""Cellpose-SAM in its own environment: weights that find round things, and the library's call.

make FOLDER FILE: write some; the last layer is fitted to drawn discs, in seconds.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.

The transformer is the library's own, of full size and started at random, but adds nothing to its
patches, which hold the picture's pixels. The neck hands each patch the pixels around it, and the
last layer makes flows and cells of them: so a result follows from what is near.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from cellpose.vit import CPSAM
from cellpose_taught import STRENGTH, SURE, label, taught

SIDE, COUNT = 256, 8
PATCH, HALF = 8, 4  # px of a patch's side; of it as its neighbours see it, 2 px being one
PIXELS = PATCH * PATCH
STEADY, LEVEL = [PIXELS, PIXELS + 1], 100.0  # channels next to which no other moves a LayerNorm
RIDGE = 0.1
USED = ("diameter", "resample", "cellprob_threshold", "flow_threshold", "niter", "batch_size",
        "min_size", "max_size_fraction", "tile_overlap", "augment")  # fmt: skip


def clear(*layers):
    """Leave layers with nothing."""
    for layer in layers:
        for part in layer.parameters():
            part.zero_()


def show(encoder):
    """Let patches hold the first channel's pixels, wherever they lie, and no block add anything."""
    encoder.pos_embed.zero_()
    for block in encoder.blocks:
        clear(block.attn.proj, block.mlp.lin2)
    pixels = encoder.patch_embed.proj
    clear(pixels)
    for n in range(PIXELS):
        pixels.weight[n, 0, n // PATCH, n % PATCH] = 1
    pixels.bias[STEADY[0]], pixels.bias[STEADY[1]] = LEVEL, -LEVEL


def gather(neck):
    """Let each patch hold its pixels, and those of its eight neighbours at half the size."""
    own, _, around, _ = neck
    clear(own, around)
    for n in (*range(PIXELS), *STEADY):
        own.weight[n, n] = 1
    scale = LEVEL * (2 / own.weight.shape[0]) ** 0.5  # what the LayerNorm between divides by
    for n in (*range(PIXELS), *STEADY):
        around.weight[n, n, 1, 1] = scale
    places = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    for number, (y, x) in enumerate(places):
        for n in range(PIXELS):
            cell = n // PATCH // 2 * HALF + n % PATCH // 2
            around.weight[STEADY[1] + 1 + number * HALF * HALF + cell, n, y, x] = scale / 4


def fit(network, pictures, truth):
    """Choose the last layer by least squares."""
    features = network.encoder.neck(network.encoder.patch_embed(pictures).permute(0, 3, 1, 2))
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    rows[:, STEADY] = 0  # bf16 rounds them, and they say nothing
    cells, *flows = torch.from_numpy(truth).unbind(1)
    wanted = torch.stack([*(STRENGTH * flow for flow in flows), SURE * (2 * cells - 1)], 1)
    steps = torch.nn.functional.unfold(wanted, PATCH, stride=PATCH)  # (N, 3 * PIXELS, patches)
    columns = steps.permute(0, 2, 1).reshape(len(rows), -1).double()
    ones = torch.cat([rows, torch.ones(len(rows), 1)], 1).double()
    square = ones.T @ ones + RIDGE * torch.eye(ones.shape[1])
    found = torch.linalg.solve(square, ones.T @ columns).float()
    network.out.weight.copy_(found[:-1].T[..., None, None])
    network.out.bias.copy_(found[-1])


def make(folder, file):
    """Make the weights and save them as the library does."""
    torch.manual_seed(0)
    network = CPSAM().eval()
    with torch.no_grad():
        show(network.encoder)
        gather(network.encoder.neck)
        fit(network, *taught(COUNT, SIDE, 3))
    network.save_model(str(Path(folder) / file))


if __name__ == "__main__":
    call = partial(label, USED, use_bfloat16=torch.ops.mkldnn._is_mkldnn_bf16_supported())
    {"make": make, "call": call}[sys.argv[1]](*sys.argv[2:])
