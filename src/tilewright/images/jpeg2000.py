"""Whether a JPEG 2000 stream is all there: its decoder fills what is missing and says nothing."""

from __future__ import annotations

import math
import re
import struct

START = b"\xff\x4f\xff\x51"  # of a stream without boxes around it
SIZE, CODING, PART, DATA, END = 0xFF51, 0xFF52, 0xFF90, 0xFF93, b"\xff\xd9"
FOREIGN = re.compile(rb"\xff[\x90\x93-\xff]")  # in packets only FF91 and FF92 are markers
HOLE = 16  # bytes of zeros that no coded block has, unless it is the coarsest's and of one colour
FLAT = 16  # pixels of such a one for a byte of zeros; 55 were measured
PART_HEAD = 12  # bytes
HIGH_THROUGHPUT = 0x40  # a block style: its blocks are coded otherwise
NO_PRECINCTS = 0xFF  # sides of 2^15


def check_j2k(data: bytes) -> None:
    """Raise where a JPEG 2000 stream is cut off or written over, as OpenJPEG doesn't.

    T.800, A.4 and B.10.1: tile-parts are as long as they say and followed by another or the end,
    and in packets no FF is followed by more than 8F but for their own two markers.

    Parameters
    ----------
    data
        The stream; what is in boxes isn't looked at.

    Raises
    ------
    ValueError
        When it ends too early, or what it has in its pixels' place can't be theirs.
    """
    if not data.startswith(START):
        return
    at, zeros = _main_header(data)
    while data[at : at + 2] != END and at < len(data):
        if len(data) < at + PART_HEAD or int.from_bytes(data[at : at + 2], "big") != PART:
            raise ValueError("its JPEG 2000 data is damaged: a part of it has another length")
        (length,) = struct.unpack_from(">I", data, at + 6)
        stop = at + length if length else data.rfind(END)
        if stop > len(data) or stop < at + PART_HEAD:
            raise ValueError("its JPEG 2000 data is cut off")
        _check_packets(data, _marker(data, at + PART_HEAD, DATA) + 2, stop, zeros)
        at = stop


def _check_packets(data: bytes, start: int, stop: int, zeros: int) -> None:
    """Refuse packets with what can't be in them."""
    if FOREIGN.search(data, start, stop):
        raise ValueError("its JPEG 2000 data is damaged: it has a marker in its pixels")
    if zeros and data.find(bytes(zeros), start, stop) >= 0:
        raise ValueError("its JPEG 2000 data is damaged: there are only zeros in a part of it")


def _main_header(data: bytes) -> tuple[int, int]:
    """Where the first tile-part begins, and how many zeros in a row can't be in packets."""
    size, coding = _marker(data, 2, SIZE), _marker(data, 2, CODING)
    return _marker(data, 2, PART), _impossible_zeros(data[size + 4 :], data[coding + 4 :])


def _marker(data: bytes, at: int, wanted: int) -> int:
    """Where a marker is, by the lengths of those before it."""
    while at + 4 <= len(data) and data[at] == 0xFF:
        if int.from_bytes(data[at : at + 2], "big") == wanted:
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("its JPEG 2000 data is damaged or cut off")


def _impossible_zeros(size: bytes, coding: bytes) -> int:
    """How many bytes of zeros can't be in a row: a packet or block that is empty is one at most.

    0 where that isn't known, which is so of high throughput.

    Parameters
    ----------
    size, coding
        The segments SIZ and COD, less their lengths.
    """
    _, width, height, _, _, tile_width, tile_height, _, _, channels = struct.unpack_from(
        ">H8IH", size
    )
    has_precincts, _, layers, _, levels, block_x, block_y, style = struct.unpack_from(
        ">BBHBBBBB", coding
    )
    if style & HIGH_THROUGHPUT:
        return 0
    sides = coding[10 : 11 + levels] if has_precincts & 1 else bytes((NO_PRECINCTS,)) * (levels + 1)
    tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height)
    precincts = sum(
        ((tile_width >> (levels - n + (s & 15))) + 1)
        * ((tile_height >> (levels - n + (s >> 4))) + 1)
        for n, s in enumerate(sides)
    )
    blocks = (width * height >> (block_x + block_y + 4)) + 3 * (levels + 1) * tiles
    flat = (width * height >> 2 * levels) // FLAT
    return int(HOLE + channels * (tiles * layers * precincts + blocks + flat))
