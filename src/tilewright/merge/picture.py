"""Pictures for people: an image with its objects' outlines, and the worst seam from near by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import imagecodecs
import numpy as np
from skimage.segmentation import find_boundaries

from tilewright.tiling import Box

from .seam import Seam

if TYPE_CHECKING:
    from tilewright.tiling import Grid

Array = np.ndarray[Any, Any]
WHOLE = 1536  # px: an image up to this side is shown whole
CROP = 1024  # px: side of what is shown of a bigger one
NEAR = 192  # px: side of a seam's picture
OUTLINE = (255, 214, 10)
CORE = (90, 200, 250)


class Pixels(Protocol):
    """An image, or a map, that can be read in boxes of model pixels."""

    grid: Grid

    def raw(self, plane: int, window: Box, /) -> Array:
        """Its pixels, (C, y, x)."""


class Pictured(Protocol):
    """An image with something drawn over it."""

    grid: Grid

    @property
    def reader(self) -> Pixels:
        """The image."""

    def labels(self, plane: int, box: Box) -> Array:
        """Labels whose outlines are drawn."""


class Plain:
    """An image or a map with the borders of its tiles, and no objects."""

    def __init__(self, reader: Pixels) -> None:
        self.reader = reader
        self.grid = reader.grid

    def labels(self, plane: int, box: Box) -> Array:
        """None."""
        return np.zeros([stop - start for start, stop in box], np.uint8)


def overview(merged: Pictured, path: Path) -> Path:
    """Write the first plane's overlay: whole if small, else a crop from its middle.

    Returns
    -------
    The file.
    """
    shape = merged.grid.shape[-2:]
    side = WHOLE if max(shape) <= WHOLE else CROP
    return _write(merged, _around([n // 2 for n in shape], side, shape), path)


def seam_picture(merged: Pictured, seam: Seam, path: Path) -> Path:
    """Write the surroundings of a seam's middle, enlarged."""
    middle = [(start + stop) // 2 for start, stop in seam.box[-2:]]
    return _write(merged, _around(middle, NEAR, merged.grid.shape[-2:]), path, zoom=3)


def overlay(pixels: Array, labels: Array, cores: tuple[list[int], list[int]]) -> Array:
    """An RGB picture: the image stretched to grey or colour, outlines, and faint core borders.

    Parameters
    ----------
    pixels
        ``(C, y, x)``, any dtype; three channels are colour, otherwise the first is shown.
    labels
        ``(y, x)`` integers.
    cores
        Rows and columns at which a core begins.
    """
    picture = np.stack([_stretched(c) for c in (pixels[:3] if len(pixels) >= 3 else pixels[:1])])
    if len(picture) == 1:
        picture = np.repeat(picture, 3, axis=0)
    for axis, lines in enumerate(cores):
        index = [slice(None)] * 3
        index[axis + 1] = lines  # type: ignore[call-overload]
        line = picture[tuple(index)]
        tint = np.array(CORE).reshape(3, 1, 1)
        picture[tuple(index)] = 0.6 * line + 0.4 * tint
    outline = find_boundaries(labels, mode="inner")  # type: ignore[no-untyped-call]
    picture[:, outline] = np.array(OUTLINE)[:, None]
    return np.ascontiguousarray(np.moveaxis(picture, 0, -1).astype(np.uint8))


def _write(merged: Pictured, box: Box, path: Path, zoom: int = 1) -> Path:
    cores = ([], [])  # type: tuple[list[int], list[int]]
    for axis, (found, (start, stop)) in enumerate(zip(cores, box, strict=True)):
        side, extent = merged.grid.axes[axis - 2], merged.grid.shape[axis - 2]
        begins = [side.core(i, extent)[0] for i in range(1, side.count(extent))]
        found += [b - start for b in begins if start <= b < stop]
    picture = overlay(merged.reader.raw(0, box), merged.labels(0, box), cores)
    picture = np.repeat(np.repeat(picture, zoom, axis=0), zoom, axis=1)
    path.write_bytes(imagecodecs.png_encode(picture, level=6))
    return path


def _around(middle: list[int], side: int, shape: tuple[int, ...]) -> Box:
    """A box of at most `side` around a point, inside the image."""
    starts = [max(0, min(m - side // 2, n - side)) for m, n in zip(middle, shape, strict=True)]
    return tuple((s, min(s + side, n)) for s, n in zip(starts, shape, strict=True))


def _stretched(channel: Array) -> Array:
    """0..255 float32 between the 1st and 99.8th percentile."""
    low, high = np.percentile(channel, (1, 99.8))
    if channel.dtype == np.uint8 and high - low > 128:
        low, high = 0.0, 255.0  # a picture that fills its range is shown as it is
    scaled = (channel.astype(np.float32) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255)
