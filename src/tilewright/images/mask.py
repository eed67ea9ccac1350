"""Where to look: an image or GeoJSON that says which pixels count.

Outside, nothing is found; a tile that has too little inside isn't predicted at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.closing import Closing
from tilewright.contract.files import file_digest
from tilewright.contract.grid import Box, shape_of
from tilewright.contract.jobs import ImageRef
from tilewright.contract.reading import MOST_TEXT, read_text
from tilewright.errors import TilewrightError

from .damage import PYTHONS, in_words
from .endings import JPEG_START
from .fill import filled
from .image import Image, fingerprint, open_image
from .photometric import NO_ALPHA

Array = np.ndarray
Rings = list[Array]
"""A polygon: its outline and its holes, each ``(n, 2)`` (y, x) in level-0 pixels."""
GEOJSON = (".geojson", ".json")
HOLDERS = {
    "FeatureCollection": "features",
    "Feature": "geometry",
    "GeometryCollection": "geometries",
}
"""Where the GeoJSON objects that aren't geometries themselves have theirs."""
IGNORED = "*"  # ends the names of classes that QuPath ignores, as Ignore*
FINER = 16  # times that a mask's side may be its image's: a tile's whole window is read
ASPECT = 0.02  # by how much a mask's shape may differ from its image's
BAD: tuple[type[Exception], ...] = (OSError, ValueError, *PYTHONS)  # of what isn't GeoJSON
OUTSIDE = 0.5  # share of polygons' area that may lie outside the image: beyond, they are another's
EXCHANGED = 0.1  # the same of polygons that would fit with x and y exchanged
SAID = 0.02  # share outside that is said
CUT_OUT = "{} of its mask's shapes have a class that QuPath ignores (its name ends in *): cut out."
SIDE = 1000  # px of the longer side of the picture by which that share is found


def is_geojson(path: Path) -> bool:
    """Whether a mask is GeoJSON, by its ending; else it is an image."""
    return path.suffix.lower() in GEOJSON


def stamped(path: Path) -> tuple[str, str]:
    """A mask's absolute path and its digest: of GeoJSON its content's, of an image its fingerprint.

    Raises
    ------
    TilewrightError
        When there is no such file, or it can't be read.
    """
    if not path.exists():
        fix = "Check the column `mask`, or --mask."
        raise TilewrightError(f"{path}: there is no such mask.", fix=fix)
    if not is_geojson(path) or path.is_dir():
        return str(path.absolute()), fingerprint(path)
    try:
        return str(path.absolute()), file_digest(path, MOST_TEXT)
    except OSError as error:
        why = f"{path}: can't be read ({error.strerror})."
        raise TilewrightError(why, fix="Allow it, or give another mask.") from None


class Mask(Closing):
    """Which pixels of an image count; a context manager, since it reads them when asked.

    Parameters
    ----------
    ref
        An image with a mask.
    scale
        Model pixels per level-0 pixel, ``(y, x)``.
    origin
        The level-0 pixel ``(y, x)`` at which model pixels begin.

    Raises
    ------
    TilewrightError
        When the mask can't be read, isn't polygons, has another shape than its image, or was
        changed since it was stamped.
    """

    def __init__(
        self, ref: ImageRef, scale: tuple[float, float], origin: tuple[float, float] = (0, 0)
    ) -> None:
        path, stamp = (Path(ref.mask[0]), ref.mask[1]) if ref.mask else (Path(), "")
        size = dict(zip(ref.axes, ref.shape, strict=True))
        self._path = path
        self._least = ref.min_tissue
        self._origin = origin
        self._scale = scale
        self._extent = (size["Y"], size["X"])
        self._polygons: list[Rings] = []
        self._ignored: list[Rings] = []
        self._picture: Image | None = None
        if is_geojson(path):
            self._polygons, self._ignored = polygons(path)
            if stamped(path)[1] != stamp:
                why = f"{path}: was changed since this run was planned."
                raise TilewrightError(why, fix="Run again, and leave masks as they are meanwhile.")
        else:
            self._picture = picture(path, self._extent)
        self._bounds = _bounds(self._polygons)
        self._ignored_bounds = _bounds(self._ignored)

    def check(self) -> tuple[str, ...]:
        """What a user should know of how it lies on its image, a sentence each.

        Raises
        ------
        TilewrightError
            65, when its polygons are another image's, by where they lie.
        """
        if self._picture is not None:
            return tuple(_picture_remarks(self._picture))
        if not self._polygons:
            return ("Its mask has no polygon: nothing of it is looked at.",)
        cut = (CUT_OUT.format(len(self._ignored)),) if self._ignored else ()
        return (*check_polygons(self._path, self._polygons, self._extent), *cut)

    def suffices(self, inside: Array) -> bool:
        """Whether so much of a window counts that it is predicted.

        Parameters
        ----------
        inside
            What `inside` gives of it, ``(y, x)`` bool.
        """
        return bool(inside.any()) and float(inside.mean()) >= self._least

    def inside(self, window: Box) -> Array:
        """Which pixels of a window count.

        Parameters
        ----------
        window
            In model pixels; of a volume, the last two axes count.

        Returns
        -------
            ``(y, x)`` bool.

        Raises
        ------
        TilewrightError
            When a mask image is damaged there.
        """
        if self._picture is None:
            return self._filled(window)
        centres = [
            origin + (np.arange(start, stop) + 0.5) / s
            for (start, stop), origin, s in zip(window[-2:], self._origin, self._scale, strict=True)
        ]
        sizes = [self._picture.size(a) for a in "YX"]
        y, x = (
            np.minimum((c * n / extent).astype(int), n - 1)
            for c, n, extent in zip(centres, sizes, self._extent, strict=True)
        )
        return self._looked_up(self._picture, y, x)

    def _looked_up(self, image: Image, y: Array, x: Array) -> Array:
        """The mask's own pixels at ascending rows `y` and columns `x`: not zero is inside."""
        index: dict[str, int | slice] = dict.fromkeys(image.axes, 0)
        index |= {a: slice(int(at[0]), int(at[-1]) + 1) for a, at in (("Y", y), ("X", x))}
        if "C" in image.axes:  # of a colour, whatever it has
            channels = [{**index, "C": c} for c in range(image.size("C"))]
            pixels = np.any([_not_zero(image.read(0, one)) for one in channels], axis=0)
        else:
            pixels = _not_zero(image.read(0, index))
        if image.axes.index("X") < image.axes.index("Y"):
            pixels = pixels.T
        return np.asarray(pixels[np.ix_(y - y[0], x - x[0])])

    def _filled(self, window: Box) -> Array:
        found = self._drawn(self._polygons, self._bounds, window)
        if self._ignored:
            found &= ~self._drawn(self._ignored, self._ignored_bounds, window)
        return found

    def _drawn(self, polygons: list[Rings], bounds: Array, window: Box) -> Array:
        """Which of a window's pixels polygons cover."""
        starts = np.array([start for start, _ in window[-2:]])
        shape = shape_of(window[-2:])
        found = np.zeros(shape, bool)
        first, last = ((bounds - self._origin) * self._scale - 0.5 - starts).swapaxes(0, 1)
        for number in np.flatnonzero(((first <= shape) & (last >= -1)).all(1)):
            rings = polygons[number]
            here = [(ring - self._origin) * self._scale - 0.5 - starts for ring in rings]
            found |= _drawn(here, shape)
        return found

    def close(self) -> None:
        """Close the mask's file."""
        if self._picture is not None:
            self._picture.close()


def picture(path: Path, extent: tuple[int, int]) -> Image:
    """A mask image, open.

    Parameters
    ----------
    extent
        Its image's height and width, in level-0 px.

    Raises
    ------
    TilewrightError
        65, when the mask can't be read, its header says another shape than the image's, or it is
        far finer.
    """
    image = open_image(path, labels=True)
    shape = (image.size("Y"), image.size("X"))
    ratio = (shape[0] / shape[1]) / (extent[0] / extent[1])
    if abs(ratio - 1) > ASPECT:
        image.close()
        raise TilewrightError(
            f"{path}: is {shape[0]} x {shape[1]} px, another shape than its image's "
            f"{extent[0]} x {extent[1]} px.",
            fix="Give the mask of this image, at any scale.",
        )
    if shape[0] > FINER * extent[0]:
        image.close()
        raise TilewrightError(
            f"{path}: is {shape[0]} x {shape[1]} px, over {FINER} times as fine as its image's "
            f"{extent[0]} x {extent[1]} px.",
            fix="Give it at the image's own scale.",
        )
    return image


def _bounds(polygons: list[Rings]) -> Array:
    """Of each polygon its first and last, y and x, (n, 2, 2)."""
    return np.array([(p[0].min(0), p[0].max(0)) for p in polygons]).reshape(-1, 2, 2)


def _not_zero(pixels: Array) -> Array:
    """Which pixels of a mask are inside: NaN says nothing, and isn't."""
    return np.asarray((pixels != 0) & ~np.isnan(pixels))


def _picture_remarks(image: Image) -> Iterator[str]:
    """What a user should know of how a mask image is read, a sentence each."""
    with image.path.open("rb") if image.path.is_file() else BytesIO() as file:
        if file.read(len(JPEG_START)) == JPEG_START:
            yield "Its mask is a JPEG, in which black isn't 0 beside what is bright: use PNG."
    for axis in "TZ":
        if image.size(axis) > 1:
            yield f"Its mask has {image.size(axis)} planes along {axis}: the first counts for all."
    if NO_ALPHA in image.remarks:
        yield "Its mask's alpha (transparency) isn't read: what isn't black is inside."


def polygons(path: Path) -> tuple[list[Rings], list[Rings]]:
    """The polygons of a GeoJSON file, whose coordinates are (x, y) in level-0 pixels.

    Returns
    -------
        Those that count, and those of classes that QuPath ignores. None of a collection without
        features, or of one feature or geometry that is empty: so one says that there is nothing.

    Raises
    ------
    TilewrightError
        65, when it can't be read as GeoJSON, or has points and lines alone.
    """
    try:
        data = json.loads(read_text(path, encoding="utf-8-sig"))
        geometries = _geometries(data)
        found, ignored = (
            [
                [_ring(ring) for ring in rings]
                for geometry, is_ignored in geometries
                for rings in _rings(geometry)
                if rings and is_ignored == wanted  # empty coordinates are allowed, and are nothing
            ]
            for wanted in (False, True)
        )
    except BAD as error:
        raise TilewrightError(
            f"{path}: can't be read as GeoJSON ({in_words(error)}).",
            fix="Export the annotation again, as polygons.",
        ) from None
    if not found and (geometries or not _is_empty(data)):
        raise TilewrightError(f"{path}: has no polygon.", fix="Draw one around what counts.")
    return found, ignored


def _is_empty(data: Any) -> bool:
    """Whether GeoJSON says that there is nothing: a collection, or a list, of no features."""
    return data == [] or (isinstance(data, dict) and data.get("features") == [])


def check_polygons(path: Path, found: list[Rings], extent: tuple[int, int]) -> tuple[str, ...]:
    """What a user should know of where polygons lie on an image, a sentence each.

    Parameters
    ----------
    path, found
        A GeoJSON file, and what `polygons` gives of it.
    extent
        The image's height and width, in level-0 px.

    Raises
    ------
    TilewrightError
        65, when they lie outside it, or mostly.
    """
    corners = np.concatenate([polygon[0] for polygon in found])
    (top, left), (bottom, right) = corners.min(0), corners.max(0)
    height, width = extent
    if top >= -1 and left >= -1 and bottom <= height + 1 and right <= width + 1:
        return ()
    outside = _outside(found, extent)
    lie = (
        f"{path}: lies from y {top:.0f} to {bottom:.0f} and x {left:.0f} to {right:.0f}, and its "
        f"image is {height} x {width} px (height x width)"
    )
    if min(top, left) >= -1 and bottom <= width + 1 and right <= height + 1 and outside > EXCHANGED:
        raise TilewrightError(
            f"{lie}: it would fit with x and y exchanged.",
            fix="GeoJSON is x, y in level-0 pixels: export it again, or turn the image as it was.",
        )
    if outside > OUTSIDE:
        how_much = "all" if outside == 1 else f"{100 * outside:.0f} %"
        raise TilewrightError(
            f"{lie}: {how_much} of its area is outside.",
            fix="Give the mask of this image, in its level-0 pixels.",
        )
    if outside <= SAID:
        return ()
    return (f"{100 * outside:.0f} % of its mask's area lies outside it, which isn't looked at.",)


def _outside(found: list[Rings], extent: tuple[int, int]) -> float:
    """The share of polygons' area that lies outside an image of so many pixels."""
    corners = np.concatenate([np.zeros((1, 2)), [extent], *(polygon[0] for polygon in found)])
    first, size = corners.min(0), np.ptp(corners, axis=0)
    scale = SIDE / float(size.max())
    shape = [int(n) + 1 for n in size * scale]
    inside = np.zeros(shape, bool)
    for polygon in found:
        inside |= _drawn([(ring - first) * scale for ring in polygon], shape)
    if not inside.any():  # too thin to be drawn
        return float(((corners < 0) | (corners > extent)).any(1).mean())
    y, x = (np.arange(n) / scale + float(f) for n, f in zip(shape, first, strict=True))
    own = ((y >= 0) & (y <= extent[0]))[:, None] & ((x >= 0) & (x <= extent[1]))
    return 1 - float((inside & own).sum() / inside.sum())


def _drawn(rings: Rings, shape: Sequence[int]) -> Array:
    """A polygon without its holes; in px whose centres are whole numbers."""
    outline, *holes = rings
    one = filled(outline, shape)
    for hole in holes:
        one &= ~filled(hole, shape)
    return one


def _geometries(data: Any, ignored: bool = False) -> list[tuple[Any, bool]]:
    """The geometries of whatever GeoJSON holds, less features that are nowhere.

    With each, whether its feature's class is one that QuPath ignores.
    """
    if data is None:
        return []
    if isinstance(data, list):  # as QuPath writes without a collection
        return [g for part in data for g in _geometries(part, ignored)]
    kind = data["type"]
    if kind == "Feature":
        ignored = _class_of(data).endswith(IGNORED)
    return _geometries(data[HOLDERS[kind]], ignored) if kind in HOLDERS else [(data, ignored)]


def _class_of(feature: dict[str, Any]) -> str:
    """The name of the class that QuPath gave a feature; of a class of a class the last part."""
    known = (feature.get("properties") or {}).get("classification") or ""
    if isinstance(known, dict):
        known = known.get("name") or [*known.get("names", []), ""][-2:][0]
    return str(known)


def _rings(geometry: Any) -> list[Any]:
    kind = geometry["type"]
    if kind == "Polygon":
        return [geometry["coordinates"]]
    return list(geometry["coordinates"]) if kind == "MultiPolygon" else []


def _ring(points: Any) -> Array:
    """A ring ``(n, 2)`` (y, x); a third coordinate, a height, is dropped."""
    ring = np.asarray(points, float)
    if ring.ndim != 2 or len(ring) < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring isn't three or more points x, y")
    return ring[:, 1::-1]
