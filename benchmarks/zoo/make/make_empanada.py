"""Empanada in its own environment: a small network that finds round things, and the library's call.

make FOLDER FILE: train one within minutes, and save it as the library saves its own.
wide FOLDER FILE: save one as wide as those that are published, with chance weights.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile, or of a volume.
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import empanada
import numpy as np
import torch
from empanada.data.utils import heatmap_and_offsets
from empanada.inference.engines import PanopticDeepLabRenderEngine
from empanada.inference.rle import pan_seg_to_rle_seg, rle_seg_to_pan_seg
from empanada.losses import PanopticLoss
from empanada.models.quantization import QuantizablePanopticDeepLabPR
from zoo.scenes import balls, seen

MEAN, STD = 0.57571, 0.12765  # of all its published networks
NOT_HERE = (
    "napari", "napari.qt", "napari.qt.threading", "requests", "urllib3", "urllib3.exceptions",
    "cztile", "cztile.fixed_total_area_strategy_2d", "cztile.tiling_strategy",
)  # fmt: skip
SIDE, BATCH, STEPS, RADIUS = 128, 8, 200, 12
NETWORK = {"encoder": "resnet50", "num_classes": 1, "stage4_stride": 16, "decoder_channels": 32,
           "low_level_stages": [1], "low_level_channels_project": [16], "atrous_rates": [2, 4, 6],
           "aspp_channels": 32, "ins_decoder": True, "ins_ratio": 0.5, "num_fc": 3,
           "quantize": False}  # fmt: skip
WIDE = {"decoder_channels": 256, "low_level_channels_project": [32], "aspp_channels": None}


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


def wide(folder, file):
    """Save a network of the width that MitoNet has."""
    network = QuantizablePanopticDeepLabPR(**{**NETWORK, **WIDE}).eval()
    torch.jit.script(network).save(str(Path(folder) / file))


def call(weights, tile, out, params):
    """Keep the labels ((Z,) Y, X) that the library gives of a tile (1, (Z,) Y, X)."""
    torch.set_num_threads(1)
    said, pixels = json.loads(params), np.load(tile)
    np.save(out, (volume if pixels.ndim == 4 else plane)(weights, pixels, said))


def volume(weights, pixels, said):
    """Labels (Z, Y, X) of a volume (1, Z, Y, X), by what its plugin runs: it has its own processes.

    Of the plugin the module that computes is taken, as it is, without its windows; what it imports
    of a viewer, for downloads and for tiles isn't here, nor used.
    """
    sys.modules |= {name: MagicMock(thread_worker=lambda step: step) for name in NOT_HERE}
    plugin = sys.modules["empanada_napari"] = ModuleType("empanada_napari")
    plugin.__path__ = [str(Path(empanada.__file__).parents[1] / "empanada_napari")]
    from empanada.inference import filters
    from empanada_napari import inference
    from skimage.measure import label
    from skimage.segmentation import relabel_sequential

    filters.connected_components = label  # without it what erodes or dilates fails: NameError
    model = {"model": weights, "labels": [1], "thing_list": [1], "class_names": {1: "mito"},
             "padding_factor": 16, "norms": {}}  # fmt: skip
    least = {"min_size": said["min_size"], "min_extent": said["min_extent"]}
    engine = inference.Engine3d(
        model, inference_scale=said["downsampling"], label_divisor=said["max_objects"],
        median_kernel_size=said["median_slices"], nms_threshold=said["center_threshold"],
        nms_kernel=said["min_distance"], confidence_thr=said["conf_threshold"], **least,
        fine_boundaries=said["fine_boundaries"], use_gpu=False,
        label_erosion=said["label_erosion"], label_dilation=said["label_dilation"],
    )  # fmt: skip
    engine.preprocessor = lambda image: {"image": torch.from_numpy(image[None].copy())}  # scaled
    plane = said["plane"].lower()
    ways = [plane] if plane in engine.axes else engine.axes
    trackers = {way: engine.infer_on_axis(pixels[0], way)[1] for way in ways}
    if len(ways) > 1:
        votes, single = said["pixel_vote_thr"], said["allow_one_view"]
        found = inference.tracker_consensus(
            trackers, None, model, pixel_vote_thr=votes, allow_one_view=single, **least
        )
    else:
        found = inference.stack_postprocessing(trackers, None, model, **least)
    ((labels, _, _),) = found
    return relabel_sequential(labels)[0]


def plane(weights, pixels, said):
    """Labels (Y, X) of a tile (1, Y, X)."""
    engine = PanopticDeepLabRenderEngine(
        torch.jit.load(weights), thing_list=[1], label_divisor=said["max_objects"],
        nms_threshold=said["center_threshold"], nms_kernel=said["min_distance"],
        confidence_thr=said["conf_threshold"], padding_factor=16,
        coarse_boundaries=not said["fine_boundaries"],
    )  # fmt: skip
    found = engine(torch.from_numpy(pixels)[None], pixels.shape[1:])[0].numpy()
    objects = pan_seg_to_rle_seg(found, [1], said["max_objects"], [1], force_connected=True)
    kept = {n: o for n, o in objects[1].items() if o["runs"].sum() >= said["min_size"]}
    codes = rle_seg_to_pan_seg({1: kept}, pixels.shape[1:]).astype(np.int64)
    return np.maximum(codes - said["max_objects"], 0)


if __name__ == "__main__":
    {"make": make, "wide": wide, "call": call}[sys.argv[1]](*sys.argv[2:])
