"""One level of a TIFF's scene: a window decodes the strips and tiles that it meets."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.cache import Cache
from tilewright.images.endings import JpegHead, check_jpeg, check_jxr, whole_lzw
from tilewright.images.jpeg2000 import check_j2k
from tilewright.images.photometric import JPEG
from tilewright.images.pieces import numbered, parted, row_pixels
from tilewright.images.source import WHOLE_BYTES, Array, Window, unreadable
from tilewright.images.subsampled import is_packed, unpacked

from .checks import PageChecks, check_alike, check_decoder, is_in_place, segment_shape
from .jpeg import Decoder, decoder

LZW = 5
JXR = frozenset((22610, 34934))
JPEG_2000 = frozenset((33003, 33004, 33005, 34712))
Segment = tuple[int, int, int]
"""A strip or tile: its level, plane and number."""
SMALL = 2**24  # bytes of a strip or tile, for which no machine lacks memory


class TiffLevel:
    """Reads boxes of one level of a series, decoding only the strips or tiles they meet.

    Parameters
    ----------
    cache
        Decoded strips and tiles, of all levels.
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
        cache: Cache[Segment, Array],
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
        self._cache = cache
        self._known: dict[int, tuple[Any, bool]] = {}
        self._background = background
        self._head: JpegHead | None = None
        self.shape = tuple(map(int, series.shape))

    @cached_property
    def _jpeg(self) -> Decoder | None:
        return decoder(self._key)

    @cached_property
    def _is_packed(self) -> bool:
        return is_packed(self._key)

    @cached_property
    def _chunks(self) -> tuple[int, ...] | None:
        return self.chunks

    @cached_property
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
        return (1,) * lead + tuple(inner[i] for i in self._places)

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
        if not self._is_packed:
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
        places = itertools.product(*[range(s.start, s.stop) for s in lead]) if lead else [()]
        met = [(position, numbered(position, planes)) for position in places]
        if self._offset is not None and (
            self._is_one_directory(math.prod(planes)) or all(self._own(n)[1] for _, n in met)
        ):
            pixels = self._mapped(self._key, self._offset, self.shape)[window]
            return np.array(pixels, self.series.dtype, order="C", subok=False)
        sizes = [s.stop - s.start for s in window]
        alone = self._alone(met[0][1], inner, sizes) if len(met) == 1 else None
        if alone is not None:
            return alone
        if self._chunks is not None:
            row = row_pixels(self.series.axes, self.shape, self._chunks, window)
            self._cache.grow(row * self.series.dtype.itemsize, id(self))
        out = np.empty(sizes, self.series.dtype)
        for position, number in met:
            target = tuple(p - s.start for p, s in zip(position, lead, strict=True))
            self._read_page(number, inner, out[target])
        return out

    def _mapped(self, page: Any, offset: int, shape: tuple[int, ...]) -> Array:
        """A file's pixels in place; mapped anew each time, so that the memory goes back."""
        dtype = np.dtype(page.parent.byteorder + np.dtype(self.series.dtype).char)
        return np.memmap(page.parent.filehandle.path, dtype, "r", offset, shape)

    @cached_property
    def _places(self) -> list[int]:
        """Where the page's axes are among (planar sample, depth, y, x, sample)."""
        sample = 0 if self._key.planarconfig == 2 else 4
        return [{"Z": 1, "Y": 2, "X": 3}.get(a, sample) for a in self._key.axes]

    @cached_property
    def _cut(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A strip's or tile's sides, and how many there are along each: of all but samples."""
        return self._cut_by((1, *self._sides(self._key)))

    def _cut_by(self, sides: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return sides, tuple(-(-n // m) for n, m in zip(self._key.shaped, sides, strict=False))

    def _box(self, window: Window) -> list[slice]:
        """A page's window as a box (planar sample, depth, y, x, sample)."""
        box = [slice(0, n) for n in self._key.shaped]
        for place, part in zip(self._places, window, strict=True):
            box[place] = part
        return box

    def _alone(self, number: int, window: Window, sizes: Sequence[int]) -> Array | None:
        """A window that is one strip or tile and nothing else; None where it isn't.

        It isn't kept: tiles that are cut as the file is meet each but once.
        """
        index = 0
        for s, (side, stride, n) in zip(window, self._steps_within, strict=True):
            start = s.start
            if start % side or s.stop != min(start + side, n):
                return None
            index += start // side * stride
        page, in_place = self._own(number)
        other = page.keyframe is not self._key  # it may be cut in another way
        if in_place or other or (id(self), number, index) in self._cache:
            return None
        found = self._segment(page, index)
        if found.size != math.prod(sizes):
            found = found[tuple([slice(0, s.stop - s.start) for s in self._box(window)])]
        return (found if found.flags.writeable else found.copy()).reshape(sizes)

    @cached_property
    def _steps_within(self) -> list[tuple[int, int, int]]:
        """Of each of the page's axes: a strip's or tile's side, its number's steps, the length.

        Samples are always all together.
        """
        sides, counts = self._cut
        whole = self._key.shaped
        each = [*sides, whole[4]]
        strides = [math.prod(counts[i + 1 :]) for i in range(len(counts))] + [0]
        return [(each[i], strides[i], whole[i]) for i in self._places]

    def _segment(self, page: Any, index: int) -> Array:
        """One strip or tile, of a file of a set that may be closed."""
        handle = page.parent.filehandle
        if not handle.closed:
            return self._decode(page, index)
        with opened_again(handle):
            return self._decode(page, index)

    def _read_page(self, number: int, window: Window, out: Array) -> None:
        page, in_place = self._own(number)
        box = self._box(window)
        out = out.reshape([s.stop - s.start for s in box])  # a view: `out` is contiguous
        if in_place:
            out[...] = self._mapped(page, page.dataoffsets[0], self._key.shaped)[tuple(box)]
            return
        self._assemble(number, page, box, out)

    def _assemble(self, number: int, page: Any, box: Sequence[slice], out: Array) -> None:
        """Fill a box (planar sample, depth, y, x, sample) from the strips or tiles it meets."""
        sides, counts = self._cut
        if page.keyframe is not self._key:  # of a set, each page may be cut in its own way
            sides, counts = self._cut_by((1, *self._sides(page.keyframe)))
        every = (box[4],)
        for parts in itertools.product(*[parted(s, n) for s, n in zip(box, sides, strict=False)]):
            numbers, into, out_of = zip(*parts, strict=True)
            index = numbered(numbers, counts)
            segment = self._cache.get(
                (id(self), number, index), partial(self._segment, page, index)
            )
            out[into] = segment[out_of + every]

    def _decode(self, page: Any, index: int) -> Array:
        """One strip or tile, (planar sample, depth, y, x, sample)."""
        handle, count = page.parent.filehandle, page.databytecounts[index]
        data = os.pread(handle.fileno(), count, page.dataoffsets[index]) if count else None
        if data is not None and len(data) < count:
            raise ValueError("the file ends inside a strip or tile")
        key, tables = page.keyframe, {}
        if data is not None and (self._is_packed if key is self._key else is_packed(key)):
            rows, columns = segment_shape(key)[1:]
            left = rows if key.is_tiled else key.imagelength - index * rows
            return unpacked(key, data, min(rows, left), columns)[None, None]
        if self._jpeg is not None and data and key is self._key:
            self._head = check_jpeg(data, self._head, page.jpegtables)
            found = self._jpeg(data, page.jpegtables)
            if found is not None:
                return found[None, None]
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
        check_jpeg(data, tables=key.jpegtables)
    elif key.compression in JPEG_2000:
        check_j2k(data)
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
