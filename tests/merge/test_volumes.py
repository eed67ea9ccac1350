"""3D models: volumes cut along z too, from the file to the store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from inprocess import written
from pictures import flat_balls, write_ome_zarr
from running import are_the_same_objects, level0
from scipy import ndimage
from skimage.measure import regionprops
from test_merge_policies import merged
from toy import start_with

import tilewright
from tilewright.contract.blocks import Resolution
from tilewright.contract.grid import grid
from tilewright.contract.jobs import ImageRef, Job, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import USAGE, TilewrightError
from tilewright.merge.measure import picture
from tilewright.merge.measure.seam import Seam
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.plan.plan import linked
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.scan import copy_tiled
from tilewright.registry.checks.run import check_spec
from tilewright.tile_results.bank import Bank, tile_name
from tilewright.validate import samples

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


def banked(folder: Path, ref: ImageRef, spec: ModelSpec, gives: str) -> Bank:
    """What one job banks of all the image's tiles."""
    check_spec(spec)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    part = Job("group", 0, (ref,), ((ref.key, 0, total),))
    start = start_with(spec, "scripts/run_patches.py", gives=gives)
    run_job(part, Recipe.trial(spec), folder / "bank", start=start, weights="")
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
        "from tilewright.runtime.serve import serve\n"
        f"def predict(model, tiles): return (tiles.transpose([0] + [1 + i for i in {order}])"
        "[:, 0] > 0).astype('uint8')\n"
        "serve(lambda *_: None, predict)\n"
    )
    part = Job("group", 0, (ref,), ((ref.key, 0, 1),))
    recipe = Recipe.trial(spec)
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
    pytest.param({"tiles": UM}, "unit um"),
    pytest.param(
        {"stain_normalization": "macenko", "num_channels": 3, "color_space": "RGB"},
        "stains are of pictures, and its tiles are volumes",
    ),
    pytest.param(
        {"kind": "embedding", "output_type": "dense"}, "output_type dense is of a picture's patches"
    ),
    pytest.param({"resize": {"shortest_edge": 20}}, "pixels of a map would lie elsewhere"),
]


@pytest.mark.parametrize(("changed", "says"), BAD)
def test_what_tiles_with_slices_cannot_have_is_refused_by_name(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(TilewrightError, match=f"volumes: .*{says}") as error:
        check_spec(model(**changed))
    assert error.value.code == USAGE


def test_a_volumes_slices_are_not_linked_and_its_voxels_have_26_neighbours_at_most() -> None:
    with pytest.raises(TilewrightError, match=r"link_z iou: .* `iou` is for objects of a 2D model"):
        linked(model(), "iou")
    check_spec(model(merge={"policy": "components", "connectivity": 3}))
    with pytest.raises(TilewrightError, match=r"connectivity is 4.* from 1 to 3"):
        check_spec(model(merge={"policy": "components", "connectivity": 4}))


def test_a_map_that_is_coarser_along_some_axes_only_is_refused(tmp_path: Path) -> None:
    bank = banked(tmp_path, written(tmp_path, flat_balls((7, 30, 33)), "ZYX"), model("map"), "flat")
    (why,) = bank.header["failures"].values()
    assert "predict gave (1, 1, 12, 24, 20) float32 for 1 tile of 1 x 12 x 48 x 40" in why
    assert "wants (1, any, 12, 48, 40)" in why
    assert "slices, rows and columns may be fewer by one whole factor" in why


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


def test_every_time_point_has_its_own_volume_table_and_numbers(tmp_path: Path) -> None:
    """T and Z, two channels, pixels of 0.5 x 0.25 µm and slices 2 µm apart."""
    balls = np.stack([flat_balls((21, 70, 61), seed) for seed in (1, 2)])
    pixels = np.stack([balls // 2, balls], axis=1).astype(np.uint16)
    ref = written(tmp_path, pixels, "TCZYX", mpp=(0.5, 0.25), z_um=2.0, channels=(1,))
    ref = dataclasses.replace(ref, channel_names=("half", "cells"))
    store = merged(tmp_path, ref, model(), "pieces")

    found = level0(store, "labels/everything")
    for labels, one in zip(found, balls, strict=True):
        assert are_the_same_objects(labels, labelled(one))
    assert not set(np.unique(found[0])) & set(np.unique(found[1])) - {0}
    np.testing.assert_array_equal(level0(store), pixels)
    rows = anndata.read_zarr(store / "tables" / "everything")
    props = [p for one in found for p in regionprops(one)]
    assert rows.obs["id"].tolist() == [p.label for p in sorted(props, key=lambda p: p.label)]
    props.sort(key=lambda p: p.label)
    assert rows.obs["volume_px"].tolist() == [p.area for p in props]
    np.testing.assert_allclose(rows.obs["volume_um3"], rows.obs["volume_px"] * 0.25)
    expected = np.array([p.centroid for p in props])
    np.testing.assert_allclose(rows.obsm["spatial"], expected[:, ::-1])
    np.testing.assert_allclose(rows.obs["centroid_z_um"], 2 * expected[:, 0])
    for i, name in enumerate(("bbox_z0", "bbox_y0_px", "bbox_x0_px", "bbox_z1")):
        assert rows.obs[name].tolist() == [p.bbox[i] for p in props], name
    assert rows.obs["t"].tolist() == [0] * found[0].max() + [1] * (found.max() - found[0].max())
    assert list(rows.var_names) == ["mean_half", "mean_cells"]
    ids = rows.obs["id"].to_numpy()
    means = ndimage.mean(balls, found, ids)
    np.testing.assert_allclose(rows.X[:, 1], means, rtol=1e-6)
    said = zarr.open_group(store / "labels" / "everything", mode="r").attrs["ome"]
    (scales,) = said["multiscales"]
    assert [a["name"] for a in scales["axes"]] == ["t", "z", "y", "x"]
    assert [a.get("unit") for a in scales["axes"]] == [None, *["micrometer"] * 3]
    transforms = scales["datasets"][0]["coordinateTransformations"]
    assert transforms[0] == {"type": "scale", "scale": [1.0, 2.0, 0.5, 0.25]}


@pytest.mark.parametrize("connectivity", [1, 3])
def test_components_are_those_of_the_whole_volume(tmp_path: Path, connectivity: int) -> None:
    """Four classes at random: pieces of every size, over all tiles."""
    small = np.random.default_rng(3).integers(0, 100, (7, 24, 21))
    pixels = small.repeat(3, 0).repeat(3, 1).repeat(3, 2).astype(np.uint8)
    spec = model(merge={"policy": "components", "connectivity": connectivity})
    store = merged(tmp_path, written(tmp_path, pixels, "ZYX"), spec, "classes")
    found, classes = level0(store, "labels/everything"), pixels // 25
    for number in (1, 2, 3):
        wanted = labelled(classes == number, connectivity)
        assert are_the_same_objects(np.where(classes == number, found, 0), wanted)


def test_classes_of_a_volume_are_kept_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 100, (15, 60, 45)).astype(np.uint8)
    spec = model(merge={"policy": "keep"})
    store = merged(tmp_path, written(tmp_path, pixels, "ZYX"), spec, "classes")
    np.testing.assert_array_equal(level0(store, "labels/everything"), pixels // 25)


@pytest.mark.parametrize("policy", ["core", "blend"])
def test_maps_of_tiles_that_agree_are_the_volume(tmp_path: Path, policy: str) -> None:
    pixels = np.random.default_rng(5).integers(0, 100, (2, 21, 60, 45)).astype(np.uint8)
    spec = model("map", merge={"policy": policy}, classes=("one", "two"))
    store = merged(tmp_path, written(tmp_path, pixels, "TZYX"), spec, "pixels")
    found = level0(store, "maps/everything")
    for channel, wanted in enumerate((pixels, 2 * pixels.astype(float))):
        np.testing.assert_allclose(found[:, channel], wanted, rtol=1e-3 * (policy == "blend"))


def test_a_coarser_map_of_a_volume_lies_on_the_volume(tmp_path: Path) -> None:
    """A map's pixel is 2 x 2 x 2 of the volume's; a tile begins and ends between two of them."""
    pixels = np.random.default_rng(8).integers(0, 100, (21, 60, 45)).astype(np.uint8)
    band, context = {"z": 3, "y": 12, "x": 10}, {"z": 1, "y": 2, "x": 2}
    tiles = dataclasses.replace(TILES, band=band, context=context)
    ref = written(tmp_path, pixels, "ZYX", mpp=(0.5, 0.25), z_um=2.0)
    store = merged(tmp_path, ref, model("map", tiles, merge={"policy": "core"}), "half")
    np.testing.assert_array_equal(level0(store, "maps/everything")[0], pixels[::2, ::2, ::2])
    about: Any = zarr.open_group(store / "maps" / "everything", mode="r").attrs["ome"]
    scale, centre = about["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"][-3:] == [4.0, 1.0, 0.5]
    assert centre["translation"][-3:] == [1.0, 0.25, 0.125]


def test_a_mask_leaves_nothing_outside_it_in_any_slice(tmp_path: Path) -> None:
    mask = np.zeros((70, 61), np.uint8)
    mask[10:50, 5:40] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    pixels = flat_balls((21, 70, 61))
    ref = written(tmp_path, pixels, "ZYX", mask=(str(tmp_path / "mask.tif"), ""))
    store = merged(tmp_path, ref, model(merge={"policy": "components"}), "pieces")
    assert np.array_equal(level0(store, "labels/everything") > 0, pixels * mask > 0)


# Pictures --------------------------------------------------------------------------------------


def test_a_seam_between_slices_is_shown_from_the_side_before_and_after(tmp_path: Path) -> None:
    """At z = 8 two objects meet, in rows 10 to 20, and a third one crosses."""
    pixels = np.zeros((16, 48, 40), np.uint8)
    pixels[:8, 10:21, 5:15], pixels[8:, 10:21, 5:15] = 50, 90
    pixels[5:11, 10:21, 20:30] = 120
    ref = written(tmp_path, pixels, "ZYX", mpp=(0.5, 0.5), z_um=2.0)
    merged(tmp_path, ref, model(), "values")
    shown = tmp_path / "out" / ".shown"
    (facts,) = json.loads((shown / "merged.json").read_text())["images"]
    assert facts["seam_at"] == {"axes": "zx", "tall": 4, "y": 10, "meet": 110}
    assert facts["volume_px"] == np.percentile([880, 880, 660], [5, 50, 95]).tolist()
    before, after = (
        (imagecodecs.png_decode((shown / facts[role]).read_bytes()) == picture.OUTLINE).all(-1)
        for role in ("seam_before", "seam")
    )
    assert before.shape == after.shape == (16 * 4 * 3, 40 * 3)
    row, met, crossed = 8 * 4 * 3, slice(7 * 3, 13 * 3), slice(22 * 3, 28 * 3)
    assert before[row, met].all()
    assert after[row, met].all()
    assert before[row, crossed].all()
    assert not after[row, crossed].any()


def test_where_no_objects_meet_a_seam_that_one_crosses_is_shown(tmp_path: Path) -> None:
    """In a plane: tiles meet at row 35 and at columns 20 and 24."""
    pixels = np.zeros((70, 43), np.uint8)
    pixels[30:41, 5:11] = 120
    two = TileSpec({"y": 48, "x": 40}, band={"y": 11, "x": 11}, context={"y": 2, "x": 2})
    flat = ModelSpec("flat", "1", dataclasses.replace(two, pad="edge"))
    merged(tmp_path, written(tmp_path, pixels), flat, "pieces")
    shown = tmp_path / "out" / ".shown"
    (facts,) = json.loads((shown / "merged.json").read_text())["images"]
    assert facts["seam_at"] == {"axes": "yx", "tall": 1, "meet": 0}
    before, after = (
        (imagecodecs.png_decode((shown / facts[role]).read_bytes()) == picture.OUTLINE).all(-1)
        for role in ("seam_before", "seam")
    )
    assert before[35 * 3, 6 * 3 : 10 * 3].all()
    assert not after[35 * 3, 6 * 3 : 10 * 3].any()


@pytest.mark.parametrize(("axis", "where"), [(1, {"axes": "yx", "z": 6}), (0, {"y": 40})])
def test_a_seam_is_shown_where_most_objects_meet(axis: int, where: dict[str, Any]) -> None:
    """Objects meet everywhere at slice 6 or row 40, on the whole border between tiles."""
    made = grid(TILES, (21, 70, 61))
    corner = made.tile(0).core
    labels = np.zeros(made.shape, np.uint8)
    for side in (slice(None, corner[axis][1]), slice(corner[axis][1], None)):
        at: list[Any] = [slice(None)] * 3
        at[axis], at[1 - axis] = side, 6 if axis == 1 else 40
        labels[tuple(at)] = labels.max() + 1
    merged: Any = SimpleNamespace(
        grid=made, labels=lambda _, box: labels[tuple(slice(*pair) for pair in box)]
    )
    box = list(made.tile(0).core if axis else made.tile(made.index((0, 1, 0))).core)
    box[axis] = (corner[axis][1] - 1, corner[axis][1] + 1)
    found = picture.seam_section(merged, Seam(axis, tuple(box), 9, 0.0), steep=20.0).where
    assert {**found, **where} == found
    assert found["tall"] == (1 if axis else picture.TALLEST)


def test_a_seam_that_objects_only_cross_is_shown_where_they_do() -> None:
    """One object lies across columns 24 and 25, in slice 5 and rows 30 to 33 of time point 2."""
    made = grid(TILES, (21, 70, 61))
    labels = np.zeros((3, *made.shape), np.uint8)
    labels[2, 5, 30:33, 20:30] = 1
    merged: Any = SimpleNamespace(
        grid=made, labels=lambda t, box: labels[t][tuple(slice(*pair) for pair in box)]
    )
    seam = Seam(2, ((0, 8), (0, 70), (24, 26)), 0, 0.0, crossed=3, plane=2)
    found = picture.seam_section(merged, seam)
    assert (found.plane, found.where) == (2, {"axes": "yx", "tall": 1, "z": 5})


@pytest.mark.parametrize("axis", [0, 1])
def test_a_long_seam_is_shown_around_where_objects_meet(axis: int) -> None:
    """Of 2,000 px, at 1,700 to 1,720; and one pixel elsewhere."""
    made = grid(TileSpec({"y": 2048, "x": 2048}), (3000, 3000))
    labels = np.zeros(made.shape, np.uint8)
    for side, number in ((slice(900, 1000), 1), (slice(1000, 1100), 2)):
        for at in (slice(1700, 1721), slice(100, 101)):
            labels[(side, at) if axis == 0 else (at, side)] = number
    merged: Any = SimpleNamespace(
        grid=made, labels=lambda _, box: labels[tuple(slice(*pair) for pair in box)]
    )
    along, across = (0, 2000), (999, 1001)
    seam = Seam(axis, (across, along) if axis == 0 else (along, across), 21, 0.0)
    box = picture.seam_section(merged, seam).box
    assert box[1 - axis] == (1710 - picture.NEAR // 2, 1710 + picture.NEAR // 2)
    assert box[axis] == (1000 - picture.NEAR // 2, 1000 + picture.NEAR // 2)


# Embeddings ------------------------------------------------------------------------------------


def test_a_row_of_embeddings_says_which_slices_its_tile_has(tmp_path: Path) -> None:
    pixels = np.random.default_rng(6).integers(0, 100, (14, 70, 61)).astype(np.uint8)
    tiles = TileSpec({"z": 6, "y": 48, "x": 40}, pad="zero")
    spec = model("embedding", tiles, output_type="cls")
    ref = written(tmp_path, pixels, "ZYX", mpp=(0.5, 0.25), z_um=2.0)
    table = anndata.read_zarr(merged(tmp_path, ref, spec, "total") / "tables" / "everything")
    assert table.n_obs == 3 * 2 * 2
    rows = table.obs
    for i in range(table.n_obs):
        row = rows.iloc[i]
        box = [(row["z"], row["depth"]), (row["y_px"], row["height_px"])]
        z, y, x = (slice(int(a), int(a + n)) for a, n in [*box, (row["x_px"], row["width_px"])])
        assert table.X[i, 0] == pixels[z, y, x].sum()
        centre = [(s.start + s.stop - 1) / 2 for s in (x, y, z)]
        assert table.obsm["spatial"][i].tolist() == centre
    assert sorted(set(rows["z"])) == [0, 6, 12]
    assert sorted(set(rows["depth"])) == [2, 6]
    np.testing.assert_array_equal(rows["z_um"], 2 * rows["z"])
    np.testing.assert_array_equal(rows["depth_um"], 2 * rows["depth"])
    assert "slices in the tile" in " ".join(table.uns["columns"])


# What else reads tiles --------------------------------------------------------------------------


def test_your_own_loop_gets_volumes_and_their_slices(tmp_path: Path) -> None:
    pixels = flat_balls((14, 30, 33))
    written(tmp_path, pixels, "ZYX")
    tiles = TileSpec({"z": 6, "y": 48, "x": 40}, variable_input=True)
    found = tilewright.tiles(tmp_path / "a.tif", tiles, axes="ZYX")
    assert [tile.slices for tile in found] == [(0, 6), (6, 12), (12, 14)]
    for tile in found:
        assert tile.slices is not None
        np.testing.assert_array_equal(tile.pixels[0], pixels[slice(*tile.slices)])
        assert (tile.origin, tile.extent) == ((0, 0), (30, 33))


def test_a_tiled_copy_of_a_volume_gives_the_same_tiles(tmp_path: Path) -> None:
    """What SCAN makes of a file that reading by tile would decode many times over."""
    pixels = np.stack([flat_balls((21, 70, 61), seed) for seed in (1, 2)])
    ref = written(tmp_path, pixels, "TZYX")
    copy_tiled(ref, tmp_path / "copy.zarr")
    copied = dataclasses.replace(ref, copy=str(tmp_path / "copy.zarr"))
    with TileReader(ref, model()) as one, TileReader(copied, model()) as other:
        for plane in range(2):
            for tile in one.grid:
                np.testing.assert_array_equal(
                    one.read(plane, tile.window), other.read(plane, tile.window)
                )


@pytest.mark.parametrize("scope", ["image", "tile"])
def test_values_are_scaled_over_all_slices_of_a_time_point_or_of_a_tile(
    tmp_path: Path, scope: str
) -> None:
    pixels = np.random.default_rng(7).integers(0, 200, (2, 14, 30, 33)).astype(np.uint8)
    pixels[1] //= 2
    spec = model(normalization={"method": "zscore", "scope": scope})
    with TileReader(written(tmp_path, pixels, "TZYX"), spec) as reader:
        for plane, volume in enumerate(pixels.astype(float)):
            for tile in reader.grid:
                box = tuple(slice(*pair) for pair in tile.window)
                over = volume if scope == "image" else volume[box]
                wanted = (volume[box] - over.mean()) / over.std()
                seen = tuple(slice(n) for n in wanted.shape)
                found = reader.read(plane, tile.window)[0]
                np.testing.assert_allclose(found[seen], wanted, atol=1e-4)


@pytest.mark.parametrize("colour", [False, True])
def test_a_model_of_volumes_is_tried_on_a_volume(tmp_path: Path, colour: bool) -> None:
    """Level 7 of `validate`: its axes are in the file."""
    more: dict[str, Any] = {"color_space": "RGB", "num_channels": 3} if colour else {}
    path = samples.for_a_run(model(**more), tmp_path)
    planned = plan_image(Row(path, "a"), Params(input="."), model(**more))
    assert planned.grid.shape == (12, 256, 256)
    assert planned.ref.axes == ("ZYXC" if colour else "ZYX")
    written_at = path.stat().st_mtime_ns
    assert samples.for_a_run(model(**more), tmp_path).stat().st_mtime_ns == written_at


def test_blocks_of_the_store_show_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 8 x 32 x 32 in place of 32 x 512 x 512: many blocks, and levels that halve z."""
    pixels = flat_balls((37, 75, 68))
    ref = written(tmp_path, pixels, "ZYX", mpp=(0.5, 0.5), z_um=0.5)
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    one = merged(tmp_path / "one", ref, model(), "pieces")
    monkeypatch.setattr("tilewright.stores.pyramid.DEEP_SHARD", {"z": 8, "y": 32, "x": 32})
    monkeypatch.setattr("tilewright.stores.pyramid.DEEP_CHUNK", {"z": 4, "y": 16, "x": 16})
    monkeypatch.setattr("tilewright.stores.pyramid.DEEP_COARSEST", 1000)
    many = merged(tmp_path / "many", ref, model(), "pieces")
    found = level0(many, "labels/everything")
    assert are_the_same_objects(found, labelled(pixels))
    np.testing.assert_array_equal(found, level0(one, "labels/everything"))
    np.testing.assert_array_equal(level0(many), pixels)
    tables = [anndata.read_zarr(store / "tables" / "everything") for store in (one, many)]
    assert tables[0].obs.equals(tables[1].obs)
    np.testing.assert_array_equal(tables[0].X, tables[1].X)
    levels = zarr.open_group(many / "labels" / "everything", mode="r")
    shapes = [levels[str(k)].shape for k in range(4)]  # type: ignore[union-attr]
    assert shapes == [(37, 75, 68), (19, 38, 34), (10, 19, 17), (5, 10, 9)]
    np.testing.assert_array_equal(levels["2"][...], found[::4, ::4, ::4])  # type: ignore[index]
