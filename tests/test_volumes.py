"""3D models: volumes cut along z too, from the file to the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import write_ome_zarr
from running import are_the_same_objects, level0
from scipy import ndimage
from test_merge_policies import merged, written
from toy import start_with

from tilewright.bank import Bank, tile_name
from tilewright.errors import USAGE, TilewrightError
from tilewright.fit import plan_image
from tilewright.inputs import Row
from tilewright.jobs import ImageRef, Job, Recipe
from tilewright.params import Params
from tilewright.plan import check_mergeable, linked
from tilewright.preprocess import TileReader
from tilewright.spec import ModelSpec, Resolution, TileSpec
from tilewright.worker import run_job

Array = np.ndarray[Any, Any]
TILES = TileSpec(
    {"z": 12, "y": 48, "x": 40},
    band={"z": 3, "y": 11, "x": 11},
    context={"z": 1, "y": 2, "x": 2},
    pad="edge",
)


def model(kind: str = "labels", tiles: TileSpec = TILES, **more: Any) -> ModelSpec:
    """A model of volumes."""
    fields = {"axes": "CZYX", "output_kind": kind, "batch_size": 2, **more}
    return ModelSpec("volumes", "1", tiles, **fields)


def flat_balls(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Balls that touch nothing, one on each box of 4 x 16 x 16: 3 slices, up to 11 px across.

    Uint8: each has a brightness of its own, 1 to 100; what is between them is 0.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.uint8)
    z, y, x = np.indices((3, 15, 15)) - np.array([1, 7, 7]).reshape(3, 1, 1, 1)
    for place in np.ndindex(*(-(-n // side) for n, side in zip(shape, (4, 16, 16), strict=True))):
        radius, (dy, dx) = rng.integers(2, 6), rng.integers(-2, 3, 2)
        ball = np.hypot(np.hypot(y - dy, x - dx), z * radius / 1.5) <= radius
        corner = np.multiply(place, (4, 16, 16))
        there = image[tuple(slice(c, c + n) for c, n in zip(corner, ball.shape, strict=True))]
        there[ball[tuple(map(slice, there.shape))]] = rng.integers(1, 101)
    return image


def banked(folder: Path, ref: ImageRef, spec: ModelSpec, gives: str) -> Bank:
    """What one job banks of all the image's tiles."""
    check_mergeable(spec)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    part = Job("group", 0, (ref,), ((ref.key, 0, total),))
    start = start_with(spec, "scripts/run_patches.py", gives=gives)
    run_job(part, Recipe({}, spec, {}, None, {}, {}, {}), folder / "bank", start=start, weights="")
    return Bank(folder / "bank")


# What is banked --------------------------------------------------------------------------------


def test_a_bank_holds_what_the_model_finds_in_each_tiles_valid_region(tmp_path: Path) -> None:
    pixels = flat_balls((21, 70, 61))
    ref = written(tmp_path, pixels, "ZYX")
    bank = banked(tmp_path, ref, model(), "pieces")
    with TileReader(ref, model()) as reader:
        assert reader.grid.counts == (4, 2, 3)
        for tile in reader.grid:
            valid = tuple(slice(*pair) for pair in tile.valid)
            found = bank.get(tile_name("i000", 0, tile.index, "labels"))
            np.testing.assert_array_equal(found > 0, pixels[valid] > 0)
            assert bank.get(tile_name("i000", 0, tile.index, "objects")).shape == (found.max(), 9)


@pytest.mark.parametrize("axes", ["ZYX", "YCXZ"])
def test_the_model_gets_its_axes_in_its_own_order_and_answers_in_zyx(
    tmp_path: Path, axes: str
) -> None:
    """A volume thinner than a tile is filled up along z, and cut again."""
    pixels = flat_balls((7, 30, 33))
    ref = written(tmp_path, pixels, "ZYX")
    spec = model(axes=axes)
    script = tmp_path / "run_axes.py"
    order = [("C" + axes if "C" not in axes else axes).index(a) for a in "CZYX"]
    script.write_text(
        "from tilewright.serve import serve\n"
        f"def predict(model, tiles): return (tiles.transpose([0] + [1 + i for i in {order}])"
        "[:, 0] > 0).astype('uint8')\n"
        "serve(lambda *_: None, predict)\n"
    )
    part = Job("group", 0, (ref,), ((ref.key, 0, 1),))
    recipe = Recipe({}, spec, {}, None, {}, {}, {})
    run_job(part, recipe, tmp_path / "bank", start=start_with(spec, str(script)), weights="")
    found = Bank(tmp_path / "bank").get(tile_name("i000", 0, 0, "labels"))
    np.testing.assert_array_equal(found > 0, pixels > 0)


def test_a_mask_holds_for_every_slice(tmp_path: Path) -> None:
    mask = np.zeros((70, 61), np.uint8)
    mask[:30, :25] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    pixels = flat_balls((21, 70, 61))
    ref = written(tmp_path, pixels, "ZYX", mask=(str(tmp_path / "mask.tif"), ""))
    for kind, gives, what in (("labels", "pieces", "labels"), ("map", "pixels", "map")):
        bank = banked(tmp_path, ref, model(kind), gives)
        with TileReader(ref, model(kind)) as reader:
            tiles = list(reader.grid)
        outside = [t.index for t in tiles if t.position[2] > 1]
        assert bank.header["skipped"] == {"i000": outside}
        for tile in tiles:
            if tile.index not in outside:
                found = bank.get(tile_name("i000", 0, tile.index, what))
                valid = tuple(slice(*pair) for pair in tile.valid)
                inside = (pixels * mask)[valid] > 0
                np.testing.assert_array_equal((found if kind == "labels" else found[0]) > 0, inside)


# Refused ---------------------------------------------------------------------------------------

UM = dataclasses.replace(TILES, unit="um")
BAD = [
    pytest.param({"tiles": UM}, "slices, which aren't resampled, so tile_spec can't be in um"),
    pytest.param(
        {"stain_normalization": "macenko", "num_channels": 3, "color_space": "RGB"},
        "stain_normalization is for pictures of stained tissue",
    ),
    pytest.param(
        {"kind": "embedding", "output_type": "dense"}, "a dense embedding is of a picture's patches"
    ),
    pytest.param({"resize": {"shortest_edge": 20}}, "resize and crop are for one vector a tile"),
]


@pytest.mark.parametrize(("changed", "says"), BAD)
def test_what_tiles_with_slices_cannot_have_is_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(TilewrightError, match=f"volumes: .*{says}") as error:
        TileReader(written(tmp_path, flat_balls((7, 30, 33)), "ZYX"), model(**changed))
    assert error.value.code == USAGE


def test_a_volumes_slices_are_not_linked_and_its_voxels_have_26_neighbours_at_most() -> None:
    with pytest.raises(TilewrightError, match=r"link_z iou: .* `iou` is for objects of a 2D model"):
        linked(model(), "iou")
    check_mergeable(model(merge={"policy": "components", "connectivity": 3}))
    with pytest.raises(TilewrightError, match=r"connectivity 4, which .* from 1 to 3"):
        check_mergeable(model(merge={"policy": "components", "connectivity": 4}))


def test_a_volumes_map_is_as_large_as_its_tile(tmp_path: Path) -> None:
    """A strided one would lie between slices."""
    bank = banked(tmp_path, written(tmp_path, flat_balls((7, 30, 33)), "ZYX"), model("map"), "half")
    (why,) = bank.header["failures"].values()
    assert "predict gave (1, 1, 6, 24, 20) float32 for 1 tile of 1 x 12 x 48 x 40" in why
    assert "wants (1, any, 12, 48, 40) of finite floats." in why


def deep_pyramid(folder: Path) -> Path:
    """Level 1 has half the slices, rows and columns of level 0, whose pixels are 0.5 µm."""
    pixels = flat_balls((8, 64, 64))
    write_ome_zarr(folder / "a.ome.zarr", [pixels, pixels[::2, ::2, ::2]], "ZYX")
    return folder / "a.ome.zarr"


def test_a_level_that_has_fewer_slices_is_not_read(tmp_path: Path) -> None:
    row, params = Row(deep_pyramid(tmp_path), "a"), Params(input=".")
    coarse = dataclasses.replace(TILES, resolution=Resolution(mpp=1.0))
    ref = plan_image(row, params, model(tiles=coarse)).ref
    assert (ref.level, ref.factor, ref.z_um) == (0, (0.5, 0.5), 2.0)
    first = dataclasses.replace(TILES, resolution=Resolution(level=1))
    with pytest.raises(TilewrightError, match="its level 1, which volumes reads, has fewer slices"):
        plan_image(row, params, model(tiles=first))


def test_a_model_of_volumes_wants_an_image_with_slices(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 33), np.uint8))
    with pytest.raises(TilewrightError, match="has axes YX, and volumes takes volumes"):
        plan_image(Row(tmp_path / "a.tif", "a"), Params(input="."), model())


# Merged ----------------------------------------------------------------------------------------

SHAPES = [(21, 70, 61), (5, 33, 29), (13, 48, 95)]
"""Several tiles along each axis, one that a tile holds, and one just longer than a tile."""


def labelled(pixels: Array, connectivity: int = 1) -> Array:
    """The untiled answer."""
    near = ndimage.generate_binary_structure(3, connectivity)
    return np.asarray(ndimage.label(pixels, near)[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_objects_that_fit_in_a_band_are_those_of_the_whole_volume(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    pixels = flat_balls(shape)
    store = merged(tmp_path, written(tmp_path, pixels, "ZYX"), model(), "pieces")
    assert are_the_same_objects(level0(store, "labels/everything"), labelled(pixels))
