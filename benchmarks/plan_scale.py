"""How long PLAN takes for much: an image of a million tiles, ten thousand small ones, slides.

    ./tilewright bench plan_scale [--tiles 1000000] [--images 10000] [--slides 1000]

PLAN runs as its task does, in a process of its own. *cold* is the first time: headers are read.
*again* is the next run: they are remembered by their fingerprints. Limits: 10 s for the big image,
60 s cold and 15 s again for the small ones, 30 s cold for the slides, 1 GB of memory. 0 leaves a
case out. Slides are Aperio's of 80,000 x 60,000 px in five levels, whose 79,000 places of tiles are
in their headers; the tiles themselves are all one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import zarr

from tilewright import ROOT
from tilewright.registry.registry import Registry

SIDE = 64  # px of a small image
SLIDE = (60_000, 80_000)  # px of a slide
LEVELS = 5  # of it, each a quarter as fine
TILE = 256  # px of its tiles
Params = dict[str, object]
NUCLEI: Params = {"model": "nuclei", "tile_size": 256}
EMBEDDINGS: Params = {"model": "h0mini"}


def main() -> None:
    """Make the images, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--slides", type=int, default=1000)
    asked = parser.parse_args()
    print("input   time   seconds   CPU s   memory, MB   tiles   jobs   groups   plan's files, MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases: list[tuple[str, int, Callable[[Path, int], Path], Params]] = [
            (f"an image of {asked.tiles} tiles", asked.tiles, one_big, NUCLEI),
            (f"{asked.images} images", asked.images, many_small, NUCLEI),
            (f"{asked.slides} slides", asked.slides, slides, EMBEDDINGS),
        ]
        for number, (what, count, make, params) in enumerate(cases):
            if not count:
                continue
            images = make(folder / f"case{number}", count)
            for when in ("cold", "again"):
                told = measure(images, folder / f"{images.name}-{when}", folder, params)
                print(f"{what}   {when}   {told}", flush=True)
            shutil.rmtree(images)


def measure(images: Path, here: Path, cache: Path, chosen: Params) -> str:
    """One PLAN: seconds, those of its CPU, peak memory and what it wrote."""
    here.mkdir()
    params = {"input": str(images), "outdir": str(here / "out"), **chosen}
    params |= {"weights_dir": str(cache / "weights")}
    context = json.dumps(
        {"params": params, "launch_dir": str(here), "work_dir": str(here / "work")}
    )
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
    busy = usage.ru_utime + usage.ru_stime
    took = f"{seconds:.1f}   {busy:.1f}   {memory:.0f}"
    return f"{took}   {plan['tiles']}   {jobs}   {groups}   {written:.1f}"


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


def slides(folder: Path, count: int) -> Path:
    """Aperio's slides, each with a name of its own."""
    folder.mkdir(parents=True)
    first = folder / "slide-0000.svs"
    tile = imagecodecs.jpeg8_encode(np.full((TILE, TILE, 3), 240, np.uint8))
    about = f"Aperio Image Library v12.0\r\n{SLIDE[1]}x{SLIDE[0]}|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(first, bigtiff=True) as file:
        for level in range(LEVELS):
            shape = tuple(side // 4**level for side in SLIDE)
            tiles = math.prod(math.ceil(side / TILE) for side in shape)
            file.write(
                itertools.repeat(b"", tiles),
                shape=(*shape, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                description=about,
                metadata=None,
            )
    _fill(first, tile)
    for number in range(1, count):
        shutil.copyfile(first, folder / f"slide-{number:04d}.svs")
    return folder


def _fill(path: Path, tile: bytes) -> None:
    """Put a tile at the end of a TIFF, and let all places of tiles be its place."""
    with path.open("r+b") as file, tifffile.TiffFile(path) as tiff:
        end = file.seek(0, 2)
        file.write(tile)
        for page in tiff.pages:
            for name, value in (("TileOffsets", end), ("TileByteCounts", len(tile))):
                tag = page.tags[name]
                width = tag.valuebytecount // tag.count
                file.seek(tag.valueoffset)
                file.write(np.full(tag.count, value, f"<u{width}").tobytes())


if __name__ == "__main__":
    main()
