"""How viewers turn a picture, by TIFF's tag or EXIF: pixels are read as they are stored."""

from __future__ import annotations

import struct
from typing import Any

ORIENTATION = 274
SHOWN = {
    2: "mirrored, left to right",
    3: "turned by 180°",
    4: "mirrored, top to bottom",
    5: "mirrored, with rows as columns",
    6: "turned by 90° to the right",
    7: "mirrored and turned, with rows as columns",
    8: "turned by 90° to the left",
}
"""What viewers do to the stored pixels, by the tag's value."""


def stored_turned(orientation: Any) -> tuple[str, ...]:
    """What a user should know of an orientation: a sentence, or none where it is 1 or unknown."""
    how = SHOWN.get(orientation) if isinstance(orientation, int) else None
    if how is None:
        return ()
    said = f"Its orientation is {int(orientation)}, so viewers show it {how}"
    return (f"{said}: it is read as it is stored.",)


def of_exif(block: bytes) -> int:
    """The orientation that an EXIF block names; 1 where none."""
    return number_in(block.removeprefix(b"Exif\0\0"), ORIENTATION, "H") or 1


def number_in(block: bytes, wanted: int, form: str) -> int | None:
    """A tag's number in the first page of a block that is built as a TIFF; None where none.

    Parameters
    ----------
    wanted
        The tag.
    form
        Of its number, as `struct` calls it: H or I.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        (page,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, page)
        for number in range(count):
            tag, value = struct.unpack_from(f"{order}H6x{form}", block, page + 2 + 12 * number)
            if tag == wanted:
                return int(value)
    except struct.error:  # damaged metadata, of pixels that may be fine
        pass
    return None
