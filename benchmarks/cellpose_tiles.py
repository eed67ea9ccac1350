"""What do tiles cost? Cellpose on 2048 x 2048 px as 64 tiles, by the pipeline and by one process.

    ./tilewright bench cellpose_tiles --weights cellpose.pth

The peer is one plain process of the library that loads the network once and runs the same 64
tiles. The bar: the pipeline takes at most 15 s more. Weights that aren't there are first trained
for a few minutes by the library's own trainer on drawn cells, so that masks and their cost are
real. What is missing is installed before the clock starts, by a run on a corner of the image.
`--repeats 3` gives the spread; `--plain` measures the peer alone. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[1]
SIDE = 2048  # px
TILE = 340  # px: with the overlap below, 8 x 8 tiles of 4 of the library's patches each
BAND, CONTEXT = 32, 16  # px on each side; a band holds the largest cell drawn
DIAMETER = 30.0  # px, the size the network works at: no resampling
MARGIN = 15.0  # s
PITCH = 30  # px between cells


def scene(side: int, seed: int) -> tuple[Array, Array]:
    """Cells on a shaken grid, many touching, with a dark rim, soft texture, blur and noise.

    Returns
    -------
        (side, side) uint16 intensities, and (side, side) int32 labels.
    """
    rng = np.random.default_rng(seed)
    grid = np.mgrid[PITCH // 2 : side : PITCH, PITCH // 2 : side : PITCH].reshape(2, -1).T
    centres = grid + rng.uniform(-4, 4, grid.shape)
    distance, nearest = KDTree(centres).query(np.mgrid[:side, :side].reshape(2, -1).T)
    reach = distance / rng.uniform(11, 15, len(centres))[nearest]
    inside = (reach < 1).reshape(side, side)
    light = rng.uniform(0.4, 1, len(centres))[nearest] * np.sqrt(np.clip(1.15 - reach**2, 0, None))
    texture = 1 + 0.5 * gaussian_filter(rng.standard_normal((side, side)), 2)
    clean = gaussian_filter(np.where(inside, light.reshape(side, side) * texture, 0), 1)
    pixels = 4000 + 20000 * clean + 800 * rng.standard_normal((side, side))
    labels = np.where(inside, nearest.reshape(side, side) + 1, 0)
    return pixels.clip(0, 65535).astype(np.uint16), labels.astype(np.int32)


def scaled(image: Array) -> Array:
    """Intensities with the image's percentiles 1 and 99 at 0 and 1, as the pipeline gives them."""
    low, high = np.percentile(image, (1, 99))
    return np.asarray((image - low) / (high - low), np.float32)


def windows() -> list[tuple[slice, slice]]:
    """The 64 tiles' pixels, rows first, as the pipeline cuts them."""
    stride = TILE - 2 * (BAND + CONTEXT)
    starts = range(0, SIDE - TILE + 1, stride)
    return [(slice(y, y + TILE), slice(x, x + TILE)) for y in starts for x in starts]


def train(weights: Path, epochs: int) -> None:
    """Train a network from nothing on drawn cells; runs in Cellpose's environment."""
    import torch
    from cellpose import io, models, train

    io.logger_setup()
    torch.manual_seed(0)
    pictures = [scene(256, seed) for seed in range(16)]
    network = models.CellposeModel(pretrained_model=False, device=torch.device("cpu"))
    found, _, _ = train.train_seg(
        network.net,
        train_data=[p[0] for p in pictures],
        train_labels=[p[1] for p in pictures],
        channels=[0, 0],
        batch_size=4,
        nimg_per_epoch=4,
        bsize=160,
        n_epochs=epochs,
        save_path=weights.parent,
        model_name=weights.name,
    )
    shutil.move(found, weights)


def plain(image: Path, weights: Path) -> None:
    """Segment the tiles in one process, as a script of ten lines would; prints objects found."""
    import torch
    from cellpose import models

    network = models.CellposeModel(
        pretrained_model=str(weights), device=torch.device("cuda" if on_gpu() else "cpu")
    )
    pixels = scaled(tifffile.imread(image))
    settings = {"channels": [0, 0], "normalize": False, "diameter": DIAMETER}
    masks = [network.eval(pixels[w], **settings)[0] for w in windows()]
    print(json.dumps({"tiles": len(masks), "objects": sum(int(m.max()) for m in masks)}))


def on_gpu() -> bool:
    """Whether this process sees a CUDA device."""
    import torch

    return bool(torch.cuda.is_available())


def overlay(weights: Path) -> dict[str, Any]:
    """What is laid over manifests/cellpose.yml: the weights, and the overlap of the tiles."""
    return {
        "short_name": "cellpose",
        "extends": True,
        "spec": {"tile_spec": {"band": BAND, "context": CONTEXT}},
        "versions": {"cyto3": {"tasks": {"cyto": {"locations": [str(weights)]}}}},
    }


def by_pipeline(image: Path, weights: Path, here: Path, *others: Any) -> None:
    """Segment the image by Tilewright, from nothing but an installed environment."""
    shutil.rmtree(here / "results", ignore_errors=True)
    manifests, config = here / "manifests", here / "config.json"
    manifests.mkdir(exist_ok=True)
    (manifests / "cellpose.json").write_text(json.dumps(overlay(weights)))
    config.write_text(json.dumps({"diameter": DIAMETER}))
    options = ["--input", image, "--model", "cellpose", "--tile_size", TILE]
    options += ["--manifests", manifests, "--model_config", config, "--save_image", "false"]
    command = [ROOT / "tilewright", "run", "--outdir", here / "results", *options, *others]
    subprocess.run([str(c) for c in command], check=True, cwd=here, timeout=1800)


def environment() -> Path:
    """The interpreter of Cellpose's environment, which is built if it isn't there."""
    command = [sys.executable, "-m", "tilewright.environments.interpreters"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([*command, "build", "cellpose"], check=True, env=env, stdout=sys.stderr)
    found = subprocess.run(
        [*command, "prefix", "cellpose"], check=True, env=env, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip()) / "bin" / "python"


def itself(python: Path, *arguments: Any) -> dict[str, Any]:
    """Run a step of this file in Cellpose's environment; gives the JSON it prints last."""
    command = [python, Path(__file__).resolve(), *arguments]
    ran = subprocess.run(
        [str(c) for c in command], check=True, timeout=3600, stdout=subprocess.PIPE, text=True
    )
    lines = ran.stdout.strip().splitlines()
    return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}


def seconds(work: Callable[..., object], *arguments: Any) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    print(work(*arguments) or "")
    return round(time.perf_counter() - start, 1)


def spread(times: list[float]) -> dict[str, float]:
    """Least, middle and greatest of some times."""
    return {"min": min(times), "median": statistics.median(times), "max": max(times)}


def compare(options: argparse.Namespace) -> int:
    """Time both, in turn; 1 if the pipeline misses the bar."""
    python, weights = environment(), options.weights.resolve()
    if not weights.exists():
        itself(python, "--train", "--weights", weights, "--epochs", options.epochs)
    times: dict[str, list[float]] = {"plain": [], "pipeline": []}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        image = here / "cells.tif"
        tifffile.imwrite(image, scene(SIDE, seed=1000)[0])
        if not options.plain:
            by_pipeline(image, weights, here, "--region", "0,0,256,256")
        for _ in range(options.repeats):
            step = [python, "--plain-process", image, "--weights", weights]
            times["plain"].append(seconds(itself, *step))
            if not options.plain:
                times["pipeline"].append(seconds(by_pipeline, image, weights, here))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    result: dict[str, Any] = {k: spread(v) for k, v in times.items() if v}
    result |= {"tiles": len(windows()), "cpus": os.cpu_count(), "machine": platform.machine()}
    result["commit"] = commit.stdout.strip()
    if not options.plain:
        result["extra_s"] = round(min(times["pipeline"]) - min(times["plain"]), 1)
        result["met"] = result["extra_s"] <= MARGIN
    print(json.dumps(result))
    return 0 if result.get("met", True) else 1


def main() -> int:
    """Read the command line and do one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="trained here if not there")
    parser.add_argument("--repeats", type=int, default=1, help="times each is run (default 1)")
    parser.add_argument("--epochs", type=int, default=70, help="of training, 4 pictures each")
    parser.add_argument("--plain", action="store_true", help="only the one process")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--plain-process", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.weights, options.epochs)
    elif options.plain_process:
        plain(options.plain_process, options.weights)
    else:
        return compare(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
