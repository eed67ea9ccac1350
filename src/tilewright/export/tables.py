"""A store's table in parts of some rows, as columns of numbers and texts, for columnar files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .store import Table

Array = np.ndarray[Any, Any]
ROWS = 1 << 16
"""Of a part."""


def parts(table: Table) -> Iterator[dict[str, Array]]:
    """All rows, some at a time.

    Yields
    ------
        By name a column of numbers each, then those of X, then what a sheet says, as text.
    """
    for at in range(0, max(1, len(table)), ROWS):
        yield columns(table, np.arange(at, min(at + ROWS, len(table))))


def columns(table: Table, rows: Array) -> dict[str, Array]:
    """Some rows of a table.

    Parameters
    ----------
    table
        A store's.
    rows
        Their numbers, ascending.
    """
    found = {name: table.values(name, rows) for name in table.columns}
    x = table.values("X", rows)
    found |= {name: x[:, i] for i, name in enumerate(table.variables)}
    said = {name: text for name, text in table.said.items() if name != "region"}
    return found | {name: np.full(len(rows), text, object) for name, text in said.items()}
