"""A store's labels in the formats of other programs: the plugin's RLE, and TIFF.

One slice, and of it one strip, is in memory at a time; a file appears when it is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import zarr

from tilewright.contract.faults import mark
from tilewright.contract.files import atomic, unwritable, writing
from tilewright.errors import TilewrightError
from tilewright.images.image import Image, open_image

from . import rle
from .tiff import STRIP, read_part, write_tiff


@dataclass(frozen=True)
class Export:
    """How a group's images are exported; PLAN writes it as exports/<group>.json.

    Parameters
    ----------
    task
        Name of the labels in each store.
    folder
        Where the files go.
    ending
        What follows an image's id in a file's name: ``_masks_<hash>_all``.
    format
        ``rle`` or ``tiff``.
    binary
        Everything that is found is 1.
    links
        Folder for a link to the weights, or None.
    """

    task: str
    folder: str
    ending: str
    format: str
    binary: bool
    links: str | None = None


class NotExported(TypedDict):
    """An image that couldn't be exported, why, and the exit code that says whose fault that is."""

    id: str
    why: str
    code: int


def export_group(asked: Export, stores: Path, *, forgive: bool = False) -> list[NotExported]:
    """Export every image of a group that has a store; those that couldn't be come back.

    Parameters
    ----------
    asked
        How.
    stores
        Folder of folders with MERGE's stores; each says which image it is of.
    forgive
        This won't be tried again: an image over which we fail is named, too.

    Raises
    ------
    Exception
        What isn't one image's alone, and before the last try what is a fault of ours.
    """
    failed = []
    folder = Path(asked.folder)
    for store in sorted(stores.glob("*/*.zarr")):  # of an image without one, MERGE has said why
        name = image_of(store)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            labels = store / "labels" / asked.task
            export(labels, folder / f"{name}{asked.ending}.{asked.format}", binary=asked.binary)
        except OSError as error:
            where = error.filename or folder
            why = unwritable(where, error, "Make room, or allow it, and run again.")
            failed.append(NotExported(id=name, why=str(why), code=why.code))
        except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
            told = mark(error, forgive=forgive)
            failed.append(NotExported(id=name, why=str(told), code=told.code))
    return failed


def image_of(store: Path) -> str:
    """The id of a store's image."""
    attributes: Any = zarr.open_group(store, mode="r").attrs["tilewright"]
    return str(attributes["image"]["id"])


def export(labels: Path, path: Path, *, binary: bool) -> None:
    """Write labels as one file, by the ending of its name; a volume's slices are its pages.

    Parameters
    ----------
    labels
        A group of an OME-Zarr; of several timepoints the first counts.
    path
        Ends in ``.rle`` or ``.tiff``; replaced at one stroke.

    Raises
    ------
    TilewrightError
        When there are more labels than the format holds, or the store can't be read.
    """
    with open_image(labels) as image:
        if path.suffix == ".tiff":
            write_tiff(image, path, binary=binary)
        else:
            slices = (_slice(image, z, binary) for z in range(image.size("Z")))
            rle.write(path, slices, "binary" if binary else "instance")


def _slice(image: Image, z: int, binary: bool) -> Any:
    """A slice's entries, gathered strip by strip."""
    runs = rle.ColumnRuns((image.size("Y"), image.size("X")))
    for start in range(0, image.size("X"), STRIP):
        strip = read_part(image, z, X=slice(start, start + STRIP))
        if not binary and strip.max(initial=0) > rle.MOST_LABELS:
            raise TilewrightError(
                f"It has more than {rle.MOST_LABELS:,} labels, and the format rle holds no more.",
                fix="Choose tiff as the output format and run again.",
            )
        runs.add(strip)
    return runs.foreground() if binary else runs.objects()


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
