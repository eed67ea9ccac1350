"""A store's table as CSV: a row per object or tile."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tilewright.contract.files import atomic

from .store import Result

STEP = 1 << 16  # rows at once


def write(store: Path, path: Path) -> None:
    """Write a store's table.

    Parameters
    ----------
    store
        With a table.
    path
        The file; it appears when it is whole.

    Raises
    ------
    TilewrightError
        When the store can't be read.
    """
    table = Result(store).table
    if table is None:
        raise ValueError(f"{store} has no table")
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*table.columns, *table.variables])
        for at in range(0, len(table), STEP):
            here = np.arange(at, min(at + STEP, len(table)))
            columns = [table.values(name, here).tolist() for name in table.columns]
            x = table.values("X", here)
            rows.writerows(zip(*columns, *x.T.tolist(), strict=True))
