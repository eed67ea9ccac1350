"""Whether MERGE keeps pace with the disk, and how much memory it takes.

    ./tilewright bench scale [--cases 4k 16k 64k 512 1024x4096] [--processes 2]

Banks a scene of known objects tile by tile, never holding the image, and runs MERGE over it. Beside
it, in the same run and with as many processes, the same labels are written as a sharded array and
nothing else, with and without the levels above. Prints objects found and drawn, seconds, memory
(the peak of all processes together) and MB/s of raw level-0 pixels. The image is one colour and
takes no space: reading a real one would come on top.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from drawn import Lattice

from tilewright.bank import BankWriter, tile_name
from tilewright.jobs import Group, ImageRef, Job, Recipe, save
from tilewright.merge.objects import prepare
from tilewright.pyramid import Handle
from tilewright.spec import ModelSpec, TileSpec
from tilewright.store import StoreWriter
from tilewright.tiling import Grid, grid
from tilewright.worker import Notes, header

TASK = "cells"
JOB_TILES = 64
POLL = 0.05  # s between looks at the memory


@dataclass(frozen=True)
class Case:
    """A scene and how it is tiled, px; objects fit in a band."""

    shape: tuple[int, ...]
    spacing: int
    size: int
    band: int

    @property
    def scene(self) -> Lattice:
        """What is drawn."""
        return Lattice(self.shape, self.spacing)

    @property
    def spec(self) -> ModelSpec:
        """A model of such tiles."""
        axes = "zyx"[-len(self.shape) :]
        tiles = TileSpec(
            dict.fromkeys(axes, self.size),
            band=dict.fromkeys(axes, self.band),
            variable_input=True,
        )
        merge = {"policy": "match"}
        return ModelSpec("scale", "1", tiles, axes=axes.upper(), merge=merge)

    @property
    def grid(self) -> Grid:
        """Its tiles."""
        return grid(self.spec.tile_spec, self.shape)


CASES = {
    "4k": Case((4096, 4096), 24, 1024, 32),
    "16k": Case((16384, 16384), 24, 1024, 32),
    "64k": Case((65536, 65536), 64, 2048, 80),
    "512": Case((512, 512, 512), 11, 256, 16),
    "1024x4096": Case((1024, 4096, 4096), 26, 320, 32),
}


def main() -> None:
    """Draw, merge and write each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["4k", "512"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where banks and stores go, for a while")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plain:
        store, out, levels = asked.plain
        print(json.dumps(plain(Path(store), Path(out), int(levels), asked.processes)))
        return
    print("case | objects drawn, found | s | s per Gpx | MB, peak | MB/s | of plain, with levels")
    for name in asked.cases:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            measure(name, Path(folder), asked.processes)


def measure(name: str, folder: Path, processes: int) -> None:
    """Bank, merge and write one case, and print its row."""
    case = CASES[name]
    begun = time.perf_counter()
    drawn = bank(case, folder, processes)
    say(f"{name}: banked in {time.perf_counter() - begun:.0f} s")
    names = ("group.json", "recipe.json", "banks", "stores", "shown")
    words = ["-m", "tilewright.steps.merge", *(str(folder / n) for n in names)]
    merged = watched(words, processes)
    store = folder / "stores" / "scene" / "scale.zarr"
    found = zarr.open_group(store, mode="r").attrs["tilewright"]["objects"]
    labels = zarr.open_array(store / "labels" / TASK / "0", mode="r")
    shutil.rmtree(folder / "banks")
    mega, giga = labels.nbytes / 1e6, labels.size / 1e9
    rows = [("MERGE", merged.seconds, merged.peak)]
    for kind, levels in (("plain, level 0", "1"), ("plain, all levels", "0")):
        words = [__file__, "--plain", str(store), str(folder / "plain.zarr"), levels]
        written = watched([*words, "--processes", str(processes)], processes)
        rows.append((kind, json.loads(written.said)["seconds"], written.peak))
    print(f"{name} {case.shape}, {labels.dtype}: drawn {drawn}, found {found}, raw {mega:.0f} MB, ")
    print(f"on disk {megabytes(store / 'labels'):.0f} MB")
    for kind, seconds, peak in rows:
        print(
            f"  {kind:18} {seconds:8.1f} s {seconds / giga:8.1f} s/Gpx {peak:7.0f} MB peak "
            f"{mega / seconds:8.1f} MB/s {rows[1][1] / seconds:6.2f} of plain "
            f"{rows[2][1] / seconds:6.2f} of plain with levels",
            flush=True,
        )


# --- banks ----------------------------------------------------------------------------------------


def bank(case: Case, folder: Path, processes: int) -> int:
    """Write an empty image and what MERGE reads; how many objects are in the scene."""
    axes = "zyx"[-len(case.shape) :]
    with StoreWriter(folder / "image.zarr") as writer:
        writer.pyramid("", case.shape, np.uint8, axes=axes, method="mean", levels=1)
        writer.finish({})
    ref = ImageRef(
        "i000", "scene", str(folder / "image.zarr"), "", axes.upper(), case.shape, "uint8"
    )
    recipe = Recipe({}, case.spec, {}, None, {}, {}, {})
    firsts = range(0, len(case.grid), JOB_TILES)
    jobs = [
        Job("scale", n, (ref,), ((ref.key, first, min(first + JOB_TILES, len(case.grid))),))
        for n, first in enumerate(firsts)
    ]
    merge = {"policy": "match", "min_iou": 0.25}
    save(folder / "group.json", Group("scale", len(jobs), merge, "scale.zarr", TASK, False))
    save(folder / "recipe.json", recipe)
    (folder / "banks").mkdir()
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(partial(bank_job, case, recipe, folder / "banks"), jobs)
        return len(np.unique(np.concatenate(list(found))))


def bank_job(case: Case, recipe: Recipe, folder: Path, job: Job) -> Any:
    """Bank a job's tiles, whose objects have numbers of their own; which objects there are."""
    found = []
    ((key, start, stop),) = job.parts
    with BankWriter(folder / f"{job.job:05d}.bank") as writer:
        for index in range(start, stop):
            tile = case.grid.tile(index)
            ids, seen = np.unique(case.scene.draw(tile.window), return_inverse=True)
            order = np.random.default_rng(index).permutation(len(ids)) + 1
            order[ids == 0] = 0
            labels = order[seen].reshape([b - a for a, b in tile.window])
            labels, objects = prepare(labels.astype(np.int32), tile, case.grid)
            writer.put(tile_name(key, 0, index, "labels"), labels)
            writer.put(tile_name(key, 0, index, "objects"), objects)
            found.append(ids[ids > 0])
        writer.close({**header(job, recipe, "", Notes()), "map": None, "classes": {}})
    return np.unique(np.concatenate(found))


# --- what is compared -----------------------------------------------------------------------------


def plain(store: Path, out: Path, levels: int, processes: int) -> dict[str, float]:
    """Write the labels of a store once more, and nothing else; seconds, without reading them.

    Parameters
    ----------
    levels
        1 is level 0 alone, 0 all of them.
    """
    source = zarr.open_array(store / "labels" / TASK / "0", mode="r")
    axes = "zyx"[-source.ndim :]
    with StoreWriter(out) as writer, ProcessPoolExecutor(processes) as pool:
        pyramid = writer.pyramid(
            "", source.shape, source.dtype, axes=axes, method="nearest", deep=source.ndim == 3,
            levels=levels or None,
        )  # fmt: skip
        writes = partial(write_block, source.store_path.store.root / source.path, pyramid.handle())
        blocks = sum(pool.map(writes, pyramid.blocks())) / processes
        start = time.perf_counter()
        pyramid.build(pool.map)
        return {"seconds": blocks + time.perf_counter() - start}


def write_block(source: Path, handle: Handle, box: tuple[slice, ...]) -> float:
    """Read a block, then write it; seconds of the writing."""
    pixels = np.asarray(zarr.open_array(source, mode="r")[box])
    start = time.perf_counter()
    handle.write(box, pixels)
    return time.perf_counter() - start


# --- processes ------------------------------------------------------------------------------------


@dataclass
class Watched:
    """What a command said, how long it took and the most memory it and its children had, MB."""

    said: str
    seconds: float
    peak: float


def watched(words: list[str], processes: int) -> Watched:
    """Run Python and look at the memory of all its processes meanwhile."""
    env = {**os.environ, "TILEWRIGHT_CPUS": str(processes), "PYTHONPATH": os.pathsep.join(sys.path)}
    start = time.perf_counter()
    peak = 0.0
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True, env=env
    ) as run:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(run.stdout.read()))
        reader.start()
        while run.poll() is None:
            peak = max(peak, sum(resident(p) for p in family(run.pid)))
            time.sleep(POLL)
        reader.join()
    if run.returncode:
        raise SystemExit(f"{words} ended with {run.returncode}")
    return Watched(said[0], time.perf_counter() - start, peak)


def family(pid: int) -> list[int]:
    """A process and all that came of it."""
    found = [pid]
    for child in found:
        for task in Path(f"/proc/{child}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:  # ended meanwhile
                continue
    return found


def resident(pid: int) -> float:
    """A process's own share of memory, MB: pages that several have count once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def megabytes(folder: Path) -> float:
    """Of all files in it."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
