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
        some = slice(at, at + ROWS)
        found = {name: np.asarray(column[some]) for name, column in table.columns.items()}
        yield _with_x(table, found, np.asarray(table.x[some]))


def columns(table: Table, rows: Array) -> dict[str, Array]:
    """Some rows of a table of objects, as `parts` gives them.

    Parameters
    ----------
    table
        A store's.
    rows
        Their numbers.
    """
    found = {name: table.values(name, rows) for name in table.columns}
    return _with_x(table, found, table.values("X", rows))


def _with_x(table: Table, found: dict[str, Array], x: Array) -> dict[str, Array]:
    found |= {name: x[:, i] for i, name in enumerate(table.variables)}
    return found | {name: np.full(len(x), text, object) for name, text in table.said.items()}
