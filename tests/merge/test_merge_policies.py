"""Policies of MERGE beside `match`, from predicted tiles to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from inprocess import written
from running import are_the_same_objects, level0
from test_merge_components import whole
from test_merge_slices import balls
from toy import start_with

from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.merge.write.stores import merge_group
from tilewright.plan.plan import linked
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.registry.checks.run import check_spec

Array = np.ndarray[Any, Any]
TILES = TileSpec({"y": 48, "x": 40}, band={"y": 6, "x": 4}, context={"y": 3, "x": 2}, pad="edge")


def spec(kind: str, tiles: TileSpec = TILES, **merge: Any) -> ModelSpec:
    return ModelSpec("policy", "1", tiles, output_kind=kind, merge=merge, batch_size=4)  # type: ignore[arg-type]


def merged(folder: Path, ref: ImageRef, spec: ModelSpec, gives: str, min_iou: float = 0.25) -> Path:
    """The store of an image that was predicted by two jobs, its banks in any order."""
    check_spec(spec)
    recipe = Recipe.trial(spec)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    banks = []
    for number, (start, stop) in enumerate([(0, total // 2), (total // 2, total)]):
        banks.append(folder / f"{number}.bank")
        part = Job("group", number, (ref,), ((ref.key, start, stop),))
        model = start_with(spec, "scripts/run_patches.py", gives=gives)
        run_job(part, recipe, banks[-1], start=model, weights="w")
    merge = MergeOptions.of(spec, min_iou)
    group = Group("group", 2, merge, "p.zarr", "everything")
    merge_group(group, recipe, banks[::-1], folder / "out", folder / "out" / ".shown")
    return folder / "out" / "a" / "p.zarr"


def patches(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Grey values 0 to 99 in squares of 5 px, so that classes hang together."""
    small = np.random.default_rng(seed).integers(0, 100, [-(-n // 5) for n in shape])
    return np.kron(small, np.ones((5, 5), int))[: shape[0], : shape[1]].astype(np.uint8)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_components_are_those_of_the_whole_image(tmp_path: Path, connectivity: int) -> None:
    pixels = patches((130, 97))
    made = spec("labels", policy="components", connectivity=connectivity)
    store = merged(tmp_path, written(tmp_path, pixels), made, "classes")
    found, wanted = level0(store, "labels/everything"), whole(pixels // 25, connectivity)
    assert are_the_same_objects(found, wanted)
    table = anndata.read_zarr(store / "tables" / "everything")
    assert table.n_obs == wanted.max() == found.max()
    assert table.obs["area_px"].to_numpy().sum() == (wanted > 0).sum()


def test_classes_are_kept_as_they_are(tmp_path: Path) -> None:
    pixels = np.stack([patches((130, 97), seed) for seed in (1, 2)])
    ref = written(tmp_path, pixels, "TYX")
    store = merged(tmp_path, ref, spec("labels", policy="keep"), "classes")
    np.testing.assert_array_equal(level0(store, "labels/everything"), pixels // 25)
    assert not (store / "tables").exists()


def test_blended_tiles_that_agree_are_the_image(tmp_path: Path) -> None:
    pixels = patches((130, 97))
    store = merged(tmp_path, written(tmp_path, pixels), spec("map", policy="blend"), "pixels")
    found = level0(store, "maps/everything")
    np.testing.assert_allclose(found[0], pixels, rtol=1e-3)  # half precision


def test_a_map_has_a_picture_of_its_own(tmp_path: Path) -> None:
    pixels = patches((130, 97))
    store = merged(tmp_path, written(tmp_path, pixels), spec("map", policy="core"), "pixels")
    shown = imagecodecs.png_decode((tmp_path / "out" / ".shown" / "i000-map.png").read_bytes())
    first = level0(store, "maps/everything")[0]
    assert shown.shape == (130, 97, 3)
    off = np.ptp(shown.astype(int), axis=2) == 0  # where no border is drawn
    assert off.mean() > 0.9
    assert np.corrcoef(shown[off, 0], first[off])[0, 1] > 0.99


def test_blended_tiles_that_differ_have_no_step_at_their_seams(tmp_path: Path) -> None:
    """Each tile is less its own mean, as by a network that normalises over the tile."""
    pixels = np.tile(np.arange(120, dtype=np.uint8), (48, 1))  # a ramp: tiles' means differ
    steps = {}
    for policy in ("core", "blend"):
        folder = tmp_path / policy
        folder.mkdir()
        store = merged(folder, written(folder, pixels), spec("map", policy=policy), "centred")
        steps[policy] = np.abs(np.diff(level0(store, "maps/everything")[0].astype(float))).max()
    assert steps["core"] > 25
    assert steps["blend"] < 5


def test_what_a_mask_leaves_of_a_band_counts_whole(tmp_path: Path) -> None:
    mask = np.zeros((48, 120), np.uint8)
    mask[:, :30] = 1  # only the first tile is predicted
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    pixels = np.full(mask.shape, 80, np.uint8)
    ref = written(tmp_path, pixels, mask=(str(tmp_path / "mask.tif"), ""))
    store = merged(tmp_path, ref, spec("map", policy="blend"), "pixels")
    np.testing.assert_array_equal(level0(store, "maps/everything")[0], 80 * mask)
    visited = zarr.open_group(store, mode="r")["visited"]
    starts = visited.attrs["starts"]
    at = [
        np.searchsorted(starts[a], range(n), "right") - 1
        for a, n in zip("yx", mask.shape, strict=True)
    ]
    looked = visited[:][np.ix_(*at)]
    assert visited[:].sum() == 2  # of three rows
    assert looked[mask > 0].all()


def test_slices_become_volumes(tmp_path: Path) -> None:
    """Two time points of balls, slice by slice; a ball's first slice may be one pixel."""
    volumes = [balls(np.random.default_rng(seed), (16, 100, 90)) for seed in (1, 2)]
    pixels = np.stack([(v > 0).astype(np.uint8) for v in volumes])
    ref = written(tmp_path, pixels, "TZYX", mpp=(0.5, 0.25), z_um=2.0)
    made = spec("labels", policy="match", link_z="iou")
    store = merged(tmp_path, ref, made, "pieces", min_iou=0.02)

    found = level0(store, "labels/everything")
    for labels, wanted in zip(found, volumes, strict=True):
        assert are_the_same_objects(labels, wanted)
    assert not set(np.unique(found[0])) & set(np.unique(found[1])) - {0}
    table = anndata.read_zarr(store / "tables" / "everything")
    rows, ids = table.obs, table.obs["id"].to_numpy()
    assert len(ids) == found.max() == sum(v.max() for v in volumes)
    np.testing.assert_array_equal(rows["volume_px"], np.bincount(found.ravel())[1:])
    np.testing.assert_allclose(rows["volume_um3"], rows["volume_px"] * 0.5 * 0.25 * 2)
    for number in (0, 7, len(ids) - 1):
        _, z, y, x = np.nonzero(found == ids[number])
        row = rows.iloc[number]
        assert (row["bbox_z0"], row["bbox_z1"]) == (z.min(), z.max() + 1)
        centre = table.obsm["spatial"][number]
        np.testing.assert_allclose(centre, [x.mean(), y.mean(), z.mean()])
        assert row["centroid_z_um"] == pytest.approx(2 * z.mean())
    assert "area_px" not in rows


def test_volumes_are_for_objects_only() -> None:
    with pytest.raises(TilewrightError, match="link_z iou: policy can't have it"):
        linked(spec("labels", policy="keep"), "iou")
    assert linked(spec("labels", policy="match", link_z="iou"), None) == "iou"
    assert linked(spec("labels", policy="match", link_z="iou"), "none") == "none"


@pytest.mark.parametrize(
    ("kind", "merge", "policy"),
    [
        ("labels", {}, "match"),
        ("map", {}, "blend"),
        ("map", {"policy": "core"}, "core"),
        ("labels", {"policy": "keep"}, "keep"),
    ],
)
def test_a_policy_that_suits_the_result(kind: str, merge: dict[str, Any], policy: str) -> None:
    assert spec(kind, **merge).policy == policy


def test_maps_of_an_exact_model_are_not_blended() -> None:
    exact = ModelSpec("m", "1", TILES, output_kind="map", equivalence="exact")
    assert exact.policy == "core"


@pytest.mark.parametrize(
    ("kind", "merge", "words"),
    [
        ("labels", {"policy": "blend"}, "merge policy 'blend' isn't one of labels"),
        ("map", {"policy": "match"}, "merge policy 'match' isn't one of map"),
        ("labels", {"policy": "components", "connectivity": 3}, "merge connectivity is 3"),
    ],
)
def test_what_merge_has_not_is_refused(kind: str, merge: dict[str, Any], words: str) -> None:
    with pytest.raises(TilewrightError, match=words):
        check_spec(spec(kind, **merge))
