"""StarDist in its own environment: small networks that find round things, and the library's call.

make FOLDER FILE: train one within a minute, and zip it as StarDist publishes its own.
call WEIGHTS TILE.npy OUT.npy PARAMS: the library's labels of a tile.
big WEIGHTS TILE.npy OUT.npy BLOCK: its own rule for big images.
"""

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf
from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D
from zoo.scenes import balls, seen

FILES = ("config.json", "thresholds.json", "weights_best.h5")
TRAINING = {"train_learning_rate": 2e-3, "train_tensorboard": False}
FLAT = {"n_rays": 32, "grid": (2, 2), "unet_n_depth": 2, "unet_n_filter_base": 8,
        "net_conv_after_unet": 32, "train_patch_size": (96, 96), "train_batch_size": 4,
        "train_epochs": 20, "train_steps_per_epoch": 20, **TRAINING}  # fmt: skip
DEEP = {"rays": 32, "grid": (1, 2, 2), "n_channel_in": 1, "backbone": "unet", "unet_n_depth": 1,
        "unet_n_filter_base": 8, "net_conv_after_unet": 16, "train_patch_size": (16, 48, 48),
        "train_batch_size": 1, "train_epochs": 20, "train_steps_per_epoch": 20,
        **TRAINING}  # fmt: skip


def scaled(pixels):
    """float32 as the pipeline gives them: colours by 255, else by percentiles."""
    if pixels.ndim == 3 and pixels.shape[-1] == 3:
        return pixels.astype(np.float32) / 255
    low, high = np.percentile(pixels, (1, 99.8))
    return ((pixels - low) / (high - low)).astype(np.float32)


def make(folder, file):
    """Train a small network and zip its files."""
    kind = Path(file).stem
    tf.keras.utils.set_random_seed(3)
    look = "stained" if kind == "he" else "bright"
    shape, radius = ((20, 64, 64), 7) if kind == "deep" else ((128, 128), 8)
    truth = [balls(shape, radius, seed=seed) for seed in range(8)]
    images = [scaled(seen(y, look, seed=n)) for n, y in enumerate(truth)]
    with tempfile.TemporaryDirectory() as place:
        if kind == "deep":
            network = StarDist3D(Config3D(**DEEP), name=kind, basedir=place)
        else:
            channels = 3 if kind == "he" else 1
            network = StarDist2D(Config2D(n_channel_in=channels, **FLAT), name=kind, basedir=place)
        network.train(images[1:], truth[1:], validation_data=(images[:1], truth[:1]))
        network.optimize_thresholds(images[:1], truth[:1], nms_threshs=[0.3], iou_threshs=[0.5])
        with zipfile.ZipFile(Path(folder) / file, "w") as archive:
            for name in FILES:
                archive.write(Path(place) / kind / name, name)


def opened(weights, place):
    """The network in a zip, opened by the library."""
    zipfile.ZipFile(weights).extractall(place)
    deep = json.loads((Path(place) / "config.json").read_text())["n_dim"] == 3
    return (StarDist3D if deep else StarDist2D)(None, name=".", basedir=place)


def call(weights, tile, out, params):
    """Keep the labels (Y, X) or (Z, Y, X) that the library gives of a tile (C, …)."""
    said = {k: v for k, v in json.loads(params).items() if k in ("prob_thresh", "nms_thresh")}
    with tempfile.TemporaryDirectory() as place:
        pixels = np.moveaxis(np.load(tile), 0, -1)
        np.save(out, opened(weights, place).predict_instances(pixels, **said)[0])


def big(weights, tile, out, block):
    """Keep the labels that its own rule for big images gives."""
    pixels = np.load(tile)
    axes = "ZYX"[-(pixels.ndim - 1) :]
    with tempfile.TemporaryDirectory() as place:
        network = opened(weights, place)
        labels = network.predict_instances_big(
            np.moveaxis(pixels, 0, -1), axes + "C", block_size=int(block), min_overlap=32
        )[0]
    np.save(out, labels)


if __name__ == "__main__":
    {"make": make, "call": call, "big": big}[sys.argv[1]](*sys.argv[2:])
