"""TIFF from its tags, so that what no library writes can be written as well."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

Values = Sequence[int] | bytes
OFFSETS, COUNTS, TILE_OFFSETS, TILE_COUNTS, SUB_IFDS = 273, 279, 324, 325, 330
ASCII, SHORT, LONG, LONG8 = 2, 3, 4, 16
LETTERS = {1: "B", SHORT: "H", LONG: "I", LONG8: "Q"}


@dataclass
class Page:
    """An image file directory: tags by number as (type, values), and what is below it."""

    tags: dict[int, tuple[int, Values]]
    segments: list[bytes]
    tiled: bool
    below: list[Page] = field(default_factory=list)


class TiffBytes:
    """The bytes of a TIFF or BigTIFF.

    Parameters
    ----------
    order
        ``<`` or ``>``.
    big
        Whether it is BigTIFF.
    """

    def __init__(self, order: str, *, big: bool) -> None:
        self._order, self._big = order, big
        self._word = "Q" if big else "I"
        mark = b"II" if order == "<" else b"MM"
        head = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
        self._data = bytearray(mark + head)
        self._link = len(self._data) - struct.calcsize(self._word)

    def written(self, pages: Sequence[Page]) -> bytes:
        """All of the file."""
        link = self._link
        for page in pages:
            place, link_after = self._directory(page)
            self._patch(link, place)
            link = link_after
        return bytes(self._data)

    def _patch(self, at: int, value: int) -> None:
        struct.pack_into(self._order + self._word, self._data, at, value)

    def _put(self, data: bytes) -> int:
        """Append at an even place, which is returned."""
        if len(self._data) % 2:
            self._data += b"\0"
        place = len(self._data)
        self._data += data
        return place

    def _directory(self, page: Page) -> tuple[int, int]:
        """Write a page; where it is, and where the next one's place is to be written."""
        tags = dict(page.tags)
        offsets = [self._put(s) if s else 0 for s in page.segments]
        kind = LONG8 if self._big else LONG
        at, sizes = (TILE_OFFSETS, TILE_COUNTS) if page.tiled else (OFFSETS, COUNTS)
        tags |= {at: (kind, offsets), sizes: (kind, [len(s) for s in page.segments])}
        if page.below:
            tags[SUB_IFDS] = (kind, [self._directory(p)[0] for p in page.below])
        entries = b"".join(self._entry(number, *tags[number]) for number in sorted(tags))
        count = struct.pack(self._order + ("Q" if self._big else "H"), len(tags))
        link = struct.pack(self._order + self._word, 0)
        place = self._put(count + entries + link)
        return place, len(self._data) - len(link)

    def _entry(self, number: int, kind: int, values: Values) -> bytes:
        if isinstance(values, bytes):
            data = values
        else:
            data = struct.pack(f"{self._order}{len(values)}{LETTERS[kind]}", *values)
        room = 8 if self._big else 4
        if len(data) > room:
            data = struct.pack(self._order + self._word, self._put(data))
        head = struct.pack(f"{self._order}HH{self._word}", number, kind, len(values))
        return head + data.ljust(room, b"\0")
