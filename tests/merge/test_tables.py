"""Measurements equal scikit-image's, however the image was cut into boxes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from tilewright.merge.measure.tables import BoxMeasures, Measure
from tilewright.stores.anndata import Table
from tilewright.stores.ome_zarr import Placement, StoreWriter


def picture(seed: int, shape: tuple[int, ...] = (24, 31), labels: int = 9) -> np.ndarray:
    """Labels 0..9 strewn over (24, 31) pixels: every object in many pieces, in many boxes."""
    return np.random.default_rng(seed).integers(0, labels, shape, endpoint=True)


def cuts(extent: int, step: int) -> Iterator[slice]:
    return (slice(a, min(a + step, extent)) for a in range(0, extent, step))


def full(measure: Measure, placement: Placement | None = None) -> Table:
    """All rows of a measure's table."""
    table = measure.table(placement)
    obs = {name: values[:] for name, values in table.obs.items()}
    return replace(table, obs=obs, x=table.x[:], spatial=table.spatial[:])


def measured(
    labels: np.ndarray, image: np.ndarray | None, step: int, placement: Placement | None = None
) -> Table:
    channels = 0 if image is None else len(image)
    dtype = np.uint8 if image is None else image.dtype
    measure = Measure(int(labels.max()), channels=channels, dtype=dtype)
    for y in cuts(labels.shape[0], step):
        for x in cuts(labels.shape[1], step):
            part = None if image is None else image[:, y, x]
            measure.include(measure.part(labels[y, x], part, (y.start, x.start)))
    return full(measure, placement)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", "bool"])
def test_every_figure_is_scikit_images(dtype: str) -> None:
    labels = picture(1)
    noise = np.random.default_rng(2).random((2, *labels.shape)) * 2 ** (
        8 * np.dtype(dtype).itemsize
    )
    image = (noise / 2).astype(dtype)
    found = measured(labels, image, step=7, placement=Placement(mpp=(0.5, 0.25)))
    props = regionprops(labels, intensity_image=np.moveaxis(image, 0, -1).astype(float))
    expected = {
        "id": [p.label for p in props],
        "area_px": [p.area for p in props],
        "area_um2": [p.area * 0.125 for p in props],
        "centroid_y_px": [p.centroid[0] for p in props],
        "centroid_x_px": [p.centroid[1] for p in props],
        "centroid_y_um": [p.centroid[0] * 0.5 for p in props],
        "centroid_x_um": [p.centroid[1] * 0.25 for p in props],
        **{
            f"bbox_{name}_px": [p.bbox[i] for p in props]
            for i, name in enumerate(("y0", "x0", "y1", "x1"))
        },
    }
    assert list(found.obs) == list(expected)
    for name, values in expected.items():
        assert found.obs[name] == pytest.approx(values, rel=1e-12), name
    assert found.x == pytest.approx(np.array([p.intensity_mean for p in props]), rel=1e-6)
    assert found.spatial[:, 0].tolist() == found.obs["centroid_x_px"].tolist()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 40))
def test_the_boxes_do_not_show_in_the_figures(seed: int, step: int) -> None:
    """Bit for bit: uint32 values at the top of their range, sums beyond a float32's reach."""
    labels = picture(seed)
    rng = np.random.default_rng(seed)
    image = rng.integers(2**31, 2**32 - 1, (1, *labels.shape), np.uint32, endpoint=True)
    whole, cut = measured(labels, image, step=99), measured(labels, image, step=step)
    assert whole.x.tobytes() == cut.x.tobytes()
    for name, values in whole.obs.items():
        assert values.tobytes() == cut.obs[name].tobytes(), name


def test_float_intensities_agree_to_twelve_digits_however_they_are_cut() -> None:
    labels = picture(3)
    image = np.random.default_rng(3).normal(size=(1, *labels.shape)) * 1e6
    whole, cut = measured(labels, image, step=99), measured(labels, image, step=5)
    assert cut.x == pytest.approx(whole.x, rel=1e-6)
    assert measured(labels, image, step=5).x.tobytes() == cut.x.tobytes()


def test_a_label_without_pixels_has_no_row() -> None:
    labels = np.array([[0, 1, 0, 3]])
    assert measured(labels, None, step=9).obs["id"].tolist() == [1, 3]


def test_positions_are_level_0_pixels_of_the_whole_image() -> None:
    """A region from row 100, read at half resolution: its pixel (1, 2) is rows 102-103."""
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 2] = 1
    place = Placement(origin=(100, 20), factor=(0.5, 0.5), mpp=(2.0, 2.0))
    table = measured(labels, None, step=9, placement=place)
    row = {name: values.tolist()[0] for name, values in table.obs.items()}
    assert row == {
        "id": 1,
        "area_px": 4,
        "area_um2": 16,
        "centroid_y_px": 102.5,
        "centroid_x_px": 24.5,
        "centroid_y_um": 205,
        "centroid_x_um": 49,
        "bbox_y0_px": 102,
        "bbox_x0_px": 24,
        "bbox_y1_px": 104,
        "bbox_x1_px": 26,
    }
    assert table.spatial.tolist() == [[24.5, 102.5]]


def test_without_a_pixel_size_there_are_no_micrometres() -> None:
    table = measured(picture(1), None, step=99)
    assert not [name for name in table.obs if name.endswith(("um", "um2"))]
    assert table.obs["area_px"].dtype == np.int64


def test_objects_of_several_planes_say_where_they_are() -> None:
    measure = Measure(3)
    for t, z, label in [(0, 0, 1), (0, 1, 2), (0, 2, 0), (0, 3, 3)]:
        measure.include(measure.part(np.full((2, 2), label), None, (0, 0), (t, z)))
    table = full(measure)
    assert table.obs["z"].tolist() == [0, 1, 3]
    assert "t" not in table.obs


def test_one_id_in_two_planes_is_refused() -> None:
    measure = Measure(1)
    measure.include(measure.part(np.ones((2, 2), int), None, (0, 0), (0, 0)))
    with pytest.raises(ValueError, match="unique over all planes"):
        measure.include(measure.part(np.ones((2, 2), int), None, (0, 0), (1, 0)))


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (None, ("mean_channel_0", "mean_channel_1")),
        (["DAPI", "GFP"], ("mean_DAPI", "mean_GFP")),
        (["DAPI"], ("mean_DAPI", "mean_channel_1")),
        (["a/b", "a/b"], ("mean_a/b_0", "mean_a/b_1")),
        (["", "x", "more"], ("mean_channel_0", "mean_x")),
    ],
)
def test_each_channel_has_a_column_of_its_own(
    names: list[str] | None, columns: tuple[str, ...]
) -> None:
    assert Measure(1, channels=2).table(channel_names=names).var == columns


def test_an_image_without_objects_has_an_empty_table() -> None:
    measure = Measure(0, channels=1)
    measure.include(measure.part(np.zeros((3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8), (0, 0)))
    table = full(measure, Placement(mpp=(1, 1)))
    assert table.x.shape == (0, 1)
    assert {len(v) for v in table.obs.values()} == {0}


def test_anndata_opens_what_was_measured_and_every_column_is_explained(tmp_path: Path) -> None:
    labels = picture(4)
    image = np.random.default_rng(4).integers(0, 99, (2, *labels.shape), np.uint8)
    with StoreWriter(tmp_path / "s.zarr") as writer:
        writer.table("nuclei", measured(labels, image, 9, Placement(mpp=(1, 1))))
        writer.finish({})
    read = anndata.read_zarr(tmp_path / "s.zarr" / "tables" / "nuclei")
    assert read.shape == (9, 2)
    explained = [line.split(":")[0] for line in read.uns["columns"]]
    assert set(read.obs.columns) - {"region"} <= set(explained)
    assert read[:, "mean_channel_1"].X[0, 0] == pytest.approx(
        image[1][labels == 1].mean(), rel=1e-6
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_a_sheet_says_is_a_column_of_one_category(
    tmp_path: Path, version: Literal["0.4", "0.5"]
) -> None:
    table = replace(measured(picture(1), None, 31), said={"condition": "treated 1 µM", "note": ""})
    with StoreWriter(tmp_path / "s.zarr", version) as store:
        store.table("nuclei", table)
        store.finish({})
    read = anndata.read_zarr(tmp_path / "s.zarr" / "tables" / "nuclei")
    assert list(read.obs.columns) == ["region", *table.obs, "condition", "note"]
    assert read.obs["condition"].cat.categories.tolist() == ["treated 1 µM"]
    assert (read.obs["condition"] == "treated 1 µM").all()
    assert read.obs["note"].isna().all()
    assert "condition: as the run's sheet says" in read.uns["columns"]
    two = anndata.concat([read, read])
    assert two.obs["condition"].tolist() == ["treated 1 µM"] * 2 * len(read)


def deep(labels: np.ndarray, image: np.ndarray, steps: tuple[int, int, int]) -> Table:
    """Measured box by box, each by itself."""
    place = Placement(mpp=(0.5, 0.25), z_um=2.0)
    measure = Measure(int(labels.max()), channels=1, dtype=image.dtype, volumes=True)
    grids = [cuts(n, step) for n, step in zip(labels.shape, steps, strict=True)]
    for box in product(*grids):
        part = measure.part(labels[box], image[(slice(None), *box)], [s.start for s in box])
        measure.include(part)
    return full(measure, place)


@pytest.mark.parametrize("steps", [(99, 99, 99), (3, 7, 5), (1, 99, 99)])
def test_every_figure_of_a_volume_is_scikit_images(steps: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(4).integers(0, 9, (7, 24, 31), endpoint=True)
    image = np.random.default_rng(5).integers(0, 2**16, (1, *labels.shape)).astype(np.uint16)
    found = deep(labels, image, steps)
    props = regionprops(labels, intensity_image=image[0].astype(float))
    expected = {
        "id": [p.label for p in props],
        "volume_px": [p.area for p in props],
        "volume_um3": [p.area * 0.25 for p in props],
        "centroid_z": [p.centroid[0] for p in props],
        "centroid_z_um": [p.centroid[0] * 2 for p in props],
        "centroid_y_px": [p.centroid[1] for p in props],
        "centroid_x_um": [p.centroid[2] * 0.25 for p in props],
        **{
            f"bbox_{name}": [p.bbox[i] for p in props]
            for i, name in enumerate(("z0", "y0_px", "x0_px", "z1", "y1_px", "x1_px"))
        },
    }
    for name, values in expected.items():
        assert found.obs[name] == pytest.approx(values, rel=1e-12), name
    assert not {"z", "area_px", "area_um2"} & set(found.obs)
    assert found.x[:, 0] == pytest.approx([p.intensity_mean for p in props], rel=1e-6)
    assert found.spatial[:, 2].tolist() == found.obs["centroid_z"].tolist()


def test_slices_one_by_one_give_a_volumes_figures() -> None:
    """What --link_z measures, and what a 3D model does."""
    labels = picture(6, (5, 9, 8))
    image = np.random.default_rng(6).normal(size=(1, *labels.shape))
    measure = Measure(9, channels=1, dtype=image.dtype, volumes=True)
    for z, (some, light) in enumerate(zip(labels, image[0], strict=True)):
        measure.include(measure.part(some, light[None], (0, 0), (0, z)))
    found, whole = (
        full(measure, Placement(mpp=(0.5, 0.25), z_um=2.0)),
        deep(labels, image, (1, 99, 99)),
    )
    assert found.x.tobytes() == whole.x.tobytes()
    for name, values in whole.obs.items():
        assert values.tobytes() == found.obs[name].tobytes(), name


def test_a_volume_in_two_time_points_is_refused() -> None:
    measure = Measure(1, volumes=True)
    measure.include(measure.part(np.ones((2, 2, 2), int), None, (0, 0, 0), (0, 0)))
    with pytest.raises(ValueError, match="unique over all planes"):
        measure.include(measure.part(np.ones((2, 2, 2), int), None, (0, 0, 0), (1, 0)))


@pytest.mark.parametrize(("volumes", "most"), [(False, 56), (True, 72)])
def test_many_objects_take_some_bytes_each_until_their_table_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, volumes: bool, most: int
) -> None:
    """Of an image as long as 65,536 px, of one channel; some rows are 110 bytes each, and names."""
    monkeypatch.setattr("tilewright.stores.anndata.TABLE_ROWS", 2_000)
    n, axes = 100_000, 3 if volumes else 2
    rng = np.random.default_rng(0)
    first = rng.integers(0, 60_000, (n, axes))
    area = rng.integers(1, 900, n)
    part = BoxMeasures(
        (0, 0), np.arange(1, n + 1), area, area[:, None] * first, first, first + 9, None
    )
    with StoreWriter(tmp_path / "a.zarr") as store:
        tracemalloc.start()
        measure = Measure(n, channels=1, volumes=volumes, side=65_536)
        for at in range(0, n, 2_000):
            some = slice(at, at + 2_000)
            arrays = {
                name: getattr(part, name)[some] for name in ("ids", "area", "sums", "first", "stop")
            }
            measure.include(replace(part, **arrays, light=area[some, None]))
        store.table("cells", measure.table(Placement(mpp=(0.5, 0.25), z_um=2.0)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        store.finish({})
    assert peak < most * n + 2_000_000
    found = anndata.read_zarr(tmp_path / "a.zarr" / "tables" / "cells")
    assert found.obs["volume_px" if volumes else "area_px"].tolist() == area.tolist()
    assert found.obs["bbox_x1_px"].tolist() == (first[:, -1] + 9).tolist()
    assert np.array_equal(found.obsm["spatial"][:, 0], first[:, -1])


@pytest.mark.parametrize("side", [255, 256, 65_535, 65_536, 2**32])
def test_boxes_reach_to_the_end_of_the_longest_side(side: int) -> None:
    measure = Measure(2, side=side)
    measure.include(measure.part(np.array([[1, 1], [0, 2]]), None, (side - 2, side - 2)))
    obs = full(measure).obs
    assert obs["bbox_y0_px"].tolist() == [side - 2, side - 1]
    assert obs["bbox_y1_px"].tolist() == [side - 1, side]
    assert obs["bbox_x1_px"].tolist() == [side, side]


def test_a_long_table_is_written_some_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names of all rows at once would be 84 bytes each."""
    monkeypatch.setattr("tilewright.stores.anndata.TABLE_ROWS", 10_000)
    n = 100_000
    ids = np.arange(1, n + 1)
    table = Table({"id": ids}, np.zeros((n, 0), np.float32), (), np.zeros((n, 2)))
    with StoreWriter(tmp_path / "a.zarr") as store:
        tracemalloc.start()
        store.table("cells", table)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        store.finish({})
    assert peak < 60 * n
    found = anndata.read_zarr(tmp_path / "a.zarr" / "tables" / "cells")
    assert found.obs_names.tolist() == [str(i) for i in ids]
    assert found.obs["id"].tolist() == ids.tolist()


def test_objects_are_counted_slice_by_slice() -> None:
    """Of planes each object is in one; of volumes in each slice from its first to its last."""
    labels = np.zeros((2, 3, 8, 8), np.uint8)  # t, z, y, x
    labels[0, 1, 1:3, 1:3], labels[0, 1, 5:7, 5:7], labels[1, 2, 1:3, 1:3] = 1, 2, 3
    flat = Measure(3)
    for t, z in np.ndindex(2, 3):
        flat.include(flat.part(labels[t, z], None, (0, 0), (t, z)))
    assert flat.per_slice(2, 3).tolist() == [[0, 2, 0], [0, 0, 1]]
    spots = [centre.tolist() for centre, _ in flat.spots((0, 1), most=2)]
    assert [one for some in spots for one in some] == [[1.5, 1.5], [5.5, 5.5]]
    assert not sum(len(centre) for centre, _ in flat.spots((1, 0)))
    labels[0, 2, 1:3, 1:3] = 1
    deep = Measure(3, volumes=True)
    for t in range(2):
        deep.include(deep.part(labels[t], None, (0, 0, 0), (t, 0)))
    assert deep.per_slice(2, 3).tolist() == [[0, 2, 1], [0, 0, 1]]
    ((_, depth),) = deep.spots((0, 0))
    assert depth.tolist() == [[1, 3], [1, 2]]
    assert Measure(0).per_slice(1, 2).tolist() == [[0, 0]]
