"""A strip or tile of samples as the bytes of a TIFF: predictor, byte order, bits, compression."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image as Pillow

from .specimen import Array

PLAIN: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "lzw": (5, imagecodecs.lzw_encode),
    "deflate": (8, zlib.compress),
    "old deflate": (32946, zlib.compress),
    "packbits": (32773, imagecodecs.packbits_encode),
    "lzma": (34925, imagecodecs.lzma_encode),
    "zstd": (50000, imagecodecs.zstd_encode),
}
"""Compressions of bytes, with their numbers."""
OF_PIXELS: dict[str, int] = {
    "ccitt 4": 4,
    "jpeg": 7,
    "jpeg 2000": 34712,
    "lerc": 34887,
    "png": 34933,
    "webp": 50001,
    "jpeg xl": 50002,
}
"""Compressions of pictures."""
PREDICTORS = {"none": 1, "horizontal": 2, "float": 3}


def number(compression: str) -> int:
    """The value of the tag Compression."""
    return PLAIN[compression][0] if compression in PLAIN else OF_PIXELS[compression]


def encoded(pixels: Array, case: dict[str, str], bits: int) -> bytes:
    """A strip or tile, (y, x, sample), as the file has it."""
    compression = case["compression"]
    if compression in OF_PIXELS:
        data = _picture(pixels, case)
        return _turned(data) if case["bit order"] == "low first" else data
    data = _raw(pixels, case, bits)
    if case["bit order"] == "low first":  # the bits of the data as they are decompressed
        return _turned(PLAIN[compression][1](data))
    return PLAIN[compression][1](data)


def _turned(data: bytes) -> bytes:
    """Each byte with its bits in the other order."""
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()


def _raw(pixels: Array, case: dict[str, str], bits: int) -> bytes:
    if case["photometric"].startswith("ycbcr"):
        return _units(pixels, int(case["photometric"][6]), int(case["photometric"][8]))
    order = "<" if case["order"] == "little" else ">"
    if bits != pixels.dtype.itemsize * 8:
        return _packed(pixels, bits)
    if case["predictor"] == "float":
        return _float_differences(pixels)
    if case["predictor"] == "horizontal":
        whole = pixels.view(f"u{pixels.dtype.itemsize}").copy()
        whole[:, 1:] -= pixels.view(whole.dtype)[:, :-1]
        pixels = whole
    return pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


def _packed(pixels: Array, bits: int) -> bytes:
    """Samples of fewer bits than a byte or word, the highest bit first, rows to a whole byte."""
    rows = pixels.reshape(len(pixels), -1).astype(">u2")
    loose = np.unpackbits(rows.view(np.uint8).reshape(*rows.shape, 2), axis=-1)[..., 16 - bits :]
    return np.packbits(loose.reshape(len(rows), -1), axis=-1).tobytes()


def _float_differences(pixels: Array) -> bytes:
    """The floating point predictor: of each row all first bytes, all second ones, differences."""
    rows, samples, size = len(pixels), pixels.shape[-1], pixels.dtype.itemsize
    loose = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(rows, -1, size)
    planes = loose.transpose(0, 2, 1).reshape(rows, -1, samples)
    found = planes.copy()
    found[:, 1:] -= planes[:, :-1]
    return found.tobytes()


def _units(pixels: Array, across: int, down: int) -> bytes:
    """YCbCr's data units: the luminance of a block, row by row, then its Cb and Cr."""
    height, width = (-(-n // s) * s for n, s in zip(pixels.shape[:2], (down, across), strict=True))
    rows, columns = height - pixels.shape[0], width - pixels.shape[1]
    whole = np.pad(pixels, [(0, rows), (0, columns), (0, 0)], "edge")
    blocks = whole.reshape(height // down, down, width // across, across, 3).transpose(
        0, 2, 1, 3, 4
    )
    light = blocks[..., 0].reshape(*blocks.shape[:2], -1)
    return np.concatenate([light, blocks[:, :, 0, 0, 1:]], axis=-1).tobytes()


def _picture(pixels: Array, case: dict[str, str]) -> bytes:
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    flat = np.ascontiguousarray(flat)
    match case["compression"]:
        case "ccitt 4":
            return _ccitt(flat)
        case "jpeg":
            return _jpeg(flat, case["photometric"])
        case "jpeg 2000":
            return bytes(imagecodecs.jpeg2k_encode(flat, codecformat="j2k", reversible=True))
        case "lerc":
            return bytes(imagecodecs.lerc_encode(flat, planar=flat.ndim == 2))
        case "png":
            return bytes(imagecodecs.png_encode(flat))
        case "webp":
            return bytes(imagecodecs.webp_encode(flat, lossless=True))
        case _:
            return bytes(imagecodecs.jpegxl_encode(flat, lossless=True))


def _jpeg(pixels: Array, photometric: str) -> bytes:
    how: dict[str, Any] = {"colorspace": "grayscale"}
    if photometric == "cmyk":
        how = {"colorspace": "cmyk", "outcolorspace": "cmyk"}
    elif photometric == "rgb":
        how = {"colorspace": "rgb", "outcolorspace": "rgb"}
    elif photometric.startswith("ycbcr"):
        sampling = (int(photometric[6]), int(photometric[8]))
        how = {"colorspace": "rgb", "outcolorspace": "ycbcr", "subsampling": sampling}
    return bytes(imagecodecs.jpeg8_encode(pixels, level=98, **how))


def _ccitt(pixels: Array) -> bytes:
    """Group 4, by libtiff in Pillow: the one strip of a file of its own."""
    picture, file = Pillow.fromarray(pixels), io.BytesIO()
    picture.save(file, "TIFF", compression="group4", strip_size=2**20)
    tags = Pillow.open(file).tag_v2  # type: ignore[attr-defined]
    (place,), (size,) = tags[273], tags[279]
    data = file.getvalue()[place : place + size]
    return data if tags.get(266, 1) == 1 else _turned(data)
