"""What the run's table of objects costs, and what `--features` do, per object.

    ./tilewright bench tables [--rows 10000000] [--case 4k]

Writes parts of a table of so many objects, ten images' with the columns of a run in µm and three
channels, as MERGE does, and joins them as TABLES does, each in a process of its own: seconds of the
core and by the clock (of parts with the start of ten processes), the peak of memory, and MB. Then
MERGE of a scene of `bench scale` with each of `--features`, by one process: what an object costs is
the core's time beyond that of `basic`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from drawn.watched import Watched, watched
from scale import CASES, TASK, bank

from tilewright.merge.measure.tables import Measure
from tilewright.stores.anndata import Computed
from tilewright.stores.csv_parts import gather, join, write_part
from tilewright.stores.ome_zarr import Placement

IMAGES = 10
CHANNELS = ("DAPI", "CD3", "CD8")


def main() -> None:
    """Measure tables, then features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--case", choices=CASES, default="4k")
    parser.add_argument("--folder", type=Path, help="where files go, for a while")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--join", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write(Path(asked.write[0]), int(asked.write[1]))
    elif asked.join:
        join(sorted(Path(asked.join[0]).glob("*.objects")), Path(asked.join[1]))
    else:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            tables(Path(folder), asked.rows)
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            features(Path(folder), asked.case)


def tables(folder: Path, rows: int) -> None:
    """Write parts, and join them."""
    here = str(Path(__file__))
    out = folder / "out"
    out.mkdir()
    size = rows // IMAGES
    names = [str(folder / f"{n}.objects") for n in range(IMAGES)]
    written = [watched([here, "--write", name, str(size)]) for name in names]
    parts = sum(p.stat().st_size for p in folder.glob("*.objects")) / 1e6
    told("parts", rows, parts, written)
    joined = watched([here, "--join", str(folder), str(out)])
    told("joined", rows, (out / "objects.csv").stat().st_size / 1e6, [joined])


def told(what: str, rows: int, size: float, ran: list[Watched]) -> None:
    """Print what was written."""
    seconds, cpu = sum(r.seconds for r in ran), sum(r.cpu for r in ran)
    peak = max(r.peak for r in ran)
    print(
        f"{what}: {rows:,} rows, {size:,.0f} MB, {seconds:.1f} s, {cpu:.1f} core s "
        f"({1e6 * cpu / rows:.1f} us a row), {peak:.0f} MB peak",
        flush=True,
    )


def write(path: Path, rows: int) -> None:
    """Write a part of some objects that nobody looked for: what is held of them is an image's."""
    measure = Measure(rows, channels=len(CHANNELS), dtype=np.uint16, side=100_000)
    rng = np.random.default_rng(rows)
    measure._area[1:] = rng.integers(50, 2000, rows)
    measure._sums[1:] = measure._area[1:, None] * rng.integers(0, 100_000, (rows, 2))
    measure._light[1:] = measure._area[1:, None] * rng.integers(0, 60_000, (rows, 3))
    measure._plane[1:] = 0
    agreement = np.ones(rows + 1, np.float32)
    table = measure.table(Placement(mpp=(0.5, 0.5)), CHANNELS, agreement)
    assert isinstance(table.x, Computed)  # noqa: S101
    part = path.with_suffix(".rows")
    write_part(part, path.stem, table)
    gather([part], path)


def features(folder: Path, name: str) -> None:
    """Merge a scene with each of `--features`."""
    bank(CASES[name], folder, 0.06, 2)
    names = ("group.json", "recipe.json", "banks", "stores", "shown")
    os.environ["TILEWRIGHT_CPUS"] = "1"
    group = json.loads((folder / "group.json").read_text())
    base = 0.0
    for kind in ("basic", "shape", "all"):
        group["merge"]["features"] = kind
        (folder / "group.json").write_text(json.dumps(group))
        begun = time.perf_counter()
        ran = watched(["-m", "tilewright.steps.merge", *(str(folder / n) for n in names)])
        store = zarr.open_group(folder / "stores" / "scene" / "scale.zarr", mode="r")
        count = int(store[f"tables/{TASK}/X"].shape[0])
        base = base or ran.cpu
        more, took = 1e3 * (ran.cpu - base) / count, time.perf_counter() - begun
        print(
            f"{kind}: {count:,} objects, {took:.1f} s, {ran.cpu:.1f} core s, {more:.3f} core ms an "
            f"object more, {ran.peak:.0f} MB peak",
            flush=True,
        )


if __name__ == "__main__":
    main()
