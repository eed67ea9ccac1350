"""Outlines as a zip of ImageJ's ROIs, each named after its object; a ROI per object and plane.

An outline in one piece is a traced selection; one with holes or several pieces is composite.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from tilewright.contract.files import atomic
from tilewright.export.outlines import Outlines, outlines
from tilewright.export.store import Result

Array = np.ndarray[Any, Any]
MOVE, LINE, CLOSE = 0, 1, 4
"""Segments of a composite's path, as Java's PathIterator numbers them."""


def write(store: Path, path: Path) -> None:
    """Write a store's outlines in level-0 pixels."""
    with atomic(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for roi in rois(Result(store)):
            file.writestr(zipfile.ZipInfo(f"{roi.name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)


def rois(store: Result) -> Iterator[ImagejRoi]:
    """A ROI for each object of each plane."""
    place, sizes = store.place, store.sizes
    grey = store.table is None or len(store.table.variables) < 2
    many = [a for a in "tz" if sizes[a] > 1]
    for some in outlines(store):
        x, y = place.at(1, some.rings.x), place.at(0, some.rings.y)
        where = _where(some, many, grey=grey)
        after = "".join(f"-{a}{getattr(some, a) + 1:04d}" for a in many)
        points = np.stack([x, y], axis=1)
        firsts, bounds = some.objects.tolist(), some.rings.first.tolist()
        for label, a, b in zip(some.labels.tolist(), firsts[:-1], firsts[1:], strict=True):
            rings = [points[bounds[n] : bounds[n + 1]] for n in range(a, b)]
            yield _roi(f"{label}{after}", rings, where)


def _where(some: Outlines, many: list[str], *, grey: bool) -> dict[str, int]:
    """The plane, as ImageJ asks for it: a slice of a stack, or of a hyperstack c, z and t."""
    if len(many) == 1 and grey:
        return {"position": getattr(some, many[0])}
    return {a: getattr(some, a) for a in many}


def _roi(name: str, rings: list[Array], where: dict[str, int]) -> ImagejRoi:
    roi = ImagejRoi.frompoints(rings[0], name=name, **where)
    roi.roitype = ROI_TYPE.TRACED
    if len(rings) > 1:
        path = np.concatenate([_path(ring) for ring in rings])
        corners = np.concatenate(rings)
        (left, top), (right, bottom) = np.floor(corners.min(0)), np.ceil(corners.max(0))
        roi.left, roi.top, roi.right, roi.bottom = (int(n) for n in (left, top, right, bottom))
        roi.roitype, roi.n_coordinates = ROI_TYPE.RECT, 0
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.multi_coordinates, roi.shape_roi_size = path, len(path)
    return roi


def _path(ring: Array) -> Array:
    """A ring as a closed path, float32."""
    steps = np.column_stack([np.full(len(ring), LINE), ring]).ravel()
    steps[0] = MOVE
    return np.append(steps, CLOSE).astype(np.float32)
