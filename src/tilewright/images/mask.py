"""Where to look: an image or GeoJSON that says which pixels count.

Outside, nothing is found; a tile that has nothing inside isn't predicted at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from skimage import draw  # loaded where it is used

from tilewright.contract.closing import Closing
from tilewright.contract.grid import Box, shape_of
from tilewright.contract.jobs import ImageRef
from tilewright.errors import TilewrightError

from .image import Image, fingerprint, open_image

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
ASPECT = 0.02  # by how much a mask's shape may differ from its image's


def stamped(path: Path) -> tuple[str, str]:
    """A mask's absolute path and the digest of its content.

    Raises
    ------
    TilewrightError
        When there is no such file.
    """
    if not path.exists():
        raise TilewrightError(f"{path}: there is no such mask.", fix="Check the column `mask`.")
    return str(path.absolute()), fingerprint(path)


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
        When the mask can't be read, has no polygon, or has another shape than its image.
    """

    def __init__(
        self, ref: ImageRef, scale: tuple[float, float], origin: tuple[float, float] = (0, 0)
    ) -> None:
        path = Path(ref.mask[0]) if ref.mask else Path()
        size = dict(zip(ref.axes, ref.shape, strict=True))
        self._origin = origin
        self._scale = scale
        self._extent = (size["Y"], size["X"])
        self._polygons: list[Rings] = []
        self._picture: Image | None = None
        if path.suffix.lower() in GEOJSON:
            self._polygons = polygons(path)
        else:
            self._picture = picture(path, self._extent)
        # (polygon, first and last, y and x)
        self._bounds = np.array([(p[0].min(0), p[0].max(0)) for p in self._polygons])

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
            pixels = np.any([image.read(0, one) for one in channels], axis=0)
        else:
            pixels = image.read(0, index)
        if image.axes.index("X") < image.axes.index("Y"):
            pixels = pixels.T
        return np.asarray(pixels[np.ix_(y - y[0], x - x[0])] != 0)

    def _filled(self, window: Box) -> Array:
        starts = np.array([start for start, _ in window[-2:]])
        shape = shape_of(window[-2:])
        found = np.zeros(shape, bool)
        first, last = ((self._bounds - self._origin) * self._scale - 0.5 - starts).swapaxes(0, 1)
        for number in np.flatnonzero(((first <= shape) & (last >= -1)).all(1)):
            outline, *holes = self._polygons[number]
            one = np.zeros(shape, bool)
            for ring, value in [(outline, True), *((h, False) for h in holes)]:
                at = (ring - self._origin) * self._scale - 0.5 - starts
                rows, columns = draw.polygon(at[:, 0], at[:, 1], shape)  # type: ignore[no-untyped-call]
                one[rows, columns] = value
            found |= one
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
        65, when the mask can't be read or its header says another shape than the image's.
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
    return image


def polygons(path: Path) -> list[Rings]:
    """The polygons of a GeoJSON file, whose coordinates are (x, y) in level-0 pixels.

    Raises
    ------
    TilewrightError
        65, when it can't be read as GeoJSON or has no polygon.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = [
            [_ring(ring) for ring in rings]
            for geometry in _geometries(data)
            for rings in _rings(geometry)
            if rings  # empty coordinates are allowed, and are nothing
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TilewrightError(
            f"{path}: can't be read as GeoJSON ({type(error).__name__}: {error}).",
            fix="Export the annotation again, as polygons.",
        ) from None
    if not found:
        raise TilewrightError(f"{path}: has no polygon.", fix="Draw one around what counts.")
    return found


def _geometries(data: Any) -> list[Any]:
    """The geometries of whatever GeoJSON holds, less features that are nowhere."""
    if data is None:
        return []
    if isinstance(data, list):  # as QuPath writes without a collection
        return [g for part in data for g in _geometries(part)]
    kind = data["type"]
    return _geometries(data[HOLDERS[kind]]) if kind in HOLDERS else [data]


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
