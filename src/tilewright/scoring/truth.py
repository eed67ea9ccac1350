"""Label images by the ids of a run's images: found in a folder, opened, and refused if unfit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tilewright.contract.words import counted
from tilewright.errors import USAGE, TilewrightError
from tilewright.images.formats import ENDINGS
from tilewright.images.image import Image, image_id, open_image

SUFFIXES = ("", "_labels", "_label", "_masks", "_mask", "_cp_masks", "_gt")
"""What may stand behind an id in a truth's name."""


def find_truth(folder: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """The truth of each image that has one, by its id.

    Parameters
    ----------
    folder
        With label images that are called as the ids, or with one of `SUFFIXES`.
    images
        By their ids, the files that the run read: no image is its own truth.

    Raises
    ------
    TilewrightError
        2, when there is no such folder, or no truth in it; 65, when an image has several.
    """
    try:
        entries = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
    except OSError as error:
        raise TilewrightError(
            f"--truth {folder}: can't be read ({error.strerror}).",
            fix="Give a folder of label images.",
            code=USAGE,
        ) from None
    named: dict[str, list[Path]] = {}
    for path in entries:
        if path.name.lower().endswith(tuple(ENDINGS)):
            named.setdefault(image_id(path), []).append(path)
    found = {n: there for n, own in images.items() if (there := _of(folder, named, n, own))}
    if not found:
        raise _no_truth(folder, images, any(name in named for name in images))
    return found


def _of(folder: Path, named: dict[str, list[Path]], name: str, own: Path) -> Path | None:
    """An image's truth, of all that is in the folder."""
    paths = [p for s in SUFFIXES for p in named.get(name + s, []) if not _is_input(p, own)]
    if len(paths) > 1:
        raise TilewrightError(
            f"The image {name} has several truths in {folder}: {', '.join(p.name for p in paths)}.",
            fix="Leave one of them there.",
        )
    return paths[0] if paths else None


def _is_input(path: Path, own: Path) -> bool:
    """Whether a file is what the run read, and no truth; labels in a store may be one."""
    try:
        return path.samefile(own) and not _inside(path)
    except OSError:  # the image isn't where it was
        return False


def _no_truth(folder: Path, images: Mapping[str, Path], inputs: bool) -> TilewrightError:
    """What is said of a folder without a truth, and whether it has the run's own images."""
    but = ", but only the images themselves" if inputs else ""
    example = f"{next(iter(images), 'ID')}{'_labels' if inputs else ''}.tif"
    return TilewrightError(
        f"--truth {folder}: has no label image of the run's {counted(len(images), 'image')}{but}.",
        fix=f"Name them by the images' ids: {example}, or .png, .ome.zarr.",
        code=USAGE,
    )


def open_truth(path: Path, sizes: Sequence[int], axes: str) -> tuple[Image, dict[str, str]]:
    """A truth, open, and which of its axes is which of the image's.

    Parameters
    ----------
    path
        An image file, or an OME-Zarr whose only labels count where it has some.
    sizes, axes
        The image's at level 0, as ``TZYX`` or a part of it; axes of one pixel may be lacking.

    Raises
    ------
    TilewrightError
        65, when it can't be read, isn't of that size, or holds no labels.
    """
    path = _labels_in(path)
    try:
        image = open_image(path, labels=True)
    except TilewrightError:
        long = "".join(a for a, n in zip(axes, sizes, strict=True) if n > 1)
        image = open_image(path, labels=True, axes=long)  # of a stack that doesn't say
    wanted = [(a, n) for a, n in zip(axes, sizes, strict=True) if n > 1 or a in "YX"]
    there = [(a, n) for a, n in zip(image.axes, image.shape, strict=True) if n > 1 or a in "YX"]
    try:
        if [n for _, n in there] != [n for _, n in wanted]:
            raise _other_size(path, there, wanted)
        if image.dtype.kind not in "bui":
            raise TilewrightError(
                f"{path}: its pixels are {image.dtype}, which are no labels.",
                fix="Save the truth with whole numbers: 0 is background, each object its own.",
            )
    except TilewrightError:
        image.close()
        raise
    return image, {ours: theirs for (ours, _), (theirs, _) in zip(wanted, there, strict=True)}


def _labels_in(path: Path) -> Path:
    """The labels of a store that has some, where there are one."""
    found = _inside(path)
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise TilewrightError(
            f"{path}: has several labels ({names}).", fix="Give a link to one of them as the truth."
        )
    return found[0] if found else path


def _inside(path: Path) -> list[Path]:
    """The labels that lie in a store."""
    inside = path / "labels"
    return [p for p in sorted(inside.iterdir()) if p.is_dir()] if inside.is_dir() else []


def _other_size(
    path: Path, there: Iterable[tuple[str, int]], wanted: Iterable[tuple[str, int]]
) -> TilewrightError:
    sides = [" x ".join(f"{a} {n}" for a, n in each) for each in (there, wanted)]
    return TilewrightError(
        f"{path}: the truth is {sides[0]} px, and its image {sides[1]} px.",
        fix="Give a label image of the whole image, pixel by pixel.",
    )
