"""Tilewright's rule: the policy `match`, on the same files as its peers."""

from __future__ import annotations

import numpy as np

from seams.job import Array, Job
from tilewright.contract.grid import Grid, Tile, TileAxis
from tilewright.merge.match.groups import Edges
from tilewright.merge.match.labels import resolve, row_pairs
from tilewright.tile_results.objects import prepare, rows


def match(job: Job) -> Array:
    """Prepare each tile's objects, as PREDICT does; then match, resolve and compose."""
    sides = zip(job.size, job.band, job.context, strict=True)
    grid = Grid(tuple(TileAxis(*side) for side in sides), job.shape)
    labels, tables = zip(*(_prepared(job, tile, grid) for tile in grid), strict=True)
    pairs = [
        pair
        for number in range(rows(grid))
        for pair in row_pairs(grid, number, labels.__getitem__, tables.__getitem__)
    ]
    resolved = resolve(grid, tables, Edges.of(pairs, tables))
    whole = tuple((0, n) for n in job.shape)
    return resolved.compose(whole, labels.__getitem__)


def _prepared(job: Job, tile: Tile, grid: Grid) -> tuple[Array, Array]:
    window = np.zeros([stop - start for start, stop in tile.window], np.uint32)
    inside = [slice(p - o, q - o) for (o, _), (p, q) in zip(tile.window, tile.valid, strict=True)]
    window[tuple(inside)] = job.valid(tile.index)
    return prepare(window, tile, grid)
