"""The files that a slide is in beside its own: MIRAX's folder, the parts of Hamamatsu's VMS."""

from __future__ import annotations

import re
from pathlib import Path

from tilewright.contract.reading import check, opened
from tilewright.images.scenes import Scene
from tilewright.images.source import few, unreadable

SLIDE_SCENES = (Scene(of_slide=True),)
"""A slide is one image: what lies beside it in its files is none."""
SLIDEDAT = "Slidedat.ini"
OF_MIRAX = re.compile(r"^\s*(?:FILE_\d+|INDEXFILE)\s*=\s*(.*?)\s*$", re.MULTILINE)
OF_VMS = re.compile(
    r"^\s*(?:ImageFile(?:\([\d, ]*\))?|MapFile|MacroImage|OptimisationFile)\s*=\s*(.*?)\s*$",
    re.MULTILINE,
)
NEEDED = re.compile(r"^\s*(?:ImageFile(?:\([\d, ]*\))?|MapFile)\s*=\s*(.*?)\s*$", re.MULTILINE)
MOST_TEXT = 2**24
"""Bytes of a file that names others, at most."""


def parts(path: Path) -> tuple[Path, ...]:
    """What lies beside a slide and is a part of it: a folder, or files; some may not be there."""
    ending = path.suffix.lower()
    if ending == ".mrxs":
        return (path.with_suffix(""),)
    if ending in (".vms", ".vmu") and path.is_file():
        return tuple(path.with_name(name) for name in _named(path, OF_VMS))
    return ()


def whole_of(folder: Path) -> Path | None:
    """The slide beside a folder that the folder belongs to, or None."""
    beside = folder.with_name(f"{folder.name}.mrxs")
    of_olympus = folder.name.startswith("_") and folder.name.endswith("_")
    vsi = folder.with_name(f"{folder.name[1:-1]}.vsi") if of_olympus else None
    return next((p for p in (beside, vsi) if folder.is_dir() and p and p.is_file()), None)


def check_parts(path: Path) -> tuple[Path, ...]:
    """All files that a slide is in, its own first; none where it is in that one alone.

    Raises
    ------
    TilewrightError
        When one that it names isn't there.
    OSError
        When one that names others can't be read.
    """
    ending = path.suffix.lower()
    if ending == ".mrxs":
        if path.suffix != ending:
            raise unreadable(
                path, f"it ends in {path.suffix}, and OpenSlide knows {ending} alone", "Rename it."
            )
        return (path, *_of_mirax(path))
    if ending in (".vms", ".vmu"):
        needed = [path.with_name(name) for name in _named(path, NEEDED)]
        _check_there(path, needed)
        return (path, *(p for p in parts(path) if p.is_file()))
    return ()


def _of_mirax(path: Path) -> list[Path]:
    """The files in a MIRAX slide's folder."""
    folder = path.with_suffix("")
    if not folder.is_dir():
        raise unreadable(
            path,
            f"its folder {folder.name} isn't beside it, where a MIRAX slide has its pixels",
            "Copy the folder of the same name next to it.",
        )
    if not (folder / SLIDEDAT).is_file():
        raise unreadable(
            path, f"its folder {folder.name} has no {SLIDEDAT}", "Copy the whole folder again."
        )
    check(folder / SLIDEDAT, MOST_TEXT)  # OpenSlide reads all of it
    _check_there(path, [folder / name for name in _named(folder / SLIDEDAT, OF_MIRAX)])
    return sorted(p for p in folder.iterdir() if p.is_file())


def _check_there(path: Path, files: list[Path]) -> None:
    missing = [str(p.relative_to(path.parent)) for p in files if not p.is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise unreadable(
            path, f"{few(missing, 3)} of it {verb}n't there", "Copy all of its files again."
        )


def _named(path: Path, pattern: re.Pattern[str]) -> list[str]:
    """The names of files that a text names; none of other folders."""
    with opened(path) as file:
        text = file.read(MOST_TEXT).decode("utf-8-sig", "replace")
    names = dict.fromkeys(pattern.findall(text))
    return [name for name in names if name and name == Path(name).name and "\0" not in name]
