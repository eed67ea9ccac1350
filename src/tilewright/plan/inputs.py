"""Which images a run has: a file, a folder, a glob or a sheet, and what the user says of each."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tilewright.contract.faults import last_try, mark
from tilewright.contract.made import BESIDE_STORES, is_zarr
from tilewright.contract.reading import followed
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.images.find import find_images, resolved
from tilewright.images.image import image_id
from tilewright.images.scenes import LONG_NUMBER

from .folders import check_sheet, check_zarr
from .params import MASK_WORDS, MaskWord, Mpp, Params, PixelSizeSaid, Range, misfit, no_path
from .sheet import Line, is_sheet, read_sheet

INPUT_COLUMNS = ("image", "id", "scene", "mpp", "axes", "channels", "mask", "range")
UNSAFE = set("/\\\0\n\r\t")
LONGEST = 200  # bytes of an id: file systems allow 255
NUMBERS: dict[str, tuple[TypeAdapter[Any], str]] = {
    "mpp": (
        TypeAdapter(PixelSizeSaid),
        "Write µm per pixel, as 0.25, or `magnification`, or leave the cell empty.",
    ),
    "range": (TypeAdapter(Range), 'Write LOW,HIGH, as "0,4095", or leave the cell empty.'),
}
"""Columns of numbers, what each is, and how it is written."""
THE_SHEET = "the sheet"


@dataclass(frozen=True)
class Row:
    """One image and what was said of it.

    `scene` is a number, or a name or `all`, which `plan.scenes` looks up in the file; None is the
    first. `named` is an id that the user gave, `mpp_from` who says `mpp`, in words. `mask` is a
    word, or a file or folder; None is ``tissue`` of slides, else ``none``.
    """

    path: Path
    id: str
    scene: int | str | None = None
    mpp: Mpp | None = None
    axes: str | None = None
    channels: str | None = None
    mask: Path | MaskWord | None = None
    prep: tuple[dict[str, Any], ...] | None = None
    named: bool = False
    remarks: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    mpp_from: str = "--mpp"
    columns: tuple[tuple[str, str], ...] = ()
    """What a sheet says besides: names and cells, which go into tables and run.json."""


@dataclass(frozen=True)
class Inputs:
    """A run's images.

    Parameters
    ----------
    rows
        In the order of their ids.
    remarks
        What a user should know of how they were found, a sentence each.
    """

    rows: list[Row]
    remarks: tuple[str, ...] = ()


def find_inputs(params: Params, here: Path) -> Inputs:
    """The run's images.

    Parameters
    ----------
    params
        The run's parameters; a sheet's columns win over them.
    here
        What a relative `--input` is relative to.

    Raises
    ------
    TilewrightError
        When nothing is found, the sheet is wrong, or two images have one id.
    """
    source, results = here / params.input, followed(here / params.outdir)
    asked = mask_said(params.mask, here)
    if is_sheet(source):
        check_sheet(source, results)
        rows, remarks = _from_sheet(source, params)
    else:
        found = find_images(str(source), recursive=params.recursive, results=results)
        rows, remarks = [_row(p, {}, params) for p in found.images], found.remarks
    rows = [replace(row, mask=row.mask or asked) for row in rows]
    check_ids(rows)
    return Inputs(sorted(rows, key=lambda r: r.id), remarks)


def _row(path: Path, said: dict[str, str], params: Params) -> Row:
    scene = said.get("scene") or params.scene
    is_number = scene is not None and scene.strip().isdecimal() and len(scene) < LONG_NUMBER
    number = int(scene) if scene is not None and is_number else None
    return Row(
        path=path,
        id=said.get("id") or scene_id(image_id(path), number or 0),
        scene=scene if number is None else number,
        mpp=_fit("mpp", _pointed(said["mpp"])) if said.get("mpp") else params.mpp,
        axes=said.get("axes") or params.axes,
        channels=said.get("channels") or params.channels,
        named=bool(said.get("id")),
        range=_fit("range", said["range"]) if said.get("range") else params.range,
        mpp_from=THE_SHEET if said.get("mpp") else "--mpp",
    )


def mask_said(said: str | None, here: Path) -> Path | MaskWord | None:
    """What ``--mask`` says.

    Raises
    ------
    TilewrightError
        2, when it is neither a word nor there.
    """
    if said is None or said.lower() in MASK_WORDS:
        return MASK_WORDS[said.lower()] if said else None
    path = here / os.path.expanduser(said)  # noqa: PTH111  # pathlib's raises
    if not said.strip() or not path.exists():
        raise TilewrightError(
            f"--mask {said or repr(said)}: there is no such file or folder.",
            fix="Say `tissue`, `none`, a file, or a folder with a mask for each image.",
            code=USAGE,
        )
    return path


def left_out(row: Row, error: Exception) -> TilewrightError:
    """Why an image is left out: a sentence that names it.

    Raises
    ------
    Exception
        What is no image's fault; before the last try what is a fault of ours, too.
    """
    why = mark(error, forgive=last_try())
    if str(row.path) in why.what:
        return why
    return TilewrightError(f"{row.path}: {why.what}", fix=why.fix, code=why.code)


def scene_id(image: str, number: int) -> str:
    """The id of an image's scene: the first one keeps the image's."""
    return f"{image}-{number}" if number else image


def _fit(column: str, said: str) -> Any:
    """A sheet's number, checked as the parameter of its name is."""
    kind, fix = NUMBERS[column]
    try:
        return kind.validate_python(said)
    except ValidationError as error:
        what = f"its {column} {said!r}: {misfit(error.errors()[0])}."
        raise TilewrightError(what, fix=fix) from None


def _pointed(said: str) -> str:
    """A number as half the world's spreadsheets write it, `0,25`, with a point."""
    return said.replace(",", ".") if re.fullmatch(r"\d*,\d+", said) else said


def _from_sheet(sheet: Path, params: Params) -> tuple[list[Row], tuple[str, ...]]:
    """Its rows, and which of its columns no image is read by."""
    found, problems = [], []
    lines = read_sheet(sheet, INPUT_COLUMNS)
    for line in lines:
        try:
            found.append(_listed(sheet, line, params))
        except TilewrightError as error:
            at = f"{sheet}, line {line.number}: "
            problems.append(TilewrightError(f"{at}{error.what}", fix=error.fix, code=error.code))
    if problems:
        raise ProblemsError(problems)
    others = [name for name, _ in lines[0].columns]
    if not others:
        return found, ()
    said = f"{sheet.name}: what it says of {', '.join(others)} goes into tables and run.json"
    return found, (f"{said}; nothing is read by it.",)


def _listed(sheet: Path, line: Line, params: Params) -> Row:
    said = {name: cell for name, cell in line.said.items() if name != "image"}
    cell = said.get("mask")
    mask = (MASK_WORDS.get(cell.lower()) or _path(sheet, cell)) if cell else None
    row = _row(_path(sheet, line.said["image"]), said, params)
    return replace(row, mask=mask, columns=line.columns)


def _path(sheet: Path, cell: str) -> Path:
    """A cell's path, relative to the sheet.

    Raises
    ------
    TilewrightError
        When it is one of Windows or an address, and no file is called so, or no path can be.
    """
    path = sheet.parent / os.path.expanduser(cell)  # noqa: PTH111  # pathlib's raises
    forms = (path, *(Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD")))
    found = next(filter(os.path.lexists, forms), None)  # a Mac's file names, another's sheet
    if found is not None:
        return found
    if re.match(r"[A-Za-z]:[\\/]|.*\\", cell):
        fix = "Write it as this machine has it, with /; relative ones start at the sheet."
        raise TilewrightError(f"{cell!r} is a path of Windows.", fix=fix)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", cell):
        fix = "Copy the image here, and write its path."
        raise TilewrightError(f"{cell!r} is an address, and images are read from folders.", fix=fix)
    if why := no_path(str(path)):
        raise TilewrightError(f"{cell!r} can't be a path: {why}.", fix="Write one of this machine.")
    return path


def check_ids(found: list[Row]) -> None:
    """Ids name folders: they must differ, and be names.

    Raises
    ------
    ProblemsError
        Naming each that doesn't.
    """
    problems = [
        TilewrightError(
            f"{str(row.path)!r}: its id {row.id!r} can't name a folder.",
            fix="Rename the image, or give an id in a CSV.",
        )
        for row in found
        if not _names_a_folder(row.id)
    ]
    for alike in _alike(found):
        names = dict.fromkeys(repr(row.id) for row in alike)
        which = f"the same id {alike[0].id!r}" if len(names) == 1 else f"ids {' and '.join(names)}"
        why = "" if len(names) == 1 else ", which some file systems take for one"
        problems.append(
            TilewrightError(
                f"{' and '.join(str(row.path) for row in alike)} have {which}{why}.",
                fix="Rename one, or give ids in a CSV.",
                code=USAGE,
            )
        )
    if problems:
        raise ProblemsError(problems)


def _alike(found: list[Row]) -> list[list[Row]]:
    """Images whose ids a file system may take for one: case or accents are written otherwise."""
    by_name: dict[str, list[Row]] = {}
    for row in found:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", row.id).casefold())
        by_name.setdefault(folded, []).append(row)
    return [rows for rows in by_name.values() if len(rows) > 1]


def check_results(found: list[Row], results: Path) -> None:
    """No image's results may lie in an image or a Zarr, or where a file is.

    Parameters
    ----------
    results
        The output folder, links followed.

    Raises
    ------
    ProblemsError
        Naming each that would (2).
    """
    above = {results, *results.parents}
    there = {p.name: p for p in results.iterdir()} if results.is_dir() else {}
    names = {path.name for path in above}
    problems = []
    for row in found:
        mine = there.get(row.id)
        may_be = row.path.name in names or row.path.name == row.id or row.path.is_symlink()
        if not may_be and mine is None:
            continue
        real = followed(row.path) if row.path.is_symlink() else _real(row.path)
        if real in above or real == results / row.id:
            where = "in the image itself"
        elif mine is not None and (is_zarr(mine) or not mine.is_dir()):
            where = f"in {mine}, which is a {'Zarr' if mine.is_dir() else 'file'}"
        else:
            continue
        said = f"{row.path}: with --outdir {results} its results would lie {where}."
        problems.append(TilewrightError(said, fix="Choose another --outdir.", code=USAGE))
    if problems:
        raise ProblemsError(problems)
    check_zarr(results)


def _real(path: Path) -> Path:
    return resolved(path.parent) / path.name


def _names_a_folder(name: str) -> bool:
    """Whether an id can be a folder's name beside our own files; lone surrogates can't."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < size <= LONGEST
        and name.casefold() not in (".", "..", *BESIDE_STORES)
        and not UNSAFE & set(name)
    )
