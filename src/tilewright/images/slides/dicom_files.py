"""DICOM's files of slides: what each is by its header, and which make up one series."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from tilewright.contract.reading import opened
from tilewright.images.damage import WRONG_SHAPE

MAGIC, MAGIC_AT = b"DICM", 128
DICOM_ENDINGS = (".dcm", ".dicom")
INDEX = "dicomdir"
"""What lists the files of a disk, and is a DICOM file itself."""
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""The UID of the class VL Whole Slide Microscopy Image."""
PER_FRAME_TAG = 0x52009230
"""The tag from which on an element for each frame follows: not read of a header."""
USED = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ImageType", "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns", "TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths",
    "ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber", "DimensionOrganizationType", "NumberOfFrames", "Rows",
    "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "PhotometricInterpretation", "PlanarConfiguration", "ImagedVolumeWidth",
    "ImagedVolumeHeight",
)  # fmt: skip
"""What is taken of a header, by its keyword."""
NESTED = {
    "PixelSpacing": ("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"),
    "ObjectiveLensPower": ("OpticalPathSequence",),
}
"""What is taken of the first item of sequences in a header."""
MOST_FILES = 1000
"""Files of a folder, at most, that are looked at for DICOM's magic where no ending tells."""


@dataclass(frozen=True)
class Instance:
    """One file of a series.

    Parameters
    ----------
    kind
        What it shows, by the third value of ImageType: VOLUME is the slide itself; "" of other
        classes of DICOM.
    header
        What USED and NESTED name of it, where it is there.
    syntax
        UID by which its pixels are coded.
    end
        Where in the file what follows begins.
    """

    path: Path
    series: str
    kind: str
    header: Mapping[str, Any]
    syntax: str
    end: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of all its tiles together."""
        rows = number(self.header, "TotalPixelMatrixRows")
        return rows, number(self.header, "TotalPixelMatrixColumns")


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's magic; not, where it may not be read."""
    with contextlib.suppress(OSError), opened(path) as file:
        return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    return False


def dicom_files(folder: Path) -> list[Path]:
    """DICOM's files in a folder, sorted; by their magic where none is called so."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    called = [p for p in files if p.name.lower().endswith(DICOM_ENDINGS)]
    return called or [p for p in islice(files, MOST_FILES) if is_unnamed_dicom(p)]


def is_called_dicom(path: Path) -> bool:
    """Whether a file has DICOM's ending, or none and its magic."""
    return path.name.lower().endswith(DICOM_ENDINGS) or is_unnamed_dicom(path)


def is_unnamed_dicom(path: Path) -> bool:
    """Whether a file without an ending, called by a word or UID, is DICOM, but for its index."""
    has_none = path.suffix == "" or path.suffix[1:].isdecimal()
    return has_none and path.name.lower() != INDEX and path.is_file() and is_dicom(path)


def instance(path: Path) -> Instance:
    """A file's header.

    Raises
    ------
    ValueError
        When it is damaged, or no DICOM.
    """
    about = path.stat()
    return _instance(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=2**14)
def _instance(path: Path, *_: int) -> Instance:
    """A file's header, read once while it stays as it is."""
    found, end = read_header(path, PER_FRAME_TAG, [*USED, *(way[0] for way in NESTED.values())])
    header = {name: found[name].value for name in USED if name in found}
    header |= {name: _nested(found, way, name) for name, way in NESTED.items()}
    kinds = [*(header.get("ImageType") or [])]
    is_slide = str(header.get("SOPClassUID", "")) == WHOLE_SLIDE
    return Instance(
        path,
        series=str(header.get("SeriesInstanceUID", "")),
        kind=str(kinds[2]) if is_slide and len(kinds) > 2 else "",
        header=header,
        syntax=str(getattr(found, "file_meta", {}).get("TransferSyntaxUID", "")),
        end=end,
    )


def _nested(found: Any, way: Sequence[str], name: str) -> Any:
    """A value of a sequence's first item, of one in another's; None where it isn't there."""
    damage: tuple[type[Exception], ...] = WRONG_SHAPE
    try:
        for sequence in way:
            found = found[sequence].value[0]
        return found[name].value
    except damage:
        return None


def read_header(path: Path, before: int, names: Sequence[str]) -> tuple[Any, int]:
    """Elements of a file that stand before a tag, as a pydicom Dataset, and where that tag is.

    Parameters
    ----------
    names
        Keywords of the elements.

    Raises
    ------
    ValueError
        When it is damaged, or no DICOM.
    """
    from pydicom import errors  # half a second that only DICOM needs
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_partial

    tags: list[Any] = [tag_for_keyword(name) for name in names]
    of_pydicom = (errors.InvalidDicomError, errors.BytesLengthException)
    damage: tuple[type[Exception], ...] = (*WRONG_SHAPE, *of_pydicom, EOFError)
    try:
        with opened(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that aren't as the standard has them
            found = read_partial(file, lambda tag, *_: int(tag) >= before, specific_tags=tags)
            at = file.tell()
            for _ in found:  # each is made a value now, so that what can't be is told here
                pass
    except damage as error:
        raise ValueError("its DICOM header is cut off or damaged") from error
    return found, at


def number(header: Mapping[str, Any], name: str, otherwise: int | None = None) -> int:
    """A whole number of a header.

    Raises
    ------
    ValueError
        When it is none, or isn't there and there is no other.
    """
    value = header.get(name)
    value = otherwise if value is None else value
    if value is None:
        raise ValueError(f"its header has no {name}")
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its {name} is {str(value)[:40]!r}, and no number") from error


def series_of(path: Path) -> list[Instance]:
    """The files of a series: of the one that a file belongs to, or of all in a folder.

    Files of other classes than whole slides, and those that can't be read, are left out.

    Raises
    ------
    ValueError
        When the file itself is damaged.
    """
    if path.is_dir():
        return _readable(dicom_files(path))
    own = instance(path)
    beside = [p for p in dicom_files(path.parent) if not p.samefile(path)]
    return [own, *(i for i in _readable(beside) if i.series == own.series)]


def _readable(paths: Iterable[Path]) -> list[Instance]:
    found = []
    for path in paths:
        try:
            one = instance(path)
        except (ValueError, OSError):
            continue
        if one.kind:
            found.append(one)
    return found


def slides_among(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Of DICOM's files in a folder those that stand for an image, each with the others of it.

    A series is one image, which its largest file stands for; a file that belongs to none stands
    for itself.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    areas: dict[Path, int] = {}
    for path in sorted(paths):
        series = f"{path}"  # unreadable: it is told when it is opened
        try:
            one = instance(path)
            series = one.series or series
            areas[path] = _area(one)
        except (ValueError, OSError):
            pass
        groups.setdefault((path.parent, series), []).append(path)
    found = {}
    for files in groups.values():
        first = max(files, key=lambda p: areas.get(p, -1))  # of equal ones the first
        found[first] = [p for p in files if p != first]
    return found


def _area(one: Instance) -> int:
    """Pixels of a file that shows the slide; 0 of another."""
    if one.kind != "VOLUME":
        return 0
    rows, columns = one.size
    return rows * columns
