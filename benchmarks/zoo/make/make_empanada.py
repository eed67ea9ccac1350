"""Empanada in its own environment: a small network that finds round things, and the library's call.

make FOLDER FILE: train one within minutes, and save it as the library saves its own.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from empanada.data.utils import heatmap_and_offsets
from empanada.inference.engines import PanopticDeepLabRenderEngine
from empanada.inference.rle import pan_seg_to_rle_seg, rle_seg_to_pan_seg
from empanada.losses import PanopticLoss
from empanada.models.quantization import QuantizablePanopticDeepLabPR
from zoo.scenes import balls, seen

MEAN, STD = 0.57571, 0.12765  # of all its published networks
SIDE, BATCH, STEPS, RADIUS = 128, 8, 200, 12
NETWORK = {"encoder": "resnet50", "num_classes": 1, "stage4_stride": 16, "decoder_channels": 32,
           "low_level_stages": [1], "low_level_channels_project": [16], "atrous_rates": [2, 4, 6],
           "aspp_channels": 32, "ins_decoder": True, "ins_ratio": 0.5, "num_fc": 3,
           "quantize": False}  # fmt: skip


def scaled(pixels):
    """float32 as the pipeline gives them."""
    return ((pixels / 255 - MEAN) / STD).astype(np.float32)


class Kept(torch.nn.Module):
    """In an encoder's place, what it gave: only what comes after it is trained, in seconds."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, _):
        """The features, whatever is looked at."""
        return self.features


def taught():
    """Pictures and what is true of them, as the library's losses take it."""
    truth = [balls((SIDE, SIDE), RADIUS, seed=seed) for seed in range(BATCH)]
    targets = [heatmap_and_offsets(y) for y in truth]
    pictures = np.stack([scaled(seen(y, "bright", seed=n))[None] for n, y in enumerate(truth)])
    return torch.from_numpy(pictures), {
        "sem": torch.from_numpy((np.stack(truth) > 0).astype(np.float32)),
        "ctr_hmp": torch.from_numpy(np.stack([heat for heat, _ in targets])),
        "offsets": torch.from_numpy(np.stack([way for _, way in targets])),
    }


def make(folder, file):
    """Train a network of its architecture, with narrow decoders on a chance encoder; script it."""
    torch.manual_seed(3)
    torch.set_num_threads(1)
    network, loss = QuantizablePanopticDeepLabPR(**NETWORK).train(), PanopticLoss()
    pictures, truth = taught()
    encoder = network.encoder
    with torch.no_grad():
        for _ in range(3):  # for what it norms by
            encoder(pictures)
        network.encoder = Kept(encoder.eval()(pictures))
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for number in range(STEPS):
        cost, parts = loss(network(pictures), truth)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        if number % 20 == 0:
            print(number, parts, file=sys.stderr, flush=True)
    network.encoder = encoder
    torch.jit.script(network.eval()).save(str(Path(folder) / file))


def call(weights, tile, out, params):
    """Keep the labels (Y, X) that the library gives of a tile (1, Y, X)."""
    torch.set_num_threads(1)
    said = json.loads(params)
    engine = PanopticDeepLabRenderEngine(
        torch.jit.load(weights), thing_list=[1], label_divisor=said["max_objects"],
        nms_threshold=said["center_threshold"], nms_kernel=said["min_distance"],
        confidence_thr=said["conf_threshold"], padding_factor=16,
        coarse_boundaries=not said["fine_boundaries"],
    )  # fmt: skip
    pixels = np.load(tile)
    found = engine(torch.from_numpy(pixels)[None], pixels.shape[1:])[0].numpy()
    objects = pan_seg_to_rle_seg(found, [1], said["max_objects"], [1], force_connected=True)
    kept = {n: o for n, o in objects[1].items() if o["runs"].sum() >= said["min_size"]}
    codes = rle_seg_to_pan_seg({1: kept}, pixels.shape[1:]).astype(np.int64)
    np.save(out, np.maximum(codes - said["max_objects"], 0))


if __name__ == "__main__":
    {"make": make, "call": call}[sys.argv[1]](*sys.argv[2:])
