"""Corners of all labels of a block: where an outline along the edges between pixels turns.

A pixel's neighbours are those that share a side. Seen from a pixel of a label, one of its corners
is a corner of the outline where both neighbours there are others (it turns round this pixel), or
where both are the label's and only the pixel across isn't (it turns round that one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
RIGHT, DOWN, START = 1, 2, 4
"""Bits of a corner: its level edge goes right of it; its upright edge goes down of it; the outline,
which has its label on its right hand (y down), leaves it by the level edge."""
BAND = 256  # rows looked at at once
# What a corner has in which the label's one pixel is upper left, upper right, lower left, lower
# right; where only that pixel isn't the label's, edges are the same, and the outline goes backward.
TURNS = (START, RIGHT, DOWN, RIGHT | DOWN | START)


@dataclass(frozen=True)
class Corners:
    """Corners in no order.

    Parameters
    ----------
    label
        (n,) unsigned integers.
    y, x
        (n,) int32, lattice points: 0 is the left or upper side of the first pixel.
    kind
        (n,) uint8, bits.
    """

    label: Array
    y: Array
    x: Array
    kind: Array

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, which: Array) -> Corners:
        """Some of them, by a mask or by their places."""
        return Corners(self.label[which], self.y[which], self.x[which], self.kind[which])


def joined(parts: list[Corners]) -> Corners:
    """All of them, in their order; there is at least one part."""
    columns = ([getattr(p, name) for p in parts] for name in ("label", "y", "x", "kind"))
    return Corners(*map(np.concatenate, columns))


def corners(padded: Array, y: int, x: int) -> Corners:
    """The corners of all labels at the lattice points between pixels.

    Parameters
    ----------
    padded
        (h + 1, w + 1) labels, 0 the background: of h x w lattice points all four neighbours.
    y, x
        The first lattice point.
    """
    bands = range(0, len(padded) - 1, BAND)
    return joined([_of_band(padded[top : top + BAND + 1], y + top, x) for top in bands])


def _of_band(padded: Array, y: int, x: int) -> Corners:
    """The same of a few rows, which stay in a core's cache."""
    level = padded[:, 1:] != padded[:, :-1]
    upright = padded[1:] != padded[:-1]
    turns = (level[1:] | level[:-1]) & (upright[:, 1:] | upright[:, :-1])
    at_y, at_x = (a.astype(np.int32) for a in np.divmod(np.flatnonzero(turns), turns.shape[1]))
    flat, width = padded.ravel(), padded.shape[1]
    first = at_y.astype(np.int64) * width + at_x
    around = [flat[first + step] for step in (0, 1, width, width + 1)]
    found = []
    for q, bits in enumerate(TURNS):
        mine, beside, below, across = (around[q ^ n] for n in (0, 1, 2, 3))
        out_x, out_y = mine != beside, mine != below
        alone = (mine != 0) & out_x & out_y
        found.append(_some(mine, at_y, at_x, alone, bits))
        all_but = (mine != 0) & ~out_x & ~out_y & (mine != across)
        found.append(_some(mine, at_y, at_x, all_but, TURNS[3 - q] ^ START))
    some = joined(found)
    return Corners(some.label, some.y + y, some.x + x, some.kind)


def _some(label: Array, y: Array, x: Array, where: Array, bits: int) -> Corners:
    at = np.flatnonzero(where)
    return Corners(label[at], y[at], x[at], np.full(len(at), bits, np.uint8))
