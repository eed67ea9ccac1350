"""TIFF, BigTIFF, OME-TIFF and ImageJ's by tifffile: a window decodes the strips it meets."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.cache import Cache

from .chunks import Array, Window
from .source import WHOLE_BYTES, Level, Source, checked_scene, microns, named, pair, unreadable

# What tifffile has to say about a bad file, the user reads in our sentence.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def open_tiff(path: Path, scene: int, kept: int) -> Source:
    """TIFF, BigTIFF, OME-TIFF and ImageJ's; only headers are read."""
    file = tifffile.TiffFile(path)
    try:
        series = file.series[checked_scene(path, scene, len(file.series))]
        levels = [_TiffLevel(path, s, kept) for s in series.levels if s.axes == series.axes]
        for level in levels:
            level.check()
        names, mpp, z_um = _tiff_metadata(file, scene)
    except BaseException:
        file.close()
        raise
    return Source(
        axes=series.axes.replace("S", "C"),
        dtype=series.dtype,
        levels=tuple(Level(s.shape, s.chunks, s.read, kept) for s in levels),
        close=file.close,
        channel_names=names,
        mpp=mpp,
        z_um=z_um,
        scenes=len(file.series),
    )


class _TiffLevel:
    """Reads boxes of one level of a series, decoding only the strips or tiles they meet."""

    def __init__(self, path: Path, series: tifffile.TiffPageSeries, kept: int) -> None:
        self._path = path
        self._series = series
        self._key = series.keyframe
        self._offset = None if series.is_multifile else series.dataoffset
        self._cache: Cache[tuple[int, int], Array] = Cache(kept)
        self.shape = tuple(map(int, series.shape))

    @property
    def _paged(self) -> int:
        """How many of the last axes are within a page."""
        return len(self._key.shape)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        if self._offset is not None or (self._key.is_final and self._key.is_memmappable):
            return None
        inner = (1, *self._segment_shape(), self._key.shaped[4])
        lead = len(self.shape) - self._paged
        return (1,) * lead + tuple(inner[i] for i in self._places())

    def check(self) -> None:
        """Raise where the file ends before its pixels do, its pages are too few or too big."""
        self._check_segment()
        if self._offset is not None:
            end = int(self._offset) + math.prod(self.shape) * self._series.dtype.itemsize
            return self._check_end(self._path, end)
        lead = math.prod(self.shape[: -self._paged])
        if self._key.shape != self.shape[-self._paged :] or lead != len(self._series):
            raise ValueError(f"its {len(self._series)} pages don't make up its shape")
        for page in (self._series[0], self._series[len(self._series) - 1]):
            if page is not None:
                ends = zip(page.dataoffsets, page.databytecounts, strict=True)
                where = Path(page.parent.filehandle.path)
                self._check_end(where, max((int(a) + int(b) for a, b in ends), default=0))
        return None

    def _check_segment(self) -> None:
        if self.chunks is None:
            return
        pixels = math.prod(self._segment_shape()) * self._key.shaped[4]
        size = pixels * self._series.dtype.itemsize
        if size > WHOLE_BYTES:
            raise unreadable(
                self._path,
                f"{size / 2**30:.1f} GiB of pixels are compressed as one piece",
                "Save it as a TIFF in tiles or strips, or as OME-Zarr.",
            )

    def _check_end(self, path: Path, end: int) -> None:
        size = path.stat().st_size
        if size < end:
            raise unreadable(
                self._path,
                f"it is cut off: {size} bytes where its header says at least {end}",
                "Copy it again from where it came from.",
            )

    def read(self, window: Window) -> Array:
        if self._offset is not None:
            pixels = self._mapped(self._path, self._offset, self.shape)[window]
            return np.array(pixels, self._series.dtype, order="C", subok=False)
        lead = window[: len(self.shape) - self._paged]
        inner = window[len(lead) :]
        out = np.empty([s.stop - s.start for s in window], self._series.dtype)
        for position in itertools.product(*(range(s.start, s.stop) for s in lead)):
            number = int(np.ravel_multi_index(position, self.shape[: len(lead)])) if lead else 0
            target = tuple(p - s.start for p, s in zip(position, lead, strict=True))
            self._read_page(number, inner, out[target])
        return out

    def _mapped(self, path: Path, offset: int, shape: tuple[int, ...]) -> Array:
        """The file's pixels in place; mapped anew each time, so that the memory goes back."""
        dtype = np.dtype(self._key.parent.byteorder + np.dtype(self._series.dtype).char)
        return np.memmap(path, dtype, "r", offset, shape)

    def _places(self) -> list[int]:
        """Where the page's axes are among (planar sample, depth, y, x, sample)."""
        sample = 0 if self._key.planarconfig == 2 else 4
        return [{"Z": 1, "Y": 2, "X": 3}.get(a, sample) for a in self._key.axes]

    def _read_page(self, number: int, window: Window, out: Array) -> None:
        page = self._series[number]
        if page is None:
            raise unreadable(
                self._path,
                f"plane {number} of {len(self._series)} isn't there",
                "Put the files it was saved with beside it, or export it again.",
            )
        box = [slice(0, n) for n in self._key.shaped]
        for place, part in zip(self._places(), window, strict=True):
            box[place] = part
        out = out.reshape([s.stop - s.start for s in box])  # a view: `out` is contiguous
        handle = page.parent.filehandle
        if page.is_final and page.is_memmappable:
            mapped = self._mapped(Path(handle.path), page.dataoffsets[0], self._key.shaped)
            out[...] = mapped[tuple(box)]
            return
        was_closed = handle.closed  # a companion file: don't keep thousands open
        if was_closed:
            handle.open()
        try:
            self._assemble(number, page, box, out)
        finally:
            if was_closed:
                handle.close()

    def _assemble(self, number: int, page: Any, box: Sequence[slice], out: Array) -> None:
        """Fill a box (planar sample, depth, y, x, sample) from the strips or tiles it meets."""
        sides = (1, *self._segment_shape())
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

    def _segment_shape(self) -> tuple[int, int, int]:
        """Depth, rows and columns of a strip or tile."""
        key = self._key
        strip = (1, key.rowsperstrip, key.imagewidth)
        sides = (key.tiledepth, key.tilelength, key.tilewidth) if key.is_tiled else strip
        if not all(isinstance(side, int) for side in sides):  # a tag of another type
            raise ValueError("its strips or tiles have no size")
        depth, rows, columns = sides
        return depth, rows if key.is_tiled else min(rows, key.imagelength), columns

    def _decode(self, page: Any, index: int) -> Array:
        """One strip or tile, (planar sample, depth, y, x, sample)."""
        handle, count = page.parent.filehandle, page.databytecounts[index]
        handle.seek(page.dataoffsets[index])
        data = handle.read(count) if count else None
        if data is not None and len(data) < count:
            raise ValueError("the file ends inside a strip or tile")
        tables: dict[str, Any] = {}
        if self._key.compression in {6, 7, 34892, 33007}:  # JPEG: tables are kept apart
            tables = {"jpegtables": page.jpegtables, "jpegheader": self._key.jpegheader}
        segment, _, shape = self._key.decode(data, index, _fullsize=False, **tables)
        if segment is None:  # never written: all background
            segment = np.full(shape, self._key.nodata, self._series.dtype)
        return np.asarray(segment)[None]


FileAbout = tuple[tuple[str, ...] | None, tuple[float, float] | None, float | None]
"""Channel names, µm per pixel (y, x), µm per slice."""


def _tiff_metadata(file: tifffile.TiffFile, scene: int) -> FileAbout:
    if file.ome_metadata:
        return _ome_metadata(file.ome_metadata, scene)
    page = file.pages.first
    y, x = (_pitch(page, name) for name in ("YResolution", "XResolution"))
    if file.is_imagej:
        about = file.imagej_metadata or {}
        unit = about.get("unit")
        mpp = pair(microns(y, unit), microns(x, unit))
        return None, mpp, microns(about.get("spacing"), unit)
    code = page.tags.valueof("ResolutionUnit", 1)
    unit = {2: "inch", 3: "cm"}.get(code) if isinstance(code, int) else None
    return None, _plausible(pair(microns(y, unit), microns(x, unit))), None


def _pitch(page: Any, name: str) -> float | None:
    """Length of a pixel in the tag's unit."""
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or not tag.value[0]:
        return None
    return float(tag.value[1] / tag.value[0])


def _plausible(mpp: tuple[float, float] | None) -> tuple[float, float] | None:
    """A resolution tag's pixel size, unless it is only what a program writes for a printer.

    72, 96, 300 and 600 dpi are 353, 265, 85 and 42 µm: coarser than 20 µm says nothing about
    what was imaged, and finer than 1 nm is no optical image.
    """
    return mpp if mpp and all(1e-3 <= v <= 20 for v in mpp) else None


def _ome_metadata(xml: str, scene: int) -> FileAbout:
    try:
        images = _listed(tifffile.xml2dict(xml)["OME"]["Image"])
        pixels = images[scene]["Pixels"]
    except (KeyError, IndexError, TypeError, ValueError):
        pixels = None
    if not isinstance(pixels, dict):
        return None, None, None  # the pixels may be fine without
    z, y, x = (
        microns(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "µm"))
        for a in "ZYX"
    )
    channels = [c.get("Name") for c in _listed(pixels.get("Channel", [])) if isinstance(c, dict)]
    return named(channels), pair(y, x), z


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
