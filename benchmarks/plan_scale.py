"""How long PLAN takes for much: one image of a million tiles, and ten thousand small ones.

    ./tilewright bench plan_scale [--tiles 1000000] [--images 10000]

PLAN runs as its task does, in a process of its own. *cold* is the first time: headers are read.
*again* is the next run: they are remembered by their fingerprints. Limits: 10 s for the big image,
60 s cold and 15 s again for the small ones, 1 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import zarr

from tilewright import ROOT
from tilewright.registry.registry import Registry

SIDE = 64  # px of a small image


def main() -> None:
    """Make the images, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=10_000)
    asked = parser.parse_args()
    print("input   time   seconds   memory, MB   tiles   jobs   groups   plan's files, MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {
            f"an image of {asked.tiles} tiles": one_big(folder / "big", asked.tiles),
            f"{asked.images} images": many_small(folder / "small", asked.images),
        }
        for what, images in cases.items():
            for when in ("cold", "again"):
                print(
                    f"{what}   {when}   {measure(images, folder / f'{images.name}-{when}', folder)}"
                )


def measure(images: Path, here: Path, cache: Path) -> str:
    """One PLAN: seconds, peak memory and what it wrote."""
    here.mkdir()
    params = {"input": str(images), "outdir": str(here / "out"), "model": "nuclei"}
    params |= {"weights_dir": str(cache / "weights"), "tile_size": 256}
    context = json.dumps({"params": params, "launch_dir": str(here)})
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TILEWRIGHT_HOME": str(cache / "home")}
    env.pop("TILEWRIGHT_WEIGHTS", None)
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "tilewright.steps.plan"], stdin=subprocess.PIPE, cwd=here, env=env
    )
    assert child.stdin is not None  # noqa: S101  # asked for above
    child.stdin.write(context.encode())
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit("PLAN failed; its message is above.")
    plan = json.loads((here / "plan.json").read_text())
    written = sum(f.stat().st_size for f in here.rglob("*") if f.is_file()) / 1e6
    groups = len(list((here / "groups").iterdir()))
    memory = usage.ru_maxrss / 1024
    jobs = len(plan["jobs"])
    return f"{seconds:.1f}   {memory:.0f}   {plan['tiles']}   {jobs}   {groups}   {written:.1f}"


def one_big(folder: Path, tiles: int) -> Path:
    """An OME-Zarr of so many tiles of the model `nuclei`; nothing of it but its header is there."""
    spec = Registry.load().choose("nuclei").spec(256)
    across, stride = math.ceil(math.sqrt(tiles)), round(spec.tile_spec.stride("y"))
    side = 256 + (across - 1) * stride
    group = zarr.open_group(folder / "big.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(side, side), chunks=(512, 512), dtype="uint8")
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    multiscales = [{"axes": axes, "datasets": datasets, "name": "image"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return folder


def many_small(folder: Path, count: int) -> Path:
    """Small grey TIFFs, each another."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (SIDE, SIDE), np.uint8)
        tifffile.imwrite(folder / f"{number:06d}.tif", pixels)
    return folder


if __name__ == "__main__":
    main()
