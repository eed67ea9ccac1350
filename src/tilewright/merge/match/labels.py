"""Which objects of neighbouring tiles are one, and who paints them? The policy `match`.

Three steps: `match` compares two tiles over the region both keep; `resolve` joins the pairs into
groups and picks each group's owner and id; `Resolved.compose` paints any box of the image. Only
the object tables are held for the whole image; labels are asked for tile by tile. Nothing here
depends on the order in which tiles were predicted or boxes are painted.

The words (core, band, valid region) are `tiling`'s; the rule is `docs/how-it-works.md`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]

from tilewright.contract.grid import Box, Grid, Tile, shape_of, shared
from tilewright.tile_results.objects import (
    AREA,
    CUT,
    IN_CORE,
    counts,
    crop,
    row,
    run_starts,
    summed,
)
from tilewright.tile_results.strips import Strips

from .groups import NOBODY, Edges, Match, unite

Array = np.ndarray[Any, Any]
ReadLabels = Callable[[int], Array | Strips]
"""The banked labels of tile number i: integers on its valid region, 1..n."""

SAME = 0.25  # least IoU of two whole views of one object
PIECES = 0.4  # least mean share of two views of an object that a tile cuts
BRANCH = 0.75  # least share of a branch of an object that a tile sees in several pieces
HIDDEN = 0.5  # least share of an object that others might cover, for it to be pinned

Pair = tuple[int, int, Match]
"""Two tiles, the first before the second, and what `match` gives of them."""

DROPPED, MATCHED, PART, OWNER, PINNED_PART, PINNED_OWNER = range(6)
"""Roles. An `OWNER` paints its group, as far as it sees it; a `PART` paints its own core, in a
group that has no owner; a pinned one paints its core before all others, which might leave nothing
of it. A `MATCHED` object is painted by its group's owner; a `DROPPED` one is of no group."""

PASSES = (False, PINNED_PART, PINNED_OWNER), (True, OWNER, PINNED_OWNER), (False, PART)
"""Who paints in turn, and whether all that they are, or their own core."""


@dataclass(frozen=True)
class View:
    """What one tile saw: its labels on `box`, a part of its valid region, and its object table."""

    tile: Tile
    labels: Array
    table: Array
    box: Box

    def counts(self, part: Box | None) -> Array:
        """Pixels, (objects + 1,) int64, of each id from 0 in a part of the box; None is nowhere."""
        n = len(self.table)
        if part is None:
            return np.zeros(n + 1, np.int64)
        return counts(crop(self.labels, self.box, part), n)


def match(a: View, b: View, min_iou: float = SAME) -> Match:
    """Pairs of objects of two tiles that are views of one object.

    Over the region both tiles keep, m is the pixels two objects share, A' and B' their areas
    there, A and B their areas in all; an object's *best* partner is the one of most m, then of
    the lowest id. Two objects are one if

    - neither is cut, each is the other's best, and m / (A + B - m) >= `min_iou`; or
    - one is cut, one has pixels in both tiles' cores, each is the other's best, and
      (m/A' + m/B') / 2 >= 0.4; or
    - one is cut, both have pixels in both cores, one is the other's best, and
      max(m/A', m/B') >= 0.75.

    The weight is the measure by which a pair was joined, the first above that holds.

    Parameters
    ----------
    a, b
        What each saw, at least of the region that both keep.
    min_iou
        Least IoU of two whole views of one object, 0 to 1.
    """
    ids_a, ids_b, m = _overlaps(a, b)
    in_a, in_b = np.bincount(ids_a, m), np.bincount(ids_b, m)
    met = (ids_a > 0) & (ids_b > 0)
    ids_a, ids_b, m = ids_a[met], ids_b[met], m[met]
    area_a, area_b = a.table[ids_a - 1, AREA], b.table[ids_b - 1, AREA]
    share_a, share_b = m / in_a[ids_a], m / in_b[ids_b]
    best_a, best_b = best(ids_a, ids_b, m), best(ids_b, ids_a, m)
    cut = (a.table[ids_a - 1, CUT] | b.table[ids_b - 1, CUT]) == 1
    spans_a, spans_b = _spans(a, b.tile)[ids_a - 1], _spans(b, a.tile)[ids_b - 1]

    iou = m / (area_a + area_b - m)
    mean = (share_a + share_b) / 2
    most = np.maximum(share_a, share_b)
    weight = np.select(
        [
            ~cut & best_a & best_b & (iou >= min_iou),
            cut & (spans_a | spans_b) & best_a & best_b & (mean >= PIECES),
            cut & spans_a & spans_b & (best_a | best_b) & (most >= BRANCH),
        ],
        [iou, mean, most],
        0.0,
    )
    joined, apart = weight > 0, weight == 0
    under_a, under_b = (np.array(summed(ids[apart], m[apart]), np.uint32) for ids in (ids_a, ids_b))
    agreed = m[joined] / (in_a[ids_a[joined]] + in_b[ids_b[joined]] - m[joined])
    found = agreed.astype(np.float32)
    return Match(ids_a[joined], ids_b[joined], weight[joined], under_a, under_b, found)


def _overlaps(a: View, b: View) -> tuple[Array, Array, Array]:
    """Pairs of ids, 0 included, where both tiles keep pixels, sorted; and how many of each."""
    box = shared(a.tile.valid, b.tile.valid)
    if box is None:
        return (np.zeros(0, np.int64),) * 3
    in_a, in_b = (crop(v.labels, v.box, box).reshape(-1) for v in (a, b))
    starts = run_starts(in_a, in_b)
    lengths = np.diff(starts, append=len(in_a))
    shape = len(a.table) + 1, len(b.table) + 1
    found = coo_array((lengths, (in_a[starts], in_b[starts])), shape).tocsr().tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64), found.data


def best(ids: Array, others: Array, m: Array) -> Array:
    """Which pairs join an id with its best partner: the one of most `m`, then of the lowest id.

    Parameters
    ----------
    ids, others
        (n,) integers, the two of each pair; no pair twice.
    m
        (n,) integers, the pixels that they share.

    Returns
    -------
    ndarray
        (n,) bool; one pair of each id.
    """
    order = np.lexsort((others, -m, ids))
    best = np.zeros(len(ids), bool)
    best[order[np.unique(ids[order], return_index=True)[1]]] = True
    return best


def _spans(view: View, other: Tile) -> Array:
    """Which of the view's objects have pixels in its own core and in the other tile's."""
    beyond = view.counts(shared(view.tile.valid, other.core))[1:]
    return (view.table[:, IN_CORE] > 0) & (beyond > 0)


def row_pairs(
    grid: Grid,
    number: int,
    read_labels: ReadLabels,
    table: Callable[[int], Array],
    min_iou: float = SAME,
) -> Iterator[Pair]:
    """The pairs of tiles that meet, corners too, whose first tile is in one row of tiles.

    Rows can be matched in any order. One tile is held whole; of the next one, and of three tiles
    of each later row, what may be compared.

    Parameters
    ----------
    grid
        The tiles.
    number
        The row's.
    read_labels
        Called with a tile's number: over all rows three times for each tile that has objects (six
        times for each of a volume), once for all of it, else for what a neighbour may see.
    table
        Gives a tile's object table, (objects, columns) integers; three columns are enough.
    min_iou
        Least IoU of two whole views of one object.
    """
    mine = row(grid, number)
    beside = grid.tile(mine[0]).valid[:-1]
    later = int(3 ** (len(grid.shape) - 1)) // 2  # rows that meet this one

    def view(i: int, most: Box) -> View:
        tile = grid.tile(i)
        box = shared(tile.valid, most)
        assert box is not None  # noqa: S101 - it meets a tile of the row
        labels = crop(read_labels(i), tile.valid, box)
        own = labels if labels.base is None else labels.copy()  # not all that it is a part of
        return View(tile, own, table(i), box)

    @lru_cache(maxsize=3 * later)
    def of_later_row(i: int) -> View:
        return view(i, (*beside, grid.tile(i).valid[-1]))

    for index in mine:
        valid = grid.tile(index).valid
        others = [i for i in grid.intersecting(valid) if i > index and len(table(i))]
        if len(table(index)) and others:
            whole = view(index, valid)
            for i in others:
                other = view(i, valid) if i in mine else of_later_row(i)
                yield index, i, match(whole, other, min_iou)


def resolve(grid: Grid, tables: Sequence[Array], edges: Edges) -> Resolved:
    """Groups, owners and ids from the pairs that match.

    The owner is the uncut member with most core pixels (ties: first tile, lowest local id). A
    group without one is painted by all its members, each in its own core. A lone object with half
    its area in its core or more is painted whole; with less, an uncut one is dropped, as another
    tile should have seen it, and a cut one keeps its core. A group without a painter that has
    core pixels is dropped: the tile that owns its place saw nothing. So every group has a painter
    with pixels to paint, and one that others might cover is pinned: every id has pixels. Ids are
    1..N in the order of each group's first member.

    Parameters
    ----------
    grid
        The tiles.
    tables
        Each tile's object table, (objects, columns) integers; areas are in pixels.
    edges
        The pairs, strongest first.
    """
    first = np.concatenate([[0], np.cumsum([len(t) for t in tables])]).astype(np.int64)
    core, uncut = _column(tables, IN_CORE), _column(tables, CUT) == 0
    root = unite(edges, first, uncut)
    alone = np.ones(len(root), bool)
    member = np.flatnonzero(root != np.arange(len(root), dtype=root.dtype))
    alone[member] = alone[root[member]] = False
    mostly = 2 * core >= _column(tables, AREA)
    owner = _owners(root, core, np.flatnonzero(uncut & (core > 0) & ~alone))
    owned = alone & mostly
    owned[root[owner]] = True
    paints = (core > 0) & (alone | ~owned[root])
    paints[owner] = True
    paints &= ~(alone & uncut & ~mostly)

    kept = np.zeros(len(root), bool)
    kept[root[paints]] = True
    count = int(np.count_nonzero(kept))
    ids = np.cumsum(kept, dtype=np.min_scalar_type(count))[root]
    ids[~kept[root]] = 0
    role = np.full(len(root), PART, np.uint8)
    role[owned[root]] = OWNER
    role[_coverable(tables, edges, root, role)] += PINNED_PART - PART
    role[~paints] = MATCHED
    role[ids == 0] = DROPPED
    return Resolved(grid, first, ids, role, count, _agreement(edges, root, ids, count))


def _agreement(edges: Edges, root: Array, ids: Array, count: int) -> Array:
    """How far tiles agreed on each label at worst, (count + 1,) float32; 1 of what one tile saw."""
    found = np.ones(count + 1, np.float32)
    if len(edges.agreed):
        joined = root[edges.nodes[:, 0]] == root[edges.nodes[:, 1]]
        np.minimum.at(found, ids[edges.nodes[joined, 0]], edges.agreed[joined])
    found[0] = 1
    return found


def _coverable(tables: Sequence[Array], edges: Edges, root: Array, role: Array) -> Array:
    """Which objects others might hide: half of what they would paint is others', say other tiles.

    Too many rather than too few: what two tiles say of one pixel counts twice, and of a pair that
    matched but may not be one, both are hidden. Others are sure to keep pixels.
    """
    paint = np.where(role == OWNER, _column(tables, AREA), _column(tables, IN_CORE))
    found = edges.under >= paint * HIDDEN
    found[edges.nodes[root[edges.nodes[:, 0]] != root[edges.nodes[:, 1]]]] = True
    return np.asarray(found)


def _column(tables: Sequence[Array], column: int) -> Array:
    return np.concatenate([t[:, column] for t in tables])


def _owners(root: Array, core: Array, able: Array) -> Array:
    """Of those that may own, the one with most core pixels of each group that has one."""
    order = able[np.lexsort((able, ~core[able], root[able]))]
    return order[np.unique(root[order], return_index=True)[1]]


@dataclass(frozen=True)
class Resolved:
    """Every object's global id and role, and the image they paint.

    Parameters
    ----------
    grid
        The tiles.
    first
        (tiles + 1,) int64: tile i's objects are rows ``first[i]`` to ``first[i + 1]``.
    ids
        (objects,) global ids 1..count, 0 where dropped; `dtype` is theirs, the smallest there is.
    role
        (objects,) uint8, from `DROPPED` to `PINNED_OWNER`.
    count
        Objects in the merged image; each has at least one pixel.
    agreement
        (count + 1,) float32, how far tiles agreed on each; empty where nobody asked.
    """

    grid: Grid
    first: Array
    ids: Array
    role: Array
    count: int
    agreement: Array = field(default_factory=lambda: NOBODY)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer that holds `count`."""
        return np.min_scalar_type(self.count)

    def lut(self, tile: int, *roles: int) -> Array:
        """Global id of each local id 0..n of a tile; 0 for roles that aren't asked for.

        Its shape is (n + 1,), its dtype `dtype`.
        """
        rows = slice(self.first[tile], self.first[tile + 1])
        asked = np.zeros(PINNED_OWNER + 1, bool)
        asked[list(roles)] = True
        ids = np.where(asked[self.role[rows]], self.ids[rows], 0)
        return np.concatenate([[0], ids]).astype(self.dtype)

    def compose(self, box: Box, read_labels: ReadLabels) -> Array:
        """Global labels of a box of the plane.

        Each pixel is the first's who paints it: first pinned objects, each in its own tile's
        core; then owners, whole, in tile order, so that the border of two objects is one tile's
        along its whole length; then parts, each in its own core. A pixel's label doesn't depend
        on the box it is asked for in.

        Parameters
        ----------
        box
            Half-open intervals in pixels of the plane, inside it.
        read_labels
            Called once for each tile that meets the box and has objects.

        Returns
        -------
        ndarray
            ((z,) y, x) of `dtype`, 0 the background.
        """
        canvas = np.zeros(shape_of(box), self.dtype)
        seen = []
        for i in self.grid.intersecting(box):
            if self.first[i] < self.first[i + 1]:
                tile = self.grid.tile(i)
                part = shared(tile.valid, box)
                assert part is not None  # noqa: S101 - `meeting` says so
                labels = crop(read_labels(i), tile.valid, part).copy()  # not the whole tile
                seen.append((tile, part, labels))
        for whole, *roles in PASSES:
            for tile, part, labels in seen:
                mine = part if whole else shared(tile.core, part)
                lut = self.lut(tile.index, *roles)
                if mine is not None and lut.any():
                    own = crop(canvas, box, mine)
                    np.copyto(own, lut.take(crop(labels, part, mine)), where=own == 0)
        return canvas
