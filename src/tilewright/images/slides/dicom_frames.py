"""The frames of one DICOM file: where each lies, and its pixels."""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from tilewright.images.endings import check_jpeg
from tilewright.images.jpeg2000 import check_j2k
from tilewright.images.source import Array, unreadable

from .dicom_files import Instance, number, read_header

PIXELS = 0x7FE00010
PIXELS_OF_BYTES, TABLE = b"\xe0\x7f\x10\x00O", b"\xe0\x7f\x01\x00OV"
"""The beginnings of pixels (OB or OW) and of an extended table of offsets (OV)."""
UNKNOWN_LENGTH = 2**32 - 1
ITEM_TAG, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
ITEM_HEAD = 8
"""Bytes of an item's tag and length."""
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
RAW = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
POSITION = rb"(?:SL\x04\x00|\x04\x00\x00\x00)(.{4})"
COLUMN = re.compile(rb"\x48\x00\x1e\x02" + POSITION, re.DOTALL)
ROW = re.compile(rb"\x48\x00\x1f\x02" + POSITION, re.DOTALL)
"""Column- and RowPositionInTotalImagePixelMatrix, with or without their kind, and their value."""
Decoder = Callable[[bytes], Any]


def _jpeg2k(data: bytes) -> Any:
    check_j2k(data)
    return imagecodecs.jpeg2k_decode(data)


DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2.4.57": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.70": imagecodecs.ljpeg_decode,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.90": _jpeg2k,
    "1.2.840.10008.1.2.4.91": _jpeg2k,
    "1.2.840.10008.1.2.4.201": _jpeg2k,  # high throughput, by OpenJPEG, too
    "1.2.840.10008.1.2.4.202": _jpeg2k,
    "1.2.840.10008.1.2.4.203": _jpeg2k,
    "1.2.840.10008.1.2.4.110": imagecodecs.jpegxl_decode,
    "1.2.840.10008.1.2.4.112": imagecodecs.jpegxl_decode,
}
"""By the UID of a transfer syntax; JPEG's own colours are told apart in `decoder`."""
RGB_BY_DECODER = frozenset(("YBR_ICT", "YBR_RCT"))
"""Colours that JPEG 2000's decoder makes RGB by itself."""


def decoder(path: Path, one: Instance) -> Decoder | None:
    """What makes a frame's bytes pixels; None where they lie there as they are.

    A JPEG's colours are what PhotometricInterpretation says, and not what its own markers or
    names of components do: converters copy the frames of a TIFF, where a tag tells.

    Raises
    ------
    TilewrightError
        When its colours or their coding aren't known here.
    """
    colours = str(one.header.get("PhotometricInterpretation", ""))
    coded, is_grey = one.syntax, number(one.header, "SamplesPerPixel", 1) == 1
    is_jpeg = coded in (JPEG_BASELINE, JPEG_EXTENDED)
    known = {"MONOCHROME2"} if is_grey else {"RGB"}
    known |= set() if is_grey else {"YBR_FULL", "YBR_FULL_422"} if is_jpeg else RGB_BY_DECODER
    if colours not in known or (colours in RGB_BY_DECODER and coded in RAW):
        said = f"its PhotometricInterpretation is {colours or 'not given'}"
        raise unreadable(path, f"{said}, which can't be read here", "Export it in RGB.")
    if coded in RAW:
        return None
    if is_jpeg:
        return _jpeg("GRAYSCALE" if is_grey else "RGB" if colours == "RGB" else "YCBCR", is_grey)
    if coded not in DECODERS:
        raise unreadable(
            path,
            f"its pixels are coded by transfer syntax {coded or 'not given'}, "
            "which can't be read here",
            "Export it as JPEG or JPEG 2000.",
        )
    return DECODERS[coded]


def _jpeg(colours: str, is_grey: bool) -> Decoder:
    given = "GRAYSCALE" if is_grey else "RGB"

    def decode(data: bytes) -> Any:
        check_jpeg(data)
        return imagecodecs.jpeg8_decode(data, colorspace=colours, outcolorspace=given)

    return decode


class Frames:
    """The frames of a file, each found and decoded when it is asked for.

    Parameters
    ----------
    one
        The file's header.
    dtype, shape
        Of a frame's pixels: (Y, X), or (Y, X, C).
    """

    def __init__(self, one: Instance, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.path, self._shape = one.path, shape
        self._dtype = dtype.newbyteorder("<")
        self._decode = decoder(one.path, one)
        self._is_planar = len(shape) == 3 and number(one.header, "PlanarConfiguration", 0) == 1
        self.count = number(one.header, "NumberOfFrames", 1)
        self._one = one
        self._at, self._length, self._extended = self._begin()
        self._check_end()

    @property
    def _frame_bytes(self) -> int:
        return int(np.prod(self._shape)) * self._dtype.itemsize

    def _begin(self) -> tuple[int, int, bytes]:
        """Where the pixels' value begins, its length, and an extended table of offsets."""
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m,
        ):
            # Between the header and these is a sequence of an item a frame, and nothing else.
            at, table = m.find(PIXELS_OF_BYTES, self._one.end), m.find(TABLE, self._one.end)
            if at < 0:
                return self._begin_of_implicit(file)
            extended = b""
            if 0 <= table < at:
                length = int.from_bytes(m[table + 8 : table + 12], "little")
                extended = m[table + 12 : table + 12 + length]
            return at + 12, int.from_bytes(m[at + 8 : at + 12], "little"), extended

    def _begin_of_implicit(self, file: io.BufferedReader) -> tuple[int, int, bytes]:
        """The same of a file that doesn't write of what kind its values are."""
        _, at = read_header(self.path, PIXELS, ["Rows"])
        file.seek(at)
        head = file.read(ITEM_HEAD)
        if head[:4] != PIXELS_OF_BYTES[:4] or len(head) < ITEM_HEAD:
            raise ValueError("it is cut off: its pixels aren't there")
        return at + ITEM_HEAD, int.from_bytes(head[4:], "little"), b""

    def _check_end(self) -> None:
        """Raise where the file ends before its pixels do."""
        size = self.path.stat().st_size
        wanted = self._at + self._length
        if self._decode is None:
            wanted = max(wanted, self._at + self.count * self._frame_bytes)
        elif self._length == UNKNOWN_LENGTH:
            with self.path.open("rb") as file:
                file.seek(max(0, size - 2**16))  # what may follow the pixels
                wanted = 0 if SEQUENCE_END in file.read() else size + ITEM_HEAD
        if wanted > size:
            raise unreadable(
                self.path,
                f"it is cut off: {size} bytes where its header says at least {wanted}",
                "Copy it again from where it came from.",
            )

    @cached_property
    def _file(self) -> io.FileIO:
        """The file, open from the first frame that is read on."""
        return io.FileIO(self.path)

    def _bytes(self, at: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count, at)

    @cached_property
    def _offsets(self) -> tuple[int, list[int]]:
        """Where the first item after the table is, and how far behind it each frame begins."""
        head = self._bytes(self._at, ITEM_HEAD)
        if head[:4] != ITEM_TAG:
            raise ValueError("its pixels don't begin with a table of offsets")
        length = int.from_bytes(head[4:], "little")
        start = self._at + ITEM_HEAD + length
        if self._extended:
            return start, [o for (o,) in struct.iter_unpack("<Q", self._extended)]
        if length:
            table = self._bytes(self._at + ITEM_HEAD, length)
            return start, [o for (o,) in struct.iter_unpack("<I", table[: length // 4 * 4])]
        return start, self._items(start)

    def _items(self, start: int) -> list[int]:
        """Where each item begins: a frame's, where there is no table."""
        found, at = [], start
        while (head := self._bytes(at, ITEM_HEAD))[:4] == ITEM_TAG:
            found.append(at - start)
            at += ITEM_HEAD + int.from_bytes(head[4:], "little")
        if len(found) != self.count:
            raise ValueError(f"{len(found)} pieces for its {self.count} frames, and no table")
        return found

    def _data(self, frame: int) -> bytes:
        """A frame as it is coded: of one item, or of several up to the next frame's."""
        if self._decode is None:
            return self._bytes(self._at + frame * self._frame_bytes, self._frame_bytes)
        start, offsets = self._offsets
        at = start + offsets[frame]
        after = start + offsets[frame + 1] if frame + 1 < len(offsets) else None
        pieces = []
        while after is None or at < after:
            head = self._bytes(at, ITEM_HEAD)
            if head[:4] != ITEM_TAG:
                break
            length = int.from_bytes(head[4:], "little")
            pieces.append(self._bytes(at + ITEM_HEAD, length))
            at += ITEM_HEAD + length
        return b"".join(pieces).removesuffix(b"\0")  # which makes its bytes even

    def close(self) -> None:
        """Close the file."""
        if "_file" in self.__dict__:
            self._file.close()

    def places(self) -> tuple[Array, Array]:
        """Row and column of each frame's first pixel, from 1, both (frames,) int64.

        Raises
        ------
        ValueError
            When they aren't given for each frame.
        """
        # To have pydicom read an item for each of 100,000 frames takes ten seconds.
        said = self._bytes(self._one.end, self._at - self._one.end)
        found = [[int.from_bytes(v, "little", signed=True) for v in tag.findall(said)]
                 for tag in (ROW, COLUMN)]  # fmt: skip
        if any(len(values) != self.count for values in found):
            raise ValueError("it doesn't say where each of its tiles lies")
        rows, columns = found
        return np.array(rows, np.int64), np.array(columns, np.int64)

    def pixels(self, frame: int) -> Array:
        """A frame's pixels, (Y, X) or (Y, X, C).

        Raises
        ------
        ValueError
            When they can't be decoded, or aren't what the header says.
        """
        data = self._data(frame)
        if self._decode is not None:
            found = np.asarray(self._decode(data))
        else:
            flat = np.frombuffer(data, self._dtype)
            rows, columns, *samples = self._shape
            planar = (*samples, rows, columns)
            found = flat.astype(flat.dtype.newbyteorder("=")).reshape(
                planar if self._is_planar else self._shape
            )
            found = np.moveaxis(found, 0, -1) if self._is_planar else found
        if found.shape != self._shape or found.dtype != self._dtype.newbyteorder("="):
            raise ValueError(f"its header says {self._shape} and its pixels are {found.shape}")
        return found
