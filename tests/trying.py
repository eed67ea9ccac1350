"""One model on one small picture: PLAN, PREDICT and MERGE as the pipeline has them, no Nextflow.

Its real weights, environment, script and worker; a model's environment is built if it isn't there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import anndata
import numpy as np
import tifffile
from running import discs, level0, pieces

from tilewright.environments import interpreters
from tilewright.merge.write.stores import merge_group
from tilewright.plan.plan import make_plan
from tilewright.registry.registry import Registry
from tilewright.steps.predict import predict
from tilewright.weights import weights

Array = np.ndarray[Any, Any]


def labels_of(model: str, folder: Path) -> tuple[Array, Array]:
    """The labels a model gives, and those of the bright discs it was shown."""
    store, picture, task = store_of(model, folder)
    return level0(store, f"labels/{task}"), pieces(picture)


def map_of(model: str, folder: Path) -> tuple[Array, Array]:
    """The map a model gives, (class, Y, X), and the labels of the discs it was shown."""
    store, picture, task = store_of(model, folder)
    return level0(store, f"maps/{task}"), pieces(picture)


def vectors_of(model: str, folder: Path) -> Array:
    """The vectors a model gives, (tiles, D)."""
    store, _, task = store_of(model, folder)
    return np.asarray(anndata.read_zarr(store / "tables" / task).X)


def store_of(model: str, folder: Path) -> tuple[Path, Array, str]:
    """The store of a picture of bright discs, the picture (Y, X) and the task."""
    choice = Registry.load().choose(model)
    spec = choice.spec()
    tile = spec.tile_spec
    sides = [96 if tile.variable_input else tile.pixels(tile.size, axis) for axis in "yx"]
    picture = discs((sides[0], sides[1]), value=200)
    image = folder / "picture.tif"
    if spec.color_space == "MULTI" and spec.num_channels > 1:
        shown = np.stack([picture] * spec.num_channels)
        tifffile.imwrite(image, shown, ome=True, metadata={"axes": "CYX"})
    else:
        tifffile.imwrite(image, picture)
    envs, kept = places(choice.manifest.environment_name, folder), folder / "weights"
    given: dict[str, Any] = {"input": str(image), "model": model, "outdir": str(folder / "out")}
    given |= {"env_root": str(envs), "weights_dir": str(kept)}
    if tile.resolution is not None and tile.resolution.target_mpp is not None:
        given["mpp"] = tile.resolution.target_mpp
    made = make_plan(given, folder)
    sha = weights.fetch(choice, kept)
    (job,), (group,) = made.jobs, made.groups
    there = {"TILEWRIGHT_ENVS": str(envs), "TILEWRIGHT_WEIGHTS": str(kept)}
    with mock.patch.dict(os.environ, there):
        predict(job, made.recipe, sha, folder / "job.bank")
    merge_group(group, made.recipe, [folder / "job.bank"], folder / "out", folder / "shown")
    (store,) = (folder / "out").glob("*/*.zarr")
    return store, picture, choice.task_name


def places(environment: str, folder: Path) -> Path:
    """The folder of environments; `base` is the tests' own."""
    if environment != "base":
        return interpreters.build(environment).parent
    (folder / "envs").mkdir()
    (folder / "envs" / "base").symlink_to(sys.prefix)
    return folder / "envs"
