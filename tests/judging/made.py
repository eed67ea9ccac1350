"""Slides made by `tools/make_slide.py` for tests: small, of known truth, from a picture we have."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))  # its modules are no package
from made_slides.mosaic import Slide, read_pieces  # noqa: E402
from made_slides.ndpi import fitting  # noqa: E402
from made_slides.options import MACRO, PATIENT, Options  # noqa: E402
from make_slide import WRITERS  # noqa: E402

Array = np.ndarray[Any, Any]
SIZE = (1101, 1399)
"""Of a slide, px (Y, X): no multiple of a tile or of a level's factor."""
ENDINGS = {"svs": ".svs", "ndpi": ".ndpi", "philips": ".tiff", "generic": ".tif", "ome": ".ome.tif",
           "dicom": "", "ome_zarr": ".ome.zarr"}  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """One that reads a row's file as well.

    Parameters
    ----------
    because
        Why it gives other pixels or fewer levels, where it does.
    levels
        How many of the levels it has; None: all.
    has_mpp
        Whether it says the size of a pixel.
    """

    because: str = ""
    levels: int | None = None
    has_mpp: bool = True


@dataclass(frozen=True)
class Row:
    """A kind of file.

    Parameters
    ----------
    name
        For the page of formats.
    kind
        What `make_slide` calls it.
    options
        Its `Options`.
    judges
        Who judges it.
    planes
        Of Z.
    off
        The most by which a level may differ from the truth, in the mean of all pixels: by JPEG.
    """

    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    judges: dict[str, Judge] = field(default_factory=dict)
    planes: int = 1
    off: float = 8.0

    def __str__(self) -> str:
        return self.name

    @property
    def reader(self) -> str:
        """With what we read it, for the page of formats."""
        ours = {"dicom": "pydicom", "ome_zarr": "zarr-python"}
        return f"{ours.get(self.kind, 'tifffile')}, imagecodecs"

    @property
    def slide(self) -> Slide:
        """What it shows."""
        size = SIZE
        if self.kind == "ndpi":
            size = fitting(*SIZE, Options(**self.options))
        return Slide(*size, 0.3, 1, _pieces(), self.planes)

    def make(self, folder: Path) -> Path:
        """Write it into a folder."""
        path = folder / f"slide{ENDINGS[self.kind]}"
        module = import_module(f"made_slides.{WRITERS[self.kind]}")
        getattr(module, self.kind)(path, self.slide, Options(**self.options))
        return path


@cache
def _pieces() -> list[Array]:
    return read_pieces(None)


__all__ = ["MACRO", "PATIENT", "SIZE", "Array", "Judge", "Options", "Row", "Slide"]
