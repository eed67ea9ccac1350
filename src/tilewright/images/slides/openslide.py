"""Vendors' slides by OpenSlide (LGPL-2.1, a library of its own): MRXS, SCN, BIF, CZI and older."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.images.damage import in_words
from tilewright.images.pixel_size import Size, differ, plausible
from tilewright.images.pixel_size import in_words as size_in_words
from tilewright.images.scenes import chosen
from tilewright.images.source import Array, Level, Source, Window, unreadable

from .parts import SLIDE_SCENES, check_parts

WHOLE_SIDE = 4096
"""Pixels up to which OpenSlide paints a region in one piece, so that all of it fits its grid."""


@dataclass(frozen=True)
class SlideVendor:
    """What is said of a vendor's slides.

    Parameters
    ----------
    name
        For sentences.
    mpp_from
        Where OpenSlide has the pixel size from.
    """

    name: str
    mpp_from: str


OF_OPENSLIDE = {
    "argos": SlideVendor("Argos AVS", "Argos' pixel size"),
    "hamamatsu": SlideVendor("Hamamatsu VMS", "Hamamatsu's PhysicalWidth and PhysicalHeight"),
    "leica": SlideVendor("Leica SCN", "Leica's resolution tags"),
    "mirax": SlideVendor("MIRAX", "MIRAX's MICROMETER_PER_PIXEL"),
    "sakura": SlideVendor("Sakura svslide", "Sakura's pixel size"),
    "trestle": SlideVendor("Trestle", "Trestle's resolution tags"),
    "ventana": SlideVendor("Ventana BIF", "Ventana's ScanRes"),
    "zeiss": SlideVendor("Zeiss CZI", "CZI's Scaling"),
}
"""By what OpenSlide calls them; none of these could be tried on a real file."""


def open_slide(path: Path, scene: int | str, kept: int) -> Source:
    """A slide that OpenSlide knows; its label, macro and thumbnail aren't looked at.

    Several scanned areas are one image, each where it lies on the slide.

    Raises
    ------
    TilewrightError
        When a file that belongs to it isn't there, or OpenSlide can't read it.
    """
    chosen(path, scene, SLIDE_SCENES)
    files = check_parts(path)
    slide = _OpenedSlide(path, kept)
    try:
        return _source(slide, files, kept)
    except BaseException:
        slide.close()
        raise


class _OpenedSlide:
    """A slide that is opened again after an error: of one that had any, OpenSlide reads no more."""

    def __init__(self, path: Path, kept: int) -> None:
        self.path, self._kept = path, kept
        self._handle, self._is_closed = self._opened(), False
        said, self.properties = self._handle.properties, dict[str, str]()
        for name in said:
            with contextlib.suppress(KeyError):  # a name that is damaged finds nothing
                self.properties[name] = said[name]

    def _opened(self) -> Any:
        import openslide  # 70 ms that only these slides need

        try:
            handle = openslide.OpenSlide(self.path)
        except openslide.OpenSlideError as error:  # what it doesn't know, and what is damaged
            raise unreadable(
                self.path,
                f"OpenSlide can't read it ({in_words(error)})",
                "Copy it again, or export it as OME-TIFF or OME-Zarr.",
            ) from error
        handle.set_cache(openslide.OpenSlideCache(self._kept))
        return handle

    @property
    def levels(self) -> list[tuple[int, int, float]]:
        """Height, width, and level-0 pixels along a pixel, of each."""
        handle = self._handle
        sizes = zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        return [(h, w, _whole(factor)) for (w, h), factor in sizes]

    def rgba(self, level: int, x: int, y: int, height: int, width: int) -> Array:
        """Pixels (Y, X, 4) uint8, not premultiplied, from a level-0 position on.

        Raises
        ------
        ValueError
            When OpenSlide can't read them.
        """
        import openslide

        try:
            return np.asarray(self._handle.read_region((x, y), level, (width, height)))
        except openslide.OpenSlideError as error:
            self._handle.close()
            self._is_closed = True  # until it is open again, which may fail
            self._handle, self._is_closed = self._opened(), False
            raise ValueError(f"OpenSlide says: {error}") from error

    def close(self) -> None:
        """Close it, once."""
        if not self._is_closed:
            self._is_closed = True
            self._handle.close()


class _SlideLevel:
    """One level, read in its own pixels.

    Parameters
    ----------
    factor
        Level-0 pixels along one of its own.
    background
        (3,) uint8, of what wasn't scanned.
    """

    def __init__(
        self,
        slide: _OpenedSlide,
        level: int,
        size: tuple[int, int],
        factor: float,
        background: Array,
    ) -> None:
        self._slide, self._level, self.factor = slide, level, factor
        # OpenSlide cuts Leica's positions off, and paints others between two pixels
        self._is_cut = slide.properties["openslide.vendor"] == "leica"
        self._size, self._background = size, background
        self._all: Array | None = None

    @property
    def fits(self) -> bool:
        """Whether its pixels are read as they are, and not between two of them."""
        return self._is_cut or self.factor.is_integer() or max(self._size) <= WHOLE_SIDE

    @property
    def step(self) -> tuple[float, float]:
        """Level-0 pixels along one of its own: OpenSlide's are of sizes that were rounded."""
        drift = abs(self.factor - round(self.factor)) * max(self._size)
        step = self.factor if drift > self.factor else float(round(self.factor))
        return step, step

    def read(self, window: Window) -> Array:
        """A window (Y, X, C) of it."""
        rows, columns, colours = window
        if not self.factor.is_integer() and max(self._size) <= WHOLE_SIDE:
            if self._all is None:  # only from its corner on do all of its pixels fit the grid
                self._all = self._painted(0, 0, *self._size)
            return self._all[window].copy()
        found = np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), np.uint8)
        for y in range(rows.start, rows.stop, WHOLE_SIDE):
            for x in range(columns.start, columns.stop, WHOLE_SIDE):
                height, width = min(WHOLE_SIDE, rows.stop - y), min(WHOLE_SIDE, columns.stop - x)
                piece = self._painted(y, x, height, width)
                top, left = y - rows.start, x - columns.start
                found[top : top + height, left : left + width] = piece
        return found[..., colours]

    def _painted(self, y: int, x: int, height: int, width: int) -> Array:
        """A region (Y, X, 3) from a pixel of the level on."""
        near = math.ceil if self._is_cut else round
        x, y = (near(n * self.factor) for n in (x, y))
        return over(self._slide.rgba(self._level, x, y, height, width), self._background)


def over(rgba: Array, background: Array) -> Array:
    """Colours (Y, X, 3) uint8 of RGBA that isn't premultiplied, over a background's (3,)."""
    alpha = rgba[..., 3:]
    if alpha.size == 0 or alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    share = alpha.astype(np.uint16)
    mixed = rgba[..., :3] * share + background.astype(np.uint16) * (255 - share)
    return ((mixed + 127) // 255).astype(np.uint8)


def _source(slide: _OpenedSlide, files: tuple[Path, ...], kept: int) -> Source:
    said = slide.properties
    background = np.frombuffer(
        bytes.fromhex(said.get("openslide.background-color", "ffffff")), "u1"
    )
    found = [
        (_SlideLevel(slide, n, (height, width), factor, background), (height, width, 3))
        for n, (height, width, factor) in enumerate(slide.levels)
    ]
    levels = tuple(
        # OpenSlide keeps 4 bytes a pixel
        Level(shape, _chunks(said, n, shape), level.read, kept * 3 // 4, level.step)
        for n, (level, shape) in enumerate(found)
    )
    vendor = OF_OPENSLIDE.get(said["openslide.vendor"])
    if vendor is None:  # as which it might show a label
        raise unreadable(
            slide.path,
            "its header is half a scanner's, and OpenSlide takes it for "
            f"{said['openslide.vendor']}",
            "Export it as OME-TIFF or OME-Zarr.",
        )
    mpp, doubts = _mpp(said, vendor)
    return Source(
        axes="YXC",
        dtype=np.dtype(np.uint8),
        levels=levels,
        close=slide.close,
        mpp=mpp,
        mpp_from=vendor.mpp_from if mpp else None,
        remarks=(*_remarks(said, vendor, [level for level, _ in found]), *doubts),
        files=files,
        scenes=SLIDE_SCENES,
        is_slide=True,
        magnification=_number(said, "openslide.objective-power"),
        bounds=_bounds(said, found[0][1]),
    )


def _whole(factor: float) -> float:
    """A factor that is a whole number, but for what a computer's reckoning adds."""
    return float(round(factor)) if abs(factor - round(factor)) < 1e-9 * factor else factor


def _number(said: Mapping[str, str], name: str) -> float | None:
    """A property that is a number above 0, or None."""
    try:
        value = float(said[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _chunks(said: Mapping[str, str], level: int, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What is decoded together, where the slide says it."""
    names = [f"openslide.level[{level}].tile-{side}" for side in ("height", "width")]
    camera = [f"mirax.LAYER_0_LEVEL_{level}_SECTION.DIGITIZER_{s}" for s in ("HEIGHT", "WIDTH")]
    for pair in (names, camera):
        sides = [_number(said, name) for name in pair]
        if all(sides):
            return (*(min(int(s or 1), n) for s, n in zip(sides, shape, strict=False)), 3)
    return None


def _bounds(said: Mapping[str, str], shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """What was scanned, (y, x, height, width) in level-0 pixels, where that isn't all of it."""
    try:
        y, x, height, width = (
            int(said[f"openslide.bounds-{name}"]) for name in ("y", "x", "height", "width")
        )
    except (KeyError, ValueError):
        return None
    top, left = max(0, y), max(0, x)
    bottom, right = min(shape[0], y + height), min(shape[1], x + width)
    is_all = (top, left, bottom, right) == (0, 0, *shape[:2])
    return (
        None
        if is_all or bottom <= top or right <= left
        else (top, left, bottom - top, right - left)
    )


def _mpp(said: Mapping[str, str], vendor: SlideVendor) -> tuple[Size | None, tuple[str, ...]]:
    """µm per pixel, and a sentence where it can't be or others of the slide's own differ."""
    y, x = (_number(said, f"openslide.mpp-{axis}") for axis in "yx")
    if y is None or x is None:
        return None, ()
    mpp = (y, x)
    if not plausible(mpp, slide=True):
        said_of_it = f"{size_in_words(mpp)} µm ({vendor.mpp_from})"
        return None, (f"Its pixel size of {said_of_it} can't be a slide's and isn't used.",)
    return mpp, _levels_that_differ(said, mpp)


def _levels_that_differ(said: Mapping[str, str], mpp: Size) -> tuple[str, ...]:
    """A sentence where a smaller MIRAX level's pixels aren't a multiple of level 0's."""
    factor, level = 1, 1
    while (section := f"mirax.LAYER_0_LEVEL_{level}_SECTION") + ".OVERLAP_X" in said:
        factor *= 2 ** int(_number(said, f"{section}.IMAGE_CONCAT_FACTOR") or 0)
        other = [_number(said, f"{section}.MICROMETER_PER_PIXEL_{axis}") for axis in "YX"]
        if all(other):
            size = (float(other[0] or 0) / factor, float(other[1] or 0) / factor)
            if differ(size, mpp):
                return (
                    f"Its level {level} would make a pixel {size_in_words(size)} µm and its level "
                    f"0 says {size_in_words(mpp)} µm (MICROMETER_PER_PIXEL), which is taken.",
                )
        level += 1
    return ()


def _remarks(
    said: Mapping[str, str], vendor: SlideVendor, levels: list[_SlideLevel]
) -> tuple[str, ...]:
    """What a user should know of how it is read."""
    remarks = [
        f"Reading {vendor.name} was never tried on a scanner's own file: look at the report's "
        "picture before you trust it."
    ]
    areas = sum(name.endswith("].x") and name.startswith("openslide.region[") for name in said)
    if areas > 1:
        remarks.append(f"Its {areas} scanned areas are one image, each where it lies on the slide.")
    between = [str(n) for n, level in enumerate(levels) if not level.fits]
    if between:
        remarks.append(
            f"The pixels of level {', '.join(between)} are interpolated, up to half a level-0 "
            "pixel off, as its factor isn't a whole number."
        )
    return tuple(remarks)
