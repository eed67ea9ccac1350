"""The table of readers: what each format's files are called, how they begin, what opens them.

Beside it stand the formats that have no reader, so that each is called by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .flat import open_jpeg, open_png
from .ome_zarr.reader import open_zarr, zarr_scenes
from .scenes import Scene
from .slides.dicom import open_dicom
from .slides.openslide import open_slide
from .source import Source
from .tiff.reader import open_tiff, tiff_scenes

START_BYTES = 132
"""Of a file's beginning, by which its format is told."""
Opener = Callable[[Path, int | str, int], Source]
"""Of a path, a scene's number or name, and how many bytes of decoded pixels are kept."""


@dataclass(frozen=True)
class Format:
    """What is known of a format: a new one is a reader and a row.

    Parameters
    ----------
    name
        For sentences.
    endings
        Of its files' names, in small letters.
    magic
        How its files begin; nothing, where only their ending tells.
    open
        Its reader; only headers are read.
    scenes
        What lists the scenes of a file that may have several.
    at
        Where in a file `magic` is.
    """

    name: str
    endings: tuple[str, ...]
    magic: tuple[bytes, ...]
    open: Opener
    scenes: Callable[[Path], tuple[Scene, ...]] | None = None
    at: int = 0

    def knows(self, path: Path, start: bytes) -> bool:
        """Whether a file of this name that begins so is of this format."""
        if not self.magic:
            return path.name.lower().endswith(self.endings)
        return start[self.at :].startswith(self.magic)


ZARR = Format(
    "OME-Zarr",
    (".ome.zarr", ".ome.zarr.zip", ".zarr", ".zarr.zip", ".ozx"),
    (b"PK\3\4",),  # a zip of a folder
    open_zarr,
    zarr_scenes,
)
TIFF = Format(
    "TIFF",
    (
        ".ome.tiff",
        ".ome.tif",
        ".tiff",
        ".tif",
        ".btf",
        ".svs",
        ".ndpi",
        ".qptiff",
        ".scn",
        ".bif",
        ".avs",
    ),  # the last three mostly go on to OpenSlide
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # the last two are BigTIFF
    open_tiff,
    tiff_scenes,
)
PNG = Format("PNG", (".png",), (b"\x89PNG",), open_png)
JPEG = Format("JPEG", (".jpeg", ".jpg"), (b"\xff\xd8\xff",), open_jpeg)
DICOM = Format("DICOM", (".dcm", ".dicom"), (b"DICM",), open_dicom, at=128)
MIRAX = Format("MIRAX", (".mrxs",), (), open_slide)  # begins as a JPEG, or anyhow
VMS = Format(
    "Hamamatsu VMS",
    (".vms", ".vmu"),
    (b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope Specimen]"),
    open_slide,
)
SVSLIDE = Format("Sakura svslide", (".svslide",), (b"SQLite format 3\0",), open_slide)
CZI = Format("Zeiss CZI", (".czi",), (b"ZISRAWFILE",), open_slide)

FORMATS = (MIRAX, TIFF, ZARR, PNG, JPEG, DICOM, VMS, SVSLIDE, CZI)
"""In the order in which a file is held against them."""
ENDINGS = tuple(sorted((e for f in FORMATS for e in f.endings), key=len, reverse=True))
"""Longest first, so that the whole of ``.ome.tif`` is taken off a name."""


def endings() -> str:
    """The endings of images that are looked for, for a sentence."""
    return ", ".join(e for e in ENDINGS if not e.startswith(".ome"))


def names() -> str:
    """The commonest formats' names, for a sentence."""
    return ", ".join(f.name for f in (TIFF, ZARR, PNG, JPEG)) + " or slide"


# Without a reader


@dataclass(frozen=True)
class KnownByName:
    """A format that has no reader here.

    Parameters
    ----------
    name
        For sentences.
    endings
        Of its files' names, in small letters.
    magic
        How its files begin, where that tells them from others.
    exporter
        The program that exports it.
    is_tiff
        Whether it begins as a TIFF, of a preview or label, and has its pixels elsewhere.
    """

    name: str
    endings: tuple[str, ...]
    magic: tuple[bytes, ...]
    exporter: str
    is_tiff: bool = False

    @property
    def fix(self) -> str:
        """What to do."""
        return f"Export it as OME-TIFF or OME-Zarr, by {self.exporter}."


BIO_FORMATS = "bioformats2raw or Fiji"
UNREAD = (
    KnownByName("Olympus VSI", (".vsi",), (), f"OlyVIA, QuPath, {BIO_FORMATS}", is_tiff=True),
    KnownByName(
        "Olympus ETS (the pixels of a VSI)", (".ets",), (), f"OlyVIA, QuPath, {BIO_FORMATS}"
    ),
    KnownByName("Olympus OIB", (".oib",), (), f"Fluoview, {BIO_FORMATS}"),
    KnownByName("Olympus OIF", (".oif",), (), f"Fluoview, {BIO_FORMATS}"),
    KnownByName("Olympus OIR", (".oir",), (b"OLYMPUSRAWFORMAT",), f"cellSens, {BIO_FORMATS}"),
    KnownByName("Leica LIF", (".lif", ".lof", ".xlef"), (), f"LAS X, {BIO_FORMATS}"),
    KnownByName("Nikon ND2", (".nd2",), (b"\xda\xce\xbe\x0a",), f"NIS-Elements, {BIO_FORMATS}"),
    KnownByName("Philips iSyntax", (".isyntax", ".i2syntax"), (), "Philips' SDK or QuPath"),
    KnownByName("Imaris IMS", (".ims",), (), f"Imaris, {BIO_FORMATS}"),
    KnownByName("HDF5", (".h5", ".hdf5"), (b"\x89HDF\r\n\x1a\n",), "the program that wrote it"),
    KnownByName("Zeiss ZVI", (".zvi",), (), f"AxioVision, ZEN, {BIO_FORMATS}"),
    KnownByName("DeltaVision", (".dv", ".r3d"), (), f"softWoRx, {BIO_FORMATS}"),
)


def unread(path: Path, start: bytes = b"") -> KnownByName | None:
    """The format of a file of this name that begins so, where it is one that isn't read."""
    name = path.name.lower()
    by_name = (f for f in UNREAD if name.endswith(f.endings))
    by_start = (f for f in UNREAD if f.magic and start.startswith(f.magic))
    return next(by_name, None) or next(by_start, None)
