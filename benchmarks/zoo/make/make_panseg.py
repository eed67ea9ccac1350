"""PanSeg's libraries in their own environment: a small U-Net for membranes, and their calls.

make FOLDER FILE: train one within two minutes, and keep it as pytorch-3dunet's trainer does.
call WEIGHTS TILE.npy OUT.npy PARAMS: the libraries' labels of a tile.
map WEIGHTS TILE.npy OUT.npy: the network's map alone.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from elf.segmentation import GaspFromAffinities, distance_transform_watershed
from elf.segmentation.watershed import apply_size_filter
from pytorch3dunet.unet3d.model import UNet3D
from scipy.ndimage import maximum_filter, minimum_filter
from zoo.scenes import seen, tissue

NETWORK = {"in_channels": 1, "out_channels": 1, "f_maps": 8, "num_levels": 3}
SIDE, STEPS = (24, 48, 48), 120
OFFSETS = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def scaled(pixels):
    """float32 as the pipeline gives them: by mean and standard deviation."""
    return ((pixels - pixels.mean()) / pixels.std()).astype(np.float32)


def make(folder, file):
    """Train a small network on drawn tissue, and keep its layers."""
    torch.manual_seed(3)
    network = UNet3D(**NETWORK)
    truth = [tissue(SIDE, 11, seed=seed) for seed in range(8)]
    images = [torch.from_numpy(scaled(seen(y, "edges", seed=n))) for n, y in enumerate(truth)]
    edges = [torch.from_numpy(maximum_filter(y, 3) != minimum_filter(y, 3)).float() for y in truth]
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(STEPS):
        n = step % len(truth)
        logits = network(images[n][None, None], return_logits=True)[1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[0, 0], edges[n])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({"model_state_dict": network.state_dict(), "num_epochs": 1}, Path(folder) / file)


def probabilities(weights, tile):
    """(class, Z, Y, X) that the library's network gives of a tile (C, Z, Y, X)."""
    network = UNet3D(**NETWORK).eval()
    network.load_state_dict(torch.load(weights, weights_only=True)["model_state_dict"])
    with torch.inference_mode():
        return network(torch.from_numpy(np.load(tile))[None])[0].numpy()


def call(weights, tile, out, params):
    """Keep the labels (Z, Y, X) that the libraries give, called as PanSeg calls them."""
    said = json.loads(params)
    edges = probabilities(weights, tile)[0]
    pieces, _ = distance_transform_watershed(
        edges,
        threshold=said["ws_threshold"],
        sigma_seeds=said["ws_sigma_seeds"],
        sigma_weights=said["ws_sigma_weights"],
        min_size=said["ws_min_size"],
        alpha=said["ws_alpha"],
    )
    gasp = GaspFromAffinities(
        OFFSETS,
        beta_bias=said["gasp_beta"],
        superpixel_generator=lambda *_, **__: pieces,
        run_GASP_kwargs={"linkage_criteria": "average", "use_efficient_implementations": False},
    )
    found, _ = gasp(1 - np.stack([edges, edges, edges]))
    np.save(out, apply_size_filter(found.astype("uint32"), edges, said["gasp_post_minsize"])[0])


def only_map(weights, tile, out):
    """Keep the network's map."""
    np.save(out, probabilities(weights, tile))


if __name__ == "__main__":
    {"make": make, "call": call, "map": only_map}[sys.argv[1]](*sys.argv[2:])
