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

Array = np.ndarray[Any, Any]
ReadSlice = Callable[[int, Box], Array]
"""Labels, 1..n of that slice, of a box of slice number z."""
Overlaps = tuple[Array, Array, Array]
"""Ids in a slice, ids in the next one, and the pixels they share."""


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
    areas, overlaps = _count(counts, boxes, read)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nodes, weights = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for z, (a, b, m) in enumerate(overlaps):
        iou = m / (areas[z][a] + areas[z + 1][b] - m)
        one = best(a, b, m) & best(b, a, m) & (iou >= min_iou)
        nodes.append(np.stack([first[z] + a - 1, first[z + 1] + b - 1], axis=1)[one])
        weights.append(iou[one])
    edges = Edges(np.concatenate(nodes), np.concatenate(weights)).sorted()
    root = unite(edges, first, np.ones(first[-1], bool))
    ids = np.unique(root, return_inverse=True)[1] + 1
    own = [ids[start:stop] for start, stop in pairwise(first)]
    return [np.concatenate([[0], i]).astype(np.int64) for i in own]


def _count(
    counts: Sequence[int], boxes: Iterable[Box], read: ReadSlice
) -> tuple[list[Array], list[Overlaps]]:
    """Pixels of each object, and what each slice shares with the next."""
    areas = [np.zeros(n + 1, np.int64) for n in counts]
    found: list[list[tuple[Array, Array]]] = [[] for _ in counts[1:]]
    for box in boxes:
        above = None
        for z, n in enumerate(counts):
            labels = read(z, box).astype(np.int64)
            areas[z] += np.bincount(labels.ravel(), minlength=n + 1)
            if above is not None:
                met = (above > 0) & (labels > 0)
                packed = above[met] * (n + 1) + labels[met]
                found[z - 1].append(np.unique(packed, return_counts=True))
            above = labels
    return areas, [_sum(f, n + 1) for f, n in zip(found, counts[1:], strict=True)]


def _sum(parts: list[tuple[Array, Array]], base: int) -> Overlaps:
    """The same pairs of several boxes, added up."""
    packed, place = np.unique(np.concatenate([p for p, _ in parts]), return_inverse=True)
    m = np.bincount(place, np.concatenate([c for _, c in parts]), len(packed)).astype(np.int64)
    a, b = np.divmod(packed, base)
    return a, b, m
