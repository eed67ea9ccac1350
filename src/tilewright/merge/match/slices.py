"""Which objects of neighbouring slices are one? What makes a 2D model's labels a volume's.

The matcher is `labels`' for whole objects: each is the other's best, and they overlap enough. So
each has one partner at most in the next slice, and a stack is joined from its first slice on. What
is held of the whole stack is a number per object; labels are asked for box by box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tilewright.contract.grid import Box
from tilewright.tile_results.objects import summed, tally

from .labels import SAME, best

Array = np.ndarray[Any, Any]
ReadSlice = Callable[[int, Box], Array]
"""Labels, 1..n of that slice, of a box of slice number z."""
Areas = tuple[Array, Array]
"""Ids, or packed pairs of them, ascending, and their pixels."""
StackCounts = tuple[list[Areas], list[Areas]]
"""Of each slice its objects' pixels; of each but the last what they share with the next's."""
DEEP = 16  # most slices that are counted together, besides the next one
OBJECTS = 1 << 22  # and most objects, about


def batches(counts: Sequence[int]) -> Iterator[slice]:
    """A stack's slices, some at a time; the last of each is the first of the next."""
    step = max(1, min(DEEP, OBJECTS // (1 + max(counts))))
    for first in range(0, max(1, len(counts) - 1), step):
        yield slice(first, min(first + step + 1, len(counts)))


def count_stack(counts: Sequence[int], pieces: Sequence[Box], read: ReadSlice) -> StackCounts:
    """Pixels of some slices' objects in some boxes, and what they share with the next slice's.

    Each slice of the boxes is read once; two are held.

    Parameters
    ----------
    counts
        Objects of each slice.
    pieces
        The boxes, in pixels of a slice; no pixel in two.
    read
        Called with a slice's number, from 0, and a box.
    """
    areas: list[Areas] = []
    shares: list[Areas] = []
    above: list[Array] = []
    for z, n in enumerate(counts):
        found = [read(z, box) for box in pieces]
        areas.append(_added([tally(s[s > 0]) for s in found]))
        if z:
            pairs = zip(above, found, strict=True)
            shares.append(_added([_met(a, b, n + 1) for a, b in pairs]))
        above = found
    return areas, shares


def _met(above: Array, below: Array, base: int) -> Areas:
    met = (above > 0) & (below > 0)
    return tally(above[met].astype(np.int64) * base + below[met])


def join_slices(
    counts: Sequence[int], found: Iterable[Iterable[StackCounts]], min_iou: float = SAME
) -> list[Array]:
    """Join objects of neighbouring slices.

    Two are one if each is the other's best partner (of most shared pixels, then of the lowest id)
    and m / (A + B - m) >= `min_iou`.

    Parameters
    ----------
    counts
        Objects of each slice.
    found
        For each of `batches`, what `count_stack` gives of boxes that cover it once.
    min_iou
        Least overlap: shared pixels over all pixels of the two.

    Returns
    -------
    list of ndarray
        For each slice, (objects + 1,) int64: the volume's id of 0 (which is 0) and of each of its
        own ids; ids are 1..N in the order of their first slice, then of their id in it.
    """
    ids, last = [np.arange(counts[0] + 1)], counts[0]
    for batch, boxes in zip(batches(counts), found, strict=True):
        areas, shares = _totals(counts[batch], boxes)
        for above, below, share in zip(areas, areas[1:], shares, strict=False):
            a, b = _partners(share, above, below, min_iou)
            own = np.zeros(len(below), np.int64)
            own[b] = ids[-1][a]
            new = np.flatnonzero(own[1:] == 0) + 1
            own[new] = np.arange(last + 1, last + len(new) + 1)
            ids.append(own)
            last += len(new)
    return ids


def _totals(
    counts: Sequence[int], boxes: Iterable[StackCounts]
) -> tuple[list[Array], Iterator[Areas]]:
    """Pixels of each of some slices' objects 0..n, and what they share with the next slice's."""
    areas = [np.zeros(n + 1, np.int64) for n in counts]
    parts: list[list[Areas]] = [[] for _ in counts[1:]]
    for box_areas, box_shares in boxes:
        for area, (ids, n) in zip(areas, box_areas, strict=True):
            area[ids] += n
        for part, share in zip(parts, box_shares, strict=True):
            part.append(share)
    return areas, map(_added, parts)


def _partners(share: Areas, above: Array, below: Array, min_iou: float) -> Areas:
    """Ids of two slices' objects that are one: those of the one above, and of the one below."""
    packed, m = share
    a, b = np.divmod(packed, len(below))
    one = best(a, b, m) & best(b, a, m) & (m / (above[a] + below[b] - m) >= min_iou)
    return a[one], b[one]


def _added(parts: Sequence[Areas]) -> Areas:
    """The same values of several boxes, added up."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([v for v, _ in parts])
    return summed(values, np.concatenate([n for _, n in parts]))
