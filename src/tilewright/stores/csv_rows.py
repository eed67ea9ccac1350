"""Tables as CSV: units in the header, numbers rounded, text that no spreadsheet runs.

UTF-8 with a byte order mark, without which Excel takes ``µ`` for two letters; commas and line
feeds. Of some rows at a time the text is in memory.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tilewright.contract.files import atomic, unwritable

from .anndata import Rows, Table
from .columns import heading

Array = np.ndarray
OF_SHEET = " (sheet)"
"""Ends the name of a sheet's column that is called as a measured one, ``mean_DAPI``."""
ENCODING = "utf-8-sig"
"""What reads our files; Python writes UTF-8 twice as fast, and the mark by itself."""
BOM = "\N{BOM}"
SPREADSHEET_ROWS = 1_048_575
"""What Excel and LibreOffice show below a header."""
SOME = 1 << 14  # rows whose text is made at once
DIGITS = {True: "%.7g", False: "%.10g"}
"""Significant digits of 32 bits, and of more: 1e-5 px in a slide of 200,000."""
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
RUNS = re.compile(r"'*[=+\-@\t\r]")
"""How text begins that a spreadsheet would compute, and text that was kept from it."""


def escaped(text: str) -> str:
    """Text as a cell that no spreadsheet computes: ``'=1+1``; a number stays one.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{text}" if RUNS.match(text) and not NUMBER.fullmatch(text) else text


def unescaped(cell: str) -> str:
    """The inverse of `escaped`."""
    return cell[1:] if cell.startswith("'") and RUNS.match(cell) else cell


def record(cells: Iterable[str]) -> str:
    """Texts as one line of CSV, escaped, without its end."""
    text = io.StringIO()
    # Before Python 3.13 a cell's line end is quoted only where it is one of the lines' own.
    csv.writer(text, lineterminator="\r\n").writerow([escaped(cell) for cell in cells])
    return text.getvalue().removesuffix("\r\n")


def names_of(table: Table) -> list[str]:
    """A table's columns of numbers: of `obs`, then of `x`."""
    return [*table.obs, *table.var]


def header(said: Sequence[str], names: Sequence[str]) -> str:
    """The header of a table of objects or tiles.

    Parameters
    ----------
    said
        The sheet's own columns; one called as what is measured gets another name.
    names
        The table's.
    """
    measured = [heading(name) for name in names]
    own = [f"{name}{OF_SHEET}" if name in measured else name for name in said]
    return record(["image", *own, *measured])


def lines(columns: Sequence[Rows | None], rows: int, first: str = "") -> Iterator[str]:
    """Rows of numbers as lines of CSV; what isn't a number is an empty cell.

    Parameters
    ----------
    columns
        Each (rows,), or (rows, n), which is n columns; None is a column of empty cells.
    rows
        How many there are.
    first
        Of each line, with the comma after it.
    """
    for at in range(0, rows, SOME):
        some = slice(at, min(at + SOME, rows))
        cells = [cell for column in columns for cell in _some(column, some)]
        line = first.replace("%", "%%") + ",".join(form for form, _ in cells) + "\n"
        values = [values for form, values in cells if form]
        yield from map(line.__mod__, zip(*values, strict=True))


def _some(column: Rows | None, rows: slice) -> list[tuple[str, list[object]]]:
    """How some rows of a column, or of several, are written, and they."""
    if column is None:
        return [("", [])]
    part = np.asarray(column[rows])
    return [_cells(values) for values in (part.T if part.ndim > 1 else part[None])]


def _cells(values: Array) -> tuple[str, list[object]]:
    """How each of a column's values is written, and they."""
    found = values.tolist()
    if values.dtype.kind != "f":
        return ("%d" if values.dtype.kind in "biu" else "%s"), found
    form = DIGITS[values.dtype.itemsize <= 4]
    if np.isnan(values).any():
        return "%s", ["" if value != value else form % value for value in found]
    return form, found


def write_csv(path: Path, image: str, table: Table) -> None:
    """Write one image's table, as the run's table of all images has it.

    Parameters
    ----------
    path
        Replaced at one stroke.
    image
        The image's id.
    table
        Of objects, or of tiles.

    Raises
    ------
    TilewrightError
        69, when it can't be written.
    """
    first = record([image, *table.said.values()]) + ","
    head = header(list(table.said), names_of(table))
    try:
        with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.write(f"{BOM}{head}\n")
            file.writelines(lines([*table.obs.values(), table.x], table.x.shape[0], first))
    except OSError as error:
        raise unwritable(path, error, "Make room, or choose another folder.") from error


def too_long(rows: int, most: int | None) -> list[str]:
    """A sentence about a table of objects that a spreadsheet wouldn't hold; else none.

    Parameters
    ----------
    rows
        Of all images.
    most
        How many a file of it may have, as the user says; None is any number.
    """
    longest = min(rows, most or rows)
    if longest <= SPREADSHEET_ROWS:
        return []
    return [
        f"The table of objects has {longest:,} rows in a file, and a spreadsheet shows the first "
        f"{SPREADSHEET_ROWS:,}: --table_rows {SPREADSHEET_ROWS} makes files that fit. Run again "
        "with it, which does nothing else again (plain nextflow run: with -resume), or read it "
        "with a program."
    ]
