"""PNG and JPEG by imagecodecs, decoded whole."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from .chunks import Array
from .endings import JPEG_START, check_jpeg
from .source import WHOLE_BYTES, Level, Source, checked_scene, unreadable


def open_png(path: Path, scene: int, _: int) -> Source:
    """PNG; the palette is applied, so that its pixels are colours."""
    with path.open("rb") as file:
        width, height, bits, colour = struct.unpack(">8x4x4sIIBB", file.read(26))[1:]
    samples = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if samples is None:
        raise ValueError("its header is damaged")
    return _whole(
        path, scene, (height, width, samples), 16 if bits == 16 else 8, imagecodecs.png_decode
    )


def open_jpeg(path: Path, scene: int, _: int) -> Source:
    """JPEG; 8 or 12 bits a sample.

    Raises
    ------
    ValueError
        When its header is damaged.
    """
    with path.open("rb") as file:
        file.seek(2)
        while True:
            mark, length = struct.unpack(">HH", file.read(4))
            if mark < 0xFF00:
                raise ValueError("its header is damaged")
            # start of frame, of whatever kind; C4, C8 and CC are tables
            if 0xFFC0 <= mark <= 0xFFCF and mark not in {0xFFC4, 0xFFC8, 0xFFCC}:
                break
            file.seek(length - 2, 1)
        bits, height, width, samples = struct.unpack(">BHHB", file.read(6))
    return _whole(path, scene, (height, width, samples), bits, imagecodecs.jpeg_decode)


def _whole(
    path: Path, scene: int, shape: tuple[int, int, int], bits: int, decode: Callable[[bytes], Any]
) -> Source:
    """A format that is decoded whole: once, when the first window is read."""
    checked_scene(path, scene, 1)
    dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    size = math.prod(shape) * dtype.itemsize
    if size > WHOLE_BYTES:
        raise unreadable(
            path,
            f"{size / 2**30:.1f} GiB of pixels in a format that must be decoded whole",
            "Save it as a tiled TIFF or OME-Zarr.",
        )
    full = shape if shape[2] > 1 else shape[:2]

    @cache
    def decoded() -> Array:
        data = path.read_bytes()
        if data.startswith(JPEG_START):
            check_jpeg(data)
        pixels = np.asarray(decode(data))
        pixels = pixels[..., : shape[2]] if pixels.ndim == 3 else pixels  # a palette's alpha
        if pixels.shape != full or pixels.dtype != dtype:
            raise ValueError(f"its header says {full} and its pixels are {pixels.shape}")
        return pixels

    level = Level(full, None, lambda window: decoded()[window].copy())
    return Source("YXC"[: len(full)], dtype, (level,), close=lambda: None)
