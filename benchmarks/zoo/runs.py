"""Models run: by their library, by our script, and by the whole pipeline, tiled and untiled."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tilewright import ROOT
from tilewright.contract.grid import grid
from tilewright.contract.spec import ModelSpec
from tilewright.environments import installers, interpreters
from tilewright.environments.interpreters import child_env
from tilewright.merge.measure.seam import SeamMeter
from tilewright.predict.model_process import ModelProcess
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.validate.compare import f1

from .cases import Case

Array = np.ndarray[Any, Any]
LIMIT = 1200  # seconds a library may take


@dataclass(frozen=True)
class Ran:
    """A run of the pipeline over one picture.

    Parameters
    ----------
    result
        Labels ``((z,) y, x)`` or a map ``(class, (z,) y, x)``.
    tiles
        How many there were.
    sbe
        Label changes across seams over those elsewhere; None without seams.
    seconds
        Of prediction, over all tiles.
    """

    result: Array
    tiles: int
    sbe: float | None
    seconds: float


def python_of(case: Case) -> Path:
    """The interpreter of a model's environment, built if it isn't there."""
    return interpreters.build(environment_of(case)) / "bin" / "python"


def environment_of(case: Case) -> str:
    """The name of a model's environment."""
    return choice_of(case).recipe(spec_of(case), {}).environment.name


def choice_of(case: Case) -> ResolvedModel:
    """The model, as the registry has it."""
    return Registry.load().choose(case.model, case.version, case.task)


def spec_of(case: Case) -> ModelSpec:
    """Its spec, of the case's variant."""
    return choice_of(case).spec(variant=case.variant)


def in_its_environment(case: Case, *words: object) -> str:
    """Call the case's maker; what it printed."""
    ran = subprocess.run(
        [str(python_of(case)), str(case.maker), *map(str, words)],
        check=False,
        timeout=LIMIT,
        capture_output=True,
        text=True,
        env={**with_uv(), "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"},
    )
    if ran.returncode:
        raise RuntimeError(f"{case.maker.name} {' '.join(map(str, words))}: {ran.stderr[-2000:]}")
    return ran.stdout


def with_uv() -> dict[str, str]:
    """The environment's variables for a maker that needs more packages: uv, and our cache."""
    env, uv = installers.clean_environ(), installers.find_tool("uv")
    folder = str(Path(uv).parent) if uv else ""
    return {**env, "PATH": os.pathsep.join(filter(None, (folder, env.get("PATH", os.defpath))))}


def made_weights(case: Case, folder: Path) -> Path:
    """The case's weights, made by its library unless they are there."""
    path = folder / case.weights
    if not path.exists():
        in_its_environment(case, "make", folder, case.weights)
    return path


def by_library(case: Case, weights: Path, tile: Array, folder: Path) -> Array:
    """What the library alone gives of a tile ``(C, (Z,) Y, X)`` that is scaled already."""
    np.save(folder / "tile.npy", tile)
    params = json.dumps(choice_of(case).values(case.params))
    in_its_environment(case, "call", weights, folder / "tile.npy", folder / "own.npy", params)
    return np.asarray(np.load(folder / "own.npy"))


def by_script(case: Case, weights: Path, tiles: Array, **spec: Any) -> Array:
    """What our script gives of tiles ``(batch, C, (Z,) Y, X)``, over the pipe."""
    with model_process(case, weights, **spec) as model:
        return np.asarray(model.predict(tiles))


def model_process(case: Case, weights: Path, **spec: Any) -> ModelProcess:
    """Our script with these weights; it starts when it is entered."""
    choice, python = choice_of(case), python_of(case)
    return ModelProcess(
        python,
        choice.script(),
        weights=str(weights),
        device="cpu",
        spec=spec_of(case).to_dict() | spec,
        params=choice.values(case.params),
        timeout=LIMIT,
        env={"OMP_NUM_THREADS": "2", **child_env(python.parents[1])},
    )


def by_pipeline(case: Case, weights: Path, folder: Path, tile: int, *more: object) -> Ran:
    """A run of the whole pipeline over the case's picture, in tiles of `tile` px.

    Parameters
    ----------
    more
        Words of the command line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    takes = spec_of(case).tile_spec
    tifffile.imwrite(folder / "picture.tif", case.picture, **_layout(case))
    (folder / "own.json").write_text(json.dumps(case.params))
    words: Sequence[object] = (
        *("run", "--input", folder / "picture.tif", "--outdir", folder / "out"),
        *("--model", case.model, "--model_type", case.version),
        *(
            "--model_config",
            folder / "own.json",
            "--manifests",
            overlay(case, weights, folder, tile),
        ),
        *(("--task", case.task) if case.task else ()),
        *(("--variant", case.variant) if case.variant else ()),
        *(("--tile_size", tile) if takes.variable_input and not takes.whole else ()),
        *(("--mpp", case.mpp) if case.mpp else ()),
        *more,
    )
    started = time.monotonic()
    ran = subprocess.run(
        [str(ROOT / "tilewright"), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr[-2000:] + ran.stdout[-2000:])
    return _read(folder / "out", time.monotonic() - started)


def overlay(case: Case, weights: Path, folder: Path, tile: int) -> Path:
    """A folder with a manifest of made weights, and of what the case says otherwise of tiles."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    choice = choice_of(case)
    tasks = {choice.task_name: {"locations": [str(weights)]}}
    said: dict[str, Any] = {"short_name": case.model, "extends": True}
    own = {} if spec_of(case).tile_spec.variable_input else {"size": {"y": tile, "x": tile}}
    own |= case.tile_spec
    if own:
        spec = {"tile_spec": own}
        said["spec"] = {"variants": {case.variant: spec}} if case.variant else spec
    versions = {choice.version_key: {"tasks": tasks}}
    (site / f"{case.model}.json").write_text(json.dumps({**said, "versions": versions}))
    return site


def average_precision(found: Array, wanted: Array) -> float:
    """TP / (TP + FP + FN) at an IoU over 0.5; 1 where neither has objects."""
    score = f1(found, wanted)
    return score / (2 - score)


def sbe_on_lines(case: Case, labels: Array) -> float | None:
    """SBE of an untiled result where tiles' seams would be: what the picture alone comes to."""
    spec = spec_of(case).tile_spec
    size = {**spec.size, "y": case.tile, "x": case.tile}
    lines = grid(replace(spec, **case.tile_spec, size=size), case.shape)
    meter = SeamMeter(lines)
    meter.include(meter.count(tuple((0, n) for n in case.shape), labels.astype(np.int64)))
    return meter.value()


def _layout(case: Case) -> dict[str, Any]:
    if case.in_colour:
        return {"photometric": "rgb"}
    axes = "ZYX"[-len(case.shape) :]
    return {"photometric": "minisblack", "imagej": len(case.shape) == 3, "metadata": {"axes": axes}}


def _read(out: Path, seconds: float) -> Ran:
    (image,) = json.loads((out / "run.json").read_text())["images"]
    (store,) = (out / image["id"]).glob("*.zarr")
    group: Any = zarr.open_group(store, mode="r")
    kind = "labels" if "labels" in group else "maps"
    (task,) = group[kind].group_keys()
    return Ran(
        np.asarray(group[f"{kind}/{task}/0"][...]), image["tiles"], image.get("sbe"), seconds
    )


def main_tile(case: Case) -> Array:
    """The whole picture as a float32 tile ``(1, C, (Z,) Y, X)``: 0 to 1, or standardised."""
    pixels = case.picture.astype(np.float32) / 255
    tile = np.moveaxis(pixels, -1, 0) if case.in_colour else pixels[None]
    spec = spec_of(case)
    if spec.color_space == "MULTI" and len(tile) < spec.num_channels:
        empty = np.zeros((spec.num_channels - len(tile), *tile.shape[1:]), tile.dtype)
        tile = np.concatenate([tile, empty])  # as the pipeline does
    if spec.mean and spec.std:
        mean, std = (np.reshape(v, (-1, *[1] * (tile.ndim - 1))) for v in (spec.mean, spec.std))
        tile = (tile - mean) / std
    if spec.normalization and spec.normalization.method == "zscore":
        tile = (tile - tile.mean()) / tile.std()
    return np.asarray(tile[None], np.float32)
