"""PNGs and JPEGs of every kind: factors, what can't be together, and how one is made."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image as Pillow

from .pairs import Rule, implied
from .specimen import Array, Specimen, noise, smooth

SIZE = (37, 53)
PNG_KINDS = {"grey": (0, 1), "rgb": (2, 3), "palette": (3, 1), "grey alpha": (4, 2),
             "rgba": (6, 4)}  # fmt: skip
"""Colour type and samples of each."""
PNG_FACTORS: dict[str, tuple[str, ...]] = {
    "kind": tuple(PNG_KINDS),
    "bits": ("1", "2", "4", "8", "16"),
    "rows": ("in order", "interlaced"),
    "filter": ("none", "sub", "up", "average", "paeth", "each"),
    "transparency": ("none", "tRNS"),
    "data": ("one piece", "pieces"),
    "said": ("nothing", "gamma", "significant bits", "eXIf orientation"),
}
PNG_RULES: list[Rule] = [
    implied("kind", ["rgb", "grey alpha", "rgba"], "bits", ["8", "16"]),
    implied("kind", ["palette"], "bits", ["1", "2", "4", "8"]),
    implied("kind", ["grey alpha", "rgba"], "transparency", ["none"]),
]
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
         (1, 0, 2, 1))  # fmt: skip
"""Of each pass: first row and column, and the steps."""
ORIENTATION = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""EXIF with nothing but an orientation of 6."""


def make_png(case: dict[str, str], path: Path) -> Specimen:
    """Write the file."""
    bits, (colour, samples) = int(case["bits"]), PNG_KINDS[case["kind"]]
    dtype = "uint16" if bits == 16 else "uint8"
    stored = noise((*SIZE, samples), dtype, bits)
    colours = np.random.default_rng(bits).integers(0, 256, (2 ** min(bits, 8), 3), np.uint8)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", SIZE[1], SIZE[0], bits, colour, 0, 0,
                                    case["rows"] == "interlaced"))]  # fmt: skip
    chunks += _png_said(case, samples)
    chunks += [(b"PLTE", colours.tobytes())] if colour == 3 else []
    if case["transparency"] == "tRNS":
        chunks += [(b"tRNS", b"\x80\x40" if colour == 3 else bytes(2 * samples))]
    data = zlib.compress(b"".join(_png_lines(stored, case)))
    pieces = [data[:100], b"", data[100:]] if case["data"] == "pieces" else [data]
    chunks += [(b"IDAT", piece) for piece in pieces] + [(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(itertools.starmap(_png_chunk, chunks)))
    shown = _png_shown(stored, case, colours)
    axes = "YXC" if shown.shape[-1] > 1 else "YX"
    return Specimen(case, axes, [shown if axes == "YXC" else shown[..., 0]], [stored])


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_said(case: dict[str, str], samples: int) -> list[tuple[bytes, bytes]]:
    of = 3 if case["kind"] == "palette" else samples
    deep = 8 if case["kind"] == "palette" else int(case["bits"])
    return {
        "nothing": [],
        "gamma": [(b"gAMA", struct.pack(">I", 45455))],
        "significant bits": [(b"sBIT", bytes([max(1, deep - 1)] * of))],
        "eXIf orientation": [(b"eXIf", ORIENTATION)],
    }[case["said"]]


def _png_shown(stored: Array, case: dict[str, str], colours: Array) -> Array:
    if case["kind"] == "palette":
        return colours[stored[..., 0]]
    if int(case["bits"]) < 8:  # section 13.12: sample depth rescaling
        return stored * np.uint8(255 // (2 ** int(case["bits"]) - 1))
    return stored[..., :-1] if case["kind"].endswith(("a", "alpha")) else stored


def _png_lines(stored: Array, case: dict[str, str]) -> Iterator[bytes]:
    """The filtered rows, each after its filter's number; of a pass after the other."""
    bits = int(case["bits"])
    step = max(1, stored.shape[-1] * bits // 8)
    passes = ADAM7 if case["rows"] == "interlaced" else ((0, 0, 1, 1),)
    for row, column, down, across in passes:
        part = stored[row::down, column::across]
        before = None
        for number, line in enumerate(part if part.size else []):
            data = _packed(line, bits)
            kind = PNG_FACTORS["filter"].index(case["filter"])
            kind = number % 5 if kind == 5 else kind
            yield bytes([kind]) + _filtered(data, before, kind, step).tobytes()
            before = data


def _packed(line: Array, bits: int) -> Array:
    """A row's samples as bytes, the first in the highest bits."""
    loose = np.unpackbits(line.ravel().astype(">u2").view(np.uint8).reshape(-1, 2), axis=-1)
    return np.packbits(loose[:, 16 - bits :].ravel())


def _filtered(line: Array, above: Array | None, kind: int, step: int) -> Array:
    """Section 9.2 of the specification."""
    x = line.astype(int)
    b = np.zeros_like(x) if above is None else above.astype(int)
    a, c = (np.concatenate([np.zeros(step, int), v[:-step]])[: len(x)] for v in (x, b))
    p = a + b - c
    far = np.stack([abs(p - a), abs(p - b), abs(p - c)]).argmin(axis=0)
    guess = [np.zeros_like(x), a, b, (a + b) // 2, np.choose(far, [a, b, c])][kind]
    return (x - guess).astype(np.uint8)


# JPEG ------------------------------------------------------------------------------------------

JPEG_FACTORS: dict[str, tuple[str, ...]] = {
    "kind": ("grey", "ycbcr", "rgb", "cmyk", "ycck"),
    "coding": ("baseline", "progressive", "optimised", "12 bit", "lossless"),
    "subsampling": ("444", "422", "420", "440", "411"),
    "restart": ("none", "each 2 rows"),
    "quality": ("75", "98"),
    "exif": ("none", "orientation 1", "orientation 6"),
    "after": ("nothing", "bytes after its end"),
}
BY_PILLOW = {"444": 0, "422": 1, "420": 2}
JPEG_RULES: list[Rule] = [
    implied("kind", ["grey", "rgb", "cmyk", "ycck"], "subsampling", ["444"]),
    implied("coding", ["12 bit", "lossless"], "kind", ["grey", "ycbcr", "rgb"]),
    implied("coding", ["lossless"], "kind", ["grey", "rgb"]),
    implied("coding", ["lossless", "12 bit"], "restart", ["none"]),
    implied("coding", ["progressive"], "kind", ["grey", "ycbcr", "cmyk"]),
    implied("kind", ["rgb", "ycck"], "restart", ["none"]),
    implied("subsampling", ["440", "411"], "restart", ["none"]),
    implied("subsampling", ["440", "411"], "coding", ["baseline", "optimised", "12 bit"]),
]
SAMPLES = {"grey": 1, "ycbcr": 3, "rgb": 3, "cmyk": 4, "ycck": 4}


def make_jpeg(case: dict[str, str], path: Path) -> Specimen:
    """Write the file."""
    samples = SAMPLES[case["kind"]]
    stored = smooth((*SIZE, samples))
    if case["coding"] == "12 bit":
        stored = stored.astype(np.uint16) * 16
    flat = stored[..., 0] if samples == 1 else stored
    by_pillow = case["restart"] != "none" or case["coding"] == "progressive"
    data = (_pillows if by_pillow else _turbos)(flat, case)
    if case["exif"] != "none":
        about = ORIENTATION.replace(b"\x06", bytes([int(case["exif"][-1])]))
        segment = b"Exif\0\0" + about
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    if case["after"] != "nothing":
        data += b"\0" * 9
    path.write_bytes(data)
    shown = flat
    if samples == 4:  # Adobe's CMYK is stored the other way round: 255 is no ink
        shown = np.rint(stored[..., :3].astype(float) * stored[..., 3:] / 255).astype(np.uint8)
    tolerance = 0 if case["coding"] == "lossless" else 20 * (16 if stored.dtype == np.uint16 else 1)
    return Specimen(case, "YXC"[: shown.ndim], [shown], [stored], tolerance)


def _pillows(pixels: Array, case: dict[str, str]) -> bytes:
    file = io.BytesIO()
    how: dict[str, Any] = {"progressive": case["coding"] == "progressive"}
    if case["restart"] != "none":
        how["restart_marker_rows"] = 2
    mode = {"grey": "L", "ycbcr": "RGB", "cmyk": "CMYK"}[case["kind"]]
    picture = Pillow.frombytes(
        mode, SIZE[::-1], (255 - pixels if mode == "CMYK" else pixels).tobytes()
    )
    picture.save(
        file, "JPEG", quality=int(case["quality"]), subsampling=BY_PILLOW[case["subsampling"]],
        optimize=case["coding"] == "optimised", **how,
    )  # fmt: skip
    return file.getvalue()


def _turbos(pixels: Array, case: dict[str, str]) -> bytes:
    inside = {"grey": "grayscale", "ycbcr": "ycbcr", "rgb": "rgb", "cmyk": "cmyk", "ycck": "ycck"}
    outside = {"ycbcr": "rgb", "ycck": "cmyk"}
    how: dict[str, Any] = {"outcolorspace": inside[case["kind"]]}
    how["colorspace"] = outside.get(case["kind"], inside[case["kind"]])
    if case["kind"] == "ycbcr":
        how["subsampling"] = case["subsampling"]
    if case["coding"] == "12 bit":
        how["bitspersample"] = 12
    return bytes(imagecodecs.jpeg8_encode(
        pixels, level=int(case["quality"]), optimize=case["coding"] == "optimised",
        lossless=case["coding"] == "lossless", **how,
    ))  # fmt: skip
