"""Can the seams be seen? Seam boundary excess (SBE), fed box by box.

A *transition* is a pair of neighbouring pixels of two different objects, across the plane between
them. Seams are the planes between the cores of neighbouring tiles. If tiling leaves no trace, a
seam has as many transitions as any other parallel plane: SBE is about 1. Objects cut at the seam
raise it; objects wrongly joined across it bring it to 0. Needs no ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.tiling import Box, Grid

from .objects import crop

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Seam:
    """The border of two cores, and what was counted on it.

    Parameters
    ----------
    axis
        The axis it is across: 0 is the first of the plane's.
    box
        The pixels on its two sides, one on each.
    transitions, expected
        Counted on it; and the median over all parallel planes, for its length.
    """

    axis: int
    box: Box
    transitions: int
    expected: float

    @property
    def excess(self) -> float:
        """Transitions more than expected."""
        return self.transitions - self.expected


def grown(box: Box, grid: Grid) -> Box:
    """The box and, on each far side, the next pixel: what `SeamMeter.add` wants labels of."""
    return tuple((lo, min(hi + 1, n)) for (lo, hi), n in zip(box, grid.shape, strict=True))


class SeamMeter:
    """Counts transitions while the image is composed; holds one number per plane and per seam.

    Boxes that are added must cover the image once, in any order. Several planes (time points,
    slices) of the same grid may be added one after the other: their counts add up.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        axes = range(len(grid.shape))
        self._starts = [_core_starts(grid, k) for k in axes]
        self._planes = [np.zeros(n, np.int64) for n in grid.shape]  # index p: between p-1 and p
        # Index s along the seam's own axis: between cores s and s + 1; along others: the core.
        self._seams = [np.zeros(_less_one(grid.counts, k), np.int64) for k in axes]

    def add(self, box: Box, labels: Array) -> None:
        """Count a box's transitions.

        Parameters
        ----------
        box
            Pixels of the plane that are this box's own.
        labels
            Global ids of ``grown(box, grid)``.
        """
        whole = grown(box, self.grid)
        for k in range(labels.ndim):
            mine = tuple(whole[j] if j == k else box[j] for j in range(labels.ndim))
            self._add_axis(k, mine, crop(labels, whole, mine))

    def include(self, other: SeamMeter) -> None:
        """Add what another meter of the same grid counted."""
        for k in range(len(self.grid.shape)):
            self._planes[k] += other._planes[k]
            self._seams[k] += other._seams[k]

    def _add_axis(self, k: int, box: Box, labels: Array) -> None:
        before, after = _along(labels, k, slice(None, -1)), _along(labels, k, slice(1, None))
        changes = (before != after) & (before > 0) & (after > 0)
        start, stop = box[k]
        others = tuple(j for j in range(labels.ndim) if j != k)
        self._planes[k][start + 1 : stop] += np.count_nonzero(changes, axis=others)
        self._add_seams(k, box, changes)

    def _add_seams(self, k: int, box: Box, changes: Array) -> None:
        """Add up `changes` (whose index 0 along k is plane ``box[k][0] + 1``) per pair of cores."""
        first = box[k][0] + 1
        inner = self._starts[k][1:]
        here = np.flatnonzero((inner >= first) & (inner < box[k][1]))
        sums = changes.take(inner[here] - first, axis=k).astype(np.int64)
        index = [here] * sums.ndim
        for j, (lo, hi) in enumerate(box):
            if j != k:
                cores = np.flatnonzero(_overlap(self._starts[j], self.grid.shape[j], lo, hi))
                sums = np.add.reduceat(sums, np.maximum(self._starts[j][cores] - lo, 0), axis=j)
                index[j] = cores
        self._seams[k][np.ix_(*index)] += sums

    def value(self) -> float | None:
        """SBE: transitions on all seams over what the median plane of each axis has.

        None where it isn't defined: one tile, or no objects that touch.
        """
        found = sum(int(s.sum()) for s in self._seams)
        expected = sum((len(s) - 1) * self._median(k) for k, s in enumerate(self._starts))
        return found / expected if expected else None

    def worst(self, n: int = 1) -> list[Seam]:
        """The `n` seams with most transitions more than expected, the worst first."""
        seams = []
        for k, counts in enumerate(self._seams):
            excess = counts - self._expected(k)
            top = np.argsort(-excess, axis=None, kind="stable")[:n]
            for at in zip(*(i.tolist() for i in np.unravel_index(top, counts.shape)), strict=True):
                expected = float(np.broadcast_to(self._expected(k), counts.shape)[at])
                seams.append(Seam(k, self._box(k, at), int(counts[at]), expected))
        return sorted(seams, key=lambda s: -s.excess)[:n]

    def _median(self, k: int) -> float:
        planes = self._planes[k][1:]
        return float(np.median(planes)) if planes.size else 0.0

    def _expected(self, k: int) -> Array:
        """The median plane's transitions, shared out among the cores along the seam."""
        share = np.array(self._median(k))
        for j, starts in enumerate(self._starts):
            length = np.diff(starts, append=self.grid.shape[j]) / self.grid.shape[j]
            share = np.multiply.outer(share, np.ones(1) if j == k else length)
        return share

    def _box(self, k: int, at: tuple[int, ...]) -> Box:
        ends = [np.append(s, n) for s, n in zip(self._starts, self.grid.shape, strict=True)]
        box = [(int(e[i]), int(e[i + 1])) for e, i in zip(ends, at, strict=True)]
        seam = box[k][1]
        return (*box[:k], (seam - 1, seam + 1), *box[k + 1 :])


def _core_starts(grid: Grid, k: int) -> Array:
    axis, extent = grid.axes[k], grid.shape[k]
    return np.array([axis.core(i, extent)[0] for i in range(grid.counts[k])])


def _less_one(counts: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*counts[:k], counts[k] - 1, *counts[k + 1 :])


def _along(array: Array, axis: int, part: slice) -> Array:
    return array[(slice(None),) * axis + (part,)]


def _overlap(starts: Array, extent: int, lo: int, hi: int) -> Array:
    """Which of the intervals between `starts` (the last ends at `extent`) meet ``[lo, hi)``."""
    return (starts < hi) & (np.append(starts[1:], extent) > lo)
