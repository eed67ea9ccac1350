"""Pictures for people: an image with its objects' outlines, and the worst seam from near by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import imagecodecs
import numpy as np
from scipy.ndimage import binary_dilation  # type: ignore[import-untyped]
from skimage.segmentation import find_boundaries

from tilewright.contract.grid import Box, Grid, shape_of

from .seam import Seam

Array = np.ndarray[Any, Any]
Labels = Callable[[int, Box], Array]
"""Labels of a box of a plane."""
Look = Callable[[Array], None]
"""Looks at pixels that are shown, (C, y, x)."""
WHOLE = 1536  # px: an image up to this side is shown whole
CROP = 1024  # px: side, at most, of the places that are shown of a bigger one
JPEG_LEVEL = 90  # colours of all pixels are kept: outlines are a pixel wide
NEAR = 192  # px: side of a seam's picture
TALLEST = 8  # picture rows per slice, however far apart they are
OUTLINE = (255, 214, 10)
SHADE = 0.3  # of their brightness is left to pixels beside an outline: it shows on white, too
CORE_BORDER = (90, 200, 250)
UNREAD = (230, 40, 160)
HATCH = 16  # px from one line to the next, over what couldn't be read


class PixelSource(Protocol):
    """An image, or a map, that can be read in boxes of model pixels."""

    grid: Grid

    def raw(self, plane: int, window: Box, /) -> Array:
        """Its pixels, (C, (z,) y, x)."""

    def lost(self, plane: int, box: Box, /) -> Array:
        """Which of them are of tiles that couldn't be read, ((z,) y, x) bool."""


class Pictured(Protocol):
    """An image with something drawn over it."""

    grid: Grid

    @property
    def image(self) -> PixelSource:
        """What it is drawn over."""

    def labels(self, plane: int, box: Box) -> Array:
        """Labels, ((z,) y, x) integers, whose outlines are drawn."""


class Plain:
    """An image or a map with the borders of its tiles, and no objects."""

    def __init__(self, image: PixelSource) -> None:
        self.image = image
        self.grid = image.grid

    def labels(self, plane: int, box: Box) -> Array:
        """None: ((z,) y, x) zeros."""
        return np.zeros(shape_of(box), np.uint8)


@dataclass(frozen=True)
class Section:
    """What of a plane or volume a picture shows.

    Parameters
    ----------
    box
        In model pixels; of a volume, one pixel thick along the axis that isn't shown.
    axes
        Which of the box's axes are the picture's rows and columns.
    tall
        How many times a row is repeated: slices may be further apart than columns.
    plane
        Number of the time point or slice, where there are several.
    """

    box: Box
    axes: tuple[int, int]
    tall: int = 1
    plane: int = 0

    @property
    def where(self) -> dict[str, Any]:
        """For the report: the shown axes, and the pixel along the third one."""
        names = "zyx"[-len(self.box) :]
        hidden = [i for i in range(len(names)) if i not in self.axes]
        shown = "".join(names[i] for i in self.axes)
        return {"axes": shown, "tall": self.tall, **{names[i]: self.box[i][0] for i in hidden}}

    def flat(self, array: Array) -> Array:
        """An array (..., *box) as (..., rows, columns)."""
        hidden = {i - len(self.box) for i in range(len(self.box)) if i not in self.axes}
        return array.squeeze(tuple(hidden)).repeat(self.tall, -2)


def is_big(shape: Sequence[int]) -> bool:
    """Whether a plane or volume, ((z,) y, x), is too big to be shown whole, pixel by pixel."""
    return max(shape[-2:]) > WHOLE


def overview(
    merged: Pictured, path: Path, plane: int = 0, z: int = 0, look: Look | None = None
) -> Path:
    """Write all of a plane's, or a volume's slice's, overlay.

    Parameters
    ----------
    merged
        A small image.
    path
        The file, which comes back.
    plane, z
        Their numbers; z counts in a volume.
    look
        Is given the pixels, as `place_picture` says.
    """
    shape = merged.grid.shape
    whole = tuple((0, n) for n in shape[-2:])
    return _write(merged, section_of(shape, whole, plane, z), merged.labels, path, look=look)


def section_of(shape: Sequence[int], part: Box, plane: int, z: int) -> Section:
    """A part of a plane, or of a volume's slice, from above.

    Parameters
    ----------
    shape
        The plane's or volume's, ((z,) y, x).
    part
        Rows and columns.
    plane, z
        Their numbers; z counts in a volume.
    """
    box = (*([(z, z + 1)] if len(shape) > 2 else []), *part)
    return Section(box, (len(box) - 2, len(box) - 1), plane=plane)


def place_picture(
    merged: Pictured,
    section: Section,
    white: float | None,
    path: Path,
    look: Look | None = None,
) -> Path:
    """Write a part of a big image, with outlines and the borders of its tiles, as a JPEG.

    Parameters
    ----------
    merged, section
        What of which.
    white
        The value of white of a picture of transmitted light; None stretches each channel.
    path
        The file, which comes back.
    look
        Is given the image's own pixels of the section, (C, y, x), which are read but once.
    """
    return _write(merged, section, merged.labels, path, white=white, look=look)


def shown_seam(seams: Sequence[Seam]) -> Seam | None:
    """The worst of `seams` or, where no objects meet at it, the one that objects cross most."""
    if not seams or seams[0].transitions:
        return seams[0] if seams else None
    most = max(seams, key=lambda s: s.crossed)
    return most if most.crossed else None


def seam_section(merged: Pictured, seam: Seam, steep: float = 1.0) -> Section:
    """What shows a seam best: surroundings of where most objects meet or, if none do, cross it.

    Of a volume, a slice. A border between slices is shown from the side, by slices and columns.

    Parameters
    ----------
    steep
        Distance of two slices, in columns.
    """
    shape, plane = merged.grid.shape, seam.plane
    middle = [start + 1 for start, _ in seam.box]  # along the seam's axis: its far side
    seen = _seen(merged.labels(plane, seam.box), seam.axis)
    along = [k for k in range(len(shape)) if k != seam.axis]
    sides = [NEAR] * len(shape)
    if len(shape) == 3:
        sides[along[0]] = 1
    for k in along:
        others = tuple(j for j in range(len(shape)) if j != k)
        at = _densest(seen.sum(axis=others), sides[k])
        middle[k] = seam.box[k][0] + at
        if sides[k] == 1:
            seen = seen.take([at], k)
    if len(shape) == 2:
        return Section(_around(middle, sides, shape), (0, 1), plane=plane)
    tall = 1 if seam.axis else min(TALLEST, max(1, round(steep)))
    sides[0] //= 1 if seam.axis else tall
    return Section(_around(middle, sides, shape), (1, 2) if seam.axis else (0, 2), tall, plane)


def seam_picture(
    merged: Pictured, section: Section, labels: Labels, path: Path, white: float | None = None
) -> Path:
    """Write a seam's surroundings as a PNG, three times enlarged, with the outlines of some labels.

    Parameters
    ----------
    merged
        The image, and where its tiles' borders are.
    section
        What of it is shown.
    labels
        Whose outlines are drawn: the merged ones, or each tile's own.
    path
        The file, which comes back.
    white
        As of `shown`.
    """
    return _write(merged, section, labels, path, zoom=3, white=white)


def _seen(labels: Array, axis: int) -> Array:
    """Where objects meet at a seam, whose two sides `labels` are of; if none do, where they are."""
    one, other = (labels.take([i], axis) for i in range(2))
    both = (one > 0) & (other > 0)
    meet = both & (one != other)
    return meet if meet.any() else both


def _densest(counts: Array, side: int) -> int:
    """The centre of the `side` places that count most; of all, where there is nothing."""
    side = min(side, len(counts))
    start = int(np.convolve(counts, np.ones(side, np.int64), "valid").argmax())
    part = counts[start : start + side]
    if not part.any():
        return len(counts) // 2
    return start + round(np.average(np.arange(side), weights=part))


def shown(pixels: Array, white: float | None) -> Array:
    """(3, y, x) float32 from 0 to 255: as it is where white is known, else each channel stretched.

    Parameters
    ----------
    pixels
        ``(C, y, x)``, any dtype; three channels are colour, otherwise the first is shown.
    white
        The value of white, or None.
    """
    pixels = pixels[:3] if len(pixels) >= 3 else pixels[:1]
    if white is not None:
        found = np.clip(np.nan_to_num(pixels.astype(np.float32)) * np.float32(255 / white), 0, 255)
    else:
        found = np.stack([_stretched(c) for c in pixels])
    return found if len(found) == 3 else np.repeat(found, 3, axis=0)


def overlay(
    pixels: Array,
    labels: Array,
    cores: tuple[list[int], list[int]],
    white: float | None = None,
) -> Array:
    """An RGB picture: the image stretched to grey or colour, outlines, and faint core borders.

    Parameters
    ----------
    pixels
        ``(C, y, x)``, any dtype; three channels are colour, otherwise the first is shown.
    labels
        ``(y, x)`` integers.
    cores
        Rows and columns at which a core begins.
    white
        The value of white, where nothing is stretched.
    """
    picture = shown(pixels, white)
    for axis, lines in enumerate(cores):
        index = [slice(None)] * 3
        index[axis + 1] = lines  # type: ignore[call-overload]
        line = picture[tuple(index)]
        tint = np.array(CORE_BORDER).reshape(3, 1, 1)
        picture[tuple(index)] = 0.6 * line + 0.4 * tint
    outline(picture, find_boundaries(labels, mode="inner"))  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.moveaxis(picture, 0, -1).astype(np.uint8))


def outline(picture: Array, where: Array) -> None:
    """Draw a light line with dark edges, in place: on white, black and all between one shows.

    Parameters
    ----------
    picture
        ``(3, y, x)`` float, 0 to 255.
    where
        ``(y, x)`` bool: the light pixels. Those beside them become dark.
    """
    picture[:, binary_dilation(where) & ~where] *= SHADE
    picture[:, where] = np.array(OUTLINE, picture.dtype)[:, None]


def hatch(picture: Array, lost: Array) -> None:
    """Draw slanted lines where there is no result because the file couldn't be read, in place.

    Parameters
    ----------
    picture
        ``(y, x, 3)`` uint8.
    lost
        ``(y, x)`` bool.
    """
    y, x = np.nonzero(lost)
    lines = (y + x) % HATCH < HATCH // 4
    picture[y[lines], x[lines]] = UNREAD


def write(path: Path, picture: Array) -> Path:
    """Write a picture, (y, x, 3) uint8, by its ending as a JPEG or PNG; the file comes back."""
    picture = np.ascontiguousarray(picture)
    if path.suffix == ".jpg":
        data = imagecodecs.jpeg8_encode(picture, level=JPEG_LEVEL, subsampling="444")
    else:
        data = imagecodecs.png_encode(picture, level=6)
    path.write_bytes(data)
    return path


def _write(
    merged: Pictured,
    section: Section,
    labels: Labels,
    path: Path,
    zoom: int = 1,
    white: float | None = None,
    look: Look | None = None,
) -> Path:
    box, grid = section.box, merged.grid
    cores = ([], [])  # type: tuple[list[int], list[int]]
    for found, axis, each in zip(cores, section.axes, (section.tall, 1), strict=True):
        (start, stop), side, extent = box[axis], grid.axes[axis], grid.shape[axis]
        begins = [side.core(i, extent)[0] for i in range(1, side.count(extent))]
        found += [(b - start) * each for b in begins if start <= b < stop]
    raw = section.flat(merged.image.raw(section.plane, box))
    if look:
        look(raw)
    picture = overlay(raw, section.flat(labels(section.plane, box)), cores, white)
    hatch(picture, section.flat(merged.image.lost(section.plane, box)))
    return write(path, np.repeat(np.repeat(picture, zoom, axis=0), zoom, axis=1))


def _around(middle: Sequence[int], sides: Sequence[int], shape: Sequence[int]) -> Box:
    """A box of at most `sides` around a point, inside the image."""
    found = []
    for m, side, n in zip(middle, sides, shape, strict=True):
        start = max(0, min(m - side // 2, n - side))
        found.append((start, min(start + side, n)))
    return tuple(found)


def _stretched(channel: Array) -> Array:
    """0..255 float32 between the 1st and 99.8th percentile of what is finite; NaN is black."""
    channel = channel.astype(np.uint8) if channel.dtype == bool else channel
    finite = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel
    low, high = np.percentile(finite, (1, 99.8)) if finite.size else (0.0, 1.0)
    if channel.dtype == np.uint8 and high - low > 128:
        low, high = 0.0, 255.0  # a picture that fills its range is shown as it is
    span = high - low if high > low else 1
    far = max(abs(low), abs(high)) > span * 2**16  # float32 would leave less than 8 bits of it
    values: Array = channel.astype(np.float64 if far else np.float32)
    scaled = (values - low) / span
    return np.asarray(np.nan_to_num(np.clip(scaled, 0, 1)) * 255)
