"""Which images a run has: a file, a folder, a glob or a CSV, and what the user says of each."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .errors import USAGE, ProblemsError, TilewrightError
from .images import find_images, image_id
from .params import Params

COLUMNS = ("image", "id", "scene", "mpp", "axes", "channels", "mask")
UNSAFE = set("/\\\0\n\r\t")


@dataclass(frozen=True)
class Row:
    """One image and what was said of it."""

    path: Path
    id: str
    scene: int = 0
    mpp: float | None = None
    axes: str | None = None
    channels: str | None = None
    mask: Path | None = None


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
        found = [_row(p, {}, params) for p in paths]
    _check_ids(found)
    return sorted(found, key=lambda r: r.id)


def _row(path: Path, said: dict[str, str], params: Params) -> Row:
    return Row(
        path=path,
        id=said.get("id") or image_id(path),
        scene=int(said.get("scene") or params.scene),
        mpp=float(said["mpp"]) if said.get("mpp") else params.mpp,
        axes=said.get("axes") or params.axes,
        channels=said.get("channels") or params.channels,
        mask=Path(said["mask"]) if said.get("mask") else None,
    )


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
    unknown = [c for c in columns if c not in COLUMNS]
    if "image" not in columns or unknown:
        raise TilewrightError(
            f"{sheet}: its columns are {', '.join(columns) or 'none'}.",
            fix=f"It needs `image` and may have {', '.join(COLUMNS[1:])}.",
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
                TilewrightError(f"{sheet}, line {number}: {error}.", fix="Write a plain number.")
            )
    if problems:
        raise ProblemsError(problems)
    if not found:
        raise TilewrightError(f"{sheet}: has no images.", fix="Write one image a line.")
    return found


def _check_ids(found: list[Row]) -> None:
    """Ids name folders: they must differ, and be names."""
    problems = [
        TilewrightError(
            f"{str(row.path)!r}: its id {row.id!r} can't name a folder.",
            fix="Rename the image, or give an id in a CSV.",
        )
        for row in found
        if not row.id or row.id in (".", "..") or UNSAFE & set(row.id) or len(row.id) > 200
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
