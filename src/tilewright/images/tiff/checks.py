"""Sizes and places in a TIFF's headers, held against the lengths of its files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.images.source import unreadable

FIRST_PLACE = 8  # bytes of a TIFF's header: no pixels are before them

NOWHERE = "its strips or tiles are nowhere"
A_NAME = re.compile(r"<(\w+)\.(\w+): (\d+)>")  # as Python writes one of tifffile's
ALONG = ("channels", "slices", "frames")  # what ImageJ counts
ALIKE = ("shape", "dtype", "axes", "photometric", "extrasamples")  # of all pages of a series


@dataclass(frozen=True)
class _Layout:
    """What pages of one layout have in common.

    Parameters
    ----------
    key
        tifffile's page that tells it; kept, so that no other gets its `id`.
    segments
        How many strips or tiles a page has, at least.
    least
        How many bytes, where pixels lie in the file as they are.
    """

    key: Any
    segments: int
    is_tiled: bool
    least: int

    def check_bytes(self, number: int, count: int) -> None:
        """Raise where a page's strips have fewer bytes than its pixels."""
        if count < self.least:
            raise ValueError(f"plane {number} has fewer bytes than pixels")


class PageChecks:
    """Checks the pages of a series, and counts what of them was never written.

    Parameters
    ----------
    path
        The image, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layouts: dict[int, _Layout] = {}
        self.strips = 0
        self.unwritten = 0

    def check_end(self, handle: Any, end: int) -> None:
        """Raise where a file ends before `end`.

        Parameters
        ----------
        handle
            tifffile's, of the file.
        end
            A place in it, in bytes.

        Raises
        ------
        TilewrightError
            With both lengths in bytes.
        """
        if handle.size < end:
            name = handle.name
            raise unreadable(
                self._path,
                ("it" if name == self._path.name else f"{name}, which holds planes of it,")
                + f" is cut off: {handle.size} bytes where its header says at least {end}",
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
        layout = self._layout(page.keyframe, key, number)
        places, counts = page.dataoffsets, page.databytecounts
        if len(places) != len(counts) or len(places) < layout.segments:
            raise ValueError(f"plane {number} lacks some of its strips or tiles")
        self.strips += len(places)
        if len(places) > 1:
            return self._check_many(number, page, layout)
        place, count = _whole(places)[0], _whole(counts)[0]
        if not count and (layout.is_tiled or not place):
            self.unwritten += 1
        elif not count:
            raise ValueError(f"a strip of plane {number} has no bytes")
        elif place < FIRST_PLACE:
            raise ValueError(f"a strip or tile of plane {number} lies in the file's header")
        else:
            self.check_end(page.parent.filehandle, place + count)
            layout.check_bytes(number, count)
        return None

    def _check_many(self, number: int, page: Any, layout: _Layout) -> None:
        places, counts = _many(page.dataoffsets), _many(page.databytecounts)
        empty = counts == 0
        if ((places < FIRST_PLACE) & ~empty).any():
            raise ValueError(f"a strip or tile of plane {number} lies in the file's header")
        if not layout.is_tiled and (empty & (places > 0)).any():
            raise ValueError(f"a strip of plane {number} has no bytes")
        self.unwritten += int(empty.sum())
        handle = page.parent.filehandle
        beyond = ~empty & (places > handle.size - counts)
        if beyond.any():
            at = int(np.argmax(beyond))
            self.check_end(handle, int(places[at]) + int(counts[at]))
        if not empty.any():
            layout.check_bytes(number, int(counts.sum()))

    def _layout(self, own: Any, key: Any, number: int) -> _Layout:
        """How a page is laid out, if it is of the series' size and type of pixels."""
        if id(own) not in self._layouts:
            if own is not key:
                check_alike(number, own, key)
            least = own.nbytes if own.is_final else 0
            self._layouts[id(own)] = _Layout(own, segments(own), own.is_tiled, least)
        return self._layouts[id(own)]

    def remarks(self, background: str) -> tuple[str, ...]:
        """What a user should know of strips or tiles that were never written.

        Parameters
        ----------
        background
            As what they are read, for a sentence.

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
        were, they_are = ("was", "it is") if self.unwritten == 1 else ("were", "they are")
        return (
            f"{self.unwritten} of its {self.strips} strips or tiles {were} never written: "
            f"{they_are} read as {background}.",
        )


def count_slices(file: tifffile.TiffFile) -> None:
    """Take a stack's images for slices, as ImageJ does, where its header gives only their number.

    tifffile would read the first one alone.
    """
    about = file.imagej_metadata
    if not about or any(about.get(key, 1) != 1 for key in ALONG):
        return
    images = about.get("images", 1)
    if isinstance(images, int) and images > 1 and not file.pages.is_multipage:
        about["slices"] = images


def check_stack(
    checks: PageChecks, file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> None:
    """Refuse a stack that ends before its planes do: tifffile takes one plane of it.

    Raises
    ------
    TilewrightError
        With both lengths in bytes.
    """
    about, page = file.imagej_metadata, file.pages.first
    if not about or series.kind == "imagej" or not page.is_final:
        return
    sizes = [about.get(key, 1) for key in ALONG]
    if all(isinstance(n, int) and n > 0 for n in sizes):
        end = int(page.dataoffsets[0]) + math.prod(sizes) * page.nbytes
        checks.check_end(file.filehandle, end)


def check_decoder(path: Path, key: Any) -> None:
    """Refuse pixels for which there is no decoder, before any is read.

    Parameters
    ----------
    path
        The image.
    key
        tifffile's page that says how they are coded.

    Raises
    ------
    TilewrightError
        Naming what isn't known.
    """
    try:
        key.decode(None, 0)
    except (ValueError, NotImplementedError) as error:
        said = A_NAME.sub(r"\1 \2 (\3)", str(error))
        raise unreadable(
            path,
            f"its pixels can't be decoded here: {said}",
            "Save it as a TIFF without compression, or with LZW or Deflate.",
        ) from error


def check_alike(number: int, page: Any, key: Any) -> None:
    """Raise where a plane's pixels are others than the series'.

    Parameters
    ----------
    number
        Of the plane, for the message.
    page, key
        Two of tifffile's pages.

    Raises
    ------
    ValueError
        When they are.
    """
    if any(getattr(page, name) != getattr(key, name) for name in ALIKE):
        raise ValueError(f"plane {number} has another size, colour or type of pixels than others")


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
    return page is page.keyframe or len(page.dataoffsets) == 1 or is_consecutive(page)


def is_consecutive(page: Any) -> bool:
    """Whether strips follow each other; tifffile looks at the first page's alone."""
    own = page.keyframe
    if own.is_stk or own.is_lsm:  # whose counts say little
        return True
    places, counts = _whole(page.dataoffsets), _whole(page.databytecounts)
    return all(
        place + count == after
        for place, count, after in zip(places, counts, places[1:], strict=False)
    )


def _whole(values: Any) -> Sequence[int]:
    """Offsets or counts as numbers below 2^62, so that they can be added.

    Raises
    ------
    ValueError
        When a tag of another type has something else.
    """
    found = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(found, tuple | list) or not all(type(n) is int and n < 2**62 for n in found):
        raise ValueError(NOWHERE)
    return found


def _many(values: Any) -> np.ndarray:
    """The same of many: int64, where a Python loop would take longer than all the rest."""
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (found >= 2**62).any():
        raise ValueError(NOWHERE)
    return found.astype(np.int64, copy=False)
