"""A sheet of images: text in columns, read as the program that saved it meant it, or refused."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tilewright.contract.reading import read_bytes
from tilewright.errors import ProblemsError, TilewrightError
from tilewright.stores.columns import TAKEN

SHEETS = (".csv", ".tsv")
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16's
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FIRST_LINE = re.compile(r'"?sep=([,;\t])"?[,;\t]*(\r\n|\r|\n)', re.IGNORECASE)  # Excel's own
AS_UTF8 = "Save it as UTF-8; Excel calls that `CSV UTF-8`."
LONGEST = 200  # bytes of a column's name, which is a folder's in a table


@dataclass(frozen=True)
class Line:
    """One image's line.

    Parameters
    ----------
    number
        Of the file's line that it begins on, from 1.
    said
        Its cells that aren't empty, of the columns that mean something to a run.
    columns
        The names and cells of all other columns, in their order; some may be empty.
    """

    number: int
    said: dict[str, str]
    columns: tuple[tuple[str, str], ...]


def is_sheet(path: Path) -> bool:
    """Whether a path is a sheet's, by its ending.

    Raises
    ------
    TilewrightError
        When it is a workbook's.
    """
    if path.suffix.lower() in WORKBOOKS and path.is_file():
        raise _workbook(path)
    return path.suffix.lower() in SHEETS and not path.is_dir()


def read_sheet(path: Path, known: Sequence[str]) -> list[Line]:
    """A sheet's lines; those without a cell are passed over.

    Columns are separated by commas, semicolons or tabs, whichever give its first line a column
    `image`. Names of known columns may be written in any case.

    Parameters
    ----------
    path
        The file: UTF-8, or what its byte order mark says.
    known
        The columns that mean something to a run; `image` is needed.

    Raises
    ------
    TilewrightError
        When it can't be read, or naming each column and line that is wrong.
    """
    skipped, text = _text(path)
    separator, header = _header(path, text, path.suffix.lower() == ".tsv")
    names = [_known(name, known) for name in header]
    problems = list(_wrong_columns(path, names, known))
    lines = []
    for number, cells in list(_rows(path, text, separator, skipped))[1:]:
        why = _wrong_line(names, cells, separator)
        if why:
            problems.append(TilewrightError(f"{path}, line {number}: {why[0]}.", fix=why[1]))
        lines.append(_line(number, names, cells, known))
    if problems:
        raise ProblemsError(problems)
    if not lines:
        raise TilewrightError(f"{path}: has no images.", fix="Write one image a line.")
    return lines


def _line(number: int, names: list[str], cells: list[str], known: Sequence[str]) -> Line:
    pairs = dict(zip_longest(names, cells[: len(names)], fillvalue=""))
    said = {name: cell for name, cell in pairs.items() if name in known and cell}
    return Line(number, said, tuple((n, cell) for n, cell in pairs.items() if n and n not in known))


# Bytes to cells


def _text(path: Path) -> tuple[int, str]:
    """How many lines come before the header, and the text from there on."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise TilewrightError(
            f"{path}: can't be read ({error.strerror}).", fix="Check its name."
        ) from None
    if data.startswith(b"PK\3\4"):
        raise _workbook(path)
    encoding = next((e for mark, e in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        said = f"{path}, line {number}: isn't {encoding.removesuffix('-sig').upper()}"
        raise TilewrightError(f"{said} (byte 0x{data[error.start]:02x}).", fix=AS_UTF8) from None
    if "\0" in text:
        raise TilewrightError(f"{path}: isn't text in UTF-8 (it has zero bytes).", fix=AS_UTF8)
    first = FIRST_LINE.match(text)
    return (1, text[first.end() :]) if first else (0, text)


def _workbook(path: Path) -> TilewrightError:
    return TilewrightError(
        f"{path}: is a workbook, and a sheet as text is wanted.",
        fix="Save its sheet as CSV; Excel calls that `CSV UTF-8`.",
    )


def _header(path: Path, text: str, by_tabs: bool) -> tuple[str, list[str]]:
    """The separator that gives the first line a column `image`, and the columns' names."""
    order = sorted(SEPARATORS, key=lambda s: s != "\t") if by_tabs else list(SEPARATORS)
    headers = {separator: _first(text, separator) for separator in order}
    for separator, header in headers.items():
        if "image" in (name.casefold() for name in header):
            return separator, header
    most = max(headers.values(), key=len)
    raise TilewrightError(
        f"{path}: has no column `image`; its first line is {', '.join(most) or 'empty'}.",
        fix="Write the columns' names there, and call that of the images' paths `image`.",
    )


def _first(text: str, separator: str) -> list[str]:
    """The cells of the first line that has any; none where they can't be told apart."""
    try:
        return next((c for _, c in _cells(text, separator) if any(c)), [])
    except csv.Error:
        return []


def _cells(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row's first line, from 1, and its cells without spaces at their ends."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    before = 0
    for row in reader:
        yield before + 1, [cell.strip("\ufeff").strip() for cell in row]
        before = reader.line_num


def _rows(path: Path, text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """The lines that have a cell, the columns' names first."""
    number = 0
    try:
        for number, cells in _cells(text, separator):
            if any(cells):
                yield number + skipped, cells
    except csv.Error as error:
        raise TilewrightError(
            f"{path}, after line {number + skipped}: its cells can't be told apart ({error}).",
            fix='Quotes stand at both ends of a cell; one inside is written twice: "".',
        ) from None


# Columns and lines that aren't as they should be


def _known(name: str, known: Sequence[str]) -> str:
    """A column's name; of a known one as we write it."""
    return name.casefold() if name.casefold() in known else name


def _wrong_columns(path: Path, names: list[str], known: Sequence[str]) -> Iterator[TilewrightError]:
    seen: dict[str, str] = {}
    for name in filter(None, names):
        folded = unicodedata.normalize("NFC", name.casefold())
        twice = folded in seen
        why = f"stands twice, as {seen[folded]!r} before" if twice else _wrong_name(name, known)
        seen.setdefault(folded, name)
        if why:
            fix = "Leave one out." if twice else "Give it another name."
            near = _near(name, known)
            if near and not twice:
                fix = f"Call it `{near}` if it is that, else something less like it."
            yield TilewrightError(f"{path}: its column {name!r} {why}.", fix=fix)


def _wrong_name(name: str, known: Sequence[str]) -> str:
    """What is wrong with the name of a column, or nothing."""
    if name in known:
        return ""
    if near := _near(name, known):
        return f"isn't known, and is nearly `{near}`"
    if name.casefold() in {taken.casefold() for taken in TAKEN}:
        return "is called as one of the tables' own"
    if set(name) & set("/\\") or not name.isprintable():
        return "can't be a table's: it has /, \\ or a sign that isn't printed"
    if name.startswith((".", "__")) or name == "zarr.json":
        return "can't be a table's, whose files are called so"
    if len(name.encode()) > LONGEST:
        return f"can't be a table's: it is longer than {LONGEST} bytes"
    return ""


def _near(name: str, known: Sequence[str]) -> str:
    """The known column that a name is a slip of, or nothing."""
    if name in known:
        return ""
    words = re.findall(r"[^\W_]+", name.casefold())
    if words[:1] == ["mpp"]:
        return "mpp"  # `mpp (µm)`: a pixel size that nobody reads would be the worst
    bare = "".join(words)
    for column in known:
        slips = min(len(column) // 3, 2) if bare[:1] == column[0] else 0
        if bare == f"{column}s" or _within(slips, bare, column):
            return column
    return ""


def _within(slips: int, a: str, b: str) -> bool:
    """Whether so many letters at most are wrong, missing, too many or swapped with the next."""
    if slips < 0:
        return False
    if not a or not b:
        return len(a) + len(b) <= slips
    if a[0] == b[0]:
        return _within(slips, a[1:], b[1:])
    swapped = a[:2] == b[1::-1] and _within(slips - 1, a[2:], b[2:])
    ways = ((a[1:], b), (a, b[1:]), (a[1:], b[1:]))
    return swapped or any(_within(slips - 1, *way) for way in ways)


def _wrong_line(names: list[str], cells: list[str], separator: str) -> tuple[str, str] | None:
    """What is wrong with a line and what to do, or None."""
    last = max(place for place, cell in enumerate(cells, start=1) if cell)
    if last > len(names):
        found = f"has {last} cells, and the first line names {len(names)} columns"
        what = SEPARATORS[separator]
        return found, f'Put a cell that has a {what} in it in quotes: "2{separator}1".'
    for place, (name, cell) in enumerate(zip(names, cells, strict=False), start=1):
        if cell and not name:
            found = f"has {cell[:40]!r} in column {place}, which has no name"
            return found, "Name it in the first line, or take it out."
    if not any(cell for name, cell in zip(names, cells, strict=False) if name == "image"):
        return "names no image", "Write its path into the column `image`."
    return None
