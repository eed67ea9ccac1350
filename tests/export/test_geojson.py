"""GeoJSON as QuPath takes it: detections at level 0 with the table's numbers; shapely reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from exporting import discs, features, store_of

from tilewright.export.formats import geojson
from tilewright.stores.ome_zarr import Placement

Array = np.ndarray[Any, Any]


def written(store: Path) -> list[dict[str, Any]]:
    path = store.with_suffix(".geojson")
    geojson.write(store, path)
    return features(path)


def shapes(found: list[dict[str, Any]]) -> Array:
    return np.asarray(shapely.from_geojson([json.dumps(f["geometry"]) for f in found]))


def test_each_object_is_a_detection_with_its_name_and_numbers(tmp_path: Path) -> None:
    labels = discs((60, 80))
    found = written(store_of(tmp_path / "a.zarr", labels))
    count = int(labels.max())
    assert [f["properties"]["name"] for f in found] == [str(n) for n in range(1, count + 1)]
    assert {f["properties"]["objectType"] for f in found} == {"detection"}
    said = [f["properties"]["measurements"] for f in found]
    assert [m["area_px"] for m in said] == np.bincount(labels.ravel())[1:].tolist()
    assert [m["mean_DAPI"] for m in said] == [n % 7 for n in range(1, count + 1)]
    assert "id" not in said[0]
    assert "plane" not in found[0]["geometry"]
    assert np.array_equal(shapely.area(shapes(found)), [m["area_px"] for m in said])


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("mpp", [(0.25, 0.25), None], ids=["sized", "of unknown size"])
@pytest.mark.parametrize(("factor", "region"), [(0.5, (31, 45, 60, 80)), (1.0, (31, 45, 60, 80))])
def test_outlines_lie_on_level_0_of_the_whole_image(
    tmp_path: Path, version: Any, mpp: tuple[float, float] | None, factor: float, region: Any
) -> None:
    origin = tuple(float(int(at * factor) / factor) for at in region[:2])
    place = Placement(origin, (factor, factor), mpp)
    said = {"mpp": list(mpp)} if mpp else {}
    store = store_of(
        tmp_path / "a.zarr", discs((60, 80)), place=place, version=version, region=region, **said
    )
    found = written(store)
    boxes = shapely.bounds(shapes(found))
    names = ("bbox_x0_px", "bbox_y0_px", "bbox_x1_px", "bbox_y1_px")
    table = [[f["properties"]["measurements"][n] for n in names] for f in found]
    assert np.array_equal(boxes, table)
    areas = [f["properties"]["measurements"]["area_px"] for f in found]
    assert np.allclose(shapely.area(shapes(found)), areas, rtol=0, atol=1e-6)
    assert isinstance(found[0]["geometry"]["coordinates"][0][0][0], int)


def test_pixels_that_are_no_whole_level_0_pixels_still_partition(tmp_path: Path) -> None:
    labels = np.repeat(np.repeat(np.arange(1, 13, dtype=np.uint8).reshape(3, 4), 5, 0), 7, 1)
    place = Placement((0.0, 0.0), (0.37, 0.41), (0.2, 0.2))
    found = shapes(written(store_of(tmp_path / "a.zarr", labels, place=place, mpp=[0.2, 0.2])))
    assert shapely.is_valid(found).all()
    union = shapely.union_all(found)
    assert union.geom_type == "Polygon"
    assert np.isclose(union.area, shapely.area(found).sum(), rtol=1e-12)
    assert np.isclose(union.area, 15 / 0.37 * 28 / 0.41, rtol=1e-4)


def test_an_image_with_a_scale_but_no_unit_is_still_counted_in_its_pixels(tmp_path: Path) -> None:
    place = Placement(steps=(1.0, 1.0, 3.0, 3.0))
    found = written(store_of(tmp_path / "a.zarr", discs((60, 80)), place=place))
    assert shapely.bounds(shapes(found))[-1].max() <= 80


@pytest.mark.parametrize("volumes", [False, True])
def test_planes_of_stacks_and_series_are_told(tmp_path: Path, volumes: bool) -> None:
    labels = np.zeros((2, 3, 40, 40), np.uint16)
    number = 0
    for t in range(2):
        for z in range(3):
            number += 0 if volumes and z else 1
            labels[t, z, 5 : 10 + z, 5:10] = number
    store = store_of(tmp_path / "a.zarr", labels, "tzyx", volumes=volumes)
    found = written(store)
    planes = [f["geometry"]["plane"] for f in found]
    assert planes == [{"c": -1, "z": z, "t": t} for t in range(2) for z in range(3)]
    assert shapely.area(shapes(found)).tolist() == [25, 30, 35] * 2
    if volumes:
        assert [f["properties"]["name"] for f in found] == ["1"] * 3 + ["2"] * 3
        assert found[0]["properties"]["measurements"]["volume_px"] == 90


def test_pieces_of_classes_are_annotations_with_the_class(tmp_path: Path) -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[2:20, 2:20], labels[5:15, 5:15], labels[8, 8], labels[25, 25] = 1, 0, 2, 1
    store = store_of(tmp_path / "a.zarr", labels, classes=('back"ground', "gland", "lu\nmen"))
    found = written(store)
    assert [f["properties"]["classification"]["name"] for f in found] == ["gland"] * 2 + ["lu\nmen"]
    assert {f["properties"]["objectType"] for f in found} == {"annotation"}
    assert sorted(shapely.area(shapes(found)).tolist()) == [1, 1, 18 * 18 - 100]


def test_no_objects_are_an_empty_collection(tmp_path: Path) -> None:
    assert written(store_of(tmp_path / "a.zarr", np.zeros((9, 9), np.uint8))) == []


def test_what_is_no_number_is_left_out_and_the_file_is_json(tmp_path: Path) -> None:
    import zarr

    store = store_of(tmp_path / "a.zarr", discs((60, 80)))
    x: Any = zarr.open_group(store, mode="r+")["tables/nuclei/X"]
    x[1] = np.nan
    found = written(store)
    assert "mean_DAPI" not in found[1]["properties"]["measurements"]
    assert "mean_DAPI" in found[0]["properties"]["measurements"]


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a.zarr", discs((60, 80)))
    for name in ("a", "b"):
        geojson.write(store, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
