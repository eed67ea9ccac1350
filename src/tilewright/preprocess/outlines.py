"""Outlines of a mask as GeoJSON: along the edges between pixels, so that they give it back.

Every outline is of one piece whose pixels share sides; it is closed, doesn't cross itself and has
its holes. Where two pixels of one piece touch at a corner only, the outline goes round both, and
what they enclose is a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray
Ring = list[tuple[float, float]]
RIGHT, DOWN, LEFT, UP = range(4)
"""Which way an edge goes, y down; the mask lies on its right hand."""


def to_geojson(
    mask: Array,
    scale: tuple[float, float] = (1.0, 1.0),
    origin: tuple[float, float] = (0.0, 0.0),
    properties: Mapping[str, Any] | None = None,
    extent: tuple[float, float] | None = None,
) -> list[dict[str, Any]]:
    """A mask's pieces as GeoJSON features, each a polygon with its holes, the largest first.

    Parameters
    ----------
    mask
        ``(y, x)`` bool.
    scale
        Level-0 pixels of a mask's pixel, ``(y, x)``.
    origin
        The level-0 pixel ``(y, x)`` at which the mask begins.
    properties
        Of every feature.
    extent
        The image's height and width in level-0 pixels, which no outline goes beyond; None where a
        last row or column of the mask that is only partly in the image stays whole.

    Returns
    -------
        With coordinates x, y in level-0 pixels, 0 the left or upper side of the first.
    """
    labels, count = ndimage.label(mask)
    outlines: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = defaultdict(list)
    for label, corners in _rings(np.asarray(labels)):
        at = corners * np.asarray(scale, float) + origin
        if extent is not None:
            at = np.minimum(at, extent)
        ring = [(_short(x), _short(y)) for y, x in at.tolist()]
        if _area(corners) > 0:
            outlines[label] = ring
        else:
            holes[label].append(ring)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    order = sorted(outlines, key=lambda label: (-sizes[label], label))
    return [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [outlines[n], *holes[n]]},
            "properties": dict(properties or {}),
        }
        for n in order
    ]


def _short(value: float) -> float:
    """A whole number is written without a point."""
    return int(value) if value.is_integer() else value


def _area(corners: Array) -> float:
    """Twice the area that a closed ring goes round with its inside on the right hand."""
    y, x = corners.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _rings(labels: Array) -> list[tuple[int, Array]]:
    """Closed rings of corners ``(n, 2)`` (y, x), each with its piece's label."""
    edges, of, starts, ends = _edges(labels)
    following = _following(labels, edges, of, starts, ends)
    turns = (edges[following] != edges).tolist()
    after, corner = following.tolist(), ends.tolist()
    seen = np.zeros(len(edges), bool).tolist()
    width = labels.shape[1] + 1
    found = []
    for first in range(len(after)):
        if seen[first]:
            continue
        ring, at = [], first
        while not seen[at]:
            seen[at] = True
            if turns[at]:
                ring.append(corner[at])
            at = after[at]
        ring.append(ring[0])
        found.append((int(of[first]), np.stack(np.divmod(np.asarray(ring), width), -1)))
    return found


def _edges(labels: Array) -> tuple[Array, Array, Array, Array]:
    """All edges of pieces: which way each goes, its label, and the numbers of its two corners."""
    padded = np.pad(labels, 1)
    width = labels.shape[1] + 1
    inside = padded[1:-1, 1:-1]
    # (way, the neighbour over this edge, from and to which corner of its pixel (y, x))
    sides = (
        (RIGHT, padded[:-2, 1:-1], (0, 0), (0, 1)),
        (DOWN, padded[1:-1, 2:], (0, 1), (1, 1)),
        (LEFT, padded[2:, 1:-1], (1, 1), (1, 0)),
        (UP, padded[1:-1, :-2], (1, 0), (0, 0)),
    )
    ways, of, starts, ends = [], [], [], []
    for way, beyond, start, end in sides:
        y, x = np.nonzero((inside != 0) & (beyond == 0))
        ways.append(np.full(len(y), way))
        of.append(inside[y, x])
        starts.append((y + start[0]) * width + x + start[1])
        ends.append((y + end[0]) * width + x + end[1])
    return tuple(map(np.concatenate, (ways, of, starts, ends)))  # type: ignore[return-value]


def _following(labels: Array, ways: Array, of: Array, starts: Array, ends: Array) -> Array:
    """The edge after each: that which begins where it ends and is of the same piece.

    Of two such, where the piece's pixels touch at a corner, the one to the left, round both.
    """
    count = (labels.shape[0] + 1) * (labels.shape[1] + 1)
    begins = of.astype(np.int64) * count + starts
    order = np.argsort(begins, kind="stable")
    sought = of.astype(np.int64) * count + ends
    first = np.searchsorted(begins[order], sought)
    second = np.minimum(first + 1, len(order) - 1)
    one, other = order[first], order[second]
    left = (ways - 1) % 4
    pick = (begins[other] == sought) & (ways[other] == left)
    return np.asarray(np.where(pick, other, one))
