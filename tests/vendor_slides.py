"""Slides written as vendors' scanners do, by the descriptions in OpenSlide's readers: made ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

Array = np.ndarray[Any, Any]


def coloured(height: int, width: int, seed: int = 0) -> Array:
    """RGB (Y, X, 3) uint8 of which no two places are alike."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def halves(pixels: Array, count: int) -> list[Array]:
    """A pyramid of so many levels, each every other pixel of the one before."""
    levels = [pixels]
    for _ in range(count - 1):
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2]))
    return levels


def write_mrxs(
    path: Path,
    levels: Sequence[Array],
    camera: int = 64,
    missing: Sequence[tuple[int, int]] = (),
    fill: tuple[int, int, int] = (250, 240, 230),
    mpp: Sequence[float] = (0.25, 0.5, 1.0, 2.0),
) -> None:
    """A MIRAX slide: the .mrxs and its folder, a PNG for each square of `camera` pixels.

    Parameters
    ----------
    levels
        RGB (Y, X, 3) uint8, each half the one before; sides are multiples of `camera`.
    missing
        Rows and columns of level-0 images that weren't scanned.
    fill
        RGB of what wasn't scanned.
    mpp
        What each level says, µm per pixel.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(imagecodecs.jpeg_encode(np.zeros((8, 8, 3), np.uint8)))  # as many are
    down, across = (n // camera for n in levels[0].shape[:2])
    data, pages = bytearray(), []
    for number, level in enumerate(levels):
        page, step = [], 2**number
        for row in range(0, down, step):
            for column in range(0, across, step):
                if number == 0 and (row, column) in missing:
                    continue
                y, x = row // step * camera, column // step * camera
                image = np.zeros((camera, camera, 3), np.uint8)
                part = level[y : y + camera, x : x + camera]
                image[: part.shape[0], : part.shape[1]] = part
                png = imagecodecs.png_encode(image)
                page.append(struct.pack("<4i", row * across + column, len(data), len(png), 0))
                data += png
        pages.append(page)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(pages))
    (folder / "Slidedat.ini").write_text(
        _slidedat(len(levels), camera, down, across, fill, mpp), encoding="utf-8-sig"
    )


def _index(pages: list[list[bytes]]) -> bytes:
    """MIRAX's Index.dat: pointers to each level's page of images."""
    start = len(b"01.02made") + 8  # two pointers: to the levels, and to what else there is
    pointers = start + 4 * len(pages)
    table, body = b"", b""
    for page in pages:
        at = pointers + len(body)
        table += struct.pack("<i", at)
        body += struct.pack("<4i", 0, at + 8, len(page), 0) + b"".join(page)
    return b"01.02made" + struct.pack("<2i", start, 0) + table + body


def _slidedat(
    levels: int,
    camera: int,
    down: int,
    across: int,
    fill: tuple[int, int, int],
    mpp: Sequence[float],
) -> str:
    red, green, blue = fill
    lines = [
        "[GENERAL]", "SLIDE_ID = made", f"IMAGENUMBER_X = {across}", f"IMAGENUMBER_Y = {down}",
        "OBJECTIVE_MAGNIFICATION = 40", "CAMERA_IMAGE_DIVISIONS_PER_SIDE = 1",
        "[HIERARCHICAL]", "HIER_COUNT = 1", "NONHIER_COUNT = 0", "INDEXFILE = Index.dat",
        "HIER_0_NAME = Slide zoom level", f"HIER_0_COUNT = {levels}",
    ]  # fmt: skip
    lines += [f"HIER_0_VAL_{n}_SECTION = LAYER_0_LEVEL_{n}_SECTION" for n in range(levels)]
    lines += ["[DATAFILE]", "FILE_COUNT = 1", "FILE_0 = Data0000.dat"]
    for n in range(levels):
        lines += [
            f"[LAYER_0_LEVEL_{n}_SECTION]", f"IMAGE_CONCAT_FACTOR = {int(n > 0)}",
            "OVERLAP_X = 0", "OVERLAP_Y = 0",
            f"MICROMETER_PER_PIXEL_X = {mpp[n]}", f"MICROMETER_PER_PIXEL_Y = {mpp[n]}",
            f"IMAGE_FILL_COLOR_BGR = {blue << 16 | green << 8 | red}",
            f"DIGITIZER_WIDTH = {camera}", f"DIGITIZER_HEIGHT = {camera}", "IMAGE_FORMAT = PNG",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"
