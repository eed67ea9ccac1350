"""Which objects of neighbouring slices are one? What makes a 2D model's labels a volume's.

The matcher is `labels`' for whole objects: each is the other's best, and they overlap enough.
For the whole stack some numbers per object are held; labels are asked for box by box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tilewright.tiling import Box

from .groups import Edges, unite
from .labels import SAME, best
from .objects import summed, tally

Array = np.ndarray[Any, Any]
ReadSlice = Callable[[int, Box], Array]
"""Labels, 1..n of that slice, of a box of slice number z."""
Areas = tuple[Array, Array]
"""Ids, or packed pairs of them, ascending, and their pixels."""
Counted = tuple[list[Areas], list[Areas]]
"""Of each slice its objects' pixels; of each but the last what they share with the next's."""


def link_slices(
    counts: Sequence[int], boxes: Iterable[Box], read: ReadSlice, min_iou: float = SAME
) -> list[Array]:
    """Join objects of neighbouring slices.

    Two are one if each is the other's best partner (of most shared pixels, then of the lowest id)
    and m / (A + B - m) >= `min_iou`, the strongest first; never two of one slice.

    Parameters
    ----------
    counts
        Objects of each slice.
    boxes
        They cover a slice once.
    read
        Called for each box and slice, slices in order.
    min_iou
        Least overlap: shared pixels over all pixels of the two.

    Returns
    -------
    list of ndarray
        For each slice, the volume's id of 0 (which is 0) and of each of its own ids; ids are 1..N
        in the order of their first slice, then of their id in it.
    """
    found = (count_stack(counts, [box], read) for box in boxes)
    return join_slices(counts, found, min_iou)


def count_stack(counts: Sequence[int], pieces: Sequence[Box], read: ReadSlice) -> Counted:
    """Pixels of each slice's objects in some boxes, and what they share with the next slice's.

    Each slice of the boxes is read once; two are held.
    """
    areas: list[Areas] = []
    shares: list[Areas] = []
    above: list[Array] = []
    for z, n in enumerate(counts):
        slabs = [read(z, box) for box in pieces]
        areas.append(_added([tally(s[s > 0]) for s in slabs]))
        if z:
            pairs = zip(above, slabs, strict=True)
            shares.append(_added([_met(a, b, n + 1) for a, b in pairs]))
        above = slabs
    return areas, shares


def _met(above: Array, below: Array, base: int) -> Areas:
    met = (above > 0) & (below > 0)
    return tally(above[met].astype(np.int64) * base + below[met])


def join_slices(
    counts: Sequence[int], found: Iterable[Counted], min_iou: float = SAME
) -> list[Array]:
    """As `link_slices`, from what `count_stack` gives of boxes that cover the stack once."""
    areas = [np.zeros(n + 1, np.int64) for n in counts]
    parts: list[list[Areas]] = [[] for _ in counts[1:]]
    for box_areas, box_shares in found:
        for area, (ids, n) in zip(areas, box_areas, strict=True):
            area[ids] += n
        for part, share in zip(parts, box_shares, strict=True):
            part.append(share)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nodes, weights = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for z, share in enumerate(map(_added, parts)):
        a, b = np.divmod(share[0], counts[z + 1] + 1)
        m = share[1]
        iou = m / (areas[z][a] + areas[z + 1][b] - m)
        one = best(a, b, m) & best(b, a, m) & (iou >= min_iou)
        nodes.append(np.stack([first[z] + a - 1, first[z + 1] + b - 1], axis=1)[one])
        weights.append(iou[one])
    edges = Edges(np.concatenate(nodes), np.concatenate(weights)).sorted()
    root = unite(edges, first, np.ones(first[-1], bool))
    ids = np.unique(root, return_inverse=True)[1] + 1
    own = [ids[start:stop] for start, stop in pairwise(first)]
    return [np.concatenate([[0], i]).astype(np.int64) for i in own]


def _added(parts: Sequence[Areas]) -> Areas:
    """The same values of several boxes, added up."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([np.zeros(0, np.int64), *(v for v, _ in parts)])
    n = np.concatenate([np.zeros(0, np.int64), *(n for _, n in parts)])
    return summed(values, n)
