"""The run's table of objects: parts of it, an image's rows each, and how they become one.

A part is a line of JSON, which says what it is of, and numbers row by row, as numpy holds them:
text is made once, when parts become one. A group's file has its images' parts one after the other.
What is in memory is some rows, and a line per image.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from tilewright.contract import files

from .anndata import Table
from .columns import OBJECT_COLUMNS
from .csv_rows import BOM, SOME, header, lines, record

NAME = "objects"
writing = partial(files.writing, fix=files.MORE_ROOM)


@dataclass(frozen=True)
class PartHead:
    """What a part is of.

    Parameters
    ----------
    image
        The image's id.
    said
        Names and cells of what a sheet says of it besides.
    columns
        Names of the numbers, as the store's table has them, and what they are: ``<i8``.
    rows
        How many follow.
    """

    image: str
    said: dict[str, str]
    columns: list[list[str]]
    rows: int

    @property
    def dtype(self) -> np.dtype:
        """Of a row."""
        return np.dtype([(name, kind) for name, kind in self.columns])

    @property
    def bytes(self) -> int:
        """Of all rows."""
        return self.rows * self.dtype.itemsize


@dataclass(frozen=True)
class Part:
    """A part in a group's file; its first number is `at` bytes from the file's start."""

    head: PartHead
    path: Path
    at: int


@dataclass(frozen=True)
class Joined:
    """The run's table of objects.

    Parameters
    ----------
    files
        Names of its files; none where there are no objects.
    rows
        Of all of them.
    """

    files: list[str]
    rows: int


def write_part(path: Path, image: str, table: Table) -> None:
    """Write an image's rows.

    Parameters
    ----------
    path
        The part's own file.
    image
        The image's id.
    table
        Of its objects.

    Raises
    ------
    TilewrightError
        69, when it can't be written.
    """
    obs = {name: column.dtype for name, column in table.obs.items()}
    kinds = {**obs, **dict.fromkeys(table.var, table.x.dtype)}
    columns = [[name, np.dtype(kind).newbyteorder("<").str] for name, kind in kinds.items()]
    head = PartHead(image, dict(table.said), columns, len(table))
    with writing(path), path.open("wb") as file:
        file.write(json.dumps(asdict(head)).encode() + b"\n")
        for at in range(0, len(table), SOME):
            some = slice(at, min(at + SOME, len(table)))
            rows = np.empty(some.stop - at, head.dtype)
            x = np.asarray(table.x[some])
            for name, column in table.obs.items():
                rows[name] = column[some]
            for n, name in enumerate(table.var):
                rows[name] = x[:, n]
            file.write(rows.tobytes())


def gather(parts: Iterable[Path], path: Path) -> None:
    """Make some images' parts one file; they are gone then. Without any there is none.

    Parameters
    ----------
    parts
        Files of `write_part`, in the order of their images.
    path
        The file to make.

    Raises
    ------
    TilewrightError
        69, when it can't be written.
    """
    there = [part for part in parts if part.exists()]
    with writing(path):
        if len(there) == 1:
            there[0].replace(path)
        elif there:
            with path.open("wb") as whole:
                for part in there:
                    with part.open("rb") as rows:
                        shutil.copyfileobj(rows, whole, 1 << 20)
                    part.unlink()


def parts_of(paths: Iterable[Path]) -> list[Part]:
    """All parts in groups' files, in the order of their images' ids."""
    found = []
    for path in paths:
        with path.open("rb") as file:
            while line := file.readline():
                head = PartHead(**json.loads(line))
                found.append(Part(head, path, file.tell()))
                file.seek(head.bytes, 1)
    return sorted(found, key=lambda part: part.head.image)


def join(paths: Iterable[Path], out: Path, most: int | None = None) -> Joined:
    """Write the run's table of objects: one file, or as many as have `most` rows each.

    The same parts give the same bytes, in whatever files and order they are.

    Parameters
    ----------
    paths
        Groups' files.
    out
        The folder that the table is written into, as ``objects.csv``, or ``objects-1.csv`` and
        so on.
    most
        Rows of a file; None is any number.

    Raises
    ------
    TilewrightError
        69, when it can't be written.
    """
    parts = [part for part in parts_of(paths) if part.head.rows]
    rows = sum(part.head.rows for part in parts)
    if not rows:
        return Joined([], 0)
    said = list(dict.fromkeys(name for part in parts for name in part.head.said))
    names = _in_order([[name for name, _ in part.head.columns] for part in parts])
    first = header(said, names)
    count = 1 if most is None else -(-rows // most)
    made = [NAME + (f"-{n + 1}" if count > 1 else "") + ".csv" for n in range(count)]
    left = (line for part in parts for line in _lines(part, said, names))
    for name in made:
        with writing(out / name), (out / name).open("w", encoding="utf-8", newline="") as file:
            file.write(f"{BOM}{first}\n")
            file.writelines(islice(left, most))
    return Joined(made, rows)


def _in_order(tables: Sequence[Sequence[str]]) -> list[str]:
    """All columns: ours in their own order, then the others as they come."""
    found = dict.fromkeys(name for names in tables for name in names)
    ours = [name for name in OBJECT_COLUMNS if name in found]
    return [*ours, *(name for name in found if name not in OBJECT_COLUMNS)]


def _lines(part: Part, said: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """A part's lines with all of the run's columns."""
    head = part.head
    first = record([head.image, *(head.said.get(name, "") for name in said)]) + ","
    own = {name for name, _ in head.columns}
    with part.path.open("rb") as file:
        file.seek(part.at)
        for at in range(0, head.rows, SOME):
            rows = np.frombuffer(
                file.read(min(SOME, head.rows - at) * head.dtype.itemsize), head.dtype
            )
            cells = [rows[name] if name in own else None for name in names]
            yield from lines(cells, len(rows), first)
