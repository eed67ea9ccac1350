"""Outlines give back the labels they are of; rasterio and shapely are the judges."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from exporting import in_chunks, store_of
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.features import rasterize
from rasterio.features import shapes as rasterio_shapes

from tilewright.export import outlines as module
from tilewright.export.corners import corners
from tilewright.export.outlines import outlines
from tilewright.export.rings import rings
from tilewright.export.store import Result

Array = np.ndarray[Any, Any]
FIGURE_EIGHT = np.pad(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]), 1)
KEYHOLE = np.array([[0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
PIECES = np.array([[1, 0, 2, 2], [0, 1, 2, 0], [2, 2, 1, 1]])
NESTED = np.pad(np.pad(np.pad(np.ones((1, 1), int), 1), 1, constant_values=1), 1)
SMALL = st.tuples(st.integers(1, 9), st.integers(1, 9))
PICTURES = arrays.arrays(np.uint16, SMALL, elements=st.integers(0, 3))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", 1)


def geometries(store: Path) -> Iterator[tuple[int, Any]]:
    """Each label's geometry by shapely, from the rings alone."""
    for some in outlines(Result(store)):
        of, bounds = some.rings, some.objects
        for label, a, b in zip(some.labels.tolist(), bounds[:-1], bounds[1:], strict=True):
            polygons: list[list[Any]] = []
            for ring in range(a, b):
                here = slice(of.first[ring], of.first[ring + 1])
                points = list(zip(of.x[here].tolist(), of.y[here].tolist(), strict=True))
                if some.outer[ring]:
                    polygons.append([points, []])
                else:
                    polygons[-1][1].append(points)
            yield label, shapely.MultiPolygon([(shell, holes) for shell, holes in polygons])


def judged(labels: Array, side: int) -> None:
    """Valid polygons, each label once, with its pixels and no other's, in as many pieces."""
    with tempfile.TemporaryDirectory() as folder:
        store = in_chunks(store_of(Path(folder) / "a.zarr", labels), side)
        found = list(geometries(store))
    present = [int(n) for n in np.unique(labels) if n]
    assert sorted(label for label, _ in found) == present
    assert all(shape.is_valid for _, shape in found)
    areas = {label: shape.area for label, shape in found}
    assert areas == {n: np.count_nonzero(labels == n) for n in present}
    if found:
        drawn = rasterize([(s, n) for n, s in found], labels.shape, dtype="uint16")
        assert np.array_equal(drawn, labels)
    theirs = [int(v) for _, v in rasterio_shapes(labels, labels > 0, connectivity=4)]
    assert sorted(n for n, s in found for _ in s.geoms) == sorted(theirs)


@given(labels=PICTURES, side=st.sampled_from([2, 3, 9]))
@example(labels=FIGURE_EIGHT.astype(np.uint16), side=9)
@example(labels=KEYHOLE.astype(np.uint16), side=2)
@example(labels=PIECES.astype(np.uint16), side=9)
@example(labels=NESTED.astype(np.uint16), side=2)
@example(labels=np.zeros((3, 3), np.uint16), side=2)
def test_outlines_drawn_again_are_the_labels_however_blocks_lie(labels: Array, side: int) -> None:
    judged(labels, side)


def test_labels_of_a_large_noisy_picture_keep_every_hole_and_piece() -> None:
    rng = np.random.default_rng(4)
    judged(rng.integers(0, 3, (90, 70)).astype(np.uint16), 32)


def test_an_object_on_four_blocks_comes_out_once_and_whole(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[6:14, 7:13] = 1
    labels[2, 2] = 2
    store = in_chunks(store_of(tmp_path / "a.zarr", labels), 10)
    found = [(some.labels.tolist(), len(some.rings.x)) for some in outlines(Result(store))]
    assert found == [([2], 4), ([1], 4)]  # what lies in one block isn't held


def test_outer_rings_go_round_as_geojson_asks_and_holes_the_other_way() -> None:
    ring = np.pad(np.ones((3, 3), np.uint8), 1)
    ring[2, 2] = 0
    found = rings(corners(ring, 0, 0))
    assert found.area.tolist() == [9, -1]
    for number, area in enumerate(found.area.tolist()):
        here = slice(found.first[number], found.first[number + 1])
        points = list(zip(found.x[here].tolist(), found.y[here].tolist(), strict=True))
        assert shapely.LinearRing(points).is_ccw == (area > 0)


def test_labels_and_places_of_any_size_are_told_apart() -> None:
    picture = np.zeros((4, 6), np.uint64)
    picture[1:3, 1:3] = 2**40
    picture[1:3, 3:5] = 2**40 + 1
    found = rings(corners(picture, 2**30, 2**30))
    assert found.label.tolist() == [2**40, 2**40 + 1]
    assert found.area.tolist() == [4, 4]
    assert found.x.min() == 2**30
