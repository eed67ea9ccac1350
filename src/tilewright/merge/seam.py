"""Can the seams be seen? Seam boundary excess (SBE), fed box by box.

A *transition* is a pair of neighbouring pixels of two different objects, across the plane between
them. Seams are the planes between the cores of neighbouring tiles. If tiling leaves no trace, a
seam has as many transitions as any other parallel plane: SBE is about 1. Objects cut at the seam
raise it; objects wrongly joined across it bring it to 0. Needs no ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.tiling import Box, Grid

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


@dataclass(frozen=True)
class Counted:
    """A box's transitions, some numbers per axis: what another process sends.

    Parameters
    ----------
    planes
        Per axis the first plane and the transitions on it and on those that follow.
    seams
        Per axis the numbers of the seams that have any, and how many.
    """

    planes: tuple[tuple[int, Array], ...]
    seams: tuple[tuple[Array, Array], ...]


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
        """Count a box's transitions, as `count` takes it."""
        self.include(self.count(box, labels))

    def count(self, box: Box, labels: Array) -> Counted:
        """A box's transitions, by themselves.

        Parameters
        ----------
        box
            Pixels of the plane that are this box's own.
        labels
            Global ids of ``grown(box, grid)``.
        """
        planes, seams = [], []
        own = [stop - start for start, stop in box]
        for k in range(labels.ndim):
            at = _transitions(labels, k, own)
            first = box[k][0] + 1  # the plane between the box's first two pixels
            planes.append((first, np.bincount(at[k], minlength=labels.shape[k] - 1)))
            starts = [first if j == k else lo for j, (lo, _) in enumerate(box)]
            seams.append(self._on_seams(k, [a + s for a, s in zip(at, starts, strict=True)]))
        return Counted(tuple(planes), tuple(seams))

    def include(self, counted: Counted) -> None:
        """Add what was counted in a box."""
        for k, ((first, planes), (seams, n)) in enumerate(
            zip(counted.planes, counted.seams, strict=True)
        ):
            self._planes[k][first : first + len(planes)] += planes
            self._seams[k].reshape(-1)[seams] += n

    def _on_seams(self, k: int, at: list[Array]) -> tuple[Array, Array]:
        """Which seams across axis k have transitions at these places, and how many."""
        inner = self._starts[k][1:]
        seam = np.searchsorted(inner, at[k])
        met = np.append(inner, -1)[seam] == at[k]
        index = [
            seam[met] if j == k else np.searchsorted(starts, at[j][met], side="right") - 1
            for j, starts in enumerate(self._starts)
        ]
        shape = self._seams[k].shape
        if not met.any():
            return (np.zeros(0, np.int64),) * 2
        return np.unique(np.ravel_multi_index(index, shape), return_counts=True)

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


def _transitions(labels: Array, k: int, own: Sequence[int]) -> tuple[Array, ...]:
    """Where along axis k one of our pixels comes before another object's: indices of the first.

    `own` is how many pixels of each axis are ours.
    """
    flat = labels.reshape(-1)
    step = math.prod(labels.shape[k + 1 :])  # to the next pixel along k, but for the last one
    at = np.flatnonzero(flat[:-step] != flat[step:])
    met = at[(flat[at] > 0) & (flat[at + step] > 0)]
    found = np.unravel_index(met, labels.shape)
    ours = found[k] < labels.shape[k] - 1
    for place, n in zip(found, own, strict=True):
        ours &= place < n
    return tuple(place[ours] for place in found)
