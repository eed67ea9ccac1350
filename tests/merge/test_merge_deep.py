"""Tiles along z, too: a model of volumes, from its banks to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from banking import cut, merge_all, write_banks
from inprocess import written
from oracle import dense_cells, same_objects
from running import level0
from test_merge_components import whole

from tilewright.contract.grid import Grid, Tile
from tilewright.contract.spec import ModelSpec, TileSpec

Array = np.ndarray[Any, Any]
TILES = TileSpec(
    {"z": 24, "y": 48, "x": 40},
    band={"z": 6, "y": 8, "x": 8},
    context={"z": 1, "y": 2, "x": 2},
    pad="edge",
)
SHAPE = (40, 90, 70)


def spec(kind: str, **merge: Any) -> ModelSpec:
    return ModelSpec("deep", "1", TILES, axes="CZYX", output_kind=kind, merge=merge)  # type: ignore[arg-type]


def merged(folder: Path, truth: Array, spec: ModelSpec) -> Path:
    """The store of a stack of volumes (t, z, y, x) that a perfect model saw."""
    pixels = (truth % 251).astype(np.uint8)
    ref = written(folder, pixels if len(truth) > 1 else pixels[0], "TZYX"[len(truth) == 1 :])
    banks = write_banks(folder / "banks", [ref], spec, cut(truth))
    return merge_all(banks, folder / "out", spec, save_image=True) / "a" / "p.zarr"


@pytest.mark.parametrize("times", [1, 2])
def test_cells_of_a_volume_are_whole(tmp_path: Path, times: int) -> None:
    truth = np.stack([dense_cells(SHAPE, 5, seed) for seed in range(times)])
    store = merged(tmp_path, truth, spec("labels"))
    found = level0(store, "labels/everything").reshape(truth.shape)
    ids = [0, *(int(t.max()) for t in found)]
    for t in range(times):
        assert same_objects(found[t], truth[t])
        assert set(np.unique(found[t][found[t] > 0])) == set(range(ids[t] + 1, ids[t + 1] + 1))


def test_components_of_a_volume_are_those_of_the_whole(tmp_path: Path) -> None:
    classes = dense_cells(SHAPE, 4, 1) % 3
    store = merged(tmp_path, classes[None], spec("labels", policy="components", connectivity=3))
    assert same_objects(level0(store, "labels/everything"), whole(classes, 3))


def test_classes_of_a_volume_are_kept(tmp_path: Path) -> None:
    classes = dense_cells(SHAPE, 4, 2) % 5
    store = merged(tmp_path, classes[None], spec("labels", policy="keep"))
    np.testing.assert_array_equal(level0(store, "labels/everything"), classes)


@pytest.mark.parametrize("policy", ["core", "blend"])
def test_maps_of_a_volume_that_tiles_agree_on_are_it(tmp_path: Path, policy: str) -> None:
    values = np.random.default_rng(0).random((2, *SHAPE), np.float32)
    ref = written(tmp_path, (values[0] * 255).astype(np.uint8), "ZYX")

    def seen(_: str, __: int, ___: Grid, tile: Tile) -> Array:
        return values[(slice(None), *(slice(a, b) for a, b in tile.window))]

    made = spec("map", policy=policy)
    banks = write_banks(tmp_path / "banks", [ref], made, seen)
    store = merge_all(banks, tmp_path / "out", made) / "a" / "p.zarr"
    found = level0(store, "maps/everything")
    if policy == "core":
        np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(found, values, rtol=1e-5)
