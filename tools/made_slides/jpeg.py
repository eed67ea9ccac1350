"""JPEG as slides hold it: tiles without their tables, or one picture with restart markers."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import imagecodecs

from .mosaic import Array

QUALITY = 85
SOI, EOI, SOF0, SOS, DRI = 0xD8, 0xD9, 0xC0, 0xDA, 0xDD
RGB_FRAME, RGB_SCAN = b"\0\x11\0\1\x11\0\2\x11\0", b"\0\0\1\0\2\0"
"""A frame's and a scan's components 0, 1 and 2, in one size, with one set of tables."""
TABLES = (0xDB, 0xC4)
"""Quantisation and Huffman."""


def encode(tile: Array, colour: str = "YCBCR", subsampling: str = "420") -> bytes:
    """A whole JPEG of (Y, X, 3) uint8 RGB.

    Parameters
    ----------
    colour
        In which it is stored: YCBCR or RGB, which isn't subsampled.
    """
    sampling = subsampling if colour == "YCBCR" else "444"
    return bytes(
        imagecodecs.jpeg8_encode(
            tile, QUALITY, colorspace="RGB", outcolorspace=colour, subsampling=sampling
        )
    )


def segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """A JPEG's marker segments up to its pixels: marker and whole segment; SOS has the pixels."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack_from(">H", jpeg, at + 2)[0]
        if marker == SOS:
            yield marker, jpeg[at:]
            return
        yield marker, jpeg[at : at + 2 + length]
        at += 2 + length


def tables(jpeg: bytes) -> bytes:
    """Its tables alone, as TIFF's JPEGTables has them."""
    return b"\xff\xd8" + b"".join(s for m, s in segments(jpeg) if m in TABLES) + b"\xff\xd9"


def abbreviated(jpeg: bytes) -> bytes:
    """It without its tables, and without APP segments, as in a tile of a TIFF.

    Of RGB, Aperio's components are 0, 1 and 2: nothing but the TIFF says that it isn't YCbCr.
    """
    kept = (s for m, s in segments(jpeg) if m not in TABLES and not 0xE0 <= m <= 0xEF)
    return b"\xff\xd8" + b"".join(kept).replace(b"R\x11\0G\x11\0B\x11\0", RGB_FRAME).replace(
        b"R\0G\0B\0", RGB_SCAN, 1
    )


def pixels(jpeg: bytes) -> bytes:
    """Its entropy-coded data alone."""
    scan = next(s for m, s in segments(jpeg) if m == SOS)
    return scan[2 + struct.unpack_from(">H", scan, 2)[0] : -2]


def header(jpeg: bytes, height: int, width: int, interval: int) -> bytes:
    """A JPEG's head for a larger picture, with a restart marker after every `interval` MCUs.

    Parameters
    ----------
    height, width
        Of the picture, px; 0 where JPEG has no number that large.
    interval
        0: no restart markers.
    """
    out = b"\xff\xd8"
    for marker, segment in segments(jpeg):
        if marker == SOF0:
            size = struct.pack(">HH", *(n if n <= 65500 else 0 for n in (height, width)))
            out += segment[:5] + size + segment[9:]
        elif marker == SOS:
            if interval:
                out += struct.pack(">BBHH", 0xFF, DRI, 4, interval)
            out += segment[: 2 + struct.unpack_from(">H", segment, 2)[0]]
        else:
            out += segment
    return out
