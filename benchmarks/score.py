"""How long it takes to score a large image by a truth, and how much memory.

    ./tilewright bench score [--side 16384]

Draws touching cells as labels in an OME-Zarr store, and as truth the same shifted by two pixels in
a tiled TIFF; scores one by the other in a process of its own. Prints objects, seconds of the core
and the most memory, less what the libraries take.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import zarr
from drawn import Array, Lattice

from tilewright import __version__
from tilewright.scoring.score import score_run

SHARD = 2048
TILE = 512


def main() -> None:
    """Draw, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.score:
        print(json.dumps(measured(args.score)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(folder, args.side)
        words = [sys.executable, __file__, "--score", str(folder)]
        told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    print(f"{args.side} x {args.side} px", *(f"{k} {v}" for k, v in json.loads(told).items()))


def measured(folder: Path) -> dict[str, object]:
    """What scoring a drawn run takes."""
    before = most_memory()
    begun = time.process_time()
    total = score_run(folder, folder / "truth").total
    seconds = time.process_time() - begun
    memory = (most_memory() - before) / 1024
    found = {"true": total.true, "found": total.found, "F1": total.f1}
    return {**found, "core s": round(seconds, 1), "MB": round(memory)}


def most_memory() -> int:
    """The most memory this process has had, in KiB; what `getrusage` says is a parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(s for s in status.splitlines() if s.startswith("VmHWM:")).split()[1])


def draw(folder: Path, side: int) -> None:
    """A run of one image, and its truth."""
    cells = Lattice((side, side))
    group = zarr.create_group(folder / "a" / "n.zarr" / "labels" / "nuclei")
    array = group.create_array(
        "0", shape=(side, side), dtype="u4", chunks=(TILE, TILE), shards=(SHARD, SHARD)
    )
    for top in range(0, side, SHARD):
        rows = min(SHARD, side - top)
        array[top : top + rows] = cells.draw(((top, top + rows), (0, side)))
    scale = {"type": "scale", "scale": [1.0, 1.0]}
    axes = [{"name": a, "type": "space"} for a in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "image-label": {},
    }
    said = {"image": {"id": "a", "region": None}, "merge": {"link_z": "none"}}
    zarr.open_group(folder / "a" / "n.zarr", mode="a").attrs["tilewright"] = said
    image = {"id": "a", "path": "a.tif", "store": "a/n.zarr", "axes": "YX", "mask": None}
    run = {"tilewright": __version__, "recipe": "", "result": "labels", "model": {"task": "nuclei"}}
    run["launch_dir"] = str(folder)
    run["images"] = [{**image, "shape": [side, side], "model_shape": [side, side]}]
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "truth").mkdir()
    tifffile.imwrite(
        folder / "truth" / "a.tif", tiles(cells, side), shape=(side, side), dtype="u4",
        tile=(TILE, TILE), compression="zlib", bigtiff=True,
    )  # fmt: skip


def tiles(cells: Lattice, side: int) -> Iterator[Array]:
    """The truth's tiles: the cells two pixels further down and to the right."""
    for top in range(0, side, TILE):
        low = max(0, top - 2)
        strip = cells.draw(((low, top + TILE - 2), (0, side))).astype(np.uint32)
        strip = np.pad(strip, ((TILE - len(strip), 0), (2, 0)))[:, :side]
        for left in range(0, side, TILE):
            yield np.ascontiguousarray(strip[:, left : left + TILE])


if __name__ == "__main__":
    main()
