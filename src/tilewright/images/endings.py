"""Whether coded data is all there, where its decoder fills what is missing and says nothing."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import imagecodecs

# A marker, and no byte of pixels (FF00), restart (D0 to D7) or filling (FFFF).
JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
JPEG_ALONE = frozenset((0x01, 0xD8))  # markers without a length
JPEG_START, JPEG_LAST = b"\xff\xd8", b"\xff\xd9"
JPEG_END, JPEG_SCAN, JPEG_LS = 0xD9, 0xDA, 0xF7  # the last one's pixels are stuffed otherwise
JPEG_HEADS = frozenset((*range(0xC0, 0xD0), *range(0xD8, 0xFF)))
JPEG_BASELINE = frozenset((0xC0, 0xC1))  # frames whose blocks are coded one after the other
# After coded pixels: tables, another scan, a number of lines, what programs add, the end.
JPEG_AFTER = frozenset((0xC4, 0xCC, *range(0xD9, 0xDE), *range(0xE0, 0xF0), 0xFE))
JPEG_RESTARTS = frozenset(range(0xD0, 0xD8))
JPEG_TABLES = 0xC4
FLAT = 0  # the code that ends a block whose other coefficients are 0
HOLE = 16  # bytes of zeros that a copy that failed leaves, and no picture does
LZW_END, LZW_MORE = 257, (b"\0\0\0", b"\xff\xff\xff")
JXR_COUNTS = {0xBCC1: 0xBCC0, 0xBCC3: 0xBCC2}  # bytes of the picture and of its alpha: their place
Codes = dict[int, tuple[int, int]]
"""By class and number of a Huffman table, the code that is all zeros: its bits, what it means."""


@dataclass(frozen=True)
class JpegHead:
    """What comes before a stream's coded pixels, mostly the same of all tiles of a file.

    Parameters
    ----------
    data
        All of it.
    tables
        The stream that has its tables, where that is another.
    frame
        Its baseline frame's header; of another kind's none.
    codes
        Of its Huffman tables.
    zeros
        So many bytes of zeros in a row can't be its pixels; 0 where that isn't known.
    """

    data: bytes
    tables: bytes
    frame: bytes
    codes: Codes
    zeros: int


def jpeg_head(data: bytes, tables: bytes | None = None) -> JpegHead:
    """A JPEG stream's head, to the end of the first header of a scan.

    Parameters
    ----------
    data
        The stream.
    tables
        The stream that has its tables, where that is another.

    Raises
    ------
    ValueError
        When it has none.
    """
    frame, codes, at = b"", _codes_apart(tables) if tables else {}, 0
    while (at := _next_marker(data, at, 0)) >= 0:
        mark, at = data[at + 1], at + 2
        if mark == JPEG_END:
            break
        if mark in JPEG_ALONE:
            continue
        stop = at + int.from_bytes(data[at : at + 2], "big")
        if mark in JPEG_BASELINE:
            frame = data[at + 2 : stop]
        elif mark == JPEG_TABLES:
            codes |= _codes(data[at + 2 : stop])
        elif mark == JPEG_SCAN:
            zeros = _impossible_zeros(frame, data[at + 2 : stop], codes)
            return JpegHead(data[:stop], tables or b"", frame, codes, zeros)
        at = stop  # an embedded preview has ends of its own: skipped
    raise ValueError("its JPEG data is cut off: it has no pixels")


def check_jpeg(data: bytes, like: JpegHead | None = None, tables: bytes | None = None) -> JpegHead:
    """Raise where a JPEG stream is cut off or written over, as libjpeg doesn't.

    T.81, B.1.1.3 and B.1.1.5: the last marker of an image is EOI, and among coded pixels there is
    no other than those of restarts. What comes after the end isn't looked at.

    Parameters
    ----------
    data
        The stream.
    like
        The head of another, which isn't looked at again where this one has it, too.
    tables
        The stream that has its tables, where that is another.

    Returns
    -------
        Its own head.

    Raises
    ------
    ValueError
        When it has no end, or what it has in its pixels' place can't be theirs.
    """
    same = like is not None and like.tables == (tables or b"") and data.startswith(like.data)
    head = like if like is not None and same else jpeg_head(data, tables)
    at = scan = len(head.data)
    zeros, codes = head.zeros, head.codes
    while (at := _next_marker(data, at, scan)) >= 0:
        mark, at = data[at + 1], at + 2
        if scan:
            _check_scan(mark, data, scan, at - 2, zeros)
        if mark == JPEG_END or (mark == JPEG_LS and data.endswith(JPEG_LAST)):
            return head
        if mark in JPEG_ALONE:
            continue
        stop = at + int.from_bytes(data[at : at + 2], "big")
        scan = stop if mark == JPEG_SCAN else 0
        if mark == JPEG_TABLES:
            codes = codes | _codes(data[at + 2 : stop])
        elif scan:
            zeros = _impossible_zeros(head.frame, data[at + 2 : stop], codes)
        at = stop
    raise ValueError("its JPEG data is cut off: it has no end")


def _codes_apart(tables: bytes) -> Codes:
    """The codes of a stream that has tables alone."""
    codes: Codes = {}
    at = len(JPEG_START)
    while at + 4 <= len(tables) and tables[at] == 0xFF and tables[at + 1] != JPEG_END:
        stop = at + 2 + int.from_bytes(tables[at + 2 : at + 4], "big")
        if tables[at + 1] == JPEG_TABLES:
            codes |= _codes(tables[at + 4 : stop])
        at = stop
    return codes


def _codes(segment: bytes) -> Codes:
    """The codes of a segment of Huffman tables (T.81, B.2.4.2); the first code is all zeros."""
    found: Codes = {}
    at = 0
    while at + 17 < len(segment):
        counts = segment[at + 1 : at + 17]
        bits = next((n for n, count in enumerate(counts, 1) if count), 0)
        if bits:
            found[segment[at]] = bits, segment[at + 17]
        at += 17 + sum(counts)
    return found


def _impossible_zeros(frame: bytes, scan: bytes, codes: Codes) -> int:
    """How many bytes of zeros can't be in a row in a scan of a baseline frame; 0 of others.

    Zeros are blocks of one colour where the code of zeros ends a block in each component: then a
    whole picture can be zeros. Elsewhere they are coefficients that are all alike, block by block.

    Parameters
    ----------
    frame, scan
        Their headers, less the length.
    codes
        Of the Huffman tables.
    """
    if not frame or not scan:
        return 0
    height, width = struct.unpack_from(">HH", frame, 1)
    sampled = {c: (f >> 4) * (f & 15) for c, f in zip(frame[6::3], frame[7::3], strict=False)}
    each = 64 * max([*sampled.values(), 1])  # pixels of the finest component's blocks together
    bits = 0
    for component, used in zip(*(scan[1 + i : 1 + 2 * scan[0] : 2] for i in (0, 1)), strict=False):
        first, others = codes.get(used >> 4, (1, 0)), codes.get(16 + (used & 15), (1, FLAT))
        if others[1] != FLAT:
            return HOLE
        blocks = (height + 32) * (width + 32) * sampled.get(component, 1) // each
        bits += blocks * (sum(first) + others[0])
    return max(HOLE, bits // 8 + 1)


def _next_marker(data: bytes, at: int, scan: int) -> int:
    """Where the next marker is, -1 if nowhere: outside a scan it is mostly right there."""
    if not scan and at + 1 < len(data) and data[at] == 0xFF and data[at + 1] in JPEG_HEADS:
        return at
    found = JPEG_MARKER.search(data, at)
    return found.start() if found else -1


def _check_scan(mark: int, data: bytes, start: int, stop: int, zeros: int) -> None:
    """Refuse coded pixels that are followed by what can't follow them, or have too many zeros.

    Parameters
    ----------
    mark
        The marker after them.
    data, start, stop
        The stream, and where in it they are.
    zeros
        As a head has it.
    """
    if mark not in JPEG_AFTER:
        raise ValueError(f"its JPEG data is damaged: it has a marker FF{mark:02X} in its pixels")
    if zeros and data.find(bytes(zeros), start, stop) >= 0:
        raise ValueError("its JPEG data is damaged: there are only zeros in a part of it")


def check_interval(data: bytes, before: bytes, zeros: int) -> None:
    """Raise where what is between two restart markers of a JPEG stream isn't its pixels.

    Parameters
    ----------
    data
        The pixels, and the marker behind them.
    before
        The two bytes before them: another marker, or the end of the header.
    zeros
        As a head has it.

    Raises
    ------
    ValueError
        When a marker is missing or another is in between, or there are only zeros in a part.
    """
    ends = data[-2:-1] == b"\xff" and data[-1] in JPEG_RESTARTS | {JPEG_END}
    begins = not before or (before[:1] == b"\xff" and before[1] in JPEG_RESTARTS)
    if not (ends and begins) or JPEG_MARKER.search(data, 0, len(data) - 2):
        raise ValueError("its JPEG data is damaged between two restart markers")
    if zeros and bytes(zeros) in data:
        raise ValueError("its JPEG data is damaged: there are only zeros in a part of it")


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
