"""Does a tiled run equal the untiled one, and how far does a network look? Both are measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import zarr

from tilewright.contract.jobs import Group, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.contract.words import counted
from tilewright.errors import TilewrightError
from tilewright.merge.write.stores import merge_group
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader

from . import samples
from .compare import same_objects
from .trial_run import TrialRun

Array = np.ndarray[Any, Any]
MAPPED = ("run_onnx.py", "run_torchscript.py")  # scripts that give maps, whatever becomes of them
OFFSETS = ((0, 0), (1, 0), (3, 5))  # px, so that several phases of a network's strides are tried
SEED = 0
TILES = 2  # strides that the picture is longer than a tile: 3 x 3 tiles


def tiled_and_whole(trial: TrialRun) -> tuple[str, str]:
    """Whether tiles of a picture, merged, give what the whole picture gives.

    Returns
    -------
        What differs, or ``""``; and what was compared, or why nothing was.
    """
    spec, task = trial.spec, "everything"
    if spec.tile_spec.whole or not spec.tile_spec.variable_input:
        size = "whole images" if spec.tile_spec.whole else "one size of tile"
        return "", f"tiled against untiled: not compared, since the model takes {size}"
    small = _small(spec)
    picture = samples.pictures(small, more=TILES)["a"]
    extent = _extent(picture, small)
    picture = picture[: extent[-2], : extent[-1]]
    whole = _sized(small, extent, spec.tile_spec.stride_multiple)
    shape = " x ".join(map(str, extent))
    if spec.output_kind == "embedding":
        return "", "tiled against untiled: an embedding is of its tile"
    if spec.output_kind == "map":
        problem, count = _maps(trial, picture, extent, small, whole)
    else:
        with TemporaryDirectory() as folder:
            here, depth = Path(folder), extent[0]
            tiled, count = _merged(trial, small, picture, depth, task, here / "tiled")
            untiled, _ = _merged(trial, whole, picture, depth, task, here / "whole")
        problem = _difference(tiled, untiled)
    return (
        problem,
        f"tiled against untiled: {counted(count, 'tile')} of {shape} px, {problem or 'equal'}",
    )


def _difference(tiled: Array, untiled: Array) -> str:
    if same_objects(tiled, untiled):
        return ""
    pixels = int(((tiled > 0) != (untiled > 0)).sum())
    there = counted(int(tiled.max()), "object")
    return f"{pixels} px of foreground differ, {there} and {untiled.max()} untiled"


def _small(spec: ModelSpec) -> ModelSpec:
    """The smallest tiles that its margins leave a core of, a whole number of strides."""
    tile = samples.reading(spec).tile_spec
    margin = {a: 2 * tile.margin(a) for a in tile.axes}
    step, across = tile.stride_multiple, max(margin["y"], margin["x"])
    size = {"y": across + max(32, step), "x": across + max(32, step)}
    if "z" in tile.axes:
        size["z"] = margin["z"] + max(4, step)
    size = {a: -(-int(n) // step) * step for a, n in size.items()}
    return replace(spec, tile_spec=replace(samples.reading(spec).tile_spec, size=size))


def _extent(picture: Array, spec: ModelSpec) -> tuple[int, ...]:
    """What of a picture is looked at: all of it; as a volume, 3 x 3 x 3 tiles."""
    tile = spec.tile_spec
    if "z" not in tile.axes:
        return len(picture), len(picture[0])
    return tuple(int(tile.size[a] + TILES * tile.stride(a)) for a in "zyx")


def _sized(spec: ModelSpec, shape: tuple[int, ...], step: int) -> ModelSpec:
    """The same with one tile for a picture of `shape`."""
    side = -(-max(shape) // step) * step
    size = dict.fromkeys(spec.tile_spec.axes, side)
    return replace(spec, tile_spec=replace(spec.tile_spec, size=size))


def _maps(
    trial: TrialRun, picture: Array, extent: tuple[int, ...], small: ModelSpec, whole: ModelSpec
) -> tuple[str, int]:
    """Each tile's valid region against the same pixels of the whole picture's map."""
    with samples.reader(picture, whole, extent[0]) as made:
        untiled = _ask(trial, made.read(0, made.grid.tile(0).window))
    worst, count = 0.0, 0
    with samples.reader(picture, small, extent[0]) as made:
        for tile in made.grid:
            found = _ask(trial, made.read(0, tile.window))
            inside = tuple(
                slice(lo - start, hi - start)
                for (lo, hi), (start, _) in zip(tile.valid, tile.window, strict=True)
            )
            there = tuple(slice(*pair) for pair in tile.valid)
            gap = np.abs(found[(slice(None), *inside)] - untiled[(slice(None), *there)])
            worst, count = max(worst, float(gap.max(initial=0))), count + 1
    return (f"a value differs by {worst:.3g}" if worst else ""), count


def _ask(trial: TrialRun, tile: Array) -> Array:
    answer = trial.ask(tile[None])
    if answer.results is None:
        raise TilewrightError(answer.error, fix="Mend the script.")
    return np.asarray(answer.results[0])


def _merged(
    trial: TrialRun, spec: ModelSpec, picture: Array, depth: int, task: str, folder: Path
) -> tuple[Array, int]:
    """Labels of a picture, through the worker and the merge, and its number of tiles."""
    folder.mkdir()
    ref = samples.reference(picture, spec, folder, depth)
    with TileReader(ref, spec) as reader:
        count = len(reader.grid)
    recipe = Recipe.trial(spec, trial.params)
    job = Job("trial", 0, (ref,), ((ref.key, 0, count),))
    run_job(job, recipe, folder / "bank", start=trial.start, weights="")
    group = Group("trial", 1, MergeOptions.of(spec, 0.25), "trial.zarr", task, False)
    merge_group(group, recipe, [folder / "bank"], folder / "out", folder / "shown")
    (result,) = json.loads((folder / "shown" / "merged.json").read_text())["images"]
    if "why" in result:
        raise TilewrightError(result["why"], fix="Mend the script.")
    found: Any = zarr.open_group(folder / "out" / ref.id / "trial.zarr", mode="r")
    return np.asarray(found[f"labels/{task}/0"][...]), count


def receptive_field(trial: TrialRun) -> tuple[int, str] | None:
    """How far a pixel of the input changes what comes out, in px, and how it was measured.

    One pixel of noise is made brighter; the farthest output that changes is looked for. Of labels,
    which may hide a change, it is the least it can be. None where it can't be measured.
    """
    declared, tile = trial.spec.receptive_field or 0, trial.reading.tile_spec
    maps = trial.spec.output_kind == "map" or trial.script.name in MAPPED
    if trial.spec.output_kind == "embedding" or "z" in tile.axes:
        return None
    side = int(tile.size["y"])
    if tile.variable_input:
        side = 2 * declared + 8 * max(8, tile.stride_multiple)
        side = -(-side // tile.stride_multiple) * tile.stride_multiple
    fields = {"output_kind": "map", "classes": None} if maps else {}
    like = trial.tiles["a"]
    noise = np.random.default_rng(SEED).normal(like.mean(), like.std(), (len(like), side, side))
    flat = np.full_like(noise, like.mean())  # where noise is all foreground, or all background
    with trial.start(**fields) as model:
        found = [
            _reach(model, base.astype(np.float32), 5 * float(like.std()), offset)
            for base in ((noise,) if maps else (noise, flat))
            for offset in OFFSETS
        ]
    return max(found), "by its maps" if maps else "by its labels, at least"


def _reach(model: Any, tile: Array, brighter: float, offset: tuple[int, int]) -> int:
    """Farthest output, in px along an axis, that one pixel changes."""
    at = np.array([tile.shape[-1] // 2 + o for o in offset])
    before = model.predict(tile[None])
    tile[..., at[0], at[1]] += brighter
    after = model.predict(tile[None])
    changed = (before > 0) != (after > 0) if before.ndim == 3 else (before != after).any(1)
    where = np.argwhere(changed[0]) * (tile.shape[-1] // changed.shape[-1])
    return int(np.abs(where - at).max(initial=0))
