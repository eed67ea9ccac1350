"""What each image file format looks like inside: axes, levels, pixel size and how to read a box.

TIFF by tifffile, OME-Zarr by zarr, PNG and JPEG by imagecodecs. `images` gives them one face and
turns whatever goes wrong here into a sentence.
"""

from __future__ import annotations

import itertools
import logging
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zarr
from zarr.storage import LocalStore

from tilewright.contract.cache import Cache
from tilewright.errors import TilewrightError

from . import ngff
from .chunks import Array as Array
from .chunks import Chunks, Window

CACHE_BYTES = 2**28  # decoded strips, tiles and chunks kept for the next window of a level
WHOLE_BYTES = 2**30  # the largest PNG, JPEG, strip or tile: each can only be decoded whole
MICRONS = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
           "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "å": 1e-4, "angstrom": 1e-4,
           "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6,
           "meter": 1e6, "inch": 25400.0}  # fmt: skip

# What tifffile has to say about a bad file, the user reads in our sentence.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Level:
    """One pyramid level.

    Parameters
    ----------
    shape
        Pixels, in the order of the source's axes.
    chunks
        What is decoded together, in the same order; None where nothing is, or all of it once.
    read
        A window's pixels, in a new array that nothing else holds.
    kept
        Bytes of decoded chunks that are kept for the next windows.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...] | None
    read: Callable[[Window], Array]
    kept: int = 0


@dataclass(frozen=True)
class Source:
    """One scene of a file, opened.

    Parameters
    ----------
    axes
        The file's own letters, samples (S) already called C.
    mpp, z_um
        µm per level-0 pixel ``(y, x)`` and per slice, or None.
    """

    axes: str
    dtype: np.dtype
    levels: tuple[Level, ...]
    close: Callable[[], None]
    channel_names: tuple[str, ...] | None = None
    mpp: tuple[float, float] | None = None
    z_um: float | None = None
    scenes: int = 1


def unreadable(path: Path, found: str, fix: str) -> TilewrightError:
    """The error for a file that can't be read: where, what was found, what to do."""
    return TilewrightError(f"{path}: {found}.", fix=fix)


def _scene(path: Path, scene: int, count: int) -> int:
    if not count:
        raise ValueError("it holds no image")
    if 0 <= scene < count:
        return scene
    raise unreadable(
        path, f"scene {scene} was asked for and it has {count}", f"Give 0 to {count - 1}."
    )


def _microns(value: Any, unit: Any) -> float | None:
    """A length in µm, or None where it isn't one."""
    # ImageJ writes the micro sign as an escape, others the Greek letter
    name = str(unit).replace("\\u00B5", "µ").replace("\u03bc", "µ").strip().lower()
    factor = MICRONS.get(name)
    if factor is None or not isinstance(value, int | float):
        return None
    length = value * factor
    return float(length) if math.isfinite(length) and length > 0 else None


def _pair(y: float | None, x: float | None) -> tuple[float, float] | None:
    return None if y is None or x is None else (y, x)


# TIFF ------------------------------------------------------------------------------------------


def open_tiff(path: Path, scene: int, kept: int) -> Source:
    """TIFF, BigTIFF, OME-TIFF and ImageJ's; only headers are read."""
    file = tifffile.TiffFile(path)
    try:
        series = file.series[_scene(path, scene, len(file.series))]
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
        mpp = _pair(_microns(y, unit), _microns(x, unit))
        return None, mpp, _microns(about.get("spacing"), unit)
    code = page.tags.valueof("ResolutionUnit", 1)
    unit = {2: "inch", 3: "cm"}.get(code) if isinstance(code, int) else None
    return None, _plausible(_pair(_microns(y, unit), _microns(x, unit))), None


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
        _microns(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "µm"))
        for a in "ZYX"
    )
    channels = [c.get("Name") for c in _listed(pixels.get("Channel", [])) if isinstance(c, dict)]
    return _named(channels), _pair(y, x), z


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _named(names: list[Any]) -> tuple[str, ...] | None:
    return None if not names or any(n in (None, "") for n in names) else tuple(map(str, names))


# OME-Zarr --------------------------------------------------------------------------------------


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def open_zarr(path: Path, scene: int, kept: int) -> Source:
    """OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3)."""
    group, about, count = _zarr_scene(path, scene)
    multiscale = ngff.blocks(about, "multiscales")[0]
    datasets = ngff.blocks(multiscale, "datasets")
    arrays = [group[d["path"]] for d in datasets]
    levels = tuple(_zarr_level(path, a, kept) for a in arrays)
    axes = ngff.axes(multiscale)
    names = "".join(name for name, _ in axes).upper()
    lengths = dict(zip(names, _zarr_lengths(multiscale, datasets[0], axes), strict=True))
    return Source(
        axes=names,
        dtype=np.dtype(arrays[0].dtype),
        levels=levels,
        close=lambda: None,
        channel_names=_named([c.get("label") for c in ngff.channels(about)]),
        mpp=_pair(lengths.get("Y"), lengths.get("X")),
        z_um=lengths.get("Z"),
        scenes=count,
    )


def _zarr_scene(path: Path, scene: int) -> tuple[Any, dict[str, Any], int]:
    """The group that holds the scene's multiscales, its metadata and the number of scenes."""
    group: Any = zarr.open_group(LocalStore(path, read_only=True), mode="r")
    about = ngff.about(group.attrs.asdict())
    count = 1
    if "bioformats2raw.layout" in {**about, **group.attrs.asdict()}:
        names = sorted((n for n in group.group_keys() if n.isdigit()), key=int)
        count = len(names)
        group = group[names[_scene(path, scene, count)]]
        about = ngff.about(group.attrs.asdict())
    elif "multiscales" in about:
        _scene(path, scene, 1)
    if not about.get("multiscales"):
        raise unreadable(
            path,
            "this folder is Zarr, but its metadata has no `multiscales`, so it isn't an OME-Zarr "
            "image",
            "Give the folder of an image (a plate's are below it), or export it as OME-Zarr.",
        )
    return group, about, count


def _zarr_lengths(
    multiscale: dict[str, Any], dataset: dict[str, Any], axes: list[tuple[str, str | None]]
) -> list[float | None]:
    """µm per level-0 pixel and axis; None without a unit, since a bare 1.0 is no measurement."""
    scale = ngff.scale(multiscale, dataset, len(axes))
    return [_microns(float(s), unit) for s, (_, unit) in zip(scale, axes, strict=True)]


def _zarr_level(path: Path, array: Any, kept: int) -> Level:
    if not isinstance(array, zarr.Array):
        raise ValueError("one of its levels is a group and not an array")
    coding = {k: v for k, v in array.metadata.to_dict().items() if k != "attributes"}
    if "pickle" in str(coding):  # decoding it could run anything
        raise unreadable(
            path, "its pixels are stored as Python pickles", "Export it again as OME-Zarr."
        )
    return Level(tuple(array.shape), tuple(array.chunks), Chunks(array, kept).read, kept)


# PNG and JPEG ----------------------------------------------------------------------------------


def open_png(path: Path, scene: int, _: int) -> Source:
    """PNG; the palette is applied, so that its pixels are colours."""
    with path.open("rb") as file:
        width, height, bits, colour = struct.unpack(">8x4x4sIIBB", file.read(26))[1:]
    samples = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour]
    return _whole(
        path, scene, (height, width, samples), 16 if bits == 16 else 8, imagecodecs.png_decode
    )


def open_jpeg(path: Path, scene: int, _: int) -> Source:
    """JPEG; 8 or 12 bits a sample.

    Raises
    ------
    ValueError
        When its header is damaged.
    """
    with path.open("rb") as file:
        file.seek(2)
        while True:
            mark, length = struct.unpack(">HH", file.read(4))
            if mark < 0xFF00:
                raise ValueError("its header is damaged")
            # start of frame, of whatever kind; C4, C8 and CC are tables
            if 0xFFC0 <= mark <= 0xFFCF and mark not in {0xFFC4, 0xFFC8, 0xFFCC}:
                break
            file.seek(length - 2, 1)
        bits, height, width, samples = struct.unpack(">BHHB", file.read(6))
    return _whole(path, scene, (height, width, samples), bits, imagecodecs.jpeg_decode)


def _whole(
    path: Path, scene: int, shape: tuple[int, int, int], bits: int, decode: Callable[[bytes], Any]
) -> Source:
    """A format that is decoded whole: once, when the first window is read."""
    _scene(path, scene, 1)
    dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    size = math.prod(shape) * dtype.itemsize
    if size > WHOLE_BYTES:
        raise unreadable(
            path,
            f"{size / 2**30:.1f} GiB of pixels in a format that must be decoded whole",
            "Save it as a tiled TIFF or OME-Zarr.",
        )
    full = shape if shape[2] > 1 else shape[:2]

    @cache
    def decoded() -> Array:
        pixels = np.asarray(decode(path.read_bytes()))
        pixels = pixels[..., : shape[2]] if pixels.ndim == 3 else pixels  # a palette's alpha
        if pixels.shape != full or pixels.dtype != dtype:
            raise ValueError(f"its header says {full} and its pixels are {pixels.shape}")
        return pixels

    level = Level(full, None, lambda window: decoded()[window].copy())
    return Source("YXC"[: len(full)], dtype, (level,), close=lambda: None)
