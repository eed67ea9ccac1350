"""A level of an NDPI: one JPEG, of which only those restart intervals are decoded that are met.

An interval is a tile of one row of blocks, 8 or 16 px high and often some hundred wide. Those below
each other are decoded as one JPEG of their own, where that gives the same pixels: where no pixel's
colour comes from the row of blocks above or below, as it does where Cb and Cr have half the rows.
"""

from __future__ import annotations

import math
import struct
from functools import cached_property
from typing import Any

import imagecodecs
import numpy as np
from tifffile.tifffile import jpeg_decode_colorspace

from tilewright.images.endings import check_interval, jpeg_head
from tilewright.images.source import Array

from .level import TiffLevel

ALONE = 8  # px: the rows of a block whose colours are its own
MOST_PIXELS = 2**17  # of intervals that are decoded together
RESTARTS, END = 8, b"\xff\xd9"
FRAME = b"\xff\xc0"


class IntervalLevel(TiffLevel):
    """Reads boxes of one level of an NDPI, decoding only the restart intervals they meet."""

    @cached_property
    def _together(self) -> int:
        """How many intervals below each other are decoded as one."""
        rows, columns = self._key.tilelength, self._key.tilewidth
        most = MOST_PIXELS // (rows * columns)
        return 2 ** int(math.log2(most)) if rows == ALONE and most > 1 else 1

    def _sides(self, key: Any) -> tuple[int, int, int]:
        return 1, self._together * key.tilelength, key.tilewidth

    @cached_property
    def _across(self) -> int:
        return math.ceil(self._key.imagewidth / self._key.tilewidth)

    @cached_property
    def _zeros(self) -> int:
        """How many bytes of zeros can't be in a row in an interval."""
        return jpeg_head(self._header(self._key, 1)).zeros

    def _decode(self, page: Any, index: int) -> Array:
        """Some intervals below each other, (planar sample, depth, y, x, sample)."""
        down, across = divmod(index, self._across)
        first = down * self._together
        rows = math.ceil(self._key.imagelength / self._key.tilelength)
        numbers = range(first * self._across + across, rows * self._across, self._across)
        intervals = [self._interval(page, n) for n in numbers[: self._together]]
        stream = b"".join(
            data[:-1] + bytes((0xD0 + i % RESTARTS,)) for i, data in enumerate(intervals)
        )
        header = self._header(page, len(intervals))
        stored, seen = jpeg_decode_colorspace(
            self._key.photometric,
            self._key.planarconfig,
            self._key.extrasamples,
            self._key.is_jfif,
        )
        pixels = imagecodecs.jpeg8_decode(
            header + stream[:-2] + END, colorspace=stored, outcolorspace=seen
        )
        shape = len(intervals) * self._key.tilelength, self._key.tilewidth, self._key.shaped[4]
        return np.asarray(pixels).reshape(1, 1, *shape)

    def _interval(self, page: Any, number: int) -> bytes:
        """An interval's data and the marker behind it."""
        handle, count = page.parent.filehandle, page.databytecounts[number]
        before = 2 if number else 0
        handle.seek(page.dataoffsets[number] - before)
        data = handle.read(before + count)
        if len(data) < before + count:
            raise ValueError("the file ends inside its JPEG")
        check_interval(data[before:], data[:before], self._zeros)
        return bytes(data[before:])

    def _header(self, page: Any, count: int) -> bytes:
        """The JPEG's header, of a picture of so many intervals below each other."""
        header = page.keyframe.jpegheader
        at = header.index(FRAME) + 5
        rows = struct.pack(">H", count * self._key.tilelength)
        return bytes(header[:at] + rows + header[at + 2 :])
