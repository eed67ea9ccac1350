"""The default model: what its file promises, and how its maps become objects."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from skimage.morphology import local_maxima, reconstruction

from tilewright.runtime import postprocess

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models/nuclei/nuclei.onnx"
SCRIPT = runpy.run_path(str(ROOT / "bin/run_onnx.py"))
RADIUS, CONTEXT, STRIDE = 47, 48, 8
SIZE, BAND = 256, 32
Array = NDArray[np.float32]


def discs(shape: tuple[int, ...], *circles: tuple[float, ...]) -> Array:
    """Maps (3, (D,) H, W) of discs or balls: a perfect network's answer.

    Given as (slice,) row, column, radius.
    """
    places = np.moveaxis(np.indices(shape), 0, -1)
    maps = np.zeros((3, *shape), np.float32)
    for *centre, radius in circles:
        depth = 1 - np.linalg.norm(places - centre, axis=-1) / radius
        maps[0] = np.maximum(maps[0], depth > 0)
        maps[2] = np.maximum(maps[2], depth)
    return maps


def cells(shape: tuple[int, int]) -> Array:
    """Bright blurred discs of 3 to 9 px on a noisy ground, (3, H, W), about 0 to 1."""
    rng = np.random.default_rng(1)
    rows, columns = np.indices(shape)
    image = rng.normal(0.05, 0.02, shape)
    for _ in range(shape[0] * shape[1] // 700):
        row, column, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 9)
        away = np.hypot(rows - row, columns - column) - radius
        image = np.maximum(image, rng.uniform(0.3, 1) / (1 + np.exp(away.clip(-30, 30))))
    return np.broadcast_to(image.astype(np.float32), (3, *shape)).copy()


def objects(maps: Array, **params: Any) -> NDArray[np.int32]:
    """Labels of one tile's maps."""
    return postprocess.to_labels(maps[None], {"postprocess": "watershed", **params})[0]


def windows(extent: int) -> list[tuple[slice, slice, slice]]:
    """Per tile: what it reads, its valid region in the image, and that region in the tile."""
    step, out = SIZE - 2 * (BAND + CONTEXT), []
    for start in range(0, max(extent - SIZE, 0) + step, step):
        end = min(start + SIZE, extent)
        low = start + CONTEXT * (start > 0)
        high = end - CONTEXT * (end < extent)
        out.append((slice(start, end), slice(low, high), slice(low - start, high - start)))
        if end == extent:
            break
    return out


@pytest.fixture(scope="module")
def network() -> Any:
    """The model as the pipeline opens it, giving maps."""
    return SCRIPT["load"](str(MODEL), "cpu", {"output_kind": "map"}, {"threads": 1})


@pytest.fixture(scope="module")
def image() -> Array:
    """A picture of 416 x 352 px, not a multiple of the tile."""
    return cells((416, 352))


@pytest.fixture(scope="module")
def whole(network: Any, image: Array) -> Array:
    """Maps of the picture in one piece."""
    return SCRIPT["predict"](network, image[None])[0]


def test_the_model_is_small_enough_to_come_along() -> None:
    assert MODEL.stat().st_size <= 3_000_000


def test_tiles_give_the_maps_of_the_whole_image_bit_for_bit(
    network: Any, image: Array, whole: Array
) -> None:
    for rows, valid_rows, inner_rows in windows(image.shape[1]):
        for columns, valid_columns, inner_columns in windows(image.shape[2]):
            tile = SCRIPT["predict"](network, image[None, :, rows, columns])[0]
            assert np.array_equal(
                tile[:, inner_rows, inner_columns], whole[:, valid_rows, valid_columns]
            )


def test_a_batch_gives_each_tile_what_it_gets_alone(network: Any, image: Array) -> None:
    tiles = np.stack([image[:, :128, :128], image[:, 64:192, 32:160]])
    alone = [SCRIPT["predict"](network, tile[None])[0] for tile in tiles]
    assert np.array_equal(SCRIPT["predict"](network, tiles), np.stack(alone))


def test_an_object_that_fits_in_a_tile_has_the_same_pixels_there(
    image: Array, whole: Array
) -> None:
    truth = objects(whole)
    for rows, _, _ in windows(image.shape[1]):
        labels = objects(np.ascontiguousarray(whole[:, rows]))
        threshold = postprocess.DEFAULTS["foreground_threshold"]
        pieces = label(whole[0, rows] > threshold)[0]
        cut = np.union1d(pieces[0], pieces[-1])
        inside = ~np.isin(pieces, cut) & (labels > 0)
        pairs = np.unique(np.stack([labels[inside], truth[rows][inside]]), axis=1)
        assert np.array_equal(labels[inside] > 0, truth[rows][inside] > 0)
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] > 0


def test_no_pixel_farther_than_the_stated_radius_matters(network: Any) -> None:
    rng = np.random.default_rng(0)
    for row, column in ((96, 96), (99, 101), (103, 103)):
        tile = rng.random((1, 3, 208, 208), np.float32)
        before = SCRIPT["predict"](network, tile)
        tile[..., row, column] = 1.9
        changed = np.argwhere((SCRIPT["predict"](network, tile) != before).any((0, 1)))
        assert 0 < np.abs(changed - (row, column)).max() <= RADIUS


def test_the_network_finds_the_bright_discs_it_is_shown(network: Any) -> None:
    picture = discs((96, 96), (30, 30, 9), (60, 64, 12))[:1]
    maps = SCRIPT["predict"](network, np.repeat(picture, 3, 0)[None])[0]
    assert objects(maps).max() == 2


def test_two_discs_that_touch_become_two_objects() -> None:
    labels = objects(discs((40, 60), (20, 20, 10), (20, 38, 10)))
    assert labels[20, 20] != labels[20, 38]
    assert set(np.unique(labels)) == {0, 1, 2}


def test_a_shallow_saddle_is_one_object_and_a_deep_one_two() -> None:
    near = discs((40, 60), (20, 20, 10), (20, 24, 10))
    assert objects(near, split_ratio=0.6).max() == 1
    assert objects(near, split_ratio=0.9).max() == 2


def test_a_hole_is_filled_but_a_lake_stays() -> None:
    maps = discs((80, 80), (40, 40, 30))
    maps[0, 38:42, 38:42] = 0
    assert objects(maps)[40, 40] > 0
    maps[0, 30:50, 30:50] = 0
    assert objects(maps)[40, 40] == 0


def test_volumes_become_objects_by_the_same_rules() -> None:
    """Two balls that touch, one of them hollow, and a speck."""
    maps = discs((24, 24, 44), (12, 12, 12, 9), (12, 12, 28, 9), (2, 2, 40, 1.5))
    maps[0, 11:14, 11:14, 11:14] = 0
    labels = objects(maps)
    assert labels[12, 12, 12] != labels[12, 12, 28]
    assert len(np.unique(labels)) == 3
    solid, hollow = (objects(maps, postprocess="components", max_hole=n) for n in (27, 26))
    assert solid[12, 12, 12] == solid[12, 12, 28] == hollow[12, 12, 28] > 0
    assert hollow[12, 12, 12] == solid[2, 2, 40] == 0
    assert objects(maps, postprocess="argmax").shape == maps.shape[1:]


def test_specks_are_removed() -> None:
    labels = objects(discs((40, 60), (20, 20, 10), (5, 50, 1.5)), min_area=20)
    assert labels[5, 50] == 0
    assert labels[20, 20] > 0


def test_an_empty_tile_has_no_objects() -> None:
    assert not objects(np.zeros((3, 16, 16), np.float32)).any()


def test_components_and_argmax_are_there_for_simpler_models() -> None:
    maps = discs((40, 60), (20, 20, 10), (20, 50, 5))
    assert objects(maps, postprocess="components").max() == 2
    assert objects(maps, postprocess="argmax")[20, 20] in (0, 2)


def test_an_unknown_postprocess_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"postprocess is 'flows'; it must be one of argmax, comp"):
        objects(np.zeros((3, 8, 8), np.float32), postprocess="flows")


def test_an_object_that_is_hardly_foreground_is_dropped() -> None:
    maps = discs((40, 80), (20, 20, 10), (20, 60, 10))
    maps[0, :, 40:] *= 0.5
    labels = objects(maps, min_certainty=0.6)
    assert labels[20, 20] > 0
    assert not labels[:, 40:].any()


@pytest.mark.parametrize("shape", [(60, 80), (14, 24, 28)])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [None, 6])
def test_peaks_are_those_that_reconstruction_leaves(
    seed: int, levels: int | None, shape: tuple[int, ...]
) -> None:
    """scikit-image raises the lowered heights pixel by pixel; with few `levels` peaks are equal."""
    rng = np.random.default_rng(seed)
    height = gaussian_filter(rng.random(shape), 2).astype(np.float32)
    height = (height - height.min()) / (height.max() - height.min())
    if levels:
        height = (np.floor(height * levels) / levels).astype(np.float32)
    height[height < 0.3] = 0
    ratio, least = np.float32(0.7), 0.5  # no saddle is just as high as a lowered peak
    square = np.ones((3,) * len(shape))
    raised = reconstruction(height * ratio, height, footprint=square)
    plateaus, _ = label(local_maxima(raised) & (raised > least * ratio), square)
    found = postprocess.peaks(height, ratio, least)
    mine = {frozenset(np.unique(plateaus[found == n]).tolist()) for n in np.unique(found)[1:]}
    assert len(mine) == len(np.unique(found)) - 1 == plateaus.max()
    assert mine == {frozenset({n}) for n in range(1, plateaus.max() + 1)}


def test_objects_over_the_largest_area_are_dropped_and_0_keeps_all() -> None:
    maps = discs((60, 120), (30, 30, 20), (30, 90, 8))
    assert objects(maps, max_area=0).max() == 2
    kept = objects(maps, max_area=400)
    assert (kept[30, 30], kept[30, 90] > 0) == (0, True)
