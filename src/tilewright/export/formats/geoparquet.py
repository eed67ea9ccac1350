"""Outlines and table as GeoParquet, a block of objects at a time. Runs in `export`.

References
----------
GeoParquet 1.0.0, https://geoparquet.org/releases/v1.0.0: geometries as WKB, here without a
coordinate reference system, since they are pixels.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import shapely

from tilewright.contract.files import atomic
from tilewright.export.outlines import Outlines
from tilewright.export.shapes import shapes
from tilewright.export.store import Result
from tilewright.export.tables import columns

Array = np.ndarray[Any, Any]
GEO = {
    "version": "1.0.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": [], "crs": None}},
}


def write(store: Path, path: Path) -> None:
    """Write a row for each object of a plane, in level-0 pixels; of classes ``class``, t and z."""
    result = Result(store)
    none = np.zeros(0, np.int64)
    schema = _batch(result, none, none, none, np.zeros(0, object)).schema
    schema = schema.with_metadata({"geo": json.dumps(GEO)})
    with atomic(path) as part, pyarrow.parquet.ParquetWriter(part, schema) as writer:
        for some, found in shapes(result, result.place.at):
            writer.write_table(_rows(result, some, found).cast(schema))


def _rows(result: Result, some: Outlines, found: Array) -> Any:
    t, z = (np.full(len(some), n, np.int64) for n in (some.t, some.z))
    return _batch(result, some.labels.astype(np.int64), t, z, found)


def _batch(result: Result, labels: Array, t: Array, z: Array, found: Array) -> Any:
    """Columns of a row each: the table's, the plane's where it has none, and the geometry."""
    table, said = result.table, dict[str, Array]()
    if table is not None:
        said = columns(table, table.rows(labels))
    else:
        said["class"] = labels
    planes = {"t": t, "z": z}
    said |= {a: planes[a] for a in result.axes if a in planes and a not in said}
    geometry = pyarrow.array(shapely.to_wkb(found).tolist(), pyarrow.binary())
    words = [name for name, values in said.items() if values.dtype == object]
    texts = {name: pyarrow.array(said[name], pyarrow.string()) for name in words}
    return pyarrow.table({**said, **texts, "geometry": geometry})
