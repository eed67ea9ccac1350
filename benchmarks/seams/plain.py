"""Rules without a library of their own: written here from the description of what each does."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seams.job import Array, Job, Tile, crop, shared, slices


def hard_cut(job: Job) -> Array:
    """Each core as its tile saw it; nothing is joined."""
    return _cores(job)[0]


def summed(job: Job) -> Array:
    """Tiles' labels are added where they overlap, ids as they are, in 16 bits.

    What Segment-Flow (b2ff6f1) does with an overlap above 0.
    """
    canvas = np.zeros(job.shape, np.uint16)
    for i, tile in enumerate(job.tiles):
        canvas[slices(tile.valid)] += job.valid(i).astype(np.uint16)
    return canvas


def mutual_best(job: Job, least: float = 0.5) -> Array:
    """Objects on both sides of a face are one if each is the other's best over the whole overlap.

    The rule of cluster_tools (0c879be, `stitch_faces`): both have pixels on the face, each has
    most of its overlap with the other, and the mean of their normalised overlaps is over `least`.
    Faces only, no corners.
    """
    canvas, first = _cores(job)
    number = {tile.position: i for i, tile in enumerate(job.tiles)}
    edges = [np.zeros((0, 2), np.int64)]
    for i, tile in enumerate(job.tiles):
        for axis in range(len(job.shape)):
            step = tuple(p + (k == axis) for k, p in enumerate(tile.position))
            if step in number:
                j = number[step]
                pairs = _best_pairs((tile, job.valid(i)), (job.tiles[j], job.valid(j)), axis, least)
                edges.append(pairs + first[[i, j]])
    return _joined(canvas, np.concatenate(edges), int(first[-1]))


def _cores(job: Job) -> tuple[Array, Array]:
    """Cores side by side, ids offset by tile; and the offsets, (tiles + 1,)."""
    canvas = np.zeros(job.shape, np.int64)
    first = np.zeros(len(job.tiles) + 1, np.int64)
    for i, tile in enumerate(job.tiles):
        seen = job.valid(i)
        core = crop(seen, tile.valid, tile.core).astype(np.int64)
        canvas[slices(tile.core)] = np.where(core > 0, core + first[i], 0)
        first[i + 1] = first[i] + seen.max(initial=0)
    return canvas, first


def _best_pairs(a: tuple[Tile, Array], b: tuple[Tile, Array], axis: int, least: float) -> Array:
    """Pairs (n, 2) of ids of two neighbouring tiles."""
    box = shared(a[0].valid, b[0].valid)
    assert box is not None  # noqa: S101 - bands overlap
    seen = [crop(labels, tile.valid, box) for tile, labels in (a, b)]
    face = a[0].core[axis][1] - box[axis][0]
    on_face = [np.unique(s.take([face - 1, face], axis)) for s in seen]
    met = (seen[0] > 0) & (seen[1] > 0)
    pairs, m = np.unique(np.stack([s[met] for s in seen], 1), axis=0, return_counts=True)
    share = [m / np.bincount(s.ravel())[pairs[:, k]] for k, s in enumerate(seen)]
    good = (share[0] + share[1]) / 2 > least
    for k in (0, 1):
        order = np.lexsort((-m, pairs[:, k]))
        best = order[np.unique(pairs[order, k], return_index=True)[1]]
        good &= np.isin(np.arange(len(m)), best) & np.isin(pairs[:, k], on_face[k])
    return pairs[good].astype(np.int64)


def _joined(canvas: Array, edges: Array, n: int) -> Array:
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (n + 1, n + 1))
    return connected_components(graph, directed=False)[1][canvas]
