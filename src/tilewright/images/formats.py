"""The table of readers: what each format's files are called, how they begin, what opens them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .flat import open_jpeg, open_png
from .ome_zarr.reader import open_zarr, zarr_scenes
from .scenes import Scene
from .source import Source
from .tiff.reader import open_tiff, tiff_scenes

START_BYTES = 8
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
        How its files begin.
    open
        Its reader; only headers are read.
    scenes
        What lists the scenes of a file that may have several.
    """

    name: str
    endings: tuple[str, ...]
    magic: tuple[bytes, ...]
    open: Opener
    scenes: Callable[[Path], tuple[Scene, ...]] | None = None

    def knows(self, start: bytes) -> bool:
        """Whether a file that begins so is of this format."""
        return start.startswith(self.magic)


ZARR = Format(
    "OME-Zarr",
    (".ome.zarr", ".ome.zarr.zip", ".zarr", ".zarr.zip", ".ozx"),
    (b"PK\3\4",),  # a zip of a folder
    open_zarr,
    zarr_scenes,
)
TIFF = Format(
    "TIFF",
    (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".btf", ".svs", ".ndpi", ".qptiff"),
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # the last two are BigTIFF
    open_tiff,
    tiff_scenes,
)
PNG = Format("PNG", (".png",), (b"\x89PNG",), open_png)
JPEG = Format("JPEG", (".jpeg", ".jpg"), (b"\xff\xd8\xff",), open_jpeg)

FORMATS = (TIFF, ZARR, PNG, JPEG)
"""In the order in which a file is held against them, and in which sentences name them."""
ENDINGS = tuple(sorted((e for f in FORMATS for e in f.endings), key=len, reverse=True))
"""Longest first, so that the whole of ``.ome.tif`` is taken off a name."""


def endings() -> str:
    """The endings of images that are looked for, for a sentence."""
    return ", ".join(e for e in ENDINGS if not e.startswith(".ome"))


def names() -> str:
    """The formats' names, for a sentence: ``TIFF, OME-Zarr, PNG or JPEG``."""
    *most, last = (f.name for f in FORMATS)
    return f"{', '.join(most)} or {last}"
