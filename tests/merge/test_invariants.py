"""What the merge promises of tiles that are known, I1 to I5, I8 and I10, each by its number.

An object that several tiles saw is one, wherever they were cut. The scenes are `oracle`'s, whose
tiles are what a model would return. `test_invariants_banks` has what is promised of banks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import (
    BankReader,
    abutting,
    big_discs,
    dense_cells,
    fibres,
    linked,
    merged,
    one_tile,
    pixel_cells,
    same_objects,
    score,
    square_grid,
    tiles_of,
    whole,
)
from running import level0
from scipy import ndimage
from test_merge_components import tiled
from test_merge_components import whole as components_of

from tilewright.contract.grid import Grid, TileAxis
from tilewright.merge.match.blend import axis_weights
from tilewright.merge.match.labels import OWNER, Resolved
from tilewright.merge.measure.seam import SeamMeter
from tilewright.stores.ome_zarr import StoreWriter, label_dtype

Array = np.ndarray[Any, Any]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# --- I1: an exact model's objects are the whole image's -----------------


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
def test_i1_an_exact_model_gives_the_same_objects_tiled_and_untiled(
    scene: tuple[np.ndarray, Grid],
) -> None:
    image, grid = scene
    banked = BankReader(grid)
    for tile in grid:
        banked.add(tile, toy_model(image[tuple(slice(*w) for w in tile.window)]))
    assert same_objects(toy_model(image), merged(banked))


# --- I2: components are those of the whole array -----------------


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, Grid, int]:
    axes = draw(st.sampled_from([2, 2, 3]))
    most = 40 if axes == 2 else 14
    shape = tuple(draw(st.integers(1, most)) for _ in range(axes))
    sides = []
    for _ in range(axes):
        band, context = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        sides.append(TileAxis(2 * (band + context) + draw(st.integers(1, 12)), band, context))
    share = draw(st.floats(0.2, 0.9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = rng.integers(1, 3, shape) * (rng.random(shape) < share)
    return classes.astype(np.uint8), Grid(tuple(sides), shape), draw(st.integers(1, axes))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_i2_components_of_any_tiling_are_those_of_the_whole_array(
    case: tuple[Array, Grid, int],
) -> None:
    classes, grid, connectivity = case
    wanted = components_of(classes, connectivity)
    found, count = tiled(classes, grid, connectivity)
    assert count == wanted.max()
    assert same_objects(found, wanted)


# --- I3, I4: perfect tiles leave no trace -----------------


def without_a_trace(truth: Array, grid: Grid, connected: bool) -> bool:
    """Whether the tiles of a perfect model make the scene again; `connected`: they see pieces."""
    return same_objects(truth, merged(tiles_of(truth, grid, seed=5, connected=connected)))


PIECES = pytest.mark.parametrize("connected", [False, True], ids=["", "pieces apart"])
DENSE = [
    pytest.param(dense_cells((700, 600), 14, 0), square_grid((700, 600), 128, 32, 8), id="2d"),
    pytest.param(dense_cells((60, 80, 70), 8, 0), square_grid((60, 80, 70), 24, 16, 2), id="3d"),
    pytest.param(np.arange(1, 401).reshape(20, 20), square_grid((20, 20), 6, 2, 1), id="pixels"),
]


@PIECES
@pytest.mark.parametrize(("truth", "grid"), DENSE)
def test_i3_touching_cells_are_neither_split_nor_doubled_nor_merged(
    truth: Array, grid: Grid, connected: bool
) -> None:
    assert without_a_trace(truth, grid, connected)


def u_shape() -> Array:
    """(96, 96): two arms of 20 px along the left and right, joined at the bottom."""
    image = np.zeros((96, 96), int)
    image[4:92, 10:30] = image[4:92, 66:86] = image[72:92, 10:86] = 1
    return image


def abutting_on(seam: int) -> Array:
    """(96, 96): one object on each side of a vertical plane, both larger than a band."""
    image = np.zeros((96, 96), int)
    image[20:80, seam - 30 : seam], image[20:80, seam : seam + 30] = 1, 2
    return image


SMALL = square_grid((96, 96), core=24, band=8, context=2)
SEAM = SMALL.tile(1).core[1][1]
LARGE = [
    pytest.param(big_discs((700, 700), 90, 1), square_grid((700, 700), 64, 16, 4), id="discs"),
    pytest.param(fibres((700, 700), 2), square_grid((700, 700), 128, 32, 8), id="fibres"),
    pytest.param(fibres((700, 700), 2, gap=0), square_grid((700, 700), 128, 32, 8), id="bundle"),
    pytest.param(u_shape(), SMALL, id="U"),
    pytest.param(u_shape()[::-1].T.copy(), SMALL, id="U on its side"),
    pytest.param(np.ones((96, 96), int), SMALL, id="all over the image"),
    pytest.param(np.ones((40, 44, 36), int), square_grid((40, 44, 36), 10, 4, 1), id="volume"),
    pytest.param(np.zeros((96, 96), int), SMALL, id="nothing"),
    pytest.param(abutting_on(SEAM), SMALL, id="two on a seam"),
    pytest.param(abutting((96, 96), SMALL.tile(0).core[0][1], 24), SMALL, id="four on a corner"),
    pytest.param(u_shape(), one_tile((96, 96)), id="one tile"),
    pytest.param(u_shape(), Grid((TileAxis(500, 30, 9),) * 2, (96, 96)), id="tile over image"),
]


@PIECES
@pytest.mark.parametrize(("truth", "grid"), LARGE)
def test_i4_objects_larger_than_a_band_keep_one_id_and_neighbours_their_own(
    truth: Array, grid: Grid, connected: bool
) -> None:
    assert without_a_trace(truth, grid, connected)


# --- I5: a noisy model loses next to nothing by tiling -----------------

NOISY = [
    pytest.param(dense_cells((900, 900), 14, 0), (128, 32, 16), id="2d"),
    pytest.param(dense_cells((80, 120, 110), 9, 0), (40, 20, 6), id="3d"),
]


@pytest.mark.parametrize(("truth", "sides"), NOISY)
def test_i5_noise_costs_no_precision_merges_nothing_and_shows_no_seam(
    truth: Array, sides: tuple[int, int, int]
) -> None:
    """1 px of jitter, and 30 % of the objects cut by a tile's outer border missing."""
    grid = square_grid(truth.shape, *sides)
    image = merged(tiles_of(truth, grid, 7, jitter=1, drop=0.3))
    untiled = merged(tiles_of(truth, one_tile(truth.shape), 7, jitter=1))
    found = score(truth, image)
    assert found.ap >= score(truth, untiled).ap - 0.005
    assert (found.merged, found.split) == (0, 0)
    assert sbe(grid, image) <= 2 * sbe(grid, truth)


def sbe(grid: Grid, image: Array) -> float:
    """Seam boundary excess."""
    meter = SeamMeter(grid)
    meter.include(meter.count(whole(grid), image))
    value = meter.value()
    assert value is not None
    return value


# --- I8: many, and very great numbers -----------------


def test_i8_a_tile_may_hold_more_than_65535_objects() -> None:
    truth = pixel_cells((520, 1000))
    grid = Grid((TileAxis(520), TileAxis(560, band=20)), truth.shape)
    banked = tiles_of(truth, grid, seed=1)
    assert len(banked.tables[0]) > 65_535
    assert banked.labels[0].dtype == np.uint32
    resolved = linked(banked)
    assert resolved.dtype == np.uint32
    assert same_objects(truth, resolved.compose(whole(grid), banked.read))


@pytest.mark.parametrize("count", [2**31 + 5, 2**32 - 1, 2**32 + 7, 2**40])
def test_i8_numbers_above_2_to_the_31_are_painted_counted_and_written_whole(
    tmp_path: Path, count: int
) -> None:
    """Four tiles that each saw one object, as if `count` others had been numbered before."""
    grid = Grid((TileAxis(8), TileAxis(8)), (16, 16))
    ids = (count - np.arange(4)).astype(label_dtype(count))
    role = np.full(4, OWNER, np.uint8)
    resolved = Resolved(grid, np.arange(5), ids, role, count)
    painted = resolved.compose(whole(grid), lambda _: np.ones((8, 8), np.uint8))
    wanted = np.kron(ids.reshape(2, 2), np.ones((8, 8), ids.dtype))
    np.testing.assert_array_equal(painted, wanted)
    meter = SeamMeter(grid)
    meter.include(meter.count(whole(grid), painted))
    assert sum(seam.transitions for seam in meter.worst()) == 32
    with StoreWriter(tmp_path / "a.zarr") as store:
        pyramid = store.pyramid(
            "labels/a", (16, 16), label_dtype(count), axes="yx", method="nearest", levels=2
        )
        for box in pyramid.blocks():
            pyramid.write(box, painted[box].astype(label_dtype(count)))
        pyramid.build()
        store.finish({})
    np.testing.assert_array_equal(level0(tmp_path / "a.zarr", "labels/a"), wanted)
    coarse: Any = zarr.open_group(tmp_path / "a.zarr", mode="r")["labels/a/1"]
    np.testing.assert_array_equal(coarse[...], wanted[::2, ::2])


# --- I10: weights add to 1 -----------------


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """One to three axes, of any tiles."""
    axes = draw(st.integers(1, 3))
    sides = []
    for _ in range(axes):
        band, context = draw(st.integers(0, 12)), draw(st.integers(0, 5))
        sides.append(TileAxis(draw(st.integers(1, 60)) + 2 * (band + context), band, context))
    most = {1: 300, 2: 90, 3: 40}[axes]
    return Grid(tuple(sides), tuple(draw(st.integers(1, most)) for _ in range(axes)))


@settings(max_examples=100, deadline=None)
@given(grids())
def test_i10_weights_of_blended_tiles_add_to_1_in_every_pixel(grid: Grid) -> None:
    """At corners and the image's edges, too."""
    weights = [
        axis_weights([axis.valid(i, n) for i in range(axis.count(n))], n)
        for axis, n in zip(grid.axes, grid.shape, strict=True)
    ]
    total = np.zeros(grid.shape, np.float32)
    for tile in grid:
        share = np.float32(1)
        for along, position in zip(weights, tile.position, strict=True):
            assert along[position].dtype == np.float32
            assert ((along[position] > 0) & (along[position] <= 1)).all()
            share = np.multiply.outer(share, along[position])
        total[tuple(slice(a, b) for a, b in tile.valid)] += share
    np.testing.assert_allclose(total, 1, atol=1e-6)
