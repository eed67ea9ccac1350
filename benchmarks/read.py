"""What it takes to read tiles, in core milliseconds, by this checkout and by another one.

    ./tilewright bench read [--base DIR] [--pairs 7] [--side 2048]

Tiles of 224 x 224 px with their overlap, as a model of RGB or grey takes them (float32, scaled):
of a TIFF of JPEG tiles, one of zlib strips, a plain one, an OME-Zarr of zstd chunks, a PNG.
*region* is `Image.read` alone. Each file is read in a process of its own, by the checkouts in
turns; a figure is the median of the pairs, by the time the core took.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zarr
from skimage.data import immunohistochemistry

ROOT = Path(__file__).resolve().parents[1]
TILE, STEP = 224, 200


def part(name: str, *modules: str) -> Any:
    """What a checkout calls so, in the first of some modules that it has: 0.1 had others."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"tilewright.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"{name} is in none of {', '.join(modules)}.")


open_image = part("open_image", "images.image", "images")
TileReader = part("TileReader", "preprocess.reader", "preprocess")
ImageRef = part("ImageRef", "contract.jobs", "jobs")
ModelSpec, TileSpec = (part(n, "contract.spec", "spec") for n in ("ModelSpec", "TileSpec"))


def main() -> None:
    """Write the files, read them in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout to compare with")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # of the processes below
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(measured(asked.here.parent, asked.here.name)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, write in FILES.items():
            write(folder / file, asked.side)
        compare(folder, asked.base, asked.pairs)


def compare(folder: Path, base: Path | None, pairs: int) -> None:
    """A row a file: core ms a tile and a region, and the other checkout's over ours."""
    roots = [ROOT] if base is None else [base.resolve(), ROOT]
    runs: dict[Path, list[dict[str, list[float]]]] = {root: [] for root in roots}
    for number in range(pairs):
        for root in roots if number % 2 else reversed(roots):
            runs[root].append(apart(root, folder))
    print("file | tile, ms | region, ms" + (" | base: tile | region | tile, ours/base | region"))
    for name in FILES:
        ours, *other = (
            [statistics.median(r[name][i] for r in runs[root]) for i in (0, 1)]
            for root in reversed(roots)
        )
        shares = [
            statistics.median(
                a[name][i] / b[name][i] for a, b in zip(runs[ROOT], runs[roots[0]], strict=True)
            )
            for i in (0, 1)
        ]
        figures = [*ours, *(v for o in other for v in o), *(shares if other else [])]
        print(name, *(f"{v:.3f}" for v in figures), sep=" | ", flush=True)


def apart(root: Path, folder: Path) -> dict[str, list[float]]:
    """What a checkout measures, each file in a process of its own."""
    env, found = {**os.environ, "PYTHONPATH": str(root / "src")}, {}
    for name in FILES:
        command = [sys.executable, str(Path(__file__).resolve()), "--here", str(folder / name)]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
    return found


def measured(folder: Path, name: str) -> list[float]:
    """Core ms a tile as the model sees it, and a region as the file has it."""
    path = folder / name
    with open_image(path) as image:
        shape, axes, dtype = image.shape, image.axes, str(image.dtype)
        colour = image.size("C") == 3
        places = list(windows(image.size("Y"), image.size("X")))
        region = timed(lambda: [image.read(0, {"Y": slice(*y), "X": slice(*x)}) for y, x in places])
    spec = ModelSpec(
        "bench", "1", TileSpec({"y": TILE, "x": TILE}), color_space="RGB" if colour else "GRAY",
        num_channels=3 if colour else 1, input_range=(0, 1), mean=(0.5,) * (3 if colour else 1),
        std=(0.25,) * (3 if colour else 1), output_kind="embedding", embedding_dim=3,
    )  # fmt: skip
    ref = ImageRef(
        key="i000", id="a", path=str(path), fingerprint="", axes=axes, shape=shape, dtype=dtype,
        channels=(0, 1, 2) if colour else (0,),
    )  # fmt: skip
    with TileReader(ref, spec) as reader:
        tile = timed(lambda: [reader.read(0, window) for window in places])
    return [1000 * tile / len(places), 1000 * region / len(places)]


def timed(work: Callable[[], Any]) -> float:
    """Core seconds of what is done once; a collection of all garbage would fall on one of them."""
    gc.collect()
    gc.disable()
    try:
        begun = time.process_time()
        work()
        return time.process_time() - begun
    finally:
        gc.enable()


def windows(height: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Rows and columns of tiles that overlap."""
    for y in range(0, height - TILE + 1, STEP):
        for x in range(0, width - TILE + 1, STEP):
            yield (y, y + TILE), (x, x + TILE)


def tissue(side: int) -> Any:
    """A square of tissue, (y, x, 3) uint8."""
    picture = immunohistochemistry()
    times = -(-side // len(picture))
    return np.ascontiguousarray(np.tile(picture, (times, times, 1))[:side, :side])


def jpeg_tiles(path: Path, side: int) -> None:
    """As slide scanners write them."""
    tifffile.imwrite(
        path, tissue(side), tile=(256, 256), photometric="rgb", compression="jpeg",
        compressionargs={"level": 85},
    )  # fmt: skip


def zlib_strips(path: Path, side: int) -> None:
    """16 bits of grey in strips."""
    grey = tissue(side)[..., 0].astype(np.uint16) * 100
    tifffile.imwrite(path, grey, rowsperstrip=64, compression="zlib", predictor=True)


def plain(path: Path, side: int) -> None:
    """8 bits of RGB as they are."""
    tifffile.imwrite(path, tissue(side), photometric="rgb")


def zstd_chunks(path: Path, side: int) -> None:
    """OME-Zarr 0.5, a channel a chunk."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array("0", shape=(3, side, side), chunks=(1, 512, 512), dtype="uint8")
    array[...] = np.moveaxis(tissue(side), -1, 0)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def png(path: Path, side: int) -> None:
    """8 bits of RGB, decoded once."""
    path.write_bytes(imagecodecs.png_encode(tissue(side), level=1))


FILES: dict[str, Callable[[Path, int], None]] = {
    "jpeg-tiles.tif": jpeg_tiles, "zlib-strips.tif": zlib_strips, "plain.tif": plain,
    "zstd-chunks.zarr": zstd_chunks, "rgb.png": png,
}  # fmt: skip

if __name__ == "__main__":
    main()
