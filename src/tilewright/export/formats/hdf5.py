"""Embeddings as HDF5 in the layout of tools for whole slides: `features`, `coords`, attributes.

Runs in the environment `export`. Names and units are those of TRIDENT's and CLAM's files.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tilewright.contract.files import atomic
from tilewright.errors import TilewrightError
from tilewright.export.store import Result, Table

STEP = 1 << 24  # numbers of vectors at once


def write(store: Path, path: Path) -> None:
    """Write a table of tiles: vectors, and where each begins at level 0.

    Raises
    ------
    TilewrightError
        When tiles are of several planes, for which the layout has no place.
    """
    result = Result(store)
    table = result.table
    if table is None:
        raise ValueError(f"{store} has no table")
    several = [name for name in ("t", "z", "depth") if name in table.columns]
    if several:
        raise TilewrightError(
            f"{store}: its tiles are of several planes ({', '.join(several)}), and this HDF5 "
            "layout has one of a slide.",
            fix="Export it as parquet, or as spatialdata.",
        )
    with atomic(path) as part, h5py.File(part, "w", track_order=True) as file:
        _fill(file, result, table)


def _fill(file: Any, result: Result, table: Table) -> None:
    rows, width = table.x.shape
    some = max(1, STEP // max(1, width))
    chunks = (max(1, min(rows, 1024)), width) if rows and width else None
    features = file.create_dataset("features", (rows, width), np.float32, chunks=chunks)
    coords = file.create_dataset("coords", (rows, 2), np.int64)
    for at in range(0, rows, some):
        here = slice(at, min(rows, at + some))
        features[here] = table.x[here]
        places = [np.asarray(table.columns[name][here]) for name in ("x_px", "y_px")]
        coords[here] = np.round(np.stack(places, axis=1))
    for name, value in attributes(result, table).items():
        coords.attrs[name] = value
    features.attrs["name"] = result.image_id


def attributes(result: Result, table: Table) -> dict[str, Any]:
    """What `coords` says of tiles and of the slide, as far as its store does.

    Magnifications are 10 µm over the pixel size; stores of 0.1.0 don't say the slide's own size.

    Parameters
    ----------
    result, table
        The store and its tiles.
    """
    recipe = result.facts.get("recipe", {})
    spec = recipe.get("spec", {}).get("tile_spec", {})
    sides = np.asarray(table.columns["width_px"][:]) if len(table) else np.zeros(1)
    side0 = float(np.max(sides))
    size = int((spec.get("size") or {}).get("x") or round(side0))
    band = spec.get("overlap") or spec.get("band") or {}
    found: dict[str, Any] = {
        "patch_size": size,
        "patch_size_level0": round(side0),
        "overlap": int((band or {}).get("x", 0)) if isinstance(band, dict) else 0,
        "name": result.image_id,
    }
    sides = result.facts["image"].get("size_px")
    if sides:
        found["level0_height"], found["level0_width"] = map(int, sides)
    mpp = result.facts["image"].get("mpp")
    if mpp:
        found["level0_mpp"] = float(mpp[1])
        found["level0_magnification"] = float(round(10 / mpp[1], 3))
        found["target_magnification"] = float(round(10 / mpp[1] * size / max(side0, 1), 3))
    return found
