"""Banks without a model: what each tile would have found is cut out of a known array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.grid import Grid, Tile
from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import Notes, header
from tilewright.preprocess.reader import TileReader
from tilewright.tile_results.bank import BankWriter
from tilewright.tile_results.banker import Banker, Work

Array = np.ndarray[Any, Any]
Seen = Callable[[str, int, Grid, Tile], Array]
"""What a model gives for a tile's window: of an image (its key), a plane, a grid and a tile."""


def recipe_of(spec: ModelSpec) -> Recipe:
    """A recipe of nothing but a spec."""
    return Recipe.trial(spec)


def write_banks(
    folder: Path, refs: Sequence[ImageRef], spec: ModelSpec, seen: Seen, jobs: int = 3
) -> list[Path]:
    """All tiles of the images, by so many jobs of about as many tiles each."""
    folder.mkdir(exist_ok=True)
    counts = []
    for ref in refs:
        with TileReader(ref, spec) as reader:
            counts.append(len(reader.planes) * len(reader.grid))
    cuts = [sum(counts) * n // jobs for n in range(jobs + 1)]
    banks = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        parts, before = [], 0
        for ref, count in zip(refs, counts, strict=True):
            start, stop = max(0, first - before), min(count, last - before)
            if start < stop:
                parts.append((ref.key, start, stop))
            before += count
        banks.append(folder / f"{number}.bank")
        _write_bank(banks[-1], Job("group", number, tuple(refs), tuple(parts)), spec, seen)
    return banks


def _write_bank(path: Path, job: Job, spec: ModelSpec, seen: Seen) -> None:
    images = {ref.key: ref for ref in job.images}
    with BankWriter(path) as bank:
        banker = Banker(bank, spec)
        for key, start, stop in job.parts:
            with TileReader(images[key], spec) as reader:
                for number in range(start, stop):
                    plane, index = divmod(number, len(reader.grid))
                    tile = reader.grid.tile(index)
                    result = seen(key, plane, reader.grid, tile)
                    pixels = np.broadcast_to(np.float32(0), (1, *window(tile)))
                    work = Work(key, plane, reader.grid, tile, pixels, None)
                    banker.put(work, result)
        banker.close()
        about = header(job, recipe_of(spec), "w", Notes())
        bank.close({**about, "map": banker.map, "classes": banker.classes})


def window(tile: Tile) -> tuple[int, ...]:
    """The shape of what a tile reads."""
    return tuple(b - a for a, b in tile.window)


def cut(truth: Array) -> Seen:
    """A perfect model of one image: labels of the window; its first axis are planes."""

    def seen(_: str, plane: int, __: Grid, tile: Tile) -> Array:
        return np.array(truth[plane][tuple(slice(a, b) for a, b in tile.window)])

    return seen


def merge_all(
    banks: Sequence[Path],
    out: Path,
    spec: ModelSpec,
    save_image: bool = False,
    processes: int | None = None,
    **merge: Any,
) -> Path:
    """Merge banks into stores below `out`; what the report shows goes into ``.shown``."""
    options = MergeOptions(
        **{"min_iou": 0.25, **(spec.merge or {}), **merge, "policy": spec.policy}
    )
    group = Group("group", len(banks), options, "p.zarr", "everything", save_image)
    merge_group(group, recipe_of(spec), list(banks), out, out / ".shown", processes)
    return out
