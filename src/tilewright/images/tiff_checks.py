"""Sizes and places in a TIFF's headers, held against the lengths of its files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .source import Array, unreadable

FIRST_PLACE = 8  # bytes of a TIFF's header: no pixels are before them


class PageChecks:
    """Checks the pages of a series, and counts what of them was never written.

    Parameters
    ----------
    path
        The image, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes: dict[str, int] = {}
        self.strips = 0
        self.unwritten = 0

    def check_end(self, file: str, end: int) -> None:
        """Raise where a file ends before `end`.

        Raises
        ------
        TilewrightError
            With both lengths in bytes.
        """
        size = self._size(file)
        if size < end:
            name = Path(file).name
            raise unreadable(
                self._path,
                ("it" if name == self._path.name else f"{name}, which holds planes of it,")
                + f" is cut off: {size} bytes where its header says at least {end}",
                "Copy it again from where it came from.",
            )

    def check_page(self, number: int, page: Any, key: Any) -> None:
        """Raise where a page's strips or tiles aren't all in its file.

        Parameters
        ----------
        number
            Of the plane, for messages.
        page, key
            tifffile's page and the one that says how the series is laid out.

        Raises
        ------
        ValueError
            When there are too few, or one lies where none can be.
        TilewrightError
            When the file is cut off.
        """
        own = page.keyframe
        if (own.shape, own.dtype, own.axes) != (key.shape, key.dtype, key.axes):
            raise ValueError(f"plane {number} has another size or type of pixels than the first")
        places, counts = _whole(page.dataoffsets), _whole(page.databytecounts)
        if len(places) != len(counts) or len(places) < segments(own):
            raise ValueError(f"plane {number} lacks some of its strips or tiles")
        empty = counts == 0
        if ((places < FIRST_PLACE) & ~empty).any():
            raise ValueError(f"a strip or tile of plane {number} lies in the file's header")
        if not own.is_tiled and (empty & (places > 0)).any():
            raise ValueError(f"a strip of plane {number} has no bytes")
        self.strips += len(places)
        self.unwritten += int(empty.sum())
        file = page.parent.filehandle.path
        beyond = ~empty & (places > self._size(file) - counts)
        if beyond.any():
            at = int(np.argmax(beyond))
            self.check_end(file, int(places[at]) + int(counts[at]))
        if own.is_final and not empty.any() and int(counts.sum()) < page.nbytes:
            raise ValueError(f"plane {number} has fewer bytes than pixels")

    def remarks(self, background: float) -> tuple[str, ...]:
        """What a user should know of strips or tiles that were never written.

        Raises
        ------
        TilewrightError
            When none was.
        """
        if self.strips and self.unwritten == self.strips:
            raise unreadable(
                self._path, "none of its strips or tiles was ever written", "Export it again."
            )
        if not self.unwritten:
            return ()
        return (
            f"{self.unwritten} of its {self.strips} strips or tiles were never written: they are "
            f"read as {background:g}.",
        )

    def _size(self, file: str) -> int:
        if file not in self._sizes:
            self._sizes[file] = Path(file).stat().st_size
        return self._sizes[file]


def segments(key: Any) -> int:
    """How many strips or tiles a page of this layout has."""
    sides = (1, *segment_shape(key))
    return math.prod(math.ceil(n / side) for n, side in zip(key.shaped, sides, strict=False))


def segment_shape(key: Any) -> tuple[int, int, int]:
    """Depth, rows and columns of a strip or tile.

    Raises
    ------
    ValueError
        When they aren't numbers.
    """
    strip = (1, key.rowsperstrip, key.imagewidth)
    sides = (key.tiledepth, key.tilelength, key.tilewidth) if key.is_tiled else strip
    if not all(isinstance(side, int) and side > 0 for side in sides):  # a tag of another type
        raise ValueError("its strips or tiles have no size")
    depth, rows, columns = sides
    return depth, rows if key.is_tiled else min(rows, key.imagelength), columns


def is_in_place(page: Any) -> bool:
    """Whether a page's pixels lie in its file as they are, one after the other."""
    if not (page.is_final and page.is_memmappable) or page.dataoffsets[0] < FIRST_PLACE:
        return False
    return len(page.dataoffsets) == 1 or is_consecutive(page)


def is_consecutive(page: Any) -> bool:
    """Whether strips follow each other; tifffile looks at the first page's alone."""
    places, counts = _whole(page.dataoffsets), _whole(page.databytecounts)
    own = page.keyframe
    if own.is_stk or own.is_lsm:  # whose counts say little
        return True
    return bool((places[:-1] + counts[:-1] == places[1:]).all())


def _whole(values: Any) -> Array:
    """Offsets or counts as int64.

    Raises
    ------
    ValueError
        When a tag of another type has something else.
    """
    found = np.asarray(values)
    if found.ndim != 1 or not found.size or found.dtype.kind not in "ui":
        raise ValueError("its strips or tiles are nowhere")
    if found.dtype == np.uint64 and (found > np.iinfo(np.int64).max).any():
        raise ValueError("its strips or tiles are nowhere")
    return found.astype(np.int64)
