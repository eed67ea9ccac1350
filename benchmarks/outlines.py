"""What it takes to write outlines as GeoJSON, and whether they are right.

    ./tilewright bench outlines [--objects 100000 1000000] [--labels DIR] [--no_peer]

Draws a store of as many nuclei, side by side: of real label images where `--labels` names a folder
of them (files that end in ``labels.tif``), else of touching cells that are drawn. Each way runs in
a process of its own and writes the same features: ours from the store, streamed; the peer,
rasterio's ``features.shapes``, polygon by polygon over the labels read whole, where 10^5 is enough.
Prints core seconds, the peak of memory, and what shapely finds: how many are valid, and whether
each has the area of its pixels.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tilewright.environments import interpreters
from tilewright.export.formats import geojson
from tilewright.merge.measure.tables import Measure
from tilewright.stores.ome_zarr import StoreWriter

Array = np.ndarray[Any, Any]
CELL, SIDE = 256, 12_288  # px: a picture's, and a row's of pictures
PEER_MOST = 200_000


def main() -> None:
    """Draw the stores, export each in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000])
    parser.add_argument("--labels", type=Path, help="a folder of label images")
    parser.add_argument("--no_peer", action="store_true")
    parser.add_argument("--way", nargs=3, help=argparse.SUPPRESS)  # of the processes below
    asked = parser.parse_args()
    if importlib.util.find_spec("shapely") is None:  # the judge and the peer are test tools
        python = str(interpreters.build("test") / "bin" / "python")
        os.execv(python, [python, *sys.argv])  # noqa: S606  # this program again
    if asked.way:
        name, store, path = asked.way
        WAYS[name](Path(store), Path(path))
        print(json.dumps([time.process_time(), peak()]))
        return
    print("objects | way | core s | peak memory, MB | file, MB | features | valid | area is pixels")
    for objects in asked.objects:
        with tempfile.TemporaryDirectory() as folder:
            store = draw(Path(folder) / "a.zarr", objects, asked.labels)
            for name in WAYS:
                if name == "ours" or (objects <= PEER_MOST and not asked.no_peer):
                    print(row(name, store, Path(folder) / f"{name}.geojson"), flush=True)


def pictures(folder: Path | None) -> list[Array]:
    """Label images of `CELL` pixels a side at most."""
    if folder is None:
        return [drawn(seed) for seed in range(8)]
    found = [tifffile.imread(path) for path in sorted(folder.rglob("*labels.tif"))]
    return [picture[:CELL, :CELL] for picture in found if picture.ndim == 2]


def drawn(seed: int) -> Array:
    """Cells that touch: each pixel is that of the nearest of some 120 points, or nobody's."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, CELL, (120, 2))
    y, x = np.mgrid[:CELL, :CELL]
    far = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    return np.where(far.min(-1) < 11, far.argmin(-1) + 1, 0)


def draw(path: Path, objects: int, folder: Path | None) -> Path:
    """A store of so many objects or a few more: whole rows of pictures."""
    made = [np.unique(p, return_inverse=True)[1].reshape(p.shape) for p in pictures(folder)]
    made = [p if (p == 0).any() else p + 1 for p in made]
    counts = np.array([int(p.max()) for p in made])
    across = SIDE // CELL
    needed = objects // int(counts.mean()) + len(made) + across
    last = np.cumsum(np.resize(counts, needed))  # of each picture's objects
    rows = int(np.searchsorted(last, objects)) // across + 1
    measure = Measure(int(last[rows * across - 1]), channels=1)
    with StoreWriter(path) as writer:
        shape = (rows * CELL, SIDE)
        pyramid = writer.pyramid("labels/nuclei", shape, np.uint32, axes="yx", method="nearest")
        for box in pyramid.blocks():
            block = region(made, last - np.resize(counts, needed), box)
            pyramid.write(box, block)
            image = (block % 251).astype(np.uint8)[None]
            measure.include(measure.part(block, image, [s.start for s in box]))
        pyramid.build()
        writer.table("nuclei", measure.table())
        writer.finish({"version": "0", "recipe": {}, "image": {"id": "a", "region": None}})
    return path


def region(made: list[Array], before: Array, box: tuple[slice, ...]) -> Array:
    """A box of the whole, each object with a number of its own; its ends are those of pictures."""
    y, x = box
    found = np.zeros((y.stop - y.start, x.stop - x.start), np.uint32)
    for row, column in np.ndindex(found.shape[0] // CELL, found.shape[1] // CELL):
        number = (y.start // CELL + row) * (SIDE // CELL) + x.start // CELL + column
        one = made[number % len(made)]
        top, left = row * CELL, column * CELL
        here = found[top : top + one.shape[0], left : left + one.shape[1]]
        here[...] = np.where(one > 0, one + int(before[number]), 0)
    return found


def peer(store: Path, path: Path) -> None:
    """The same by rasterio, of the labels read whole; a feature for each piece."""
    from rasterio.features import shapes

    labels: Any = zarr.open_group(store, mode="r")["labels/nuclei/0"]
    pixels = labels[:].astype(np.int32)
    with path.open("w") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for n, (geometry, value) in enumerate(shapes(pixels, pixels > 0, connectivity=4)):
            said = {"objectType": "detection", "name": str(int(value))}
            feature = {"type": "Feature", "geometry": geometry, "properties": said}
            file.write(("," if n else "") + json.dumps(feature))
        file.write("]}")


def peak() -> int:
    """The most bytes of memory of this process; what `getrusage` says is also its parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(w for w in status.splitlines() if w.startswith("VmHWM")).split()[1])


WAYS: dict[str, Callable[[Path, Path], None]] = {"ours": geojson.write, "rasterio": peer}


def row(name: str, store: Path, path: Path) -> str:
    """One way's line."""
    words = [sys.executable, __file__, "--way", name, str(store), str(path)]
    ran = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    core, memory = json.loads(ran.stdout)
    count, valid, right = judged(path, store)
    objects = zarr.open_group(store, mode="r")["tables/nuclei/obs/id"].shape[0]
    figures = f"{core:.1f} | {memory / 1e6:.0f} | {path.stat().st_size / 1e6:.0f}"
    return f"{objects:,} | {name} | {figures} | {count:,} | {valid:,} | {right}"


def judged(path: Path, store: Path) -> tuple[int, int, str]:
    """Features, how many shapely finds valid, and whether areas are those of the table."""
    import shapely

    table: Any = zarr.open_group(store, mode="r")["tables/nuclei/obs"]
    wanted = np.zeros(int(table["id"][-1]) + 1)
    wanted[table["id"][:]] = table["area_px"][:]
    count = valid = 0
    area = np.zeros(len(wanted))
    for features in batches(path):
        found = shapely.from_geojson([json.dumps(f["geometry"]) for f in features])
        names = [int(f["properties"]["name"]) for f in features]
        np.add.at(area, names, shapely.area(found))
        count += len(features)
        valid += int(shapely.is_valid(found).sum())
    return count, valid, "all" if np.array_equal(area, wanted) else "no"


def batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Features, some at a time: of ours a line each, of others all at once."""
    with path.open(encoding="utf-8") as file:
        if file.readline().rstrip().endswith("["):
            held = []
            for line in file:
                if line.startswith("{"):
                    held.append(json.loads(line.rstrip().rstrip(",")))
                if len(held) == 10_000:
                    yield held
                    held = []
            yield held
            return
    yield json.loads(path.read_text())["features"]


if __name__ == "__main__":
    main()
