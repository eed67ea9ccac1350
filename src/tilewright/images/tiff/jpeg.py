"""JPEG tiles as scanners write them, decoded where libjpeg-turbo is fastest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from tifffile.tifffile import jpeg_decode_colorspace

from tilewright.images.source import Array

from .checks import segment_shape

Decoder = Callable[[bytes, bytes | None], Array | None]
"""Of a tile's data and its tables; None where the JPEG is of another size or kind than its page."""
KINDS, COLOURS, SAMPLES = (7, 33007), (2, 6), 3
LINE, OFF = 32, 16
"""Bytes: rows that begin on a line are written past the processor's caches (movntdq), which takes
a third longer in all when the pixels are then used."""


def decoder(key: Any) -> Decoder | None:
    """What decodes a page's tiles of 8 bits of RGB; None where it has others.

    Parameters
    ----------
    key
        The page.
    """
    plain = key.is_tiled and key.tiledepth == 1 and key.planarconfig == 1
    plain = plain and key.jpegheader is None and not key.extrasamples
    plain = plain and (key.bitspersample, key.samplesperpixel) == (8, SAMPLES)
    if not plain or key.compression not in KINDS or key.photometric not in COLOURS:
        return None
    stored, seen = jpeg_decode_colorspace(key.photometric, 1, (), key.is_jfif)
    shape = (*segment_shape(key)[1:], SAMPLES)

    def decode(data: bytes, tables: bytes | None) -> Array | None:
        out = placed(shape)
        try:
            imagecodecs.jpeg8_decode(
                data, tables=tables, colorspace=stored, outcolorspace=seen, out=out
            )
        except (ValueError, RuntimeError):
            return None
        return out

    return decode


def placed(shape: tuple[int, ...]) -> Array:
    """An empty array of bytes that doesn't begin on a line."""
    size = math.prod(shape)
    room = np.empty(size + LINE, np.uint8)
    at = (OFF - room.ctypes.data) % LINE
    return room[at : at + size].reshape(shape)
