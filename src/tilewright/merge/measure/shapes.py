"""The shapes of objects: sums of second order and steps of their outlines, and what they come to.

All are sums of integers over an object's pixels, so they add up box by box, whatever the seams. The
figures are those of scikit-image's `regionprops` on labels read whole, to rounding.

References
----------
https://scikit-image.org/docs/stable/api/skimage.measure.html#skimage.measure.regionprops; the
perimeter is K. Benkrid and D. Crookes', *Design and FPGA Implementation of a Perimeter Estimator*.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
RIM = 2
"""Pixels around a box that its outlines' steps depend on."""
STEPS = (1.0, 2**0.5, (1 + 2**0.5) / 2)
"""How long an outline's steps are, in pixels."""
STEP_OF = np.full(50, len(STEPS), np.uint8)
"""The kind of an outline's pixel with neighbours on it: 1 + 2 beside + 10 across corners."""
STEP_OF[[5, 7, 15, 17, 25, 27]] = 0
STEP_OF[[21, 33]] = 1
STEP_OF[[13, 23]] = 2


def pairs(axes: int) -> list[tuple[int, int]]:
    """Which axes each sum of second order is of: ``[(0, 0), (0, 1), (1, 1)]``."""
    return list(combinations_with_replacement(range(axes), 2))


def moved(second: Array, first: Array, area: Array, by: Array) -> Array:
    """Sums of second order about another pixel; none may overflow, as positions are an object's.

    Parameters
    ----------
    second
        (n, pairs) int64: of products of positions from one pixel.
    first
        (n, axes) int64: of positions from it.
    area
        (n,) pixels.
    by
        (n, axes) int64: how far the other pixel lies before it.

    Returns
    -------
        (n, pairs) int64.
    """
    more = [
        by[:, i] * first[:, j] + by[:, j] * first[:, i] + by[:, i] * by[:, j] * area
        for i, j in pairs(first.shape[1])
    ]
    return np.asarray(second + np.stack(more, axis=1))


def steps(labels: Array, inner: Sequence[slice], ids: Array) -> Array:
    """How many steps of each kind the outlines of objects have in a box, (n, 3) int64.

    Parameters
    ----------
    labels
        (y, x) of the box and, where the image goes on, `RIM` pixels around it.
    inner
        Where in it the box is.
    ids
        (n,) labels in the box, ascending.
    """
    padded = np.pad(labels, 1)
    middle = padded[1:-1, 1:-1]
    edge = np.zeros(padded.shape, bool)
    own = edge[1:-1, 1:-1]
    for other in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        own |= middle != other
    own &= middle != 0
    asked = np.zeros(padded.shape, bool)
    asked[1:-1, 1:-1][tuple(inner)] = own[tuple(inner)]
    at, wide = np.flatnonzero(asked), padded.shape[1]
    flat, edges = padded.reshape(-1), edge.reshape(-1)
    label, kind = flat[at], np.ones(len(at), np.intp)
    for weight, moves in (
        (2, (-wide, -1, 1, wide)),
        (10, (-wide - 1, 1 - wide, wide - 1, wide + 1)),
    ):
        for move in moves:
            kind += weight * (edges[at + move] & (flat[at + move] == label))
    place = np.searchsorted(ids, label) * (len(STEPS) + 1) + STEP_OF[kind]
    found = np.bincount(place, minlength=len(ids) * (len(STEPS) + 1))
    return found.reshape(len(ids), len(STEPS) + 1)[:, : len(STEPS)]


def covariance(second: Array, first: Array, area: Array, sides: Sequence[float]) -> Array:
    """Covariances of pixels' places about their centre, (n, axes, axes) float64.

    Parameters
    ----------
    second, first, area
        As of `moved`.
    sides
        Of a pixel, an axis each.
    """
    axes = first.shape[1]
    found = np.zeros((len(area), axes, axes))
    mean = first / area[:, None]
    for at, (i, j) in enumerate(pairs(axes)):
        spread = (second[:, at] / area - mean[:, i] * mean[:, j]) * sides[i] * sides[j]
        found[:, i, j] = found[:, j, i] = spread
    return found


def axes_of(spread: Array) -> tuple[Array, Array]:
    """The longest and the shortest axis of an ellipse, or ellipsoid, of such spread; (n,) each.

    Parameters
    ----------
    spread
        (n, axes, axes) covariances.
    """
    factor = 16 if spread.shape[-1] == 2 else 20
    along = _along(spread)
    return np.sqrt(factor * along[:, -1]), np.sqrt(factor * along[:, 0])


def eccentricity(spread: Array) -> Array:
    """Of the ellipse: 0 is a circle, 1 a line; (n,)."""
    along = _along(spread)
    most = np.where(along[:, 1] > 0, along[:, 1], 1)
    return np.sqrt(np.where(along[:, 1] > 0, 1 - along[:, 0] / most, 0))


def orientation(spread: Array) -> Array:
    """The angle from the rows' axis to the longest one, -pi/2 to pi/2; (n,) rad."""
    rows, columns, both = spread[:, 0, 0], spread[:, 1, 1], spread[:, 0, 1]
    turned = np.where(both > 0, np.pi / 4, -np.pi / 4)
    return np.where(rows == columns, turned, 0.5 * np.arctan2(2 * both, rows - columns))


def _along(spread: Array) -> Array:
    """Variances along an object's own axes, ascending, none under 0."""
    return np.clip(np.linalg.eigvalsh(spread), 0, None)
