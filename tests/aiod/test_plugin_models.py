"""napari's AI OnDemand plugin, unmodified, starts models in their own environments."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from plugin import desk
from zoo import runs
from zoo.cases import CASES, Case

pytestmark = pytest.mark.slow
MODELS = {
    # what a user chooses: task, model, version; and the case whose made weights are there
    "cellpose": (("Cytoplasm", "Cellpose", "cyto3"), CASES["cellpose"]),
    "cellposesam": (("Cytoplasm", "Cellpose-SAM", "cpsam"), CASES["cellposesam"]),
}
SIDE = 230  # px: a single patch of either


def place(root: Path, case: Case, weights: Path) -> None:
    """Let the plugin's manifest name the made weights."""
    path = root / "manifests" / "aiod" / f"{case.model}.json"
    manifest = json.loads(path.read_text())
    for task in manifest["versions"][case.version]["tasks"].values():
        task["locations"] = [{"location": str(weights)}]
    path.write_text(json.dumps(manifest))


def by_library(case: Case, weights: Path, pixels: Any, folder: Path) -> Any:
    """The library's labels of a picture that is scaled by its own percentiles."""
    low, high = np.percentile(pixels, (1, 99))
    tile = np.zeros((runs.spec_of(case).num_channels, *pixels.shape), np.float32)
    tile[0] = (pixels.astype(np.float32) - low) / (high - low)
    return runs.by_library(dataclasses.replace(case, params={}), weights, tile, folder)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_the_plugin_starts_finds_what_its_library_does(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (task, model, version), case = MODELS[name]
    python = runs.python_of(case)
    weights = runs.made_weights(case, tmp_path_factory.mktemp(name))
    machine = desk(tmp_path, tmp_path / "cache", lambda root: place(root, case, weights))
    (tmp_path / "cache" / "envs" / name).symlink_to(python.parents[1])  # as administrators do
    picture = dataclasses.replace(case, shape=(SIDE, SIDE)).picture
    tifffile.imwrite(tmp_path / "cells.tif", picture)
    (facts,) = machine.session(
        tmp_path / "work",
        ("open", {"images": [str(tmp_path / "cells.tif")]}),
        ("choose", {"task": task, "model": model, "version": version}),
        ("settings", {}),
        ("run", {"keep": "found", "seconds": 800}),
    )
    said = (tmp_path / "work" / "terminal.txt").read_text()[-3000:]
    assert (facts["ended"], facts["slots"]) == ("finished", []), said
    found = np.squeeze(np.load(tmp_path / "work" / "found-0.npy"))
    wanted = by_library(case, weights, picture, tmp_path)
    assert wanted.max() >= 10
    assert runs.average_precision(found, wanted) >= 0.99
