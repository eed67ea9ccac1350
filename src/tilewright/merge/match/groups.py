"""Which objects form one group? Union-find over pairs, strongest first, with one thing forbidden.

Two uncut objects of one tile are two objects, whatever links them: they never share a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]
NOTHING = np.zeros((2, 0), np.uint32)
NOBODY = np.zeros(0, np.float32)


class Match(NamedTuple):
    """What the objects of two tiles, a and b, are to each other.

    Parameters
    ----------
    a, b
        (n,) int64, local ids: pairs that are one object.
    weight
        (n,) float64, how sure that is.
    under_a, under_b
        (2, n) uint32: local ids that share pixels with the other tile's but aren't one with them,
        and how many pixels each.
    agreed
        (n,) float32, how far the tiles agree on a pair where both see it, IoU of 0 to 1.
    """

    a: Array
    b: Array
    weight: Array
    under_a: Array = NOTHING
    under_b: Array = NOTHING
    agreed: Array = NOBODY


@dataclass(frozen=True)
class Edges:
    """Pairs of objects that match, over all tiles.

    Parameters
    ----------
    nodes
        (n, 2) int64, rows of the concatenated object tables, the first tile's object first.
    weight
        (n,) float64, how strong, 0 to 1.
    under
        (objects,) int64, pixels of each that other tiles give to objects it isn't one with,
        added up over those tiles; none where nothing is painted.
    agreed
        (n,) float32, how far the tiles agree on each pair; none where nobody asked.
    """

    nodes: Array
    weight: Array
    under: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    agreed: Array = field(default_factory=lambda: NOBODY)

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int, Match]], tables: Sequence[Array]) -> Edges:
        """From ``(tile a, tile b, what they are to each other)`` in any order, a before b.

        `tables` are every tile's object table, (objects, columns); only their lengths count.
        """
        first = np.concatenate([[0], np.cumsum([len(t) for t in tables])]).astype(np.int64)
        nodes, weights, agreed = [np.zeros((0, 2), np.int64)], [np.zeros(0)], [NOBODY]
        under = np.zeros(first[-1], np.int64)
        for a, b, found in pairs:
            nodes.append(np.stack([first[a] + found.a - 1, first[b] + found.b - 1], axis=1))
            weights.append(found.weight)
            agreed.append(found.agreed)
            for tile, (ids, pixels) in ((a, found.under_a), (b, found.under_b)):
                under[first[tile] + ids - 1] += pixels
        both = np.concatenate(nodes), np.concatenate(weights)
        return cls(*both, under, np.concatenate(agreed)).sorted()

    def sorted(self) -> Edges:
        """Strongest first; ties by tile and id, which is the order of nodes."""
        order = np.lexsort((self.nodes[:, 1], self.nodes[:, 0], -self.weight))
        agreed = self.agreed[order] if len(self.agreed) else self.agreed
        return Edges(self.nodes[order], self.weight[order], self.under, agreed)


def unite(edges: Edges, first: Array, uncut: Array) -> Array:
    """The group of every object, named by its first member.

    Parameters
    ----------
    edges
        Strongest first.
    first
        (tiles + 1,) int64, where each tile's objects start.
    uncut
        (objects,) bool.

    Returns
    -------
    root
        (objects,) integers, the lowest row of the object's group; its own where it is alone.
    """
    root = np.arange(len(uncut), dtype=np.min_scalar_type(len(uncut)))
    nodes, ends = np.unique(edges.nodes, return_inverse=True)
    ends = ends.reshape(-1, 2)
    tile = np.searchsorted(first, nodes, side="right") - 1
    group = _components(ends, len(nodes))
    # Where no tile has two uncut objects in a group, the order of unions doesn't matter.
    crowded = _crowded(group, tile, uncut[nodes])
    if crowded.any():
        doubtful = crowded[group[ends[:, 0]]]
        keep = ~doubtful
        keep[doubtful] = _admitted(ends[doubtful], tile, uncut[nodes])
        group = _components(ends[keep], len(nodes))
    founder = np.unique(group, return_index=True)[1]
    root[nodes] = nodes[founder[group]]
    return root


def _components(ends: Array, n: int) -> Array:
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])


def _crowded(group: Array, tile: Array, uncut: Array) -> Array:
    """Which groups hold two uncut objects of one tile."""
    seats = np.stack([group[uncut], tile[uncut]], axis=1)
    taken, times = np.unique(seats, axis=0, return_counts=True)
    crowded = np.zeros(group.max(initial=-1) + 1, bool)
    crowded[taken[times > 1, 0]] = True
    return crowded


def _admitted(ends: Array, tile: Array, uncut: Array) -> list[bool]:
    """Which edges of crowded groups may stay, tried in order; few, so a plain loop."""
    parent: dict[int, int] = {}
    tiles = {n: {int(tile[n])} if uncut[n] else set() for n in np.unique(ends).tolist()}

    def find(n: int) -> int:
        while n in parent:
            parent[n] = parent.get(parent[n], parent[n])  # halve the path
            n = parent[n]
        return n

    admitted = []
    for a, b in ends.tolist():
        low, high = sorted((find(a), find(b)))
        free = low == high or tiles[low].isdisjoint(tiles[high])
        admitted.append(free)
        if free and low != high:
            parent[high] = low
            tiles[low] |= tiles.pop(high)
    return admitted
