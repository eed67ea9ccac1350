"""From corners of labels to the rings of their outlines, all at once.

Along a row, an outline's corners are the two ends of one level edge after another; along a column,
of upright ones. So two sorts say which corner follows which, and each ring is a cycle of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from .corners import DOWN, RIGHT, START, Corners

Array = np.ndarray[Any, Any]
FEW = 24
"""Rings from which on each is followed by itself: numpy's calls cost more than a loop of Python."""


@dataclass(frozen=True)
class Rings:
    """Closed rings of corners, in the order of labels and, of each, from above.

    Parameters
    ----------
    label
        (r,) whose they are.
    first
        (r + 1,) where each one's points begin.
    x, y
        (n,) lattice points, in turn along a level and an upright edge; a ring's first point isn't
        repeated at its end. The label is on the right hand, y down: an outer ring has a positive
        area by the shoelace formula, that of a hole is negative.
    area
        (r,) int64, pixels.
    """

    label: Array
    first: Array
    x: Array
    y: Array
    area: Array


def rings(of: Corners) -> Rings:
    """The rings that corners make; all corners of their labels are there.

    A ring never meets itself: where two pixels of a piece touch by a corner alone, what they
    enclose is a ring by itself.
    """
    by_row = _order(of.label, of.y, of.x, of.kind & RIGHT != 0)
    of = of[by_row]
    level = _partners(np.arange(len(of)))
    upright = _partners(_order(of.label, of.x, of.y, of.kind & DOWN != 0))
    starts = np.flatnonzero(of.kind & START)
    number = np.zeros(len(of), np.int64)
    number[starts] = np.arange(len(starts))
    after = number[upright[level[starts]]]
    after = _apart(of, starts, after, number, level)
    ring = _cycles(after)
    first, order = _followed(after, ring)
    x, y = of.x[starts], of.y[starts]
    return _assembled(of.label[starts], x, y, first, order)


def _order(label: Array, major: Array, minor: Array, last: Array) -> Array:
    """How corners are sorted by label, a coordinate, the other one, and of one point a bit."""
    if not len(label):
        return np.zeros(0, np.int64)
    rank = label.astype(np.int64) - int(label.min())
    major, minor = major.astype(np.int64) - int(major.min()), minor - int(minor.min())
    wide, tall = int(minor.max()) + 1, int(major.max()) + 1
    if (int(rank.max()) + 1) * wide * tall >= 1 << 62:
        return np.lexsort((last, minor, major, label))
    return np.argsort(((rank * tall + major) * wide + minor) * 2 + last)


def _partners(order: Array) -> Array:
    """Of corners that are the two ends of an edge each, in this order, the other end."""
    found = np.empty(len(order), np.int64)
    found[order[0::2]], found[order[1::2]] = order[1::2], order[0::2]
    return found


def _apart(of: Corners, starts: Array, after: Array, number: Array, level: Array) -> Array:
    """What follows what, where no ring meets itself.

    Two corners of a label at one point are of two pixels that touch there alone. If both are in one
    ring, so is the piece's other way round: there the ring is cut in two.
    """
    same = (of.label[1:] == of.label[:-1]) & (of.y[1:] == of.y[:-1]) & (of.x[1:] == of.x[:-1])
    one = np.flatnonzero(same)
    if not len(one):
        return after
    ring = _cycles(after)
    leaves = of.kind[one] & START != 0
    ends = level[one[~leaves]], level[one[~leaves] + 1]
    before, behind = np.arange(len(after)), np.arange(len(after))
    for swap, pair in ((behind, (one[leaves], one[leaves] + 1)), (before, ends)):
        a, b = (number[p] for p in pair)
        meet = ring[a] == ring[b]
        swap[a[meet]], swap[b[meet]] = b[meet], a[meet]
    return np.asarray(behind[after[before]])


def _cycles(after: Array) -> Array:
    """The number of each place's cycle, (n,) int32, of a permutation."""
    n = len(after)
    if not n:
        return np.zeros(0, np.int32)
    graph = csr_array((np.ones(n, np.int8), after, np.arange(n + 1)), shape=(n, n))
    return np.asarray(connected_components(graph, connection="strong")[1])


def _followed(after: Array, ring: Array) -> tuple[Array, Array]:
    """Where each cycle begins in a list of all places in turn, cycle by cycle, and that list.

    Cycles are in the order of their lowest places, at which they begin.
    """
    n = len(after)
    lowest = np.full(int(ring.max(initial=-1)) + 1, n)
    lowest[ring[::-1]] = np.arange(n)[::-1]
    by_first = np.argsort(lowest)
    length = np.bincount(ring, minlength=len(lowest))[by_first]
    first = np.concatenate([[0], np.cumsum(length)])
    order = np.empty(n, np.int64)
    at, to, step = lowest[by_first], first[:-1], 0
    while len(at) > FEW:
        order[to + step] = at
        step += 1
        goes_on = length > step
        if not goes_on.all():
            at, to, length = at[goes_on], to[goes_on], length[goes_on]
        at = after[at]
    for place, begin, count in zip(at.tolist(), to.tolist(), length.tolist(), strict=True):
        for k in range(step, count):
            order[begin + k] = place
            place = after[place]  # noqa: PLW2901  # it walks on
    return first, order


def _assembled(label: Array, x: Array, y: Array, first: Array, order: Array) -> Rings:
    """Rings of the corners that level edges leave, in turn: between two of them lies one more."""
    x, y = x[order], y[order]
    begins, ends = first[:-1], first[1:] - 1
    x_after = np.roll(x, -1)
    x_after[ends] = x[begins]
    area = np.add.reduceat(y.astype(np.int64) * (x - x_after), begins) if len(x) else first[:0]
    points = np.stack([x, x_after], 1).ravel(), np.repeat(y, 2)
    return Rings(label[order[begins]] if len(x) else label[:0], 2 * first, *points, area)
