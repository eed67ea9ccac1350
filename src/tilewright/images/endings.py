"""Whether coded data is all there, where its decoder fills what is missing and says nothing."""

from __future__ import annotations

import re
import struct

import imagecodecs

# A marker, and no byte of pixels (FF00), restart (D0 to D7) or filling (FFFF).
JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
JPEG_ALONE = frozenset((0x01, 0xD8))  # markers without a length
JPEG_START, JPEG_LAST, JPEG_END = b"\xff\xd8", b"\xff\xd9", 0xD9
JPEG_SCAN, JPEG_RESTARTS = b"\xda", frozenset(range(0xD0, 0xD8))
# What may follow a scan: tables, the next scan's header, an end, what programs note.
JPEG_BETWEEN = frozenset((0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)))
LZW_END, LZW_MORE = 257, (b"\0\0\0", b"\xff\xff\xff")
JXR_COUNTS = {0xBCC1: 0xBCC0, 0xBCC3: 0xBCC2}  # bytes of the picture and of its alpha: their place


def check_jpeg(data: bytes) -> None:
    """Raise where a JPEG stream ends before its end marker, as libjpeg doesn't.

    T.81, B.1.1.3: the last marker of an image is EOI. What comes after it isn't looked at.

    Raises
    ------
    ValueError
        When it is cut off, or has in its pixels what can't be there.
    """
    if data.endswith(JPEG_LAST):  # no pixels look so, and a preview alone can't be decoded
        _check_scan(data)
        return
    at = 0
    while found := JPEG_MARKER.search(data, at):
        mark, at = found[1][0], found.end()
        if mark == JPEG_END:
            return
        if mark not in JPEG_ALONE:  # an embedded preview has ends of its own: skipped
            at += int.from_bytes(data[at : at + 2], "big")
    raise ValueError("its JPEG data is cut off: it has no end")


def _check_scan(data: bytes) -> None:
    """Raise where the pixels of a JPEG stream have a marker that none can have between scans."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != JPEG_SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    found = JPEG_MARKER.search(data, at, len(data) - len(JPEG_LAST))
    if found and found[1][0] not in JPEG_BETWEEN:
        raise ValueError("its JPEG data is damaged")


def check_interval(data: bytes, before: bytes) -> None:
    """Raise where what is between two restart markers of a JPEG stream isn't its pixels.

    Parameters
    ----------
    data
        The pixels, and the marker behind them.
    before
        The two bytes before them: another marker, or the end of the header.

    Raises
    ------
    ValueError
        When a marker is missing or another is in between.
    """
    ends = data[-2:-1] == b"\xff" and data[-1] in JPEG_RESTARTS | {JPEG_END}
    begins = not before or (before[:1] == b"\xff" and before[1] in JPEG_RESTARTS)
    if not (ends and begins) or JPEG_MARKER.search(data, 0, len(data) - 2):
        raise ValueError("its JPEG data is damaged between two restart markers")


def check_jxr(data: bytes) -> None:
    """Raise where a JPEG XR ends before the bytes that its directory names.

    Raises
    ------
    ValueError
        When it is cut off.
    """
    if data[:3] != b"II\xbc" or len(data) < 10:
        return  # its decoder says what it is
    (start,) = struct.unpack_from("<I", data, 4)
    entries = {}
    for number in range(int.from_bytes(data[start : start + 2], "little")):
        entry = data[start + 2 + 12 * number :][:12]
        if len(entry) == 12:
            entries[struct.unpack_from("<H", entry)[0]] = struct.unpack_from("<I", entry, 8)[0]
    for count, place in JXR_COUNTS.items():
        if entries.get(place, 0) + entries.get(count, 0) > len(data):
            raise ValueError("its JPEG XR data is cut off")


def whole_lzw(data: bytes, size: int) -> bytes:
    """A TIFF's LZW data, if it doesn't end inside its last code: imagecodecs makes up the rest.

    TIFF 6.0, section 13: the last code of a strip is EndOfInformation. Where a program left that
    out, what follows may not change the pixels.

    Parameters
    ----------
    size
        Bytes of the strip or tile, decoded.

    Returns
    -------
        What decodes to them.

    Raises
    ------
    ValueError
        When it is cut off.
    """
    if data[:1] == b"\0":
        return data  # the other order of bits, of programs older than TIFF 6.0
    bits = int.from_bytes(data[-9:].rstrip(b"\0")[-3:], "big")
    if (bits // max(1, bits & -bits)) & 0x1FF == LZW_END:
        return data
    try:
        ends = {bytes(imagecodecs.lzw_decode(data + more, out=size)) for more in LZW_MORE}
    except imagecodecs.LzwError:
        ends = set()
    if len(ends) != 1 or len(ends.pop()) != size:
        raise ValueError("its LZW data is cut off")
    return data + LZW_MORE[0]
