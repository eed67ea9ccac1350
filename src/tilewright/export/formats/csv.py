"""A store's table as CSV: a row per object, or per tile; as in the run's own table of objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from tilewright.errors import TilewrightError
from tilewright.stores.anndata_reader import read_table
from tilewright.stores.csv_rows import write_csv


def write(store: Path, path: Path) -> None:
    """Write one image's table, with units in its header; rows are read some at a time.

    Parameters
    ----------
    store
        MERGE's, of this release or an earlier one.
    path
        The file, replaced at one stroke.

    Raises
    ------
    TilewrightError
        65, when the store has no table or can't be read; 69, when the file can't be written.
    """
    try:
        root: Any = zarr.open_group(store, mode="r")
        (task,) = root["tables"].group_keys()
        image, table = str(root.attrs["tilewright"]["image"]["id"]), read_table(root, task)
    except (KeyError, OSError, ValueError) as error:
        raise TilewrightError(
            f"{store}: has no table of Tilewright's ({type(error).__name__}: {error}).",
            fix="Give a store of labels or embeddings; a map has no rows.",
        ) from error
    write_csv(path, image, table)
