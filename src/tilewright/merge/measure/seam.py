"""Can the seams be seen? Seam boundary excess (SBE), fed box by box.

A *transition* is a pair of neighbouring pixels of two different objects, across the plane between
them. Seams are the planes between the cores of neighbouring tiles. If tiling leaves no trace, a
seam has as many transitions as any other parallel plane: SBE is about 1. Objects cut at the seam
raise it; objects wrongly joined across it bring it to 0. Needs no ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.contract.grid import Box, Grid, shape_of

Array = np.ndarray[Any, Any]
Amounts = tuple[Array, Array]
"""Numbers of seams, ascending, and how much there is of each."""
SBE_TARGET = 1.5  # up to which seams can't be seen: what `benchmarks/seams` holds us to
MOST_SEAMS = 16  # seams that are named: where objects meet at none, one of so many is shown


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
    crossed
        Pixels at which an object goes on across it.
    plane
        Number of the time point or slice, where there are several.
    """

    axis: int
    box: Box
    transitions: int
    expected: float
    crossed: int = 0
    plane: int = 0

    @property
    def excess(self) -> float:
        """Transitions more than expected."""
        return self.transitions - self.expected

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """Sorts seams: the worst first, those at which no object is last."""
        return not (self.transitions or self.crossed), -self.excess, -self.crossed, self.plane


@dataclass(frozen=True)
class SeamCounts:
    """A box's transitions, some numbers per axis: what another process sends.

    Parameters
    ----------
    planes
        Per axis the first plane and the transitions on it and on those that follow.
    seams, crossed
        Per axis the numbers of the seams that have any, and how many; of transitions, and of
        pixels at which an object goes on.
    plane
        Number of the time point or slice.
    """

    planes: tuple[tuple[int, Array], ...]
    seams: tuple[Amounts, ...]
    crossed: tuple[Amounts, ...]
    plane: int


def grown(box: Box, grid: Grid) -> Box:
    """The box and, on each far side, the next pixel: what `SeamMeter.count` wants labels of."""
    return tuple((lo, min(hi + 1, n)) for (lo, hi), n in zip(box, grid.shape, strict=True))


class SeamMeter:
    """Counts transitions while the image is composed; holds some numbers per plane and per seam.

    Boxes that are added must cover the image once, in any order. A stack's time points or slices,
    of the same grid, are added one after the other, each whole: for the score their counts add up,
    while a seam is one's own.

    Parameters
    ----------
    grid
        The tiles.
    most
        How many seams `worst` names.
    """

    def __init__(self, grid: Grid, most: int = MOST_SEAMS) -> None:
        self.grid, self._most = grid, most
        self._starts = [_core_starts(grid, k) for k in range(len(grid.shape))]
        self._all = self._zeros()
        self._found = 0
        self._before: list[Seam] = []  # the worst of those added before
        self._begin(None)

    def _begin(self, plane: int | None) -> None:
        """Count anew, for another time point or slice."""
        grid = self.grid
        self._plane = plane
        self._planes = self._zeros()
        # Index s along the seam's own axis: between cores s and s + 1; along others: the core.
        cuts = [_less_one(grid.counts, k) for k in range(len(grid.shape))]
        self._seams, self._crossed = ([np.zeros(n, np.int64) for n in cuts] for _ in range(2))

    def _zeros(self) -> list[Array]:
        """A number for each plane along each axis; index p is between pixels p - 1 and p."""
        return [np.zeros(n, np.int64) for n in self.grid.shape]

    def count(self, box: Box, labels: Array, plane: int = 0) -> SeamCounts:
        """A box's transitions, by themselves.

        Parameters
        ----------
        box
            Pixels of the plane that are this box's own.
        labels
            Global ids of ``grown(box, grid)``.
        plane
            Number of the time point or slice.
        """
        own = shape_of(box)
        planes: list[tuple[int, Array]] = []
        on: tuple[list[Amounts], list[Amounts]] = ([], [])
        for k in range(labels.ndim):
            first = box[k][0] + 1  # the plane between the box's first two pixels
            between = labels.shape[k] - 1
            met = _transitions(labels, k, own)
            planes.append((first, np.bincount(met[k], minlength=between)))
            seams = self._starts[k][1:] - first
            seams = seams[(seams >= 0) & (seams < between)]
            starts = [first if j == k else lo for j, (lo, _) in enumerate(box)]
            for found, at in zip(on, (met, _crossings(labels, k, own, seams)), strict=True):
                found.append(self._on_seams(k, [a + s for a, s in zip(at, starts, strict=True)]))
        return SeamCounts(tuple(planes), tuple(on[0]), tuple(on[1]), plane)

    def include(self, counted: SeamCounts) -> None:
        """Add what was counted in a box."""
        if counted.plane != self._plane:
            self._before = self.worst()
            self._begin(counted.plane)
        for k, (first, planes) in enumerate(counted.planes):
            for held in (self._all[k], self._planes[k]):
                held[first : first + len(planes)] += planes
        for k, (seams, n) in enumerate(counted.seams):
            self._seams[k].reshape(-1)[seams] += n
            self._found += int(n.sum())
        for k, (seams, n) in enumerate(counted.crossed):
            self._crossed[k].reshape(-1)[seams] += n

    def _on_seams(self, k: int, at: list[Array]) -> Amounts:
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
        cuts = (len(s) - 1 for s in self._starts)
        expected = sum(n * _median(a) for n, a in zip(cuts, self._all, strict=True))
        return self._found / expected if expected else None

    def worst(self) -> list[Seam]:
        """The seams with most transitions more than expected of any plane, the worst first."""
        return sorted([*self._before, *self._worst()], key=lambda s: s.rank)[: self._most]

    def _worst(self) -> Iterator[Seam]:
        """Of each axis, of the time point or slice that was added last."""
        if self._plane is None:
            return
        for k, (counts, crossed) in enumerate(zip(self._seams, self._crossed, strict=True)):
            expected = np.broadcast_to(self._expected(k), counts.shape)
            keys = (-crossed, expected - counts, (counts == 0) & (crossed == 0))
            top = np.lexsort([key.ravel() for key in keys])[: self._most]
            for at in zip(*(i.tolist() for i in np.unravel_index(top, counts.shape)), strict=True):
                found = int(counts[at]), float(expected[at]), int(crossed[at])
                yield Seam(k, self._box(k, at), *found, self._plane)

    def _expected(self, k: int) -> Array:
        """The median plane's transitions, shared out among the cores along the seam."""
        share = np.array(_median(self._planes[k]))
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


def _median(planes: Array) -> float:
    return float(np.median(planes[1:])) if planes.size > 1 else 0.0


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


def _crossings(labels: Array, k: int, own: Sequence[int], planes: Array) -> tuple[Array, ...]:
    """Where along axis k an object is on both sides of some of the planes, in our pixels."""
    ours = labels[tuple(slice(None) if j == k else slice(n) for j, n in enumerate(own))]
    before, after = ours.take(planes, k), ours.take(planes + 1, k)
    at = list(np.nonzero((before == after) & (before > 0)))
    at[k] = planes[at[k]]
    return tuple(at)
