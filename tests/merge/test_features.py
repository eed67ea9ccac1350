"""What is measured of merged objects equals scikit-image's on the store's labels read whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from banking import cut, merge_all, write_banks
from inprocess import written
from running import level0
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import ball, dilation, disk

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.merge.write import features
from tilewright.stores import pyramid

Array = np.ndarray[Any, Any]
RING = 3


def objects(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Smooth objects that touch one another and the image's edges."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return np.asarray(ndimage.label(noise > 0.01)[0])


def model(axes: str, **more: Any) -> ModelSpec:
    """A model of small tiles whose bands hold its objects."""
    size = {"z": 20, "y": 64, "x": 64}
    sides = {a: size[a] for a in axes.lower() if a in "zyx"}
    tiles = TileSpec(sides, band=dict.fromkeys(sides, 8), variable_input=True)
    spec = {"axes": axes, "output_kind": "labels", "merge": {"policy": "match"}, **more}
    return ModelSpec("shapes", "1", tiles, **spec)


def merged(here: Path, image: Array, axes: str, truth: Array, spec: ModelSpec, **merge: Any) -> Any:
    """The store's labels, its table, and what merged.json says, of features `all`."""
    ref = written(here, image, axes, mpp=(0.5, 0.5), z_um=1.0)
    banks = write_banks(here / "banks", [ref], spec, cut(truth))
    options = {"features": "all", "ring_px": RING, **merge}
    out = merge_all(banks, here / "out", spec, **options)
    (store,) = out.glob("*/p.zarr")
    table = anndata.read_zarr(store / "tables" / "everything")
    said = json.loads((out / ".shown" / "merged.json").read_text())["images"][0]
    return level0(store, "labels/everything"), table, said


def check(table: Any, labels: Array, image: Array, ring: Array) -> None:
    """Every object's intensities and its ring's, (C, *labels.shape), against brute force."""
    frame = table.to_df()
    assert len(table) == len(np.unique(labels)) - 1
    for label in table.obs["id"]:
        own = labels == label
        around = dilation(own, ring) & (labels == 0)
        row = frame.loc[str(label)]
        for c, channel in enumerate(image.astype(float)):
            for before, values in (("", channel[own]), ("ring_", channel[around])):
                expected = {
                    "mean": values.mean(),
                    "std": values.std(),
                    "min": values.min(),
                    "max": values.max(),
                    "median": np.median(values),
                    **{f"p{q}": np.percentile(values, q) for q in (5, 25, 75, 95)},
                }
                for what, value in expected.items():
                    found = row[f"{before}{what}_channel_{c}"]
                    assert found == pytest.approx(value, rel=1e-6), (label, before, what)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards and parts so small that objects lie over several."""
    monkeypatch.setattr(pyramid, "CHUNK", 32)
    monkeypatch.setattr(pyramid, "SHARD", 32)
    monkeypatch.setattr(features, "APART", {2: (40, 40), 3: (10, 40, 40)})
    monkeypatch.setattr(features, "SMALL", {2: (24, 24), 3: (12, 24, 24)})


def test_flat_objects_over_seams_and_shards(tmp_path: Path, small_shards: None) -> None:
    truth = objects((150, 170))
    image = np.random.default_rng(1).integers(0, 4000, (2, *truth.shape)).astype("uint16")
    labels, table, said = merged(tmp_path, image, "CYX", truth[None], model("CYX"))
    check(table, labels, image, disk(RING))
    props = regionprops(labels.astype(int))
    for name in ("solidity", "eccentricity", "extent"):
        expected = [getattr(p, name) for p in props]
        assert table.obs[name].to_numpy() == pytest.approx(np.array(expected), rel=1e-6), name
    assert table.obs["perimeter_px"].tolist() == pytest.approx([p.perimeter for p in props])
    assert "too_wide" not in said
    assert said["looked_px"] == truth.size


@pytest.mark.filterwarnings("ignore:Failed to get convex hull", "ignore:divide by zero")
def test_volumes(tmp_path: Path, small_shards: None) -> None:
    truth = objects((30, 80, 75), 2)
    image = np.random.default_rng(2).integers(0, 250, (1, *truth.shape)).astype("uint8")
    spec = model("CZYX")
    ref = written(tmp_path, image, "CZYX", mpp=(0.5, 0.5), z_um=0.5)
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(truth[None]))
    out = merge_all(banks, tmp_path / "out", spec, features="all", ring_px=RING)
    (store,) = out.glob("*/p.zarr")
    table = anndata.read_zarr(store / "tables" / "everything")
    labels = level0(store, "labels/everything")
    check(table, labels, image, ball(RING))
    props = regionprops(labels.astype(int), spacing=(0.5, 0.5, 0.5))
    for name, told in (("axis_major_um", "axis_major_length"), ("solidity", "solidity")):
        expected = np.array([getattr(p, told) for p in props])
        expected[np.isinf(expected)] = np.nan  # flat: without a hull
        found = table.obs[name].to_numpy()
        assert found == pytest.approx(expected, rel=1e-6, nan_ok=True), name


def test_linked_slices(tmp_path: Path, small_shards: None) -> None:
    truth = objects((6, 90, 80), 3)
    image = np.random.default_rng(3).integers(0, 250, (1, *truth.shape)).astype("uint8")
    ref = written(tmp_path, image, "CZYX", mpp=(0.5, 0.5), z_um=0.5)
    spec = model("CYX")
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(truth))
    out = merge_all(banks, tmp_path / "out", spec, features="all", ring_px=RING, link_z="iou")
    (store,) = out.glob("*/p.zarr")
    table = anndata.read_zarr(store / "tables" / "everything")
    check(table, level0(store, "labels/everything"), image, ball(RING))


def test_an_object_that_is_too_wide_is_counted_and_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = np.zeros((64, 200), int)
    truth[10:20, 5:190] = 1
    truth[30:40, 10:20] = 2
    image = np.ones((1, *truth.shape), "uint8")
    monkeypatch.setattr(features, "WIDEST", 100)
    _, table, said = merged(tmp_path, image, "CYX", truth[None], model("CYX"))
    assert said["too_wide"] == 1
    wide = table[table.obs["area_px"] > 1000]
    assert wide.obs["solidity"].isna().all()
    assert wide.to_df()["mean_channel_0"].tolist() == [1.0]
    assert wide.to_df().drop(columns="mean_channel_0").isna().all(axis=None)
    assert table.obs["solidity"].notna().sum() == len(table) - 1


def test_processes_do_not_change_a_byte(tmp_path: Path, small_shards: None) -> None:
    truth = objects((150, 170))
    image = np.random.default_rng(1).integers(0, 4000, (1, *truth.shape)).astype("uint16")
    ref, spec = written(tmp_path, image, "CYX"), model("CYX")
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(truth[None]))
    stores = [
        merge_all(banks, tmp_path / f"out{n}", spec, processes=n, features="all") for n in (1, 2)
    ]
    kept = [{p.relative_to(s): p.read_bytes() for p in s.rglob("*") if p.is_file()} for s in stores]
    assert kept[0] == kept[1]


def test_agreement_is_the_iou_of_two_tiles_views_in_their_band(tmp_path: Path) -> None:
    """Tiles of 64 px with a band of 8: the second sees one column less of what lies on the seam."""
    truth = np.zeros((1, 64, 112), int)
    truth[0, 20:30, 50:62] = 1
    truth[0, 5:10, 5:10] = 2
    spec = model("CYX")
    perfect = cut(truth)

    def seen(key: str, plane: int, grid: Any, tile: Any) -> Array:
        found = perfect(key, plane, grid, tile)
        if tile.index == 1:
            left = tile.window[1][0]
            found[:, max(0, 61 - left) : max(0, 62 - left)] = 0
        return found

    image = np.ones((1, *truth.shape[1:]), "uint8")
    ref = written(tmp_path, image, "CYX")
    banks = write_banks(tmp_path / "banks", [ref], spec, seen)
    out = merge_all(banks, tmp_path / "out", spec)
    (store,) = out.glob("*/p.zarr")
    obs = anndata.read_zarr(store / "tables" / "everything").obs
    with_seam = obs[obs["area_px"] > 50]["agreement"].tolist()
    band = range(48, 64)  # what both keep: the first tile ends at 64, the second begins at 48
    both = [x for x in range(50, 62) if x in band]
    assert with_seam == pytest.approx([(len(both) - 1) / len(both)], rel=1e-6)
    assert obs[obs["area_px"] < 50]["agreement"].tolist() == [1.0]
