"""Slides as Hamamatsu's NDPI: a TIFF whose offsets have 64 bits, each level a single JPEG.

A restart marker follows every few MCUs, and a tag says where each is, so that a reader decodes the
strips between them. No library writes it, so it is written here byte by byte; what it must be like
is what openslide's and tifffile's readers ask for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from . import jpeg
from .mosaic import Array, Slide
from .options import Options, macro
from .pyramid import THREADS, Level, levels

ASCII, SHORT, LONG, RATIONAL, FLOAT, SLONG = 2, 3, 4, 5, 11, 9
SIZES = {ASCII: "s", SHORT: "H", LONG: "I", RATIONAL: "I", FLOAT: "f", SLONG: "i"}
WIDEST = 512
"""Px between two restart markers, at most."""
PAST = 2**32 + 4096
"""Where the first picture begins in a file that needs more than 32 bits; before it is a hole."""
Z_STEP = 1500
"""nm between planes of Z."""


@dataclass
class Page:
    """A directory: its tags, by number, as type and values."""

    tags: dict[int, tuple[int, tuple[float, ...] | bytes]] = field(default_factory=dict)

    def set(self, tag: int, kind: int, *values: float | bytes) -> None:
        """Give a tag its value."""
        text = values[0] if isinstance(values[0], bytes) else None
        self.tags[tag] = (kind, text if text is not None else values)  # type: ignore[assignment]


def ndpi(path: Path, slide: Slide, options: Options) -> None:
    """Each plane of Z with all of its levels, one plane after another, then the macro.

    Parameters
    ----------
    slide
        Its sides must be multiples of what `fitting` says.

    Raises
    ------
    ValueError
        They aren't.
    """
    options = sampled(options)
    if fitting(slide.height, slide.width, options) != (slide.height, slide.width):
        raise ValueError(f"{slide.width} x {slide.height} px isn't made of whole strips.")
    with path.open("wb") as out:
        out.write(struct.pack("<2sHQ", b"II", 42, 0))
        if options.large:
            out.seek(PAST)
        pages = []
        for plane in range(slide.planes):
            for level in levels(slide, options.levels, options.by or 4, plane):
                page = _level(out, level, options)
                offset = (plane - slide.planes // 2) * Z_STEP
                page.set(65424, SLONG, offset)
                pages.append(page)
        if options.extras:
            pages.append(_macro(out, options))
        _directories(out, pages)


def sampled(options: Options) -> Options:
    """With 4:2:2 unless it is said: of 4:2:0, openslide can't decode a row of MCUs by itself."""
    return options if options.subsampling else replace(options, subsampling="422")


def fitting(height: int, width: int, options: Options) -> tuple[int, int]:
    """The largest size up to this one whose levels are all made of whole MCUs."""
    options = sampled(options)
    least = (options.by or 4) ** (options.levels - 1)
    down, across = (n * least for n in _mcu(options))
    return height // down * down, width // across * across


def _mcu(options: Options) -> tuple[int, int]:
    """Height and width of an MCU, px."""
    return {"420": (16, 16), "422": (8, 16), "444": (8, 8)}[options.subsampling or "422"]


def _strip(width: int, mcu: int) -> int:
    """Px between two restart markers: what divides a row of MCUs evenly."""
    whole = width // mcu
    return mcu * max(n for n in range(1, WIDEST // mcu + 1) if whole % n == 0)


def _level(out: BinaryIO, level: Level, options: Options) -> Page:
    """Write a level's JPEG, and give its directory."""
    height, width = _mcu(options)
    strip = _strip(level.width, width)
    is_one = (level.height, level.width) == (height, strip)
    start = out.tell()
    begins: list[int] = []
    for number, coded in enumerate(_strips(level, height, strip, options)):
        if not number:
            interval = 0 if is_one else strip // width
            head = jpeg.header(coded, level.height, level.width, interval)
            out.write(head)
        else:
            out.write(bytes([0xFF, 0xD0 + (number - 1) % 8]))
        begins.append(out.tell() - start)
        out.write(jpeg.pixels(coded))
    out.write(b"\xff\xd9")
    page = _page(level.height, level.width, start, out.tell() - start, options)
    magnification = float(options.magnification or 20) / level.factor
    page.set(65421, FLOAT, magnification)
    if not is_one:
        page.set(65426, LONG, *(n & 0xFFFFFFFF for n in begins))
    if begins[-1] >> 32:
        page.set(65432, LONG, *(n >> 32 for n in begins))
    if options.mpp is not None:
        spacing = options.spacing(level.factor)
        per_cm = Fraction(0 if spacing is None else 10_000 / spacing).limit_denominator(10_000)
        for tag in (282, 283):
            page.set(tag, RATIONAL, per_cm.numerator, per_cm.denominator)
        page.set(296, SHORT, 3)
    return page


def _strips(level: Level, height: int, width: int, options: Options) -> Iterator[bytes]:
    """A level's strips as JPEGs of their own, row by row."""
    rows = height * (options.by or 4) ** 2
    with ThreadPoolExecutor(THREADS) as pool:
        for band in level.bands(rows):
            places = [
                (y, x) for y in range(0, len(band), height) for x in range(0, level.width, width)
            ]

            def coded(place: tuple[int, int], band: Array = band) -> bytes:
                cut = band[place[0] : place[0] + height, place[1] : place[1] + width]
                return options.encode(np.ascontiguousarray(cut))

            yield from pool.map(coded, places)


def _macro(out: BinaryIO, options: Options) -> Page:
    picture = macro()
    start = out.tell()
    out.write(jpeg.encode(picture))
    height, width, _ = picture.shape
    page = _page(height, width, start, out.tell() - start, options)
    page.set(65421, FLOAT, -1.0)
    page.set(65424, SLONG, 0)
    return page


def _page(height: int, width: int, start: int, length: int, options: Options) -> Page:
    page = Page()
    page.set(254, LONG, 0)
    page.set(256, LONG, width)
    page.set(257, LONG, height)
    page.set(258, SHORT, 8, 8, 8)
    page.set(259, SHORT, 7)
    page.set(262, SHORT, 6)
    page.set(271, ASCII, b"Hamamatsu\0")
    page.set(272, ASCII, b"NanoZoomer\0")
    page.set(273, LONG, start)
    page.set(277, SHORT, 3)
    page.set(278, LONG, height)
    page.set(279, LONG, length)
    page.set(305, ASCII, b"NDP.scan 2.5.88\0")
    page.set(530, SHORT, *(n // 8 for n in reversed(_mcu(options))))
    page.set(65420, LONG, 1)
    page.set(65422, SLONG, 1234567)
    page.set(65423, SLONG, -765432)
    page.set(65427, ASCII, b"made slide\0")
    page.set(65449, ASCII, b"Product=NanoZoomer\r\nObjective.Lens.Magnificant=20\r\n\0")
    return page


def _directories(out: BinaryIO, pages: list[Page]) -> None:
    """Write the directories, each after what its tags point to, and link them."""
    link = 4
    for page in pages:
        entries = [_entry(out, tag, *page.tags[tag]) for tag in sorted(page.tags)]
        out.write(b"\0" * (-out.tell() % 16))
        here = out.tell()
        out.write(struct.pack("<H", len(entries)))
        for tag, kind, count, value in entries:
            out.write(struct.pack("<HHI4s", tag, kind, count, value[:4]))
        after = out.tell()
        out.write(struct.pack("<Q", 0))
        for *_, value in entries:
            out.write(value[4:])
        end = out.tell()
        out.seek(link)
        out.write(struct.pack("<Q", here))
        out.seek(end)
        link = after


def _entry(
    out: BinaryIO, tag: int, kind: int, values: tuple[float, ...] | bytes
) -> tuple[int, int, int, bytes]:
    """A tag's number, type, count and 8 bytes: its value, or where that has been written."""
    if isinstance(values, bytes):
        data, count = values, len(values)
    else:
        if kind == LONG and len(values) == 1:  # a number of 64 bits, where it must be
            return tag, kind, 1, struct.pack("<Q", int(values[0]))
        data = struct.pack(f"<{len(values)}{SIZES[kind]}", *values)
        count = len(values) // (2 if kind == RATIONAL else 1)
    if len(data) <= 4:
        return tag, kind, count, data.ljust(8, b"\0")
    out.write(b"\0" * (-out.tell() % 8))
    here = out.tell()
    out.write(data)
    return tag, kind, count, struct.pack("<Q", here)
