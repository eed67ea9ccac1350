"""Whether MERGE keeps pace with the disk, and how much memory it takes.

    ./tilewright bench scale [--cases 4k 16k 64k crowd 512 512x1024 1024x4096] [--processes 2]

Banks a scene of known objects tile by tile, never holding the image, and runs MERGE over it: labels
with all levels, table, seam figures and pictures. Beside it, in the same run and with as many
processes, the same labels are written as a sharded array and nothing else, with and without the
levels above. Prints objects found and drawn, seconds by the clock and of the cores (which other
work on the machine doesn't change), MB/s of raw level-0 pixels, and the peak of memory of all
processes together. The image is one colour and takes no space: reading a real one would come on
top. `--peers ngio elf …` runs peers' own code on the same tiles, unpacked, and scores it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from drawn import Array, Lattice
from drawn.watched import child_cores, watched
from seams import rules
from seams.job import Job as Tiles

from tilewright.contract.canonical import save
from tilewright.contract.grid import Grid, Tile, grid
from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.predict.worker import Notes, header
from tilewright.stores.ome_zarr import StoreWriter
from tilewright.stores.pyramid import Handle
from tilewright.tile_results.bank import Bank, BankWriter, strip_name, tile_name
from tilewright.tile_results.objects import prepare
from tilewright.tile_results.strips import Strips

TASK = "cells"
JOB_TILES = 64
STRIP = 512  # rows that are scored at once


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
    "crowd": Case((32768, 32768), 16, 1024, 24),
    "512": Case((512, 512, 512), 11, 256, 16),
    "512x1024": Case((512, 1024, 1024), 18, 320, 32),
    "1024x4096": Case((1024, 4096, 4096), 26, 320, 32),
}


def main() -> None:
    """Draw, merge and write each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["4k", "512"])
    parser.add_argument("--peers", nargs="+", default=[], help="rules of bench seams, to compare")
    parser.add_argument("--wobble", type=float, default=0.06, help="how tiles differ: of a radius")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where banks and stores go, for a while")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plain:
        store, out, levels = asked.plain
        print(json.dumps(plain(Path(store), Path(out), int(levels), asked.processes)))
        return
    for name in asked.cases:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            measure(name, Path(folder), asked)


def measure(name: str, folder: Path, asked: argparse.Namespace) -> None:
    """Bank, merge and write one case, and print its rows."""
    case, begun = CASES[name], time.perf_counter()
    drawn = bank(case, folder, asked.wobble, asked.processes)
    print(f"{name}: banked in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    names = ("group.json", "recipe.json", "banks", "stores", "shown")
    os.environ["TILEWRIGHT_CPUS"] = str(asked.processes)
    merged = watched(["-m", "tilewright.steps.merge", *(str(folder / n) for n in names)])
    store = folder / "stores" / "scene" / "scale.zarr"
    about = zarr.open_group(store, mode="r").attrs["tilewright"]
    labels = zarr.open_array(store / "labels" / TASK / "0", mode="r")
    raw, packed = labels.nbytes / 1e6, megabytes(store / "labels")
    print(f"{name} {case.shape}, {len(case.grid)} tiles, {labels.dtype}: {drawn} objects drawn, ")
    print(f"  {about['objects']} found, SBE {about['sbe']}; {raw:.0f} MB, on disk {packed:.0f} MB")
    row("MERGE", labels, merged.seconds, merged.cpu, merged.peak)
    for kind, levels in (("plain, level 0", "1"), ("plain, all levels", "0")):
        words = [__file__, "--plain", str(store), str(folder / "plain.zarr"), levels]
        written = watched([*words, "--processes", str(asked.processes)])
        took = json.loads(written.said)
        row(kind, labels, took["seconds"], took["cpu"], written.peak)
    if asked.peers:
        compare(asked.peers, case, folder, labels)


def row(kind: str, labels: zarr.Array[Any], seconds: float, cpu: float, peak: float) -> None:
    """Print one way of writing labels."""
    mega, giga = labels.nbytes / 1e6, labels.size / 1e9
    print(
        f"  {kind:20} {seconds:8.1f} s {seconds / giga:7.1f} s/Gpx {cpu / giga:7.1f} core s/Gpx "
        f"{mega / seconds:7.1f} MB/s {peak:6.0f} MB peak",
        flush=True,
    )


# --- banks ----------------------------------------------------------------------------------------


def bank(case: Case, folder: Path, wobble: float, processes: int) -> int:
    """Write an empty image and what MERGE reads; how many objects are in the scene."""
    axes = "zyx"[-len(case.shape) :]
    with StoreWriter(folder / "image.zarr") as writer:
        writer.pyramid("", case.shape, np.uint8, axes=axes, method="mean", levels=1)
        writer.finish({})
    ref = ImageRef(
        "i000", "scene", str(folder / "image.zarr"), "", axes.upper(), case.shape, "uint8"
    )
    recipe = Recipe.trial(case.spec)
    firsts = range(0, len(case.grid), JOB_TILES)
    jobs = [
        Job("scale", n, (ref,), ((ref.key, first, min(first + JOB_TILES, len(case.grid))),))
        for n, first in enumerate(firsts)
    ]
    merge = MergeOptions("match", 0.25)
    save(folder / "group.json", Group("scale", len(jobs), merge, "scale.zarr", TASK, False))
    save(folder / "recipe.json", recipe)
    (folder / "banks").mkdir()
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(partial(bank_job, case, wobble, recipe, folder / "banks"), jobs)
        return len(np.unique(np.concatenate(list(found))))


def bank_job(case: Case, wobble: float, recipe: Recipe, folder: Path, job: Job) -> Any:
    """Bank a job's tiles, whose objects have numbers of their own; which objects there are."""
    found = []
    ((key, start, stop),) = job.parts
    with BankWriter(folder / f"{job.job:05d}.bank") as writer:
        for index in range(start, stop):
            tile = case.grid.tile(index)
            labels, owners = case.scene.seen(tile.window, index, wobble)
            labels, objects = prepare(labels, tile, case.grid)
            writer.put_strips(tile_name(key, 0, index, "labels"), labels)
            writer.put(tile_name(key, 0, index, "objects"), objects)
            found.append(owners[owners > 0])
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
    costs: list[tuple[float, float]] = []
    with StoreWriter(out) as writer, ProcessPoolExecutor(processes) as pool:
        pyramid = writer.pyramid(
            "", source.shape, source.dtype, axes=axes, method="nearest", deep=source.ndim == 3,
            levels=levels or None,
        )  # fmt: skip
        writes = partial(write_block, source.store_path.store.root / source.path, pyramid.handle())
        costs += pool.map(writes, pyramid.blocks())
        pyramid.build(lambda make, boxes: costs.extend(pool.map(partial(cost, make), boxes)) or ())
    seconds, cpu = np.sum(costs, axis=0)
    return {"seconds": seconds / processes, "cpu": cpu}


def write_block(source: Path, handle: Handle, box: tuple[slice, ...]) -> tuple[float, float]:
    """Read a block, then write it; what the writing cost."""
    pixels = np.asarray(zarr.open_array(source, mode="r")[box])
    return cost(partial(handle.write, box), pixels)


def cost(function: Callable[[Any], None], given: Any) -> tuple[float, float]:
    """Seconds of a call by the clock and of the core."""
    start, core = time.perf_counter(), time.process_time()
    function(given)
    return time.perf_counter() - start, time.process_time() - core


def megabytes(folder: Path) -> float:
    """Of all files in it."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


# --- peers ----------------------------------------------------------------------------------------


def compare(peers: list[str], case: Case, folder: Path, labels: zarr.Array[Any]) -> None:
    """Run peers' rules on the same tiles, unpacked on disk; MERGE had to unpack them."""
    banks = [Bank(p) for p in sorted((folder / "banks").iterdir())]
    tiles = (
        banked_labels(bank, case.grid.tile(index))
        for bank in banks
        for _, first, stop in bank.header["parts"]
        for index in range(first, stop)
    )
    Tiles.write(folder / "job", case.grid, tiles)
    made: dict[str, Any] = {"MERGE": labels}
    for name in peers:
        cores = child_cores()
        outcome = rules.run(name, [folder / "job"], 7200)[0]
        title = f"{rules.RULES[name].title} {outcome.version or ''}"
        if outcome.labels is None:
            print(f"  {title}: {outcome.error}", flush=True)
            continue
        made[title] = np.load(outcome.labels, mmap_mode="r")
        print(
            f"  {title}: {outcome.seconds:.1f} s, {child_cores() - cores:.1f} core s with its "
            f"imports, {outcome.peak_mb:.0f} MB",
            flush=True,
        )
    for title, value in zip(made, precisions(case.scene, list(made.values())), strict=True):
        print(f"  {title}: AP {value:.4f}", flush=True)


def banked_labels(bank: Bank, tile: Tile) -> Array:
    """A tile's labels on its valid region."""
    name = tile_name("i000", 0, tile.index, "labels")
    shape = tuple(stop - start for start, stop in tile.valid)
    return np.asarray(Strips(shape, lambda strip: bank.get(strip_name(name, strip))))


def precisions(scene: Lattice, images: list[Any]) -> list[float]:
    """Average precision at IoU > 0.5 of label images, read strip by strip.

    It is found / (found + missed + invented).
    """
    rest = tuple((0, n) for n in scene.shape[1:])
    runs: list[list[tuple[Array, Array]]] = [[] for _ in images]
    for first in range(0, scene.shape[0], STRIP):
        last = min(first + STRIP, scene.shape[0])
        truth = scene.draw(((first, last), *rest)) << 32
        for mine, labels in zip(runs, images, strict=True):
            mine.append(_counted((truth + np.asarray(labels[first:last], np.int64)).ravel()))
    return [_precision(mine) for mine in runs]


def _counted(pixels: Array) -> tuple[Array, Array]:
    """Each value and how many pixels have it; runs of one value are taken at once."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(pixels)) + 1])
    values, inverse = np.unique(pixels[starts], return_inverse=True)
    return values, np.bincount(inverse, np.diff(starts, append=len(pixels)))


def _precision(strips: list[tuple[Array, Array]]) -> float:
    """Of pairs (object drawn << 32 | object found) and the pixels they share, strip by strip."""
    pairs, inverse = np.unique(np.concatenate([v for v, _ in strips]), return_inverse=True)
    shared = np.bincount(inverse, np.concatenate([n for _, n in strips]))
    drawn, found = pairs >> 32, pairs & 0xFFFFFFFF
    t, p = (np.unique(ids, return_inverse=True)[1] for ids in (drawn, found))
    iou = shared / (np.bincount(t, shared)[t] + np.bincount(p, shared)[p] - shared)
    hits = np.count_nonzero((drawn > 0) & (found > 0) & (iou > 0.5))
    objects = len(np.unique(drawn[drawn > 0])) + len(np.unique(found[found > 0]))
    return hits / (objects - hits)


if __name__ == "__main__":
    main()
