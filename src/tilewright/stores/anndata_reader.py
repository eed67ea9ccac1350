"""A written table as `anndata.Table` has it: columns are read when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from .anndata import Rows, Table

Array = np.ndarray


class ChunkRows:
    """A written column: its chunk that was read last is kept, since rows are asked for in turn.

    Parameters
    ----------
    array
        (n,) or (n, v) numbers.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array, self._rows = array, max(1, array.chunks[0])
        self._at, self._held = -1, np.zeros((0, *array.shape[1:]), array.dtype)
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)

    def __getitem__(self, rows: slice) -> Array:
        start, stop, _ = rows.indices(self.shape[0])
        if start >= stop:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        chunks = range(start // self._rows, -(-stop // self._rows))
        parts = [
            self._chunk(n)[max(0, start - n * self._rows) : stop - n * self._rows] for n in chunks
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _chunk(self, number: int) -> Array:
        if number != self._at:
            first = number * self._rows
            self._at, self._held = number, np.asarray(self._array[first : first + self._rows])
        return self._held


def read_table(root: zarr.Group, name: str) -> Table:
    """A store's table of objects or of tiles, of this release or an earlier one.

    Parameters
    ----------
    root
        The store's.
    name
        Of ``tables/<name>``.

    Returns
    -------
        Its columns are the store's arrays; `columns` and `notes` are left empty.

    Raises
    ------
    KeyError
        When there is no such table.
    """
    group: Any = root[f"tables/{name}"]
    obs: dict[str, Rows] = {}
    said: dict[str, str] = {}
    for column in group["obs"].attrs["column-order"]:
        held = group[f"obs/{column}"]
        if isinstance(held, zarr.Array):
            obs[column] = ChunkRows(held)
        elif column != "region":  # one text for all rows
            texts = np.asarray(held["categories"][:])
            said[column] = str(texts[0]) if len(texts) else ""
    var = tuple(str(text) for text in np.asarray(group["var/_index"][:]))
    return Table(obs, ChunkRows(group["X"]), var, ChunkRows(group["obsm/spatial"]), said=said)
