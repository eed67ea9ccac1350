"""PNG and JPEG by imagecodecs, decoded whole."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from tilewright.contract.reading import opened, read_bytes

from .endings import JPEG_START, check_jpeg
from .orientation import number_in, of_exif, stored_turned
from .photometric import INKS, NO_ALPHA, rgb_of_inks
from .scenes import Scene, chosen
from .source import WHOLE_BYTES, Array, Level, Source, unreadable
from .white import of_bits

EXIF, SEVERAL = 0xE1, 0xE2  # markers of what cameras say, and of several pictures
PICTURES = 0xB001  # the tag of their number: CIPA DC-007
HEADER = 33  # bytes of a PNG ahead of its second chunk
SHORT = 2**20  # bytes of a chunk that is read: an EXIF block has less than 64 KiB

CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
"""How many channels a PNG's colour types have, less alpha; a palette's are its colours'."""


def open_png(path: Path, scene: int | str, _: int) -> Source:
    """PNG; the palette is applied, so that its pixels are colours, and alpha is left out.

    Raises
    ------
    ValueError
        When its header is damaged.
    """
    with opened(path) as file:
        width, height, bits, colour = struct.unpack(">8x4x4sIIBB", file.read(26))[1:]
        others = dict(_png_chunks(file))
    if colour not in CHANNELS:
        raise ValueError("its header is damaged")
    alpha = [NO_ALPHA] if colour in (4, 6) or b"tRNS" in others else []
    frames = int.from_bytes(others.get(b"acTL", b"")[:4], "big")
    turned = stored_turned(of_exif(others.get(b"eXIf", b"")))
    remarks = (*alpha, *_first_of(frames, "frames (animated PNG)"), *turned)
    shape, bits = (height, width, CHANNELS[colour]), 16 if bits == 16 else 8

    def decode(data: bytes) -> Array:
        pixels = np.asarray(imagecodecs.png_decode(data))
        return pixels if pixels.ndim == 2 else pixels[..., : shape[2]]  # the rest is alpha

    return _whole(path, scene, shape, bits, decode, remarks)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Names of what follows the header, with the content of what isn't pixels and is short."""
    at, number = HEADER, file.fileno()
    while len(head := os.pread(number, 8, at)) == 8:
        length, name = struct.unpack(">I4s", head)
        is_read = name != b"IDAT" and length < SHORT
        yield name, os.pread(number, length, at + 8) if is_read else b""
        at += length + 12


def open_jpeg(path: Path, scene: int | str, _: int) -> Source:
    """JPEG; 8 or 12 bits a sample; CMYK is made RGB.

    Raises
    ------
    ValueError
        When its header is damaged.
    """
    turned, pictures = 1, 1
    with opened(path) as file:
        file.seek(2)
        while True:
            mark, length = _marker(file), struct.unpack(">H", file.read(2))[0]
            # start of frame, of whatever kind; C4, C8 and CC are tables
            if 0xC0 <= mark <= 0xCF and mark not in {0xC4, 0xC8, 0xCC}:
                break
            block = file.read(max(0, length - 2))
            if mark == EXIF and turned == 1:
                turned = of_exif(block)
            elif mark == SEVERAL and block.startswith(b"MPF\0"):
                pictures = number_in(block[4:], PICTURES, "I") or 1
        bits, height, width, samples = struct.unpack(">BHHB", file.read(6))
    remarks = (*_first_of(pictures, "pictures (MPO)"), *stored_turned(turned))
    if samples != 4:
        decode = imagecodecs.jpeg_decode
        return _whole(path, scene, (height, width, samples), bits, decode, remarks)
    if bits != 8:
        raise unreadable(path, f"it is CMYK of {bits} bits", "Save it as RGB.")
    return _whole(path, scene, (height, width, 3), bits, _rgb_of_cmyk, (INKS, *remarks))


def _marker(file: BinaryIO) -> int:
    """The second byte of a JPEG's next marker, before which any number of FF may stand."""
    first, mark = struct.unpack(">BB", file.read(2))
    while first == mark == 0xFF:
        (mark,) = struct.unpack(">B", file.read(1))
    if first != 0xFF:
        raise ValueError("its header is damaged")
    return int(mark)


def _first_of(count: int, what: str) -> tuple[str, ...]:
    """A sentence where a file has more pictures than one."""
    return (f"It holds {count} {what}, and only the first is read.",) if count > 1 else ()


def _rgb_of_cmyk(data: bytes) -> Array:
    """RGB of a CMYK or YCCK JPEG, whose 255 is no ink, as Adobe's programs write it."""
    return rgb_of_inks(255 - imagecodecs.jpeg_decode(data))


def _whole(
    path: Path,
    scene: int | str,
    shape: tuple[int, int, int],
    bits: int,
    decode: Callable[[bytes], Any],
    remarks: tuple[str, ...],
) -> Source:
    """A format that is decoded whole: once, when the first window is read."""
    chosen(path, scene, [Scene()])
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
        data = read_bytes(path, 2 * WHOLE_BYTES)
        if data.startswith(JPEG_START):
            check_jpeg(data)
        pixels = np.asarray(decode(data))
        pixels = pixels[..., 0] if pixels.shape == shape and shape[2] == 1 else pixels
        if pixels.shape != full or pixels.dtype != dtype:
            raise ValueError(f"its header says {full} and its pixels are {pixels.shape}")
        return pixels

    level = Level(full, None, lambda window: decoded()[window].copy())
    white = of_bits(bits, dtype, f"{bits} bits a sample")
    axes = "YXC"[: len(full)]
    return Source(axes, dtype, (level,), close=lambda: None, remarks=remarks, white=white)
