"""Which images a path, a folder or a pattern names; what is passed over is said with why."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

from tilewright.contract.made import BESIDE_STORES, holds_pictures, is_zarr, store_recipe
from tilewright.contract.reading import followed
from tilewright.errors import TilewrightError

from .formats import ENDINGS, endings, names, unread
from .image import failed
from .slides import dicom_files
from .slides.parts import parts, whole_of
from .source import few

LISTED = 5
"""Entries that a line names; the others are counted."""
LOOKED_AT = 1000
"""Entries of a folder that is passed over, at most, in which an image is looked for."""
UNSAID = ("readme", "license", "thumbs.db", "desktop.ini", "dicomdir")
"""Beginnings of names that nobody takes for an image's, and nothing is said of."""
Kind = Literal["image", "ours", "folder", "task", "part", "other"]
"""``ours`` is a result of Tilewright, ``task`` the folder of a task of Nextflow, ``part`` belongs
to an image beside it."""


@dataclass(frozen=True)
class FoundImages:
    """What a search came to.

    Parameters
    ----------
    images
        Sorted.
    remarks
        What was passed over and why, a sentence each.
    """

    images: list[Path]
    remarks: tuple[str, ...] = ()


def find_images(
    source: str, *, recursive: bool = False, results: Path | None = None
) -> FoundImages:
    """The images `source` names: one image, those in a folder, or those a pattern matches.

    An OME-Zarr folder is one image, and so is one with the DICOM files of one slide; where files
    of several lie in a folder, the largest of each stands for it. In a pattern, ``**`` is any
    depth. A path that exists is itself, whatever it is called. Passed over are hidden files and
    folders, the work of Nextflow's tasks, and Tilewright's own results.

    Parameters
    ----------
    recursive
        Folders below a folder are searched, too.
    results
        The run's output folder: where it lies below the folder that is searched, nothing in it is
        an image.

    Raises
    ------
    TilewrightError
        When there is none.
    """
    path = Path(source)
    try:
        if path.exists() and not (path.is_dir() and _kind(path) in ("folder", "task")):
            return FoundImages([whole_of(path) or path])
        base, entries = _entries(path, recursive)
        if results and resolved(base) in results.parents:
            entries = (p for p in entries if not _is_in(results, p))
        kinds = _without_parts({p: _kind(p) for p in sorted(entries)})
        remarks = tuple(_remarks(base, kinds))
    except OSError as error:
        raise failed(path, "it can't be searched", error) from error
    images = [p for p, kind in kinds.items() if kind == "image"]
    if not images:
        raise TilewrightError(
            " ".join([f"{source}: no image found there.", *remarks]),
            fix=f"Give an image, a folder or a pattern in quotes; it looks for {endings()}"
            + ("." if recursive else ", and below the folder only with --recursive."),
        )
    return FoundImages(images, remarks)


def _entries(path: Path, recursive: bool) -> tuple[Path, Iterable[Path]]:
    """The folder that is searched, and what is there to be looked at."""
    base, pattern = _split(path)
    if not pattern:
        return base, _inside(base, recursive)
    if "**" in pattern:
        whole = _inside(base, recursive=True)
        return base, (p for p in whole if _matches(p.relative_to(base).parts, pattern))
    return base, (base / p for p in glob.glob("/".join(pattern), root_dir=base))  # noqa: PTH207


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder of a pattern that is there, whatever it is called, and the pattern below it."""
    base, rest = Path(path.anchor), path.parts[bool(path.anchor) :]
    while rest and (base / rest[0]).exists():
        base, rest = base / rest[0], rest[1:]
    return base, rest


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path's parts are those of a pattern, in which ``**`` is any number of them."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _kind(path: Path) -> Kind:
    """What a path that isn't hidden is, by its name and, of a folder, what is in it."""
    name = path.name.lower()
    if path.is_dir():
        if is_zarr(path) or path.suffix == ".zarr":
            return "image" if store_recipe(path) is None else "ours"
        if holds_pictures(path):
            return "ours"
        if whole_of(path):
            return "part"
        if (path / ".command.run").is_file():
            return "task"
        return "image" if _is_dicom_slide(path) else "folder"
    if not name.endswith(ENDINGS):
        if name in BESIDE_STORES:
            return "ours"
        return "image" if dicom_files.is_unnamed_dicom(path) else "other"
    beside = path.with_suffix(".zarr")  # a store's picture
    return "ours" if name.endswith(".png") and store_recipe(beside) else "image"


def _is_dicom_slide(folder: Path) -> bool:
    """Whether a folder holds the DICOM files of one slide, and no other image."""
    files = dicom_files.dicom_files(folder)
    if not files or len(dicom_files.slides_among(files)) > 1:
        return False
    entries = (p for p in folder.iterdir() if p not in files and not p.name.startswith("."))
    return not any(p.name.lower().endswith(ENDINGS) for p in islice(entries, LOOKED_AT))


def _without_parts(kinds: dict[Path, Kind]) -> dict[Path, Kind]:
    """The same, where what belongs to another image that is there is a part of it."""
    images = [p for p, kind in kinds.items() if kind == "image"]
    dicom = [p for p in images if dicom_files.is_called_dicom(p) and not p.is_dir()]
    belong = [part for each in dicom_files.slides_among(dicom).values() for part in each]
    belong += [part for image in images for part in parts(image)]
    return {**kinds, **{p: "part" for p in belong if p in kinds}}


def _inside(folder: Path, recursive: bool, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The entries of a folder; in place of a folder in it what is there, but of an image."""
    above = (*above, followed(folder)) if recursive else ()
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if not recursive or not entry.is_dir() or _kind(entry) != "folder":
            yield entry
        elif not any(way.is_relative_to(followed(entry)) for way in above):  # a link back up
            yield from _inside(entry, recursive, above)


def _is_in(results: Path, path: Path) -> bool:
    """Whether a path is the output folder, or lies in it."""
    real = followed(path) if path.is_symlink() else resolved(path.parent) / path.name
    return results == real or results in real.parents


@lru_cache(maxsize=64)
def resolved(folder: Path) -> Path:
    """A folder, links followed."""
    return followed(folder)  # once for all entries in it


# What is passed over


def _remarks(base: Path, kinds: dict[Path, Kind]) -> Iterator[str]:
    """A sentence for each reason that something is passed over."""
    rest = [p for p, kind in kinds.items() if kind == "other"]
    rest = [p for p in rest if not p.name.lower().startswith(UNSAID)]
    known = {p: found.name for p in rest if (found := unread(p))}
    if known:
        said = [f"{p.relative_to(base)} ({name})" for p, name in known.items()]
        yield (
            f"Passed over in {base}, as their formats aren't read here: {few(said, LISTED)}; "
            "export them as OME-TIFF or OME-Zarr."
        )
    rest = [p for p in rest if p not in known]
    if rest:
        yield (
            f"Passed over in {base}, which by their endings are no {names()}: {_named(rest, base)}."
        )
    folders = [p for p, kind in kinds.items() if kind == "folder" and _holds_images(p)]
    if folders:
        yield (
            f"Passed over in {base}, though there are images in them: {_named(folders, base)}; "
            "--recursive looks there, too."
        )
    ours = [p for p, kind in kinds.items() if kind == "ours" and p.name not in BESIDE_STORES]
    if ours:
        yield f"Passed over in {base}, as results of Tilewright: {_named(ours, base)}."


def _holds_images(folder: Path) -> bool:
    with suppress(OSError):  # one that may not be searched
        return any(_kind(p) == "image" for p in islice(_inside(folder, recursive=True), LOOKED_AT))
    return False


def _named(paths: list[Path], base: Path) -> str:
    """Some by name, of each ending one first; the others are counted."""
    first = {p.suffix: p for p in reversed(paths)}.values()
    order = sorted(paths, key=lambda p: p not in first)  # stable: the others as they were
    return few([" ".join(str(p.relative_to(base)).split()) for p in order], LISTED)
