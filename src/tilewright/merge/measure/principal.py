"""Embeddings in the mean, and along the axes on which they differ most.

Rows come in any pieces; what is summed doesn't depend on how they were cut. The axes are those of
an even sample of rows, which is held: some megabytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]
SAMPLE_BYTES = 1 << 25  # of the rows that the axes are of
BLOCK = 1024  # rows that are multiplied at once
AXES = 3  # red, green and blue


@dataclass(frozen=True)
class Axes:
    """The axes on which rows differ most.

    Parameters
    ----------
    mean
        (D,) float64, of the rows.
    axes
        (up to 3, D) float64, of length 1; the entry that is farthest from 0 is positive.
    explained
        Share of the rows' variance along each.
    rows
        How many rows they are of.
    """

    mean: Array
    axes: Array
    explained: tuple[float, ...]
    rows: int

    def places(self, rows: Array) -> Array:
        """Where rows (n, D) lie along the axes, (n, 3) float32; 0 along one that there isn't."""
        found = np.zeros((len(rows), AXES), np.float32)
        found[:, : len(self.axes)] = (rows - self.mean) @ self.axes.T
        return found


class Means:
    """Sums of rows, plane by plane, and a sample of them.

    Parameters
    ----------
    planes
        (n,) the plane of each row, whole numbers from 0, ascending.
    width
        D, of a row.
    count
        How many planes there are.
    sampled
        Whether rows are kept for `axes`.
    """

    def __init__(self, planes: Array, width: int, count: int, *, sampled: bool) -> None:
        self._planes = planes
        self._sums = np.zeros((count, width))
        self.tiles = np.bincount(planes, minlength=count)
        self._every = max(1, math.ceil(len(planes) * width * 4 / SAMPLE_BYTES))
        kept = -(-len(planes) // self._every) if sampled else 0
        self._sample = np.empty((kept, width), np.float32)
        self._seen = 0

    def include(self, rows: Array) -> None:
        """Add the next rows, (some, D): one after the other, so that pieces don't matter."""
        first, self._seen = self._seen, self._seen + len(rows)
        planes = self._planes[first : self._seen]
        for plane in np.unique(planes):
            mine = rows[planes == plane].astype(np.float64)
            mine[0] += self._sums[plane]
            self._sums[plane] = _added(mine)
        if len(self._sample):
            own = rows[-first % self._every :: self._every]
            at = -(-first // self._every)
            self._sample[at : at + len(own)] = own

    def figures(self) -> tuple[Array, Array, Array, Array]:
        """The mean of all rows, (D,), and how many; the same of each plane, (planes, D).

        Means are float32, summed in float64; NaN of no row.
        """
        count = self.tiles.sum()
        with np.errstate(invalid="ignore"):
            whole = (self._sums.sum(axis=0) / np.float64(count)).astype(np.float32)
            each = (self._sums / self.tiles[:, None]).astype(np.float32)
        return whole, count, each, self.tiles

    def axes(self) -> Axes | None:
        """Of the sampled rows without a NaN; None where they don't differ."""
        return axes_of(self._sample[np.isfinite(self._sample).all(axis=1)])


def _added(rows: Array) -> Array:
    """The sum of rows, (D,): one added after the other, as numpy does but of single numbers."""
    return np.asarray(rows.sum(axis=0) if rows.shape[1] > 1 else rows.cumsum(axis=0)[-1])


def axes_of(rows: Array) -> Axes | None:
    """The axes on which rows (n, D) differ most, from the covariance; None where they don't."""
    mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(rows.shape[1])
    covariance = np.zeros((rows.shape[1],) * 2)
    for at in range(0, len(rows), BLOCK):
        centred = rows[at : at + BLOCK] - mean
        covariance += centred.T @ centred
    variance = float(np.trace(covariance))
    count = min(AXES, len(rows) - 1, rows.shape[1])
    if count < 1 or not variance > 0:
        return None
    last = len(covariance) - 1
    values, vectors = linalg.eigh(covariance, subset_by_index=[last - count + 1, last])
    found = vectors.T[::-1]
    farthest = np.abs(found).argmax(axis=1)
    found = found * np.sign(found[np.arange(count), farthest])[:, None]
    shares = np.maximum(values[::-1], 0) / variance
    return Axes(mean, found, tuple(float(f"{s:.6g}") for s in shares), len(rows))


def colours(places: Array) -> Array:
    """(n, 3) uint8: red, green and blue of rows' places, each from the 1st to the 99th percentile.

    Parameters
    ----------
    places
        (n, 3), as `Axes.places` gives them; grey is in the middle of an axis that there isn't.
    """
    good = places[np.isfinite(places).all(axis=1)]
    low, high = np.percentile(good, (1, 99), axis=0) if len(good) else np.zeros((2, AXES))
    span = np.where(high > low, high - low, 1)
    scaled = np.where(high > low, (places - low) / span, 0.5)
    return np.asarray((np.clip(np.nan_to_num(scaled), 0, 1) * 255).round().astype(np.uint8))
