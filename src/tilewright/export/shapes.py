"""Outlines as shapely's geometries, a block of objects at a time. Needs shapely."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely

from .outlines import Outlines, outlines
from .store import Result

Array = np.ndarray[Any, Any]
Along = Callable[[int, Array], Array]
"""Lattice points along y (0) or x (1) as coordinates."""


def shapes(store: Result, along: Along) -> Iterator[tuple[Outlines, Array]]:
    """Polygons or, of objects in several pieces, multipolygons, one for each object of a plane.

    Parameters
    ----------
    store
        With labels.
    along
        What coordinates are.

    Yields
    ------
        Some objects, and (m,) geometries of them.
    """
    for some in outlines(store):
        yield some, _geometries(some, along)


def _geometries(some: Outlines, along: Along) -> Array:
    of = some.rings
    length = np.diff(of.first)
    at = np.insert(np.arange(of.first[-1]), of.first[1:], of.first[:-1])  # each closed
    points = np.stack([along(1, of.x)[at], along(0, of.y)[at]], axis=1).astype(float)
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(length)), length + 1))
    polygons = shapely.polygons(rings[some.outer])
    starts = np.append(np.flatnonzero(some.outer), len(rings))  # its holes follow an outer ring
    for number in np.flatnonzero(np.diff(starts) > 1).tolist():
        own = rings[starts[number] : starts[number + 1]]
        polygons[number] = shapely.polygons(own[0], holes=own[1:])
    begins = np.concatenate([[0], np.cumsum(some.outer)])[some.objects]
    found = polygons[begins[:-1]]
    for number in np.flatnonzero(np.diff(begins) > 1).tolist():
        found[number] = shapely.multipolygons(polygons[begins[number] : begins[number + 1]])
    return np.asarray(found)
