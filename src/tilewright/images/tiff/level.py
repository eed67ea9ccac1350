"""One level of a TIFF's scene: a window decodes the strips and tiles that it meets."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.cache import Cache
from tilewright.images.endings import check_jpeg, check_jxr, whole_lzw
from tilewright.images.photometric import JPEG
from tilewright.images.source import WHOLE_BYTES, Array, Window, unreadable
from tilewright.images.subsampled import is_packed, unpacked

from .checks import PageChecks, check_alike, check_decoder, is_in_place, segment_shape

LZW = 5
JXR = frozenset((22610, 34934))
SMALL = 2**24  # bytes of a strip or tile, for which no machine lacks memory


class TiffLevel:
    """Reads boxes of one level of a series, decoding only the strips or tiles they meet.

    Parameters
    ----------
    several
        Whether its planes are in several files.
    checks
        Of all levels together.
    background
        What is read of a strip or tile that was never written: a value, or one of each sample.
    """

    def __init__(
        self,
        path: Path,
        series: tifffile.TiffPageSeries,
        kept: int,
        several: bool,
        checks: PageChecks,
        background: float | tuple[int, ...] = 0,
    ) -> None:
        self._path = path
        self.series = series
        self._key = series.keyframe
        self._checks = checks
        # An offset says nothing of the file it is in: the one that was opened, or nothing.
        self._offset = None if several else series.dataoffset or None
        self._cache: Cache[tuple[int, int], Array] = Cache(kept)
        self._known: dict[int, tuple[Any, bool]] = {}
        self._background = background
        self.shape = tuple(map(int, series.shape))

    @property
    def _paged(self) -> int:
        """How many of the last axes are within a page."""
        return len(self._key.shape)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """What is decoded together, in the order of `shape`; None where nothing is."""
        if self._offset is not None or is_in_place(self._key):
            return None
        inner = (1, *self._sides(self._key), self._key.shaped[4])
        lead = len(self.shape) - self._paged
        return (1,) * lead + tuple(inner[i] for i in self._places())

    def _sides(self, key: Any) -> tuple[int, int, int]:
        """Depth, rows and columns of what is decoded together, of pages that are laid out so."""
        return segment_shape(key)

    def check(self) -> None:
        """Raise where the file ends before its pixels do, its pages are too few or too big."""
        self._check_segment()
        lead = math.prod(self.shape[: -self._paged])
        if self._is_one_directory(lead):
            end = (self._offset or 0) + math.prod(self.shape) * self.series.dtype.itemsize
            self._checks.check_end(self._key.parent.filehandle, end)
            return self._checks.check_page(0, self._key, self._key)
        if self._key.shape != self.shape[-self._paged :] or lead != len(self.series):
            raise ValueError(f"its {len(self.series)} pages don't make up its shape")
        for number in range(lead):
            page = self._page(number)
            self._checks.check_page(number, page, self._key)
            if self._offset is not None and not is_in_place(page):
                self._offset = None
        return None

    def _is_one_directory(self, planes: int) -> bool:
        """Whether one directory tells of several planes, which follow each other."""
        return self._offset is not None and len(self.series._pages) < planes

    def _own(self, number: int) -> tuple[Any, bool]:
        """A plane's page by its own directory, and whether its pixels lie in the file as they are.

        tifffile takes most pages of a series to be coded as its first.
        """
        if number not in self._known:
            page = self._page(number)
            if page.is_frame and not page.is_virtual:
                with opened_again(page.parent.filehandle):
                    own = page.aspage()
                check_alike(number, own, self._key)
                page = page if own.hash == page.keyframe.hash else own
            self._known[number] = page, is_in_place(page)
        return self._known[number]

    def _page(self, number: int) -> Any:
        """A plane's page.

        Raises
        ------
        TilewrightError
            When it isn't there.
        """
        try:
            page = self.series[number]
        except IndexError:  # the chain of pages is shorter than its shape
            page = None
        # Micro-Manager's index knows planes that were lost
        lost = self.series.kind == "mmstack" and page is not None and page.dataoffsets[:1] == (0,)
        if page is None or lost:
            raise unreadable(
                self._path,
                f"plane {number} of {len(self.series)} isn't there",
                "Put the files it was saved with beside it, or export it again.",
            )
        return page

    def _check_segment(self) -> None:
        if self.chunks is None:
            return
        if not is_packed(self._key):
            check_decoder(self._path, self._key)
        size = self._segment_bytes()
        if size > WHOLE_BYTES:
            raise unreadable(
                self._path,
                f"{size / 2**30:.1f} GiB of pixels are compressed as one piece",
                "Save it as a TIFF in tiles or strips, or as OME-Zarr.",
            )

    def _segment_bytes(self) -> int:
        """Of a strip or tile, decoded."""
        pixels = math.prod(self._sides(self._key)) * self._key.shaped[4]
        return int(pixels * self.series.dtype.itemsize)

    def read(self, window: Window) -> Array:
        """A window's pixels, in a new array that nothing else holds."""
        planes = self.shape[: len(self.shape) - self._paged]
        lead, inner = window[: len(planes)], window[len(planes) :]
        met = [
            (position, int(np.ravel_multi_index(position, planes)) if planes else 0)
            for position in itertools.product(*(range(s.start, s.stop) for s in lead))
        ]
        if self._offset is not None and (
            self._is_one_directory(math.prod(planes)) or all(self._own(n)[1] for _, n in met)
        ):
            pixels = self._mapped(self._key, self._offset, self.shape)[window]
            return np.array(pixels, self.series.dtype, order="C", subok=False)
        out = np.empty([s.stop - s.start for s in window], self.series.dtype)
        for position, number in met:
            target = tuple(p - s.start for p, s in zip(position, lead, strict=True))
            self._read_page(number, inner, out[target])
        return out

    def _mapped(self, page: Any, offset: int, shape: tuple[int, ...]) -> Array:
        """A file's pixels in place; mapped anew each time, so that the memory goes back."""
        dtype = np.dtype(page.parent.byteorder + np.dtype(self.series.dtype).char)
        return np.memmap(page.parent.filehandle.path, dtype, "r", offset, shape)

    def _places(self) -> list[int]:
        """Where the page's axes are among (planar sample, depth, y, x, sample)."""
        sample = 0 if self._key.planarconfig == 2 else 4
        return [{"Z": 1, "Y": 2, "X": 3}.get(a, sample) for a in self._key.axes]

    def _read_page(self, number: int, window: Window, out: Array) -> None:
        page, in_place = self._own(number)
        box = [slice(0, n) for n in self._key.shaped]
        for place, part in zip(self._places(), window, strict=True):
            box[place] = part
        out = out.reshape([s.stop - s.start for s in box])  # a view: `out` is contiguous
        if in_place:
            out[...] = self._mapped(page, page.dataoffsets[0], self._key.shaped)[tuple(box)]
            return
        with opened_again(page.parent.filehandle):
            self._assemble(number, page, box, out)

    def _assemble(self, number: int, page: Any, box: Sequence[slice], out: Array) -> None:
        """Fill a box (planar sample, depth, y, x, sample) from the strips or tiles it meets."""
        sides = (1, *self._sides(page.keyframe))
        counts = [math.ceil(n / side) for n, side in zip(self._key.shaped, sides, strict=False)]
        met = [range(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(box, sides, strict=False)]
        for position in itertools.product(*met):
            index = int(np.ravel_multi_index(position, counts))
            segment = self._cache.get((number, index), partial(self._decode, page, index))
            origin = [p * n for p, n in zip(position, sides, strict=True)]
            into, out_of = [], []
            for part, at, n in zip(box, origin, segment.shape, strict=False):
                lo, hi = max(part.start, at), min(part.stop, at + n)
                into.append(slice(lo - part.start, hi - part.start))
                out_of.append(slice(lo - at, hi - at))
            out[tuple(into)] = segment[tuple(out_of)][..., box[4]]

    def _decode(self, page: Any, index: int) -> Array:
        """One strip or tile, (planar sample, depth, y, x, sample)."""
        handle, count = page.parent.filehandle, page.databytecounts[index]
        handle.seek(page.dataoffsets[index])
        data = handle.read(count) if count else None
        if data is not None and len(data) < count:
            raise ValueError("the file ends inside a strip or tile")
        key, tables = page.keyframe, {}
        if data is not None and is_packed(key):
            rows, columns = segment_shape(key)[1:]
            left = rows if key.is_tiled else key.imagelength - index * rows
            return unpacked(key, data, min(rows, left), columns)[None, None]
        if key.compression in JPEG:  # tables are kept apart
            tables = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
        try:
            data = _whole(key, data, index) if data else None
            segment, _, shape = key.decode(data, index, _fullsize=False, **tables)
        except MemoryError:
            if self._segment_bytes() > SMALL:
                raise
            raise ValueError("a strip or tile claims more memory than there is") from None
        if segment is None:  # never written: all background
            segment = np.full(shape, self._background, self.series.dtype)
        return np.asarray(segment)[None]


@contextlib.contextmanager
def opened_again(handle: tifffile.FileHandle) -> Iterator[None]:
    """A file of a set open, and closed again: thousands aren't kept so."""
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield
    finally:
        if was_closed:
            handle.close()


def _whole(key: Any, data: bytes, index: int) -> bytes:
    """A strip's or tile's data, if its decoder wouldn't have to fill what is cut off."""
    if key.compression in JPEG and key.jpegheader is None:
        check_jpeg(data)
    elif key.compression in JXR:
        check_jxr(data)
    elif key.compression == LZW and key.fillorder == 1:
        return whole_lzw(data, _decoded_bytes(key, index))
    return data


def _decoded_bytes(key: Any, index: int) -> int:
    """Of a strip or tile, decoded; the last strip of a plane may have fewer rows."""
    depth, rows, columns = segment_shape(key)
    if not key.is_tiled:
        strips = math.ceil(key.imagelength / rows)
        rows = min(rows, key.imagelength - index % strips * rows)
    return int(depth * rows * math.ceil(columns * key.shaped[4] * key.bitspersample / 8))
