"""Where to look: an image or GeoJSON that says which pixels count.

Outside, nothing is found; a tile that has nothing inside isn't predicted at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from skimage.draw import polygon

from .errors import TilewrightError
from .images import fingerprint, open_image
from .jobs import ImageRef
from .tiling import Box

Array = np.ndarray[Any, Any]
Rings = list[Array]
"""A polygon: its outline and its holes, each ``(n, 2)`` (y, x) in level-0 pixels."""
GEOJSON = (".geojson", ".json")
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


class Mask:
    """Which pixels of an image count.

    Parameters
    ----------
    ref
        An image with a mask.
    scale
        Model pixels per level-0 pixel, ``(y, x)``.

    Raises
    ------
    TilewrightError
        When the mask can't be read, has no polygon, or has another shape than its image.
    """

    def __init__(self, ref: ImageRef, scale: tuple[float, float]) -> None:
        path = Path(ref.mask[0]) if ref.mask else Path()
        size = dict(zip(ref.axes, ref.shape, strict=True))
        self._origin = ref.region[:2] if ref.region else (0, 0)
        self._scale = scale
        self._extent = (size["Y"], size["X"])
        self._polygons = polygons(path) if path.suffix.lower() in GEOJSON else None
        self._pixels = None if self._polygons is not None else picture(path, self._extent)

    def inside(self, window: Box) -> Array:
        """Which pixels of a window count.

        Parameters
        ----------
        window
            In model pixels; of a volume, the last two axes count.

        Returns
        -------
            ``(y, x)`` bool.
        """
        centres = [
            origin + (np.arange(start, stop) + 0.5) / s
            for (start, stop), origin, s in zip(window[-2:], self._origin, self._scale, strict=True)
        ]
        if self._pixels is not None:
            at = [
                np.minimum((c * n / extent).astype(int), n - 1)
                for c, n, extent in zip(centres, self._pixels.shape, self._extent, strict=True)
            ]
            return np.asarray(self._pixels[np.ix_(*at)])
        return self._filled(window)

    def _filled(self, window: Box) -> Array:
        starts = np.array([start for start, _ in window[-2:]])
        shape = tuple(stop - start for start, stop in window[-2:])
        found = np.zeros(shape, bool)
        for outline, *holes in self._polygons or []:
            one = np.zeros(shape, bool)
            for ring, value in [(outline, True), *((h, False) for h in holes)]:
                at = (ring - self._origin) * self._scale - 0.5 - starts
                rows, columns = polygon(at[:, 0], at[:, 1], shape)  # type: ignore[no-untyped-call]
                one[rows, columns] = value
            found |= one
        return found


def picture(path: Path, extent: tuple[int, int]) -> Array:
    """A mask image as ``(y, x)`` bool: not zero is inside."""
    with open_image(path) as image:
        index: dict[str, int | slice] = {a: 0 for a in image.axes if a not in "YX"}
        shape = (image.size("Y"), image.size("X"))
        ratio = (shape[0] / shape[1]) / (extent[0] / extent[1])
        if abs(ratio - 1) > ASPECT:
            raise TilewrightError(
                f"{path}: is {shape[0]} x {shape[1]} px, another shape than its image's "
                f"{extent[0]} x {extent[1]} px.",
                fix="Give the mask of this image, at any scale.",
            )
        return np.asarray(image.read(0, index) != 0)


def polygons(path: Path) -> list[Rings]:
    """The polygons of a GeoJSON file, whose coordinates are (x, y) in level-0 pixels."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = [
            [np.asarray(ring, float)[:, 1::-1] for ring in rings]
            for geometry in _geometries(data)
            for rings in _rings(geometry)
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise TilewrightError(
            f"{path}: can't be read as GeoJSON ({type(error).__name__}: {error}).",
            fix="Export the annotation again, as polygons.",
        ) from None
    if not found:
        raise TilewrightError(f"{path}: has no polygon.", fix="Draw one around what counts.")
    return found


def _geometries(data: Any) -> list[Any]:
    if isinstance(data, list):  # as QuPath writes without a collection
        return [g for part in data for g in _geometries(part)]
    if data["type"] == "FeatureCollection":
        return [g for part in data["features"] for g in _geometries(part)]
    return [data["geometry"] if data["type"] == "Feature" else data]


def _rings(geometry: Any) -> list[Any]:
    kind = geometry["type"]
    if kind == "Polygon":
        return [geometry["coordinates"]]
    return list(geometry["coordinates"]) if kind == "MultiPolygon" else []
