"""Scenes whose objects are known, cut into tiles, come out as if there had been no tiles."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import (
    Banked,
    big_discs,
    dense_cells,
    fibres,
    merged,
    one_tile,
    pixel_cells,
    same_objects,
    score,
    square_grid,
    tiles_of,
    whole,
)
from scipy import ndimage

from tilewright.merge.groups import Edges
from tilewright.merge.labels import link, pairs, resolve
from tilewright.merge.objects import AREA, BOX, CORE
from tilewright.tiling import Grid, TileAxis

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def blobs_that_fit_the_band(draw: st.DrawFn) -> tuple[np.ndarray, Grid]:
    """Random small discs, and tiles whose band is the widest object that the toy model finds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    image = np.zeros(shape, int)
    y, x = np.indices(shape)
    for _ in range(draw(st.integers(0, 25))):
        at, radius = rng.integers(0, shape), rng.integers(1, 4)
        image[(y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2] = 1
    image[rng.random(shape) < 0.05] ^= 1
    found = ndimage.find_objects(toy_model(image))
    sides = []
    for axis in range(2):
        band = max((f[axis].stop - f[axis].start for f in found), default=0)
        context = draw(st.integers(1, 3))
        sides.append(TileAxis(draw(st.integers(4, 20)) + 2 * (band + context), band, context))
    return image, Grid(tuple(sides), shape)


def toy_model(image: np.ndarray) -> np.ndarray:
    """Box filter, threshold, components: an exact model with a receptive field of 1 px."""
    return ndimage.label(ndimage.convolve(image, np.ones((3, 3), int), mode="nearest") >= 5)[0]


@quick
@given(scene=blobs_that_fit_the_band())
def test_an_exact_model_gives_the_same_objects_tiled_and_untiled(
    scene: tuple[np.ndarray, Grid],
) -> None:
    image, grid = scene
    banked = Banked(grid)
    for tile in grid:
        banked.add(tile, toy_model(image[tuple(slice(*w) for w in tile.window)]))
    assert same_objects(toy_model(image), merged(banked))


def u_shape() -> np.ndarray:
    """(96, 96): two arms of 20 px along the left and right, joined at the bottom."""
    image = np.zeros((96, 96), int)
    image[4:92, 10:30] = image[4:92, 66:86] = image[72:92, 10:86] = 1
    return image


def abutting_on(seam: int) -> np.ndarray:
    """(96, 96): one object on each side of a vertical plane, both larger than a band."""
    image = np.zeros((96, 96), int)
    image[20:80, seam - 30 : seam], image[20:80, seam : seam + 30] = 1, 2
    return image


SMALL = square_grid((96, 96), core=24, band=8, context=2)
SCENES = [
    pytest.param(dense_cells((700, 600), 14, 0), square_grid((700, 600), 128, 32, 8), id="dense"),
    pytest.param(dense_cells((60, 80, 70), 8, 0), square_grid((60, 80, 70), 24, 16, 2), id="3d"),
    pytest.param(big_discs((700, 700), 90, 1), square_grid((700, 700), 64, 16, 4), id="discs"),
    pytest.param(fibres((700, 700), 2), square_grid((700, 700), 128, 32, 8), id="fibres"),
    pytest.param(fibres((700, 700), 2, gap=0), square_grid((700, 700), 128, 32, 8), id="bundle"),
    pytest.param(u_shape(), SMALL, id="U"),
    pytest.param(u_shape()[::-1].T.copy(), SMALL, id="U on its side"),
    pytest.param(np.ones((96, 96), int), SMALL, id="all over the image"),
    pytest.param(np.zeros((96, 96), int), SMALL, id="nothing"),
    pytest.param(abutting_on(SMALL.tile(1).core[1][1]), SMALL, id="two on a seam"),
    pytest.param(u_shape(), one_tile((96, 96)), id="one tile"),
    pytest.param(u_shape(), Grid((TileAxis(500, 30, 9),) * 2, (96, 96)), id="tile over image"),
    pytest.param(np.arange(1, 401).reshape(20, 20), square_grid((20, 20), 6, 2, 1), id="pixels"),
]


@pytest.mark.parametrize("connected", [False, True], ids=["", "pieces apart"])
@pytest.mark.parametrize(("truth", "grid"), SCENES)
def test_a_perfect_model_leaves_no_trace_of_tiles(
    truth: np.ndarray, grid: Grid, connected: bool
) -> None:
    """Dense, larger than a band, branching: bit for bit; also where a tile sees only pieces."""
    image = merged(tiles_of(truth, grid, seed=5, connected=connected))
    assert same_objects(truth, image)


def test_without_matching_the_same_scene_falls_apart() -> None:
    """Shows that the scenes above can fail."""
    truth, grid = big_discs((700, 700), 90, 1), square_grid((700, 700), 64, 16, 4)
    banked = tiles_of(truth, grid, seed=5)
    unlinked = resolve(grid, banked.tables, Edges.of([], banked.tables))
    found = score(truth, unlinked.compose(whole(grid), banked.read))
    assert found.ap < 0.1
    assert found.split > 10


def test_a_noisy_model_loses_next_to_nothing_by_tiling() -> None:
    """1 px of jitter and 30 % of the objects cut by a tile's outer border missing."""
    truth = dense_cells((900, 900), 14, 0)
    banked = tiles_of(truth, square_grid(truth.shape, 128, 32, 16), 7, jitter=1, drop=0.3)
    tiled = score(truth, merged(banked))
    untiled = score(truth, merged(tiles_of(truth, one_tile(truth.shape), 7, jitter=1)))
    assert tiled.ap >= untiled.ap - 0.005
    assert (tiled.merged, tiled.split) == (0, 0)


def test_noisy_fibres_neither_split_nor_merge() -> None:
    truth = fibres((900, 900), 2)
    image = merged(tiles_of(truth, square_grid(truth.shape, 192, 48, 8), 7, jitter=1))
    found = score(truth, image)
    assert (found.merged, found.split) == (0, 0)


# --- any order, any number ------------------------------


def noisy_scene() -> Banked:
    truth = dense_cells((300, 300), 10, 3)
    return tiles_of(truth, square_grid((300, 300), 48, 16, 4), 7, jitter=1.5, drop=0.3)


def test_the_order_in_which_tiles_are_matched_changes_nothing() -> None:
    banked = noisy_scene()
    found = list(pairs(banked.grid, banked.read, banked.tables))
    np.random.default_rng(1).shuffle(found)  # type: ignore[arg-type]
    other = resolve(banked.grid, banked.tables, Edges.of(found, banked.tables))
    one = link(banked.grid, banked.read, banked.tables)
    assert np.array_equal(one.ids, other.ids)
    assert np.array_equal(one.role, other.role)


@pytest.mark.parametrize("side", [37, 64, 299])
def test_an_image_composed_of_boxes_is_the_image_composed_at_once(side: int) -> None:
    banked = noisy_scene()
    resolved = link(banked.grid, banked.read, banked.tables)
    want = resolved.compose(whole(banked.grid), banked.read)
    for y in range(0, 300, side):
        for x in range(0, 300, side):
            box = ((y, min(y + side, 300)), (x, min(x + side, 300)))
            part = resolved.compose(box, banked.read)
            assert part.dtype == want.dtype == resolved.dtype
            assert np.array_equal(part, want[tuple(slice(*b) for b in box)])


def test_matching_reads_each_tile_about_twice_and_never_an_empty_one() -> None:
    truth = dense_cells((300, 300), 10, 3)
    truth[:100] = 0
    banked = tiles_of(truth, square_grid((300, 300), 48, 16, 4), 7)
    reads: Counter[int] = Counter()

    def read(tile: int) -> np.ndarray:
        reads[tile] += 1
        return banked.labels[tile]

    link(banked.grid, read, banked.tables)
    assert all(len(banked.tables[i]) for i in reads)
    assert max(reads.values()) <= 2


def test_a_tile_may_hold_more_than_65535_objects() -> None:
    truth = pixel_cells((520, 1000))
    grid = Grid((TileAxis(520), TileAxis(560, band=20)), truth.shape)
    banked = tiles_of(truth, grid, seed=1)
    assert len(banked.tables[0]) > 65_535
    assert banked.labels[0].dtype == np.uint32
    resolved = link(grid, banked.read, banked.tables)
    assert resolved.dtype == np.uint32
    assert same_objects(truth, resolved.compose(whole(grid), banked.read))


def test_a_million_objects_are_resolved_without_their_pixels() -> None:
    """Tables alone: 500 tiles in a row, each of 2,000 objects, the last one also in the next."""
    tables = [np.zeros((2000, BOX + 4), np.int64) for _ in range(500)]
    for table in tables:
        table[:, AREA], table[:, CORE] = 10, 10
    pair = (np.array([2000]), np.array([1]), np.array([0.9]))
    edges = Edges.of([(i, i + 1, pair) for i in range(499)], tables)
    grid = Grid((TileAxis(1), TileAxis(1)), (1, 500))
    resolved = resolve(grid, tables, edges)
    assert resolved.count == 1_000_000 - 499
    last = resolved.lut(499, *range(4))
    assert last[[1, 2, 2000]].tolist() == [499 * 2000 - 498, 499 * 2000 - 497, 1_000_000 - 499]
