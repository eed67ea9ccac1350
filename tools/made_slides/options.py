"""What can be set of a made slide's file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import jpeg
from .mosaic import Array

PATIENT = (0, 200, 0)
"""Colour of a label image: it names a patient, and no pixel of it may ever be seen."""
MACRO = (200, 0, 200)
"""Colour of a macro image."""


@dataclass(frozen=True)
class Options:
    """How a slide is written.

    Parameters
    ----------
    levels
        How many.
    by
        Factor from one to the next; None: what the format's scanners do.
    tile
        Side of a tile, px; None likewise.
    mpp
        Text of µm per px, as it is to stand in the file; None: no resolution at all.
    magnification
        Of the objective; None: it isn't said.
    colour
        Of JPEG: YCBCR, with `subsampling`, or RGB.
    subsampling
        420, 422 or 444; None: what the format's scanners do.
    codec
        jpeg; jp2k-rgb or jp2k-ycbcr (Aperio's 33005 and 33003); none, zstd or so where it can be.
    sparse
        Tiles that are glass alone aren't written.
    extras
        Whether there are label, macro and thumbnail images.
    large
        Offsets of more than 32 bits, whatever the size.
    """

    levels: int = 3
    by: int | None = None
    tile: int | None = None
    mpp: str | None = "0.4990"
    magnification: str | None = "20"
    colour: str = "YCBCR"
    subsampling: str | None = None
    codec: str = "jpeg"
    sparse: bool = False
    extras: bool = True
    large: bool = False

    def encode(self, tile: Array) -> bytes:
        """A tile's JPEG."""
        return jpeg.encode(tile, self.colour, self.subsampling or "420")

    @property
    def number(self) -> float | None:
        """µm per px, or None where it is no positive number."""
        try:
            value = float(self.mpp or "")
        except ValueError:
            return None
        return value if 0 < value < float("inf") else None

    def spacing(self, factor: int) -> float | None:
        """µm per px of a level."""
        return None if self.number is None else self.number * factor


def label() -> Array:
    """A label image, (463, 387, 3) uint8: a colour no tissue has, with a barcode."""
    return _marked((463, 387), PATIENT)


def macro() -> Array:
    """A macro image, (431, 1280, 3) uint8."""
    return _marked((431, 1280), MACRO)


def thumbnail(small: Array, longest: int = 1024) -> Array:
    """A thumbnail out of a level, by leaving pixels out."""
    step = -(-max(small.shape[:2]) // longest)
    return np.ascontiguousarray(small[::step, ::step])


def _marked(size: tuple[int, int], colour: tuple[int, int, int]) -> Array:
    out = np.broadcast_to(np.array(colour, np.uint8), (*size, 3)).copy()
    bars = np.random.default_rng(0).random(60) < 0.5
    out[20:80, 20:320][:, np.repeat(bars, 5)] = 0
    return out
