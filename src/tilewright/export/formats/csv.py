"""A store's table as CSV: a row per object, or per tile; as in the run's own table of objects."""

from __future__ import annotations

from pathlib import Path

from tilewright.export.store import Result
from tilewright.stores.csv_rows import write_csv


def write(store: Path, path: Path) -> None:
    """Write one image's table, with units in its header; rows are read some at a time.

    Raises
    ------
    TilewrightError
        65, when the store can't be read; 69, when the file can't be written.
    """
    result = Result(store)
    if result.written is None:
        raise ValueError(f"{store} has no table")
    write_csv(path, result.image_id, result.written)
