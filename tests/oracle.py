"""The oracle tiler: what would each tile see, had it a perfect (or a slightly wrong) model?

Draws scenes whose objects are known, cuts them into tiles as a model would return them, and
scores a merged image against the scene. Used by the tests and the benchmarks of the merge; of
`tilewright`, scenes and scores use only `prepare`, which every model's output goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import cc3d
import numpy as np
from scipy import ndimage

from tilewright.contract.grid import Box, Grid, Tile, TileAxis
from tilewright.contract.jobs import MergeOptions
from tilewright.merge.match.groups import Edges
from tilewright.merge.match.labels import Pair, Resolved, resolve
from tilewright.merge.write.merged import matches_of
from tilewright.tile_results.objects import prepare, rows


def square_grid(shape: tuple[int, ...], core: int, band: int, context: int) -> Grid:
    """Equal tiles whose inner cores are `core` px wide."""
    return Grid((TileAxis(core + 2 * (band + context), band, context),) * len(shape), shape)


def one_tile(shape: tuple[int, ...]) -> Grid:
    """The untiled image."""
    return Grid(tuple(TileAxis(n) for n in shape), shape)


def whole(grid: Grid) -> Box:
    """The box of the whole plane."""
    return tuple((0, n) for n in grid.shape)


# --- scenes -------------------------------------------------------------------------------------


def dense_cells(shape: tuple[int, ...], radius: float, seed: int) -> np.ndarray:
    """Touching convex cells of at most `radius` px: int32, 1..n, 0 is background."""
    rng = np.random.default_rng(seed)
    points = _tilted_lattice(shape, 1.93 * radius, rng)
    seeds = np.zeros(shape, np.int32)
    seeds[tuple(points.T)] = np.arange(1, len(points) + 1)
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    cells = seeds[tuple(nearest)]
    reach = rng.uniform(0.75, 1.0, len(points) + 1) * radius
    return np.where(distance <= reach[cells], cells, 0).astype(np.int32)


def _tilted_lattice(shape: tuple[int, ...], spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Jittered grid points inside the image, tilted so that no plane is special: (n, axes)."""
    half = np.linalg.norm(shape) / 2
    steps = np.meshgrid(*[np.arange(-half, half, spacing)] * len(shape), indexing="ij")
    points = np.stack([s.ravel() for s in steps], axis=1)
    points += rng.uniform(-0.35, 0.35, points.shape) * spacing
    tilt = np.linalg.qr(rng.standard_normal((len(shape),) * 2))[0]
    points = np.floor(points @ tilt + np.array(shape) / 2).astype(int)
    return points[((points >= 0) & (points < shape)).all(axis=1)]


def big_discs(shape: tuple[int, int], radius: float, seed: int) -> np.ndarray:
    """Discs of up to `radius` px that touch, larger than a band: as `dense_cells`."""
    return dense_cells(shape, radius, seed)


def fibres(shape: tuple[int, int], seed: int, width: int = 9, gap: int = 3) -> np.ndarray:
    """Long wavy objects, `width` px across, 300 to 1,200 px long: int32, 1..n."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape, sparse=True)
    wave = y + 60 * np.sin(x / 170) + 9 * np.sin(x / 41) + 70
    row = (wave // (width + gap)).astype(int)
    labels = np.zeros(shape, np.int32)
    ends = [_pieces(rng, shape[1]) for _ in range(int(row.max()) + 1)]
    n = max(len(e) for e in ends)
    column = np.stack([np.searchsorted(e, np.arange(shape[1]), side="right") for e in ends])
    at = np.broadcast_to(np.arange(shape[1]), shape)
    near_end = np.stack([np.isin(np.arange(shape[1]) + d, e) for d in range(3) for e in ends])
    near_end = near_end.reshape(3, len(ends), -1).any(axis=0)
    labels[:] = row * (n + 1) + column[row, at] + 1
    labels[(wave % (width + gap) >= width) | near_end[row, at]] = 0
    return cc3d.connected_components(labels, connectivity=4)  # some leave the image and come back


def _pieces(rng: np.random.Generator, length: int) -> np.ndarray:
    return np.cumsum(rng.integers(300, 1200, length // 300 + 1)) - rng.integers(0, 300)


def full_and_empty(shape: tuple[int, int], radius: float, seed: int) -> np.ndarray:
    """Nothing on the left half, cells without background between them on the right: int32."""
    points = _tilted_lattice(shape, 1.93 * radius, np.random.default_rng(seed))
    seeds = np.zeros(shape, np.int32)
    seeds[tuple(points.T)] = np.arange(1, len(points) + 1)
    nearest = ndimage.distance_transform_edt(
        seeds == 0, return_distances=False, return_indices=True
    )
    cells = seeds[tuple(nearest)]
    cells[:, : shape[1] // 2] = 0
    return cells


def abutting(shape: tuple[int, int], first: int, stride: int) -> np.ndarray:
    """Squares that fill the image and meet at `first` and every `stride` px from there: int32."""
    number = [np.searchsorted(np.arange(first, n, stride), np.arange(n), "right") for n in shape]
    return (number[0][:, None] * (number[1].max() + 1) + number[1] + 1).astype(np.int32)


def pixel_cells(shape: tuple[int, int]) -> np.ndarray:
    """One-pixel objects, two px apart: int32."""
    image = np.zeros(shape, np.int32)
    places = image[::2, ::2]
    places[:] = np.arange(1, 1 + places.size).reshape(places.shape)
    return image


# --- tiles --------------------------------------------------------------------------------------


@dataclass
class BankReader:
    """What PREDICT leaves for MERGE: each tile's labels and object table."""

    grid: Grid
    labels: list[np.ndarray] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)

    def read(self, tile: int) -> np.ndarray:
        return self.labels[tile]

    def objects(self, _: int, tile: int) -> np.ndarray:
        return self.tables[tile]

    def add(self, tile: Tile, seen: np.ndarray) -> None:
        """Bank what a model returned for the tile's window; tiles in row-major order."""
        labels, table = prepare(seen, tile, self.grid)
        self.labels.append(labels)
        self.tables.append(table)


def tiles_of(
    truth: np.ndarray,
    grid: Grid,
    seed: int,
    jitter: float = 0.0,
    drop: float = 0.0,
    connected: bool = False,
) -> BankReader:
    """The scene as each tile sees it, with ids of its own.

    Parameters
    ----------
    jitter
        Standard deviation, in px, of a smooth deformation of each tile's outlines.
    drop
        Share of the objects cut by a tile's inner window sides that the tile misses.
    connected
        Pieces that don't hang together within the tile get ids of their own.
    """
    banked = BankReader(grid)
    for tile in grid:
        rng = np.random.default_rng([seed, tile.index])
        seen = _deformed(truth, tile.window, jitter, rng)
        if drop:
            on_side = _cut_by(seen, tile.window, grid.shape)
            seen[np.isin(seen, on_side[rng.random(len(on_side)) < drop])] = 0
        if connected:
            seen = cc3d.connected_components(seen, connectivity=4 if seen.ndim == 2 else 6)
        banked.add(tile, _shuffled(seen, rng))
    return banked


def _deformed(
    truth: np.ndarray, window: Box, jitter: float, rng: np.random.Generator
) -> np.ndarray:
    at = list(np.meshgrid(*(np.arange(*w) for w in window), indexing="ij"))
    if jitter:
        for k, n in enumerate(truth.shape):
            noise = ndimage.gaussian_filter(rng.standard_normal(at[k].shape), 6)
            at[k] = np.clip(np.rint(at[k] + noise * (jitter / noise.std())), 0, n - 1).astype(int)
    return truth[tuple(at)]


def _cut_by(labels: np.ndarray, window: Box, shape: tuple[int, ...]) -> np.ndarray:
    sides = [np.zeros(0, labels.dtype)]
    for k, ((start, stop), n) in enumerate(zip(window, shape, strict=True)):
        sides += [labels.take(0, k).ravel()] * (start > 0)
        sides += [labels.take(-1, k).ravel()] * (stop < n)
    ids = np.unique(np.concatenate(sides))
    return ids[ids > 0]


def _shuffled(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same objects under other ids, with gaps and an offset."""
    ids, inverse = np.unique(labels, return_inverse=True)
    new = rng.permutation(2 * len(ids))[: len(ids)] + 17
    new[ids == 0] = 0
    return new[inverse].reshape(labels.shape)


def matched(
    banked: BankReader, min_iou: float = 0.25, read: Callable[[int], np.ndarray] | None = None
) -> tuple[list[np.ndarray], list[Pair]]:
    """Object tables as MERGE holds them, and what matches, from one row of tiles after the other.

    `read` gives a tile's labels; its own, where nothing else is given.
    """
    context = SimpleNamespace(
        grid=banked.grid,
        banked=banked,
        read=lambda _: read or banked.read,
        merge=MergeOptions("match", min_iou),
    )
    found = [matches_of(context, (0, number)) for number in range(rows(banked.grid))]
    return [t for tables, _ in found for t in tables], [p for _, pairs in found for p in pairs]


def linked(banked: BankReader, min_iou: float = 0.25) -> Resolved:
    """Who paints what."""
    tables, pairs = matched(banked, min_iou)
    return resolve(banked.grid, tables, Edges.of(pairs, tables))


def merged(banked: BankReader) -> np.ndarray:
    """The image that the tiles make: `matches_of`, `resolve`, `compose`."""
    return linked(banked).compose(whole(banked.grid), banked.read)


# --- scores -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How near a merged image is to the truth.

    Parameters
    ----------
    ap
        Average precision at IoU > 0.5: found / (found + missed + invented).
    pq
        Panoptic quality.
    merged
        Predicted objects that hold at least half of two true ones.
    split
        True objects in which at least two predicted ones have at least half of themselves.
    lost
        True objects less than half of whose pixels have any label.
    """

    ap: float
    pq: float
    merged: int
    split: int
    lost: int = 0


def score(truth: np.ndarray, predicted: np.ndarray) -> Score:
    """Compare two label images by their sparse contingency; of no objects, none found is right."""
    base = int(predicted.max(initial=0)) + 1
    packed = truth.astype(np.int64) * base + predicted.astype(np.int64)
    packed, m = np.unique(packed, return_counts=True)
    t, p = np.divmod(packed, base)
    area_t, area_p = (np.bincount(ids, m).astype(np.int64) for ids in (t, p))
    covered = np.bincount(t, m * (p > 0))
    pair = (t > 0) & (p > 0)
    t, p, m = t[pair], p[pair], m[pair]
    iou = m / (area_t[t] + area_p[p] - m)
    hits = iou > 0.5
    found, n_t, n_p = (int(np.count_nonzero(a)) for a in (hits, area_t[1:], area_p[1:]))
    return Score(
        ap=found / (n_t + n_p - found) if n_t + n_p else 1.0,
        pq=float(2 * iou[hits].sum() / (n_t + n_p)) if n_t + n_p else 1.0,
        merged=_twice(p[2 * m >= area_t[t]]),
        split=_twice(t[2 * m >= area_p[p]]),
        lost=int(np.count_nonzero(2 * covered[1:] < area_t[1:])),
    )


def _twice(ids: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(ids, return_counts=True)[1] > 1))


def same_objects(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label images are equal up to the numbering of their objects."""
    if a.shape != b.shape or not np.array_equal(a > 0, b > 0):
        return False
    pairs = np.unique(np.stack([a[a > 0], b[a > 0]]), axis=1)
    return all(len(np.unique(ids)) == pairs.shape[1] for ids in pairs)
