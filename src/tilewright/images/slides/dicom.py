"""DICOM's whole slides by pydicom and imagecodecs: the files of a series are one image's levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.cache import Cache
from tilewright.images import white
from tilewright.images.pixel_size import Size, differ, in_words, plausible
from tilewright.images.scenes import chosen
from tilewright.images.source import (
    WHOLE_BYTES,
    Array,
    Level,
    Source,
    Window,
    few,
    unreadable,
)

from .dicom_files import Instance, number, series_of
from .dicom_frames import Frames
from .parts import SLIDE_SCENES

BY_SPACING, BY_VOLUME = "DICOM's PixelSpacing", "DICOM's ImagedVolumeWidth and -Height"


def open_dicom(path: Path, scene: int | str, kept: int) -> Source:
    """The slide of a series: of a file's, whatever it shows itself, or of a folder's only one.

    Labels, overviews and thumbnails are never read.

    Raises
    ------
    TilewrightError
        When there is no slide, one of its files isn't there, or it can't be read here.
    ValueError
        When a header is damaged.
    """
    chosen(path, scene, SLIDE_SCENES)
    levels = _levels(path, _shown(path))
    return _source(levels, [_DicomLevel(path, files, kept) for files in levels], kept)


def _shown(path: Path) -> list[Instance]:
    """The files of a series that show the slide itself, each once."""
    found = series_of(path)
    series = {one.series for one in found}
    if len(series) > 1:
        raise unreadable(
            path, f"it holds the files of {len(series)} slides (DICOM series)",
            "Give the folder as --input, or a file of one of them.",
        )  # fmt: skip
    shown = {str(o.header.get("SOPInstanceUID", o.path)): o for o in found if o.kind == "VOLUME"}
    if not shown:
        kinds = sorted({one.kind.lower() for one in found if one.kind})
        what = f"only its {few(kinds, 3)}" if kinds else "no image of a whole slide"
        raise unreadable(
            path, f"it is DICOM with {what}", "Give the folder that has the slide's own files."
        )
    return list(shown.values())


def _levels(path: Path, shown: Sequence[Instance]) -> list[list[Instance]]:
    """The files of each level, the finest first; several are parts of one (a concatenation)."""
    sizes: dict[tuple[int, int], list[Instance]] = {}
    for one in shown:
        sizes.setdefault(one.size, []).append(one)
    levels = sorted(sizes.values(), key=lambda files: math.prod(files[0].size), reverse=True)
    for files in levels:
        _check_concatenation(path, files)
        files.sort(key=lambda one: number(one.header, "ConcatenationFrameOffsetNumber", 0))
        _check_level(path, files[0], levels[0][0])
    return levels


def _check_level(path: Path, one: Instance, first: Instance) -> None:
    """Raise where a file's pixels can't be a smaller form of the largest one's."""
    y, x = (a / b for a, b in zip(first.size, one.size, strict=True))
    steps = _steps_by_spacing(one, first) or ((y + x) / 2, (y + x) / 2)
    expected = [n / step for n, step in zip(first.size, steps, strict=True)]
    if any(abs(e - n) > max(2, 0.02 * n) for e, n in zip(expected, one.size, strict=True)):
        sizes = " and ".join("{} x {} px".format(*o.size) for o in (first, one))
        raise unreadable(
            path,
            f"its files of {sizes} aren't levels of one image by their size and spacing",
            "Give each image's files a folder of their own.",
        )


def _check_concatenation(path: Path, files: Sequence[Instance]) -> None:
    """Raise where the files of one size aren't the parts of one level, or a part isn't there."""
    uids = {str(one.header.get("ConcatenationUID", "")) for one in files}
    size = "{} x {} px".format(*files[0].size)
    if len(files) > 1 and (len(uids) > 1 or "" in uids):
        names = few([one.path.name for one in files], 3)
        raise unreadable(
            path, f"{len(files)} of its files are images of the same size ({size}): {names}",
            "Optical paths and focal planes in files of their own aren't read: leave one there.",
        )  # fmt: skip
    if uids == {""}:
        return
    numbers = [number(one.header, "InConcatenationNumber", 0) for one in files]
    total = number(files[0].header, "InConcatenationTotalNumber", max(numbers))
    missing = [f"part {n}" for n in range(1, total + 1) if n not in numbers]
    if missing:
        raise unreadable(
            path,
            f"of the {total} files of its level of {size} {few(missing, 3)} isn't there",
            "Copy all of its files again.",
        )


@dataclass(frozen=True)
class _TileGrid:
    """How a level is cut into frames.

    Parameters
    ----------
    size, tile
        Rows and columns of the level and of a frame.
    """

    size: tuple[int, int]
    tile: tuple[int, int]

    @property
    def across(self) -> int:
        """Frames in a row."""
        return -(-self.size[1] // self.tile[1])

    @property
    def count(self) -> int:
        """Frames in all."""
        return self.across * -(-self.size[0] // self.tile[0])


class _DicomLevel:
    """One level, whose frames are decoded as windows meet them."""

    def __init__(self, path: Path, files: Sequence[Instance], kept: int) -> None:
        header = files[0].header
        self.size = files[0].size
        self._grid = _TileGrid(self.size, (number(header, "Rows"), number(header, "Columns")))
        self._samples = number(header, "SamplesPerPixel", 1)
        self.dtype = _dtype(path, header)
        _check_plain(path, header)
        if math.prod((*self._grid.tile, *self._inner)) * self.dtype.itemsize > WHOLE_BYTES:
            raise unreadable(path, "over 1 GiB of pixels are one tile", "Export it in small tiles.")
        self.shape = (*self.size, *self._inner)
        self.chunks = (*(min(t, n) for t, n in zip(self._grid.tile, self.size, strict=True)),
                       *self._inner)  # fmt: skip
        frame = (*self._grid.tile, *self._inner)
        self._files = [Frames(one, self.dtype, frame) for one in files]
        count = sum(f.count for f in self._files)
        organised = str(header.get("DimensionOrganizationType", ""))
        self._is_full = organised == "TILED_FULL" or count == self._grid.count == 1
        if self._is_full and count != self._grid.count:
            raise ValueError(f"{count} frames for its {self._grid.count} tiles")
        self._missing = 255 if self._samples > 1 else 0  # glass, or no light
        self._found: dict[int, tuple[Frames, int]] | None = None
        self._cache: Cache[int, Array] = Cache(kept)

    @property
    def _inner(self) -> tuple[int, ...]:
        return (self._samples,) if self._samples > 1 else ()

    def _frames(self) -> dict[int, tuple[Frames, int]]:
        """Of each tile that there is, by its number along the rows, its file and frame."""
        if self._found is None:
            at, self._found = 0, {}
            for file in self._files:
                numbers = range(at, at + file.count) if self._is_full else self._places(file)
                self._found |= {tile: (file, n) for n, tile in enumerate(numbers)}
                at += file.count
        return self._found

    def _places(self, file: Frames) -> list[int]:
        """Which tile each frame is, by the positions that stand for each frame."""
        rows, columns = (place - 1 for place in file.places())
        height, width = self._grid.tile
        if (rows % height).any() or (columns % width).any():
            raise ValueError("its tiles don't lie on a grid")
        found: list[int] = (rows // height * self._grid.across + columns // width).tolist()
        return found

    def _tile(self, number: int) -> Array | None:
        """A tile's pixels, None where it isn't there."""
        found = self._frames().get(number)
        return None if found is None else self._cache.get(number, lambda: found[0].pixels(found[1]))

    def read(self, window: Window) -> Array:
        """A window (Y, X) or (Y, X, C) of it."""
        rows, columns = window[:2]
        size = (rows.stop - rows.start, columns.stop - columns.start, *self._inner)
        pixels = np.full(size, self._missing, self.dtype)
        height, width = self._grid.tile
        if not size[0] or not size[1]:
            return pixels
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                tile = self._tile(row * self._grid.across + column)
                if tile is not None:
                    own, there = (
                        _common(rows, row * height, height),
                        _common(columns, column * width, width),
                    )
                    pixels[own[0], there[0]] = tile[own[1], there[1]]
        return pixels[..., window[2]] if self._samples > 1 else pixels

    def close(self) -> None:
        """Close its files."""
        for file in self._files:
            file.close()


def _common(window: slice, start: int, length: int) -> tuple[slice, slice]:
    """What a window and a tile have in common, in the window's pixels and in the tile's."""
    first, last = max(window.start, start), min(window.stop, start + length)
    return slice(first - window.start, last - window.start), slice(first - start, last - start)


def _dtype(path: Path, header: Mapping[str, Any]) -> np.dtype:
    bits, is_signed = number(header, "BitsAllocated"), number(header, "PixelRepresentation", 0) == 1
    if bits not in (8, 16) or number(header, "SamplesPerPixel", 1) not in (1, 3):
        raise unreadable(
            path, f"its pixels are {header.get('SamplesPerPixel', 1)} x {bits} bits",
            "Export it in RGB of 8 bits, or grey of 8 or 16.",
        )  # fmt: skip
    return np.dtype(f"{'i' if is_signed else 'u'}{bits // 8}")


def _check_plain(path: Path, header: Mapping[str, Any]) -> None:
    """Raise where a file holds several focal planes or optical paths."""
    for name, what in (
        ("TotalPixelMatrixFocalPlanes", "focal planes"),
        ("NumberOfOpticalPaths", "optical paths"),
    ):
        count = number(header, name, 1)
        if count > 1:
            raise unreadable(
                path, f"a file of it holds {count} {what}, and one is read", "Export one of them."
            )


def _source(levels: Sequence[Sequence[Instance]], opened: list[_DicomLevel], kept: int) -> Source:
    first = opened[0]
    alike = [(i, o) for i, o in enumerate(opened) if o.dtype == first.dtype
             and o.shape[2:] == first.shape[2:]]  # fmt: skip
    header = levels[0][0].header
    mpp, source, doubts = _mpp(header, first.size)
    files = {one.path for parts in levels for one in parts}

    def close() -> None:
        for level in opened:
            level.close()

    steps = [_steps_by_spacing(files[0], levels[0][0]) for files in levels]
    return Source(
        axes="YXC"[: len(first.shape)],
        dtype=first.dtype,
        levels=tuple(Level(o.shape, o.chunks, o.read, kept, steps[i]) for i, o in alike),
        close=close,
        mpp=mpp,
        mpp_from=source if mpp else None,
        remarks=(*_finer_missing(header), *doubts),
        files=tuple(sorted(files)),
        scenes=SLIDE_SCENES,
        white=white.of_bits(number(header, "BitsStored", 0), first.dtype, "BitsStored"),
        is_slide=first.shape[2:] == (3,),
        magnification=_magnification(header),
    )


def _finer_missing(header: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence where the finest level that is there was made from a finer one."""
    if "RESAMPLED" not in list(header["ImageType"])[3:]:
        return ()
    return ("Its finest level was made from a finer one (RESAMPLED), whose file isn't there: "
            "the slide is read without it.",)  # fmt: skip


def _spacing(header: Mapping[str, Any]) -> Size | None:
    """µm per pixel (y, x) by PixelSpacing, which is in mm."""
    try:
        y, x = (float(v) * 1000 for v in header["PixelSpacing"])
    except (LookupError, TypeError, ValueError):
        return None
    return (y, x) if y > 0 and x > 0 else None


def _of_volume(header: Mapping[str, Any], size: tuple[int, int]) -> Size | None:
    """µm per pixel (y, x) by the size of what was imaged, which is in mm."""
    names = ("ImagedVolumeHeight", "ImagedVolumeWidth")
    lengths = [float(header.get(name, 0) or 0) * 1000 for name in names]
    y, x = (length / n for length, n in zip(lengths, size, strict=True))
    return (y, x) if y > 0 and x > 0 else None


def _mpp(
    header: Mapping[str, Any], size: tuple[int, int]
) -> tuple[Size | None, str, tuple[str, ...]]:
    """µm per pixel, who says it, and a sentence where it can't be or others differ."""
    spacing, volume = _spacing(header), _of_volume(header, size)
    mpp, source = (spacing, BY_SPACING) if spacing else (volume, BY_VOLUME)
    if mpp is None:
        return None, source, ()
    if not plausible(mpp, slide=True):
        said = f"Its pixel size of {in_words(mpp)} µm ({source}) can't be a slide's and isn't used."
        return None, source, (said,)
    if spacing and volume and plausible(volume, slide=True) and differ(spacing, volume):
        said = (f"Its pixel size is {in_words(spacing)} µm by {BY_SPACING}, which is taken, and "
                f"{in_words(volume)} µm by {BY_VOLUME}.")  # fmt: skip
        return mpp, source, (said,)
    return mpp, source, ()


def _steps_by_spacing(one: Instance, first: Instance) -> tuple[float, float] | None:
    """Level-0 pixels per pixel along y and x, by what both say of their pixels' size."""
    own, finest = _spacing(one.header), _spacing(first.header)
    return (own[0] / finest[0], own[1] / finest[1]) if own and finest else None


def _magnification(header: Mapping[str, Any]) -> float | None:
    """The objective's power, where the header says it."""
    try:
        power = float(header["ObjectiveLensPower"])
    except (LookupError, TypeError, ValueError):
        return None
    return power if math.isfinite(power) and power > 0 else None
