#!/usr/bin/env python3
"""Run a StarDist network of Keras 2 or 3: the given file or folder and no other, a tile at a time.

Intensities arrive scaled by the pipeline, so that all tiles of an image share one scale. The
library finds the objects of each tile; the pipeline joins those of neighbours.
"""

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from stardist.models import StarDist2D, StarDist3D

from tilewright.runtime.archives import CUT_OFF, is_cut_off

CONFIG, WEIGHTS = "config.json", ("weights_best.h5", "weights_last.h5")
FILES = (CONFIG, "thresholds.json", *WEIGHTS)
NEEDLESS = ("n_tiles", "normalize_pmin", "normalize_pmax", "normalize_img", "scale", "channel_idx")
"""What the pipeline does itself: AI OnDemand's plugin sends them, and the manifest holds them."""


def use(device):
    """Compute on `device`; TensorFlow itself falls back to the CPU without a word."""
    kind, _, number = device.partition(":")
    found = tf.config.list_physical_devices("GPU") if kind == "cuda" else []
    if kind not in ("cpu", "cuda") or (kind == "cuda" and len(found) <= int(number or 0)):
        raise ValueError(f"TensorFlow finds no {device} here; TILEWRIGHT_DEVICE=cpu does without.")
    mine = found[int(number or 0)] if found else None
    tf.config.set_visible_devices([mine] if mine else [], "GPU")
    if mine:
        tf.config.experimental.set_memory_growth(mine, True)


def unpack(weights, folder):
    """Copy the model's files out of a zip, as StarDist publishes them, or a folder."""
    if weights.is_dir():
        found = {p.name: p.read_bytes for p in weights.iterdir() if p.name in FILES}
    elif zipfile.is_zipfile(weights):
        archive = zipfile.ZipFile(weights)
        names = [n for n in archive.namelist() if "__MACOSX" not in n and Path(n).name in FILES]
        found = {Path(name).name: lambda name=name: archive.read(name) for name in names}
    else:
        why = CUT_OFF if is_cut_off(weights) else "that is a folder, or a zip of one"
        raise ValueError(f"{weights} is no StarDist model: {why}")
    if CONFIG not in found or not set(WEIGHTS) & set(found):
        raise ValueError(f"{weights} lacks {CONFIG} or {WEIGHTS[0]}: it is no StarDist model")
    for name, read in found.items():
        (folder / name).write_bytes(read())


def opened(weights, folder, spec):
    """The library's network of the files in `folder`, if it is what the spec is for."""
    try:
        config = json.loads(Path(folder, CONFIG).read_text())
        is_of = config["n_dim"], config["n_channel_in"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{weights} is no StarDist model: its {CONFIG} isn't one's") from error
    if is_of != (len(spec["axes"]) - 1, spec["num_channels"]):
        raise ValueError(f"{weights} is of {is_of[0]} dimensions and {is_of[1]} channels")
    try:
        return (StarDist3D if is_of[0] == 3 else StarDist2D)(None, name=".", basedir=folder)
    except (ValueError, TypeError, KeyError, OSError) as error:
        says = f"its weights are damaged, or not those of the network that {CONFIG} describes"
        raise ValueError(f"{weights} is no StarDist model: {says}") from error


def load(weights, device, spec, params):
    """Open the zip or folder `weights` on `device` ("cpu", "cuda" or "cuda:1")."""
    use(device)
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(weights), Path(folder))
        network = opened(weights, folder, spec)
    return network, {name: params.get(name) for name in ("prob_thresh", "nms_thresh")}


def predict(model, tiles):
    """(batch, (Z,) Y, X) int32 labels of (batch, C, (Z,) Y, X) float32 tiles; 0 is background."""
    network, settings = model
    found = [network.predict_instances(np.moveaxis(t, 0, -1), **settings)[0] for t in tiles]
    return np.stack(found).astype(np.int32)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict, lambda model, params: (model[0], {n: params.get(n) for n in model[1]}))
