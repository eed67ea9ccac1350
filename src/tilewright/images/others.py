"""Formats that are known by name alone: what such a file is called, and what to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Unread:
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
    Unread("Olympus VSI", (".vsi",), (), f"OlyVIA, QuPath, {BIO_FORMATS}", is_tiff=True),
    Unread("Olympus ETS (the pixels of a VSI)", (".ets",), (), f"OlyVIA, QuPath, {BIO_FORMATS}"),
    Unread("Olympus OIB", (".oib",), (), f"Fluoview, {BIO_FORMATS}"),
    Unread("Olympus OIF", (".oif",), (), f"Fluoview, {BIO_FORMATS}"),
    Unread("Olympus OIR", (".oir",), (b"OLYMPUSRAWFORMAT",), f"cellSens, {BIO_FORMATS}"),
    Unread("Leica LIF", (".lif", ".lof", ".xlef"), (), f"LAS X, {BIO_FORMATS}"),
    Unread("Nikon ND2", (".nd2",), (b"\xda\xce\xbe\x0a",), f"NIS-Elements, {BIO_FORMATS}"),
    Unread("Philips iSyntax", (".isyntax", ".i2syntax"), (), "Philips' SDK or QuPath"),
    Unread("Imaris IMS", (".ims",), (), f"Imaris, {BIO_FORMATS}"),
    Unread("HDF5", (".h5", ".hdf5"), (b"\x89HDF\r\n\x1a\n",), "the program that wrote it"),
    Unread("Zeiss ZVI", (".zvi",), (), f"AxioVision, ZEN, {BIO_FORMATS}"),
    Unread("DeltaVision", (".dv", ".r3d"), (), f"softWoRx, {BIO_FORMATS}"),
)
ENDINGS = tuple(ending for f in UNREAD for ending in f.endings)


def known(path: Path, start: bytes = b"") -> Unread | None:
    """The format of a file of this name that begins so, where it is one that isn't read."""
    name = path.name.lower()
    by_name = (f for f in UNREAD if name.endswith(f.endings))
    by_start = (f for f in UNREAD if f.magic and start.startswith(f.magic))
    return next(by_name, None) or next(by_start, None)
