"""A store in a format of another program: the one place that knows where each is made.

A file appears when it is whole; one image that can't be exported doesn't keep the others from it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypedDict

from tilewright.contract.checksums import write_checksums
from tilewright.contract.exports import EXPORTS_CHECKSUMS, FORMATS, Export, Format, unfit
from tilewright.contract.faults import mark
from tilewright.contract.files import atomic, unwritable, writing
from tilewright.errors import TilewrightError

from .apart import write_apart
from .store import Result

ROOM = "Make room, allow it, or choose another folder."


class Exported(TypedDict):
    """An image in a format: its file, or why there is none and whose fault that is, by exit code.

    The file is below the output folder; one in another program's folder has its whole path.
    """

    id: str
    format: str
    path: str | None
    why: str | None
    code: int | None


def export(store: Path, made: Format, path: Path, *, binary: bool = False) -> None:
    """Write one store in one format.

    Parameters
    ----------
    store
        Of this release or an earlier one.
    made
        The format.
    path
        Where to; its folder is made.
    binary
        Everything that is found is 1, where the format can say so.

    Raises
    ------
    TilewrightError
        65 when the store can't be read, or the format doesn't hold what it has; 69 when the file
        can't be written, or the format's environment isn't there.
    """
    check(Result(store), made)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if made.environment != "base":
            write_apart(made.module, store, path)
        elif binary:
            _module(made).write(store, path, binary=True)
        else:
            _module(made).write(store, path)
    except OSError as error:
        raise unwritable(error.filename or path, error, ROOM) from error


def _module(made: Format) -> ModuleType:
    return import_module(f".formats.{made.module}", __package__)


def check(result: Result, made: Format) -> None:
    """Refuse a format that doesn't hold what a store has.

    Parameters
    ----------
    result
        The store.
    made
        The format.

    Raises
    ------
    TilewrightError
        Naming both, and what there is.
    """
    for problem in unfit([made], result.kind, str(result.path), classes=result.is_classes):
        raise problem


def export_group(
    asked: Export, stores: Path, out: Path, *, forgive: bool = False
) -> list[Exported]:
    """Export every image of a group that has a store, and say what came of it in each format.

    Parameters
    ----------
    asked
        How.
    stores
        Folder of folders with MERGE's stores; each says which image it is of.
    out
        Folder of a folder for each image, where nothing else is asked for.
    forgive
        This won't be tried again: an image over which we fail is named, too.

    Raises
    ------
    Exception
        What isn't one image's alone, and before the last try what is a fault of ours.
    """
    told = []
    for store in sorted(stores.glob("*/*.zarr")):  # of an image without one, MERGE has said why
        name, there = Result(store).image_id, []
        for made in (FORMATS[word] for word in asked.formats):
            path = out / name / f"{store.stem}{made.ending}"
            about: Exported = {"id": name, "format": made.name, "path": f"{name}/{path.name}",
                               "why": None, "code": None}  # fmt: skip
            if asked.folder is not None:
                path = Path(asked.folder) / f"{name}{asked.ending}{made.ending}"
                about["path"] = str(path)
            try:
                export(store, made, path, binary=asked.binary)
            except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
                why = _told(error, asked, forgive=forgive)
                about |= {"path": None, "why": str(why), "code": why.code}
            else:
                there.append(path)
            told.append(about)
        if there and asked.folder is None:
            listing = out / name / f"{store.stem}{EXPORTS_CHECKSUMS}"
            write_checksums(listing, {path.name: path for path in there})
    return told


def _told(error: Exception, asked: Export, *, forgive: bool) -> TilewrightError:
    """Why one image isn't exported; of a folder elsewhere, that it can't be written, too."""
    refused = asked.folder is not None and isinstance(error.__cause__, OSError)
    if refused and isinstance(error, TilewrightError):
        return error
    return mark(error, forgive=forgive)


def link_weights(weights: Path, folder: Path) -> None:
    """Show a weights file in a folder, as a link: for a viewer that counts what is there.

    A file of that name that is no link is somebody's own, and stays.

    Raises
    ------
    TilewrightError
        When it can't be made.
    """
    there = folder / weights.name
    if there.exists() and not there.is_symlink():
        return
    with writing(folder, "Allow it, and run again."):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(there) as part:  # groups are exported at the same time, on many nodes
            part.symlink_to(weights)
