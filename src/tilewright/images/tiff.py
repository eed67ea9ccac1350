"""TIFF, BigTIFF, OME-TIFF and ImageJ's by tifffile: a window decodes the strips it meets."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from tilewright.contract.cache import Cache

from . import tiff_notes, white
from .chunks import Array, Window
from .endings import check_jpeg, check_jxr, whole_lzw
from .ome_tiff import OmeImage, OmeSet, described
from .orientation import ORIENTATION, stored_turned
from .photometric import meaning, seen, stored_axes
from .scenes import Scene, chosen
from .source import WHOLE_BYTES, Level, Source, microns, pair, unreadable
from .subsampled import is_packed, unpacked
from .tiff_checks import (
    PageChecks,
    check_alike,
    check_decoder,
    check_stack,
    count_slices,
    is_in_place,
    segment_shape,
)

JPEG = frozenset((6, 7, 34892, 33007))  # kinds whose tables are kept apart
LZW = 5
JXR = frozenset((22610, 34934))
SMALL = 2**24  # bytes of a strip or tile, for which no machine lacks memory
FOLDER_SETS = frozenset(("mmstack", "ndtiff"))  # sets that are what lies in a folder


def open_tiff(path: Path, scene: int | str, kept: int) -> Source:
    """TIFF, BigTIFF, OME-TIFF and ImageJ's; only headers are read."""
    with tiff_notes.listening() as notes:
        opened = _opened(path, scene)
        try:
            stored, series = _stored(path, opened, kept)
            found = seen(
                stored, stored_axes(series[0]), [meaning(path, opened.file, s) for s in series]
            )
        except BaseException:
            opened.file.close()
            raise
        return replace(found, remarks=found.remarks + tiff_notes.remarks(path, notes))


def _stored(path: Path, opened: _Opened, kept: int) -> tuple[Source, list[tifffile.TiffPageSeries]]:
    """A scene with its values as they are stored, and the series that its levels are."""
    series, several = opened.series, len(opened.files) > 1
    is_elsewhere = opened.image is not None and path not in opened.image.files
    checks = PageChecks(path)
    check_stack(checks, opened.file, series)
    alike = [s for s in series.levels if s.axes == series.axes]
    levels = [_TiffLevel(path, s, kept, several, checks) for s in alike]
    for level in levels:
        level.check()
    if opened.ome and opened.image:
        parents = {p.parent for p in series if p is not None} if several else ()
        opened.ome.check_uuids(opened.image, {Path(p.filehandle.path): p for p in parents})
    names, mpp, z_um = _tiff_metadata(opened.file, opened.image)
    turned = stored_turned(series.keyframe.tags.valueof(ORIENTATION, 1))
    bits = opened.image.significant_bits if opened.image else None
    stored = Source(
        axes=series.axes.replace("S", "C"),
        dtype=series.dtype,
        levels=tuple(Level(s.shape, s.chunks, s.read, kept) for s in levels),
        close=opened.file.close,
        channel_names=names,
        mpp=mpp,
        z_um=z_um,
        scenes=opened.scenes,
        scene=opened.scene,
        remarks=opened.remarks + checks.remarks(series.keyframe.nodata) + turned,
        files=opened.files[is_elsewhere:] if several or opened.of_set else (),
        white=white.of_tiff(bits, series.keyframe, series.dtype),
    )
    return stored, alike


@dataclass(frozen=True)
class _Opened:
    """A TIFF, and the series of it that a scene is.

    Parameters
    ----------
    files
        All that its pixels and metadata are in, after the one that was given.
    of_set
        Whether other files are or could be part of it.
    """

    file: tifffile.TiffFile
    series: tifffile.TiffPageSeries
    scenes: tuple[Scene, ...]
    scene: int
    files: tuple[Path, ...]
    of_set: bool = False
    ome: OmeSet | None = None
    image: OmeImage | None = None
    remarks: tuple[str, ...] = ()


def _opened(path: Path, scene: int | str) -> _Opened:
    file, ome, remarks = _begun(path)
    try:
        scenes = _scenes(file, ome)
        number = chosen(path, scene, scenes)
        if ome is not None and _is_by_xml(file, ome):
            return _opened_ome(file, ome, scenes, number)
        series = file.series[number]
        # What isn't tied to its pixels by the XML belongs to them where there is nothing else.
        image = ome.images[0] if ome is not None and len(ome.images) == 1 else None
        files = _files_of(path, series)
        of_set = series.kind in FOLDER_SETS
        return _Opened(file, series, scenes, number, files, of_set, ome, image, remarks)
    except BaseException:
        file.close()
        raise


def _begun(path: Path) -> tuple[tifffile.TiffFile, OmeSet | None, tuple[str, ...]]:
    """A TIFF, and what its OME-XML says."""
    file = tifffile.TiffFile(path)
    try:
        count_slices(file)
        ome, remarks = _ome(path, file)
    except BaseException:
        file.close()
        raise
    if ome is None and remarks:
        file.close()
        file = tifffile.TiffFile(path, is_ome=False)
    return file, ome, remarks


def _is_by_xml(file: tifffile.TiffFile, ome: OmeSet) -> bool:
    """Whether its images are those that its XML tells of; Micro-Manager's are what lies there."""
    return bool(ome.images) and not file.is_mmstack


def _ome(path: Path, file: tifffile.TiffFile) -> tuple[OmeSet | None, tuple[str, ...]]:
    """What its OME-XML says, or a remark where that is no XML."""
    if not file.ome_metadata:
        return None, ()
    try:
        return described(path, file.ome_metadata), ()
    except ElementTree.ParseError as error:
        said = f"Its OME-XML can't be read ({error}): it is read as a TIFF without."
        return None, (said,)


def _opened_ome(
    file: tifffile.TiffFile, ome: OmeSet, scenes: tuple[Scene, ...], number: int
) -> _Opened:
    """The planes of one image of an OME-XML, from whatever files."""
    path, image = ome.path, ome.images[number]
    files = tuple(dict.fromkeys((path, *image.files, ome.about)))
    if ome.plain:
        series = file.series
    else:
        ome.check_there(image)
        file.close()
        file = tifffile.TiffFile(image.files[0], omexml=ome.xml(image))
        try:
            series = file.series
        except BaseException:
            file.close()
            raise
    if not series or (series[0].kind != "ome" and (not ome.plain or len(series) > 1)):
        file.close()
        raise unreadable(
            path, "its pages aren't the planes that its OME-XML tells of", "Export it again."
        )
    said = ome.remarks(image)
    of_set = not ome.alone
    return _Opened(file, series[0], scenes, number, files, of_set, ome, image, said)


def _files_of(path: Path, series: tifffile.TiffPageSeries) -> tuple[Path, ...]:
    """The files of a series that a program cut up: the given one first."""
    if series.kind not in FOLDER_SETS:
        return (path,)
    pages = {page.parent.filehandle.path for page in series if page is not None}
    found = {Path(name) for name in pages if not path.samefile(name)}
    if series.kind == "ndtiff":
        found.add(path.with_name("NDTiff.index"))
    return (path, *sorted(found))


def tiff_scenes(path: Path) -> tuple[Scene, ...]:
    """The images in a TIFF: those of its OME-XML, else tifffile's series."""
    with tiff_notes.listening():
        file, ome, _ = _begun(path)
        with file:
            return _scenes(file, ome)


def _scenes(file: tifffile.TiffFile, ome: OmeSet | None) -> tuple[Scene, ...]:
    if ome is not None and _is_by_xml(file, ome):
        return tuple(Scene(image.name or "", size=image.size) for image in ome.images)
    return tuple(
        Scene(
            str(series.name or ""),
            size=_plane(series.axes, series.shape),
            reduced=bool(series.keyframe.subfiletype & 5),  # a smaller form, a mask
        )
        for series in file.series
    )


def _plane(axes: str, shape: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns, where it has both."""
    sizes = dict(zip(axes, shape, strict=False))
    return (int(sizes["Y"]), int(sizes["X"])) if {"Y", "X"} <= set(sizes) else None


class _TiffLevel:
    """Reads boxes of one level of a series, decoding only the strips or tiles they meet.

    Parameters
    ----------
    several
        Whether its planes are in several files.
    checks
        Of all levels together.
    """

    def __init__(
        self,
        path: Path,
        series: tifffile.TiffPageSeries,
        kept: int,
        several: bool,
        checks: PageChecks,
    ) -> None:
        self._path = path
        self._series = series
        self._key = series.keyframe
        self._checks = checks
        # An offset says nothing of the file it is in: the one that was opened, or nothing.
        self._offset = None if several else series.dataoffset or None
        self._cache: Cache[tuple[int, int], Array] = Cache(kept)
        self._known: dict[int, tuple[Any, bool]] = {}
        self.shape = tuple(map(int, series.shape))

    @property
    def _paged(self) -> int:
        """How many of the last axes are within a page."""
        return len(self._key.shape)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        if self._offset is not None or is_in_place(self._key):
            return None
        inner = (1, *segment_shape(self._key), self._key.shaped[4])
        lead = len(self.shape) - self._paged
        return (1,) * lead + tuple(inner[i] for i in self._places())

    def check(self) -> None:
        """Raise where the file ends before its pixels do, its pages are too few or too big."""
        self._check_segment()
        lead = math.prod(self.shape[: -self._paged])
        if self._is_one_directory(lead):
            end = (self._offset or 0) + math.prod(self.shape) * self._series.dtype.itemsize
            self._checks.check_end(self._key.parent.filehandle, end)
            return self._checks.check_page(0, self._key, self._key)
        if self._key.shape != self.shape[-self._paged :] or lead != len(self._series):
            raise ValueError(f"its {len(self._series)} pages don't make up its shape")
        for number in range(lead):
            page = self._page(number)
            self._checks.check_page(number, page, self._key)
            if self._offset is not None and not is_in_place(page):
                self._offset = None
        return None

    def _is_one_directory(self, planes: int) -> bool:
        """Whether one directory tells of several planes, which follow each other."""
        return self._offset is not None and len(self._series._pages) < planes

    def _own(self, number: int) -> tuple[Any, bool]:
        """A plane's page by its own directory, and whether its pixels lie in the file as they are.

        tifffile takes most pages of a series to be coded as its first.
        """
        if number not in self._known:
            page = self._page(number)
            if page.is_frame and not page.is_virtual:
                with _open(page.parent.filehandle):
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
            page = self._series[number]
        except IndexError:  # the chain of pages is shorter than its shape
            page = None
        # Micro-Manager's index knows planes that were lost
        lost = self._series.kind == "mmstack" and page is not None and page.dataoffsets[:1] == (0,)
        if page is None or lost:
            raise unreadable(
                self._path,
                f"plane {number} of {len(self._series)} isn't there",
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
        pixels = math.prod(segment_shape(self._key)) * self._key.shaped[4]
        return int(pixels * self._series.dtype.itemsize)

    def read(self, window: Window) -> Array:
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
            return np.array(pixels, self._series.dtype, order="C", subok=False)
        out = np.empty([s.stop - s.start for s in window], self._series.dtype)
        for position, number in met:
            target = tuple(p - s.start for p, s in zip(position, lead, strict=True))
            self._read_page(number, inner, out[target])
        return out

    def _mapped(self, page: Any, offset: int, shape: tuple[int, ...]) -> Array:
        """A file's pixels in place; mapped anew each time, so that the memory goes back."""
        dtype = np.dtype(page.parent.byteorder + np.dtype(self._series.dtype).char)
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
        with _open(page.parent.filehandle):
            self._assemble(number, page, box, out)

    def _assemble(self, number: int, page: Any, box: Sequence[slice], out: Array) -> None:
        """Fill a box (planar sample, depth, y, x, sample) from the strips or tiles it meets."""
        sides = (1, *segment_shape(page.keyframe))
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
        if key.compression in JPEG:
            tables = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
        try:
            data = _whole(key, data, index) if data else None
            segment, _, shape = key.decode(data, index, _fullsize=False, **tables)
        except MemoryError:
            if self._segment_bytes() > SMALL:
                raise
            raise ValueError("a strip or tile claims more memory than there is") from None
        if segment is None:  # never written: all background
            segment = np.full(shape, key.nodata, self._series.dtype)
        return np.asarray(segment)[None]


@contextlib.contextmanager
def _open(handle: tifffile.FileHandle) -> Iterator[None]:
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


FileAbout = tuple[tuple[str, ...] | None, tuple[float, float] | None, float | None]
"""Channel names, µm per pixel (y, x), µm per slice."""


def _tiff_metadata(file: tifffile.TiffFile, image: OmeImage | None) -> FileAbout:
    """What the XML says of the image that is read, else what tags do."""
    if image is not None:
        return image.channel_names, image.mpp, image.z_um
    if file.is_ome:
        return None, None, None  # images of an XML that none can be told from
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
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) < 2 or not tag.value[0]:
        return None
    return float(tag.value[1] / tag.value[0])


def _plausible(mpp: tuple[float, float] | None) -> tuple[float, float] | None:
    """A resolution tag's pixel size, unless it is only what a program writes for a printer.

    72, 96, 300 and 600 dpi are 353, 265, 85 and 42 µm: coarser than 20 µm says nothing about
    what was imaged, and finer than 1 nm is no optical image.
    """
    return mpp if mpp and all(1e-3 <= v <= 20 for v in mpp) else None
