"""A store as one that SpatialData itself opens, with outlines as shapes. Runs in `export`."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import geopandas
import numpy as np

from tilewright.contract.files import remove, take_place
from tilewright.errors import TilewrightError
from tilewright.export.elements import open_spatialdata
from tilewright.export.shapes import shapes
from tilewright.export.store import Result

Array = np.ndarray[Any, Any]


def write(store: Path, path: Path) -> None:
    """Write image, labels, outlines and table in one coordinate system, ``global``.

    Raises
    ------
    TilewrightError
        When the store has several time points, for which SpatialData has no axis.
    """
    result = Result(store)
    if result.kind == "labels" and result.sizes["t"] > 1:
        raise TilewrightError(
            f"{store}: it has {result.sizes['t']:,} time points, and SpatialData has no time axis.",
            fix="Open one of them in Python: tilewright.open_spatialdata(store, time=3).",
        )
    data = open_spatialdata(store)
    if result.kind == "labels" and not _is_deep(result):
        data.shapes[f"{result.name}_outlines"] = _outlines(result, data.labels[result.name])
    part, old = (path.with_name(f".{uuid.uuid4().hex}.part") for _ in range(2))
    try:
        data.write(part)
        take_place(part, path, old)
    finally:
        remove(part)


def _is_deep(result: Result) -> bool:
    """Whether an object may lie in several slices: shapes are flat."""
    return result.table is not None and "bbox_z0" in result.table.columns


def _outlines(result: Result, labels: Any) -> Any:
    """A polygon for each object, by its id, where its labels are."""
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import get_transformation

    found, ids, planes = [], [], []
    for some, geometries in shapes(result, lambda _axis, lattice: lattice):
        found.append(geometries)
        ids.append(some.labels)
        planes.append(np.full(len(some), some.z))
    none = np.zeros(0, np.int64)
    frame = geopandas.GeoDataFrame(
        {"z": np.concatenate([none, *planes])},
        geometry=np.concatenate([np.zeros(0, object), *found]),
        index=np.concatenate([none, *ids]).astype(np.int64),
    )
    if result.sizes["z"] == 1:
        frame = frame.drop(columns="z")
    place = get_transformation(labels, to_coordinate_system="global")
    return ShapesModel.parse(frame, transformations={"global": place})
