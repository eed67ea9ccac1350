"""Which mask is which image's: tissue, none, a file, or one of a folder that is called as it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tilewright.contract.canonical import digest
from tilewright.contract.code import SCAN, room_digests
from tilewright.contract.jobs import ImageRef
from tilewright.contract.made import BESIDE_STORES, is_zarr
from tilewright.contract.reading import followed
from tilewright.contract.spec import ModelSpec
from tilewright.environments import interpreters
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.images.formats import ENDINGS
from tilewright.images.image import Image, image_id
from tilewright.images.mask import GEOJSON, stamped
from tilewright.images.source import few
from tilewright.preprocess.tissue_file import NAME, default_rule, found_by, seal_of

from .inputs import Row
from .params import Params

EMBEDDED = 0.1
"""Least share of an embedding's tile in its mask: the vector of a tile of glass says nothing."""
NAMED = 3
"""Masks that a sentence names; the others are counted."""
Bad = list[tuple[Row, TilewrightError]]


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks, each called as its image's id, or in a folder that is.

    Parameters
    ----------
    path
        The folder; one of results is such a one.
    images
        The run's images, links followed, which aren't masks where they lie beside them.
    """

    path: Path
    images: frozenset[Path]

    @cached_property
    def masks(self) -> dict[str, list[Path]]:
        """All masks by what they are called as."""
        found: dict[str, list[Path]] = {}
        for entry in sorted(self.path.iterdir()):
            if entry.name in BESIDE_STORES or followed(entry) in self.images:
                continue
            if entry.is_dir() and not is_zarr(entry):
                if (entry / NAME).is_file():
                    found.setdefault(_plain(entry.name), []).append(entry / NAME)
            elif entry.name.lower().endswith((*GEOJSON, *ENDINGS)):
                stem = entry.stem if entry.suffix.lower() in GEOJSON else image_id(entry)
                found.setdefault(_plain(stem), []).append(entry)
        return found

    def called_as(self, row: Row) -> list[Path]:
        """The masks that are called as an image's id or, in full, as its file."""
        return [p for n in self._names(row) for p in self.masks.get(n, [])]

    def of(self, row: Row) -> Path:
        """An image's mask.

        Raises
        ------
        TilewrightError
            There is none, or there are several.
        """
        found = self.called_as(row)
        if not found:
            raise TilewrightError(
                f"{row.path}: has no mask in {self.path}: neither {row.id}.geojson nor "
                f"{row.id}/{NAME} nor an image {row.id}.",
                fix="Add it, or say `none` or `tissue` in a sheet's column `mask`.",
            )
        if len(found) > 1:
            names = " and ".join(str(p.relative_to(self.path)) for p in found)
            raise TilewrightError(
                f"{row.path}: has several masks in {self.path}: {names}.", fix="Leave one there."
            )
        return found[0]

    def unused(self, rows: Sequence[Row]) -> list[str]:
        """The masks that are no image's, by their names in the folder."""
        known = {name for row in rows for name in self._names(row)}
        others = [p for name, paths in self.masks.items() if name not in known for p in paths]
        return [str(p.relative_to(self.path)) for p in others]

    @staticmethod
    def _names(row: Row) -> list[str]:
        return list(dict.fromkeys([_plain(row.id), _plain(row.path.name)]))


def _plain(name: str) -> str:
    """A name however its file system writes accents."""
    return unicodedata.normalize("NFC", name)


def with_masks(
    rows: Sequence[Row], results: Path | None = None
) -> tuple[list[Row], Bad, tuple[str, ...]]:
    """Rows whose mask is a word or one file, those that have none, and what a user should know.

    Parameters
    ----------
    rows
        What the user says of each image.
    results
        The output folder. Given as the masks' folder, it has none of images that aren't slides or
        are new: these are looked at as without --mask.

    Raises
    ------
    ProblemsError
        Naming each folder that has masks of no image, or none at all (2).
    """
    asked = sorted({row.mask for row in rows if isinstance(row.mask, Path)})
    there = [path for path in asked if path.is_dir() and not is_zarr(path)]
    images = frozenset(followed(row.path) for row in rows) if there else frozenset()
    folders = {path: MaskFolder(path, images) for path in there}
    good: list[Row] = []
    bad: Bad = []
    bare: list[str] = []
    for row in rows:
        folder = folders.get(row.mask) if isinstance(row.mask, Path) else None
        if folder and not folder.called_as(row) and followed(folder.path) == results:
            good.append(replace(row, mask=None))
            bare.append(row.id)
            continue
        try:
            good.append(replace(row, mask=folder.of(row)) if folder else row)
        except TilewrightError as error:
            bad.append((row, error))
    problems, remarks = [], []
    for path, folder in folders.items():
        mine = [row for row in rows if row.mask == path]
        unused = folder.unused(mine)
        if not any(folder.called_as(row) for row in mine):
            problems.append(_none_fits(folder, mine, unused))
        elif unused:
            remarks.append(f"{path}: {few(unused, NAMED)} {_is(unused)} of no image of this run.")
    if bare:
        said = f"Without a mask in {results}, and so looked at as without --mask"
        remarks.append(f"{said}: {few(bare, NAMED)}.")
    if problems:
        raise ProblemsError(problems)
    return good, bad, tuple(remarks)


def _none_fits(folder: MaskFolder, rows: Sequence[Row], unused: Sequence[str]) -> TilewrightError:
    """Why a folder of masks is none of this run."""
    ids = few([row.id for row in rows], NAMED)
    there = f"its masks are {few(unused, NAMED)}" if unused else "it has no mask"
    return TilewrightError(
        f"--mask {folder.path}: {there}, and none is called as an image of this run ({ids}).",
        fix=f"Call each as its image's id: {rows[0].id}.geojson, or {rows[0].id}/{NAME}.",
        code=USAGE,
    )


def _is(names: Sequence[str]) -> str:
    return "is a mask" if len(names) == 1 else "are masks"


def scan_code() -> str:
    """Digest of the code and libraries that look at an image ahead."""
    return digest([room_digests(SCAN), interpreters.digest("base")])


def masked(ref: ImageRef, image: Image, row: Row, params: Params, spec: ModelSpec) -> ImageRef:
    """An image with its mask, or the rule that its tissue is found by; slides have their tissue.

    Tissue that is given back as it was found is found again, which repeats nothing.

    Parameters
    ----------
    ref
        The image as all else says it is.
    image
        The same, open.
    row
        What the user says of it.
    params
        The run's.
    spec
        The model's.

    Raises
    ------
    TilewrightError
        When there is no such mask, or it is the image itself.
    """
    said = row.mask or ("tissue" if image.is_slide else "none")
    if said == "none":
        return ref
    least = params.min_tissue
    if least is None:
        least = EMBEDDED if spec.result == "table" else 0.0
    if isinstance(said, Path):
        if followed(said) == followed(row.path):
            what = f"{row.path}: is given as its own mask."
            raise TilewrightError(what, fix="Give an image or GeoJSON that says where to look.")
        given = replace(ref, mask=stamped(said), min_tissue=least)
        if said.name != NAME or _seal(said) != found_by(ref, scan_code()):
            return given
    return replace(ref, tissue=default_rule(), min_tissue=least)


def unused(params: Params, images: Iterable[ImageRef]) -> tuple[str, ...]:
    """A sentence where the user says of masks what no image of the run has use for."""
    if params.min_tissue is None or any(ref.masked for ref in images):
        return ()
    return ("--min_tissue is given, and no image has a mask.",)


def _seal(path: Path) -> str | None:
    """What the tissue in a file was found by; None of one that isn't as we wrote it."""
    try:
        return seal_of(path)
    except OSError:
        return None


def check_edited(images: Iterable[ImageRef], results: Path) -> None:
    """Refuse to write over tissue in the output folder that somebody has edited since.

    Parameters
    ----------
    results
        The output folder.

    Raises
    ------
    ProblemsError
        Naming each file (2).
    """
    paths = [results / ref.id / NAME for ref in images if ref.tissue is not None]
    problems = [
        TilewrightError(
            f"{path}: was edited since it was written, and finding the tissue again would write "
            "over it.",
            fix=f"Look where it says, by --mask {results}; or move it away.",
            code=USAGE,
        )
        for path in paths
        if path.is_file() and _seal(path) is None
    ]
    if problems:
        raise ProblemsError(problems)
