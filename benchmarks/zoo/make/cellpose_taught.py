"""What both Cellposes are taught, by the library's own flows and loss, in either's environment."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from cellpose.dynamics import labels_to_flows
from cellpose.models import CellposeModel
from cellpose.train import _loss_fn_seg as loss
from zoo.scenes import balls, seen

RADIUS = 8
CPU = torch.device("cpu")
STRENGTH, SURE = 5, 6  # of a flow's unit vectors, as the library trains them; logit of a cell


def scaled(pixels, channels):
    """float32 (C, Y, X) as the pipeline gives a grey picture: by percentiles, and others empty."""
    low, high = np.percentile(pixels, (1, 99))
    tile = np.zeros((channels, *pixels.shape), np.float32)
    tile[0] = (pixels - low) / (high - low)
    return tile


def taught(count, side, channels, smaller=0):
    """Pictures (N, C, Y, X), and what is true of them (N, 3, Y, X) as the library has it.

    `smaller` is by how much radii go down, for planes through the rims of balls.
    """
    radii = np.linspace(RADIUS, RADIUS - smaller, count)
    truth = [balls((side, side), radius, seed=n) for n, radius in enumerate(radii)]
    pictures = [scaled(seen(y, "bright", seed=n), channels) for n, y in enumerate(truth)]
    flows = labels_to_flows(truth, device=CPU)
    return torch.from_numpy(np.stack(pictures)), np.stack(flows)[:, 1:].astype(np.float32)


def train(maps, layers, truth, steps, rate, batch):
    """Fit layers so that ``maps(some)`` of pictures, a slice, are what is true of them."""
    optimiser = torch.optim.AdamW(layers, rate)
    for number in range(steps):
        start = number * batch % len(truth)
        some = slice(start, start + batch)
        cost = loss(truth[some], maps(some), CPU)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        if number % 20 == 0:
            print(number, float(cost), file=sys.stderr, flush=True)


def label(used, weights, tile, out, params, **given):
    """Keep the labels (Y, X) or (Z, Y, X) that the library gives of a tile (C, …).

    `used` names the parameters that it takes, `given` are its network's.
    """
    said, pixels = json.loads(params), np.load(tile)
    settings = {name: said[name] for name in used}
    if pixels.ndim == 4:
        settings |= {"z_axis": 1, "do_3D": True, "flow3D_smooth": said["flow3D_smooth"]}
        settings["anisotropy"] = said["anisotropy"]
    network = CellposeModel(pretrained_model=weights, **given)
    np.save(out, network.eval(pixels, channel_axis=0, normalize=False, **settings)[0])
