"""Masks, ROIs and tables by their readers in the base environment: tifffile, roifile, pandas."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
import zarr
from exporting import discs, store_of, tiles_of
from PIL import Image as Pillow

from tilewright.contract.exports import FORMATS
from tilewright.errors import TilewrightError
from tilewright.export.export import export
from tilewright.export.formats import csv, ome_tiff, roi, tiff
from tilewright.stores.ome_zarr import Placement

Array = np.ndarray[Any, Any]


def stack(t: int = 2, z: int = 3) -> Array:
    """(t, z, 70, 90) uint16: discs, each plane with numbers of its own."""
    one = discs((70, 90)).astype(np.uint16)
    most = int(one.max())
    planes = [np.where(one > 0, one + k * most, 0) for k in range(t * z)]
    return np.stack(planes).reshape(t, z, *one.shape).astype(np.uint16)


def test_a_mask_is_in_strips_and_in_few_bits_for_imagej(tmp_path: Path) -> None:
    labels = np.kron(discs((60, 80)), np.ones((1, 1), np.uint32)) + np.uint32(0)
    place = Placement(mpp=(0.5, 0.5))
    tiff.write(
        store_of(tmp_path / "a.zarr", labels, place=place, mpp=[0.5, 0.5]), tmp_path / "a.tif"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert not file.is_bigtiff
        assert not file.pages[0].is_tiled
        assert file.pages[0].dtype == np.uint8
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "um"
        assert np.array_equal(file.asarray(), labels)
    assert np.array_equal(np.asarray(Pillow.open(tmp_path / "a.tif")), labels)


@pytest.mark.parametrize("axes", ["zyx", "tyx", "tzyx"])
def test_a_stacks_planes_are_slices_and_frames(tmp_path: Path, axes: str) -> None:
    labels = stack(1 if "t" not in axes else 2, 1 if "z" not in axes else 3)
    labels = labels.reshape([n for n, a in zip(labels.shape, "tzyx", strict=True) if a in axes])
    store = store_of(tmp_path / "a.zarr", labels, axes)
    for name, write in (("a.tif", tiff.write), ("a.ome.tif", ome_tiff.write)):
        write(store, tmp_path / name)
        with tifffile.TiffFile(tmp_path / name) as file:
            series = file.series[0]
            assert series.axes.replace("C", "") == axes.upper()
            assert np.array_equal(series.asarray().reshape(labels.shape), labels)


def test_a_volumes_chunks_are_planes_again(tmp_path: Path) -> None:
    labels = np.random.default_rng(1).integers(0, 9, (40, 50, 60)).astype(np.uint8)
    store = store_of(tmp_path / "a.zarr", labels, "zyx", volumes=True)
    tiff.write(store, tmp_path / "a.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels)


def test_an_ome_tiff_has_the_pyramid_and_the_pixel_size(tmp_path: Path) -> None:
    labels = discs((700, 1300))
    place = Placement(mpp=(0.5, 0.5))
    store = store_of(tmp_path / "a.zarr", labels, place=place, mpp=[0.5, 0.5])
    ome_tiff.write(store, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        (series,) = file.series
        assert [level.shape for level in series.levels] == [(700, 1300), (350, 650), (175, 325)]
        assert np.array_equal(series.asarray(), labels)
        assert np.array_equal(series.levels[1].asarray(), labels[::2, ::2])
        assert 'PhysicalSizeX="0.5"' in str(file.ome_metadata)


def test_65536_labels_are_refused_in_16_bits_and_the_other_format_is_named(tmp_path: Path) -> None:
    labels = np.arange(65_537, dtype=np.uint32)[None]
    store = store_of(tmp_path / "a.zarr", labels)
    with pytest.raises(TilewrightError, match=r"65,536 labels.*65,535.*ome-tiff") as caught:
        tiff.write(store, tmp_path / "a.tif")
    assert caught.value.code == 65
    with pytest.raises(TilewrightError, match=r"more than 65,535 labels"):
        export(store, FORMATS["aiod-rle"], tmp_path / "a.rle")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]
    ome_tiff.write(store, tmp_path / "a.ome.tif")
    assert tifffile.imread(tmp_path / "a.ome.tif").max() == 65_536


def test_rois_have_the_names_areas_and_places_of_objects(tmp_path: Path) -> None:
    labels = discs((60, 80)).astype(np.uint8)
    labels[10:13, 10:13] = 0  # a hole
    labels[0, 79] = 1  # a piece of its own
    roi.write(store_of(tmp_path / "a.zarr", labels), tmp_path / "a.roi.zip")
    found = roifile.roiread(tmp_path / "a.roi.zip")
    assert sorted(int(r.name) for r in found) == np.unique(labels)[1:].tolist()
    areas = np.bincount(labels.ravel())
    for one in found:
        rings = one.coordinates(multi=True)
        doubled = [np.sum(r[:-1, 0] * r[1:, 1] - r[1:, 0] * r[:-1, 1]) for r in closed(rings)]
        assert sum(doubled) / 2 == areas[int(one.name)]
    holes = {r.name: len(r.coordinates(multi=True)) for r in found}
    assert holes.pop("1") == 3
    assert set(holes.values()) == {1}


def closed(rings: list[Array]) -> list[Array]:
    return [np.concatenate([r, r[:1]]) for r in rings]


def test_rois_of_a_stack_say_their_slice_and_of_a_hyperstack_their_frame(tmp_path: Path) -> None:
    labels = stack(1, 3)[0]
    roi.write(store_of(tmp_path / "z.zarr", labels, "zyx"), tmp_path / "z.zip")
    found = roifile.roiread(tmp_path / "z.zip")
    assert {r.position for r in found} == {1, 2, 3}
    assert found[0].name == "1-z0001"
    roi.write(store_of(tmp_path / "t.zarr", stack(), "tzyx"), tmp_path / "t.zip")
    found = roifile.roiread(tmp_path / "t.zip")
    assert {(r.t_position, r.z_position) for r in found} == {
        (t, z) for t in (1, 2) for z in (1, 2, 3)
    }
    assert len({r.name for r in found}) == len(found) == int(stack().max())


def test_rois_beyond_16_bits_of_a_place_are_kept_as_numbers_with_a_point(tmp_path: Path) -> None:
    place = Placement(origin=(100_000.0, 70_000.0))
    store = store_of(
        tmp_path / "a.zarr", discs((30, 30)), place=place, region=[100_000, 70_000, 30, 30]
    )
    roi.write(store, tmp_path / "a.zip")
    found = roifile.roiread(tmp_path / "a.zip")
    assert found[0].coordinates().min(axis=0).tolist() >= [70_000, 100_000]


def test_a_tables_numbers_come_back_from_csv(tmp_path: Path) -> None:
    labels = discs((60, 80))
    csv.write(store_of(tmp_path / "a.zarr", labels), tmp_path / "a.csv")
    read = pd.read_csv(tmp_path / "a.csv")
    assert len(read) == labels.max()
    area = next(c for c in read if c.startswith("area"))
    assert read[area].tolist() == np.bincount(labels.ravel())[1:].tolist()


NOT_HELD = [
    pytest.param("geojson", "table", r"geojson holds labels, and the result is a table", id="1"),
    pytest.param("tiff", "table", r"Of these there is csv, spatialdata, parquet or hdf5", id="2"),
    pytest.param("hdf5", "labels", r"hdf5 holds table, and the result is labels", id="3"),
    pytest.param("csv", "classes", r"the result is classes, which have no table", id="4"),
]


@pytest.mark.parametrize(("name", "kind", "says"), NOT_HELD)
def test_a_format_that_does_not_hold_the_result_is_refused(
    tmp_path: Path, name: str, kind: str, says: str
) -> None:
    path = tmp_path / "a.zarr"
    if kind == "table":
        tiles_of(path, np.ones((3, 4), np.float32))
    else:
        store_of(path, discs((30, 30)), classes=("none", "some") if kind == "classes" else ())
    with pytest.raises(TilewrightError, match=says) as caught:
        export(path, FORMATS[name], tmp_path / "out" / "a")
    assert caught.value.code == 65
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.environment == "base"])
def test_without_room_there_is_one_sentence_and_nothing_half_made(
    tmp_path: Path, name: str, full_disk: Path
) -> None:
    labels = np.random.default_rng(1).integers(0, 60_000, (500, 500)).astype(np.uint16)
    store = store_of(tmp_path / "a.zarr", labels)
    with pytest.raises(TilewrightError, match=r"can't be written \(No space left") as caught:
        export(store, FORMATS[name], full_disk / "a" / "x")
    assert caught.value.code == 69
    assert [p for p in full_disk.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "aiod-rle", "aiod-tiff", "geojson", "roi"])
def test_labels_whose_chunks_are_gone_are_refused_not_taken_for_background(
    tmp_path: Path, name: str
) -> None:
    store = store_of(tmp_path / "a.zarr", discs((60, 80)))
    shutil.rmtree(store / "labels" / "nuclei" / "0" / "c")
    made = FORMATS[name]
    with pytest.raises(TilewrightError, match=r"its labels 0: a part of them isn't there"):
        export(store, made, tmp_path / f"a{made.ending}")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_of_objects_without_its_table_is_half_there(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a.zarr", discs((60, 80)))
    root = zarr.open_group(store)
    said: Any = dict(root.attrs["tilewright"])  # type: ignore[arg-type]
    root.attrs["tilewright"] = {**said, "merge": {"policy": "match"}}
    shutil.rmtree(store / "tables")
    with pytest.raises(TilewrightError, match="it is only half there"):
        export(store, FORMATS["roi"], tmp_path / "a.roi.zip")
