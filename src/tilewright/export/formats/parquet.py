"""A store's table as Parquet, some rows at a time. Runs in the environment `export`."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet

from tilewright.contract.files import atomic
from tilewright.export.store import Result
from tilewright.export.tables import parts


def write(store: Path, path: Path) -> None:
    """Write a store's table: numbers as they are, and what a sheet says as text."""
    table = Result(store).table
    if table is None:
        raise ValueError(f"{store} has no table")
    with atomic(path) as part:
        writer = None
        try:
            for columns in parts(table):
                batch = pyarrow.table(columns)
                writer = writer or pyarrow.parquet.ParquetWriter(part, batch.schema)
                writer.write_table(batch)
        finally:
            if writer:
                writer.close()
