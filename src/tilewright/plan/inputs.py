"""Which images a run has: a file, a folder, a glob or a CSV, and what the user says of each."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.images.image import find_images, image_id

from .params import Micrometres, Params, Range

INPUT_COLUMNS = ("image", "id", "scene", "mpp", "axes", "channels", "mask", "range")
UNSAFE = set("/\\\0\n\r\t")
OURS = ("report.html", "run.json", "plan.json", "trace.txt", ".tilewright", ".tilewright-lock")
LONGEST = 200  # bytes of an id: file systems allow 255


MPP: TypeAdapter[Any] = TypeAdapter(Micrometres)
RANGE: TypeAdapter[Any] = TypeAdapter(Range)


@dataclass(frozen=True)
class Row:
    """One image and what was said of it.

    `scene` is a number, or a name or `all`, which `plan.scenes` looks up in the file; None is the
    first. `named` is an id that the user gave.
    """

    path: Path
    id: str
    scene: int | str | None = None
    mpp: float | None = None
    axes: str | None = None
    channels: str | None = None
    mask: Path | None = None
    prep: tuple[dict[str, Any], ...] | None = None
    named: bool = False
    remarks: tuple[str, ...] = ()
    range: tuple[float, float] | None = None


def rows(params: Params, here: Path) -> list[Row]:
    """The run's images in the order of their ids.

    Parameters
    ----------
    params
        The run's parameters; a CSV's columns win over them.
    here
        What a relative `--input` is relative to.

    Raises
    ------
    TilewrightError
        When nothing is found, the CSV is wrong, or two images have one id.
    """
    source = here / params.input
    if source.suffix.lower() == ".csv":
        found = _from_csv(source, params)
    else:
        paths = find_images(str(source), recursive=params.recursive)
        results = (here / params.outdir).resolve()
        found = [_row(p, {}, params) for p in paths if not _is_in(results, p)]
    check_ids(found)
    return sorted(found, key=lambda r: r.id)


def _is_in(folder: Path, path: Path) -> bool:
    """Whether an image lies below a folder, links followed."""
    real = path.resolve() if path.is_symlink() else _resolved(path.parent)
    return folder == real or folder in real.parents


@lru_cache(maxsize=64)
def _resolved(folder: Path) -> Path:
    return folder.resolve()  # once for all images in it


def _row(path: Path, said: dict[str, str], params: Params) -> Row:
    scene = said.get("scene") or params.scene
    number = int(scene) if scene and scene.strip().isdecimal() else None
    return Row(
        path=path,
        id=said.get("id") or scene_id(image_id(path), number or 0),
        scene=scene if number is None else number,
        mpp=_fit(MPP, said["mpp"]) if said.get("mpp") else params.mpp,
        axes=said.get("axes") or params.axes,
        channels=said.get("channels") or params.channels,
        mask=Path(said["mask"]) if said.get("mask") else None,
        named=bool(said.get("id")),
        range=_fit(RANGE, said["range"]) if said.get("range") else params.range,
    )


def scene_id(image: str, number: int) -> str:
    """The id of an image's scene: the first one keeps the image's."""
    return f"{image}-{number}" if number else image


def _fit(kind: TypeAdapter[Any], said: str) -> Any:
    """A CSV's number, checked as the parameter of its name is."""
    try:
        return kind.validate_python(said)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{said!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from None


def _from_csv(sheet: Path, params: Params) -> list[Row]:
    try:
        with sheet.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TilewrightError(
            f"{sheet}: can't be read as a CSV ({error}).", fix="Save it as UTF-8 CSV."
        ) from None
    unknown = [c for c in columns if c not in INPUT_COLUMNS]
    if "image" not in columns or unknown:
        raise TilewrightError(
            f"{sheet}: its columns are {', '.join(columns) or 'none'}.",
            fix=f"It needs `image` and may have {', '.join(INPUT_COLUMNS[1:])}.",
        )
    found, problems = [], []
    for number, line in enumerate(lines, start=2):
        said = {k: (v or "").strip() for k, v in line.items() if k}
        try:
            if said.get("mask"):
                said["mask"] = str(sheet.parent / said["mask"])
            found.append(_row(sheet.parent / said["image"], said, params))
        except ValueError as error:
            problems.append(
                TilewrightError(f"{sheet}, line {number}: {error}.", fix="Write plain numbers.")
            )
    if problems:
        raise ProblemsError(problems)
    if not found:
        raise TilewrightError(f"{sheet}: has no images.", fix="Write one image a line.")
    return found


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
    for name, count in Counter(r.id for r in found).items():
        if count > 1:
            both = " and ".join(str(r.path) for r in found if r.id == name)
            problems.append(
                TilewrightError(
                    f"{both} have the same id {name!r}.",
                    fix="Rename one, or give ids in a CSV.",
                    code=USAGE,
                )
            )
    if problems:
        raise ProblemsError(problems)


def _names_a_folder(name: str) -> bool:
    """Whether an id can be a folder's name beside our own files; lone surrogates can't."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= LONGEST and name not in (".", "..", *OURS) and not UNSAFE & set(name)
