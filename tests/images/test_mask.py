"""Where to look, from a picture or GeoJSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import boxes, speckles, write_ome_zarr
from PIL import Image as Pillow

from tilewright.contract.jobs import ImageRef
from tilewright.errors import TilewrightError
from tilewright.images.fill import filled
from tilewright.images.image import Image
from tilewright.images.mask import Mask, polygons, stamped

SQUARE: dict[str, Any] = {
    "type": "Polygon",
    "coordinates": [[[2, 4], [10, 4], [10, 8], [2, 8], [2, 4]]],
}
"""x 2 to 10, y 4 to 8, in level-0 pixels."""


def masked(path: Path, **changes: object) -> ImageRef:
    """A 20 x 40 image with a mask."""
    fields: dict[str, object] = {"key": "i000", "id": "a", "path": "a.tif", "fingerprint": ""}
    fields |= {"axes": "YX", "shape": (20, 40), "dtype": "uint8", "mask": stamped(path)}
    return ImageRef(**(fields | changes))  # type: ignore[arg-type]


def geojson(folder: Path, data: object) -> Path:
    """A GeoJSON file."""
    path = folder / "roi.geojson"
    path.write_text(json.dumps(data))
    return path


def test_a_polygon_counts_the_pixels_whose_centre_is_inside(tmp_path: Path) -> None:
    inside = Mask(masked(geojson(tmp_path, SQUARE)), (1, 1)).inside(((0, 20), (0, 40)))
    wanted = np.zeros((20, 40), bool)
    wanted[4:8, 2:10] = True
    assert np.array_equal(inside, wanted)


def test_a_windows_mask_is_the_wholes(tmp_path: Path) -> None:
    mask = Mask(masked(geojson(tmp_path, {"type": "Feature", "geometry": SQUARE})), (1, 1))
    whole = mask.inside(((0, 20), (0, 40)))
    assert np.array_equal(mask.inside(((3, 9), (5, 33))), whole[3:9, 5:33])


def test_a_hole_does_not_count(tmp_path: Path) -> None:
    hole = [[4, 5], [6, 5], [6, 7], [4, 7], [4, 5]]
    ring = {"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]}
    collection = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": ring}]}
    inside = Mask(masked(geojson(tmp_path, collection)), (1, 1)).inside(((0, 20), (0, 40)))
    assert inside.sum() == 4 * 8 - 2 * 2


def test_origin_and_scale_move_the_mask_with_the_pixels(tmp_path: Path) -> None:
    ref = masked(geojson(tmp_path, SQUARE))
    inside = Mask(ref, (0.5, 0.5), (4, 2)).inside(((0, 4), (0, 4)))
    assert np.array_equal(inside, np.repeat([True, True, False, False], 4).reshape(4, 4))


def test_a_coarse_picture_is_laid_over_the_image(tmp_path: Path) -> None:
    small = np.zeros((10, 20), np.uint8)
    small[2, 3] = 255
    tifffile.imwrite(tmp_path / "mask.tif", small)
    inside = Mask(masked(tmp_path / "mask.tif"), (1, 1)).inside(((0, 20), (0, 40)))
    assert np.array_equal(np.argwhere(inside), [[4, 6], [4, 7], [5, 6], [5, 7]])


@pytest.mark.parametrize("side", [7, 20, 40, 91])
def test_a_window_of_a_picture_is_the_wholes(tmp_path: Path, side: int) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", speckles((side, 2 * side), "bool").astype("uint8"))
    with Mask(masked(tmp_path / "mask.tif"), (1, 1)) as mask:
        whole = mask.inside(((0, 20), (0, 40)))
        assert 0 < whole.sum() < whole.size
        for y, x in boxes((20, 40), 9):
            window = ((y.start, y.stop), (x.start, x.stop))
            assert np.array_equal(mask.inside(window), whole[y, x])


def test_of_a_picture_only_what_a_window_meets_is_read(tmp_path: Path) -> None:
    """The tile at the bottom right can't be decoded."""
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.ones((32, 64), "uint8"), tile=(16, 32), compression="zlib")
    with tifffile.TiffFile(path) as file:
        at, size = file.pages.first.dataoffsets[3], file.pages.first.databytecounts[3]
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    with Mask(masked(path), (1, 1)) as mask:
        assert mask.inside(((0, 20), (0, 20))).all()
        with pytest.raises(TilewrightError, match=r"mask\.tif: its pixels at Y 16 to 32"):
            mask.inside(((10, 20), (20, 40)))


@pytest.mark.parametrize("shape", [(20, 40), (40, 20)])
def test_a_picture_is_closed_with_its_mask_and_if_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.ones(shape, "uint8"), compression="zlib")
    closed: list[Path] = []
    monkeypatch.setattr(Image, "close", lambda image: closed.append(image.path))
    with contextlib.suppress(TilewrightError), Mask(masked(tmp_path / "mask.tif"), (1, 1)) as mask:
        assert mask.inside(((0, 20), (0, 40))).all()
        assert not closed
    assert closed == [tmp_path / "mask.tif"]


def test_a_picture_whose_columns_come_first_is_turned(tmp_path: Path) -> None:
    small = speckles((10, 20), "bool").astype("uint8")
    write_ome_zarr(tmp_path / "mask.zarr", [small.T], "XY")
    with Mask(masked(tmp_path / "mask.zarr"), (1, 1)) as mask:
        inside = mask.inside(((4, 20), (0, 40)))
    assert np.array_equal(inside, np.kron(small, np.ones((2, 2)))[4:].astype(bool))


def test_a_bool_array_as_tifffile_writes_it_is_inside_where_it_is_true(tmp_path: Path) -> None:
    small = speckles((20, 40), "bool")
    tifffile.imwrite(tmp_path / "mask.tif", small)  # it says WhiteIsZero
    inside = Mask(masked(tmp_path / "mask.tif"), (1, 1)).inside(((0, 20), (0, 40)))
    assert np.array_equal(inside, small)


def test_labels_in_colours_are_inside_wherever_they_arent_zero(tmp_path: Path) -> None:
    labels = speckles((20, 40), "uint8") // 64
    table = np.array([[9, 200, 0, 0], [9, 0, 200, 0], [9, 0, 0, 200]], np.uint16) * 257
    table = np.pad(table, ((0, 0), (0, 252)))
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="palette", colormap=table)
    inside = Mask(masked(tmp_path / "a.tif"), (1, 1)).inside(((0, 20), (0, 40)))
    assert np.array_equal(inside, labels != 0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_a_coloured_picture_all_but_black_is_inside(tmp_path: Path, suffix: str) -> None:
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    labels = speckles((20, 40), "uint8") // 64
    pixels = np.dstack([colours[labels], np.full((20, 40), 255, np.uint8)])  # opaque all over
    Pillow.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    inside = Mask(masked(tmp_path / f"a.{suffix}"), (1, 1)).inside(((0, 20), (0, 40)))
    assert np.array_equal(inside, labels != 0)


SQUARES = {
    "type": "MultiPolygon",
    "coordinates": [
        [[[x, y], [x + 4, y], [x + 4, y + 4], [x, y + 4]]]
        for y in range(0, 20, 5)
        for x in range(0, 40, 5)
    ],
}
"""32 squares of 4 px, a pixel apart."""


def test_only_polygons_that_a_window_meets_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = np.tile(np.pad(np.ones((4, 4), bool), ((0, 1), (0, 1))), (4, 8))
    drawn: list[object] = []

    def counting(*given: Any) -> Any:
        drawn.append(given)
        return filled(*given)

    monkeypatch.setattr("tilewright.images.mask.filled", counting)
    mask = Mask(masked(geojson(tmp_path, SQUARES)), (1, 1))
    for y, x in boxes((20, 40), 3):
        assert np.array_equal(mask.inside(((y.start, y.stop), (x.start, x.stop))), wanted[y, x])
    drawn.clear()
    assert mask.inside(((6, 8), (11, 13))).all()
    assert len(drawn) == 1


NOWHERE = {"type": "Feature", "geometry": None}
HELD = [
    pytest.param([NOWHERE, {"type": "Feature", "geometry": SQUARE}], id="a-feature-without"),
    pytest.param({"type": "GeometryCollection", "geometries": [SQUARE]}, id="collection"),
    pytest.param(
        {
            "type": "Feature",
            "geometry": {
                "type": "GeometryCollection",
                "geometries": [
                    {"type": "Point", "coordinates": [1, 2]},
                    {"type": "GeometryCollection", "geometries": [SQUARE]},
                ],
            },
        },
        id="collection-in-a-collection",
    ),
    pytest.param([{"type": "Polygon", "coordinates": []}, SQUARE], id="empty-polygon"),
    pytest.param(
        {"type": "Polygon", "coordinates": [[[*p, 7.5] for p in SQUARE["coordinates"][0]]]},
        id="with-heights",
    ),
]


@pytest.mark.parametrize("data", HELD)
def test_a_polygon_is_found_wherever_geojson_may_hold_it(tmp_path: Path, data: object) -> None:
    (found,), _ = polygons(geojson(tmp_path, data))
    assert np.array_equal(found[0][:, ::-1], SQUARE["coordinates"][0])


def test_a_byte_order_mark_is_no_part_of_geojson(tmp_path: Path) -> None:
    path = geojson(tmp_path, SQUARE)
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert len(polygons(path)[0]) == 1


BAD = [
    pytest.param("no json", "can't be read as GeoJSON", id="garbage"),
    pytest.param('{"type": "Point", "coordinates": [1, 2]}', "has no polygon", id="point"),
    pytest.param('{"type": "Feature", "geometry": null}', "has no polygon", id="nowhere"),
    pytest.param('{"type": "Feature"}', "can't be read as GeoJSON", id="no-geometry"),
    pytest.param("[" * 100_000, "can't be read as GeoJSON", id="deep"),
    pytest.param('{"type": ', "no JSON from line 1, column 10 on", id="cut-off"),
    pytest.param(
        '{"type": "Feature", "properties": [1], "geometry": null}', "not built as", id="a-list"
    ),
    pytest.param("3", "not built as its format wants it", id="a-number"),
    pytest.param('{"a": 1}', "not built as its format wants it", id="other-json"),
    *[
        pytest.param(f'{{"type": "Polygon", "coordinates": {c}}}', "can't be read", id=name)
        for name, c in {
            "not-rings": "[[1]]",
            "no-points": "[[]]",
            "two-points": "[[[1, 2], [3, 4]]]",
            "numbers": "[[1, 2, 3]]",
            "one-coordinate": "[[[1], [2], [3]]]",
            "words": '[[["a", "b"], ["c", "d"], ["e", "f"]]]',
            "null": "[[[1, 2], [3, null], [5, 6]]]",
            "infinite": "[[[1, 2], [3, Infinity], [5, 6]]]",
            "uneven": "[[[1, 2], [3], [5, 6]]]",
            "too-deep": "[[[[1, 2], [3, 4], [5, 6]]]]",
        }.items()
    ],
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_bad_mask_is_refused_with_its_name(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "roi.geojson"
    path.write_text(text)
    with pytest.raises(TilewrightError, match=f"roi.geojson: .*{says}"):
        Mask(masked(path), (1, 1))


def fit(folder: Path, *boxes: tuple[float, float, float, float]) -> tuple[str, ...]:
    """What is said of boxes (y, x, height, width) on an image of 20 x 40 px."""
    squares = [[[[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]]] for y, x, h, w in boxes]
    path = geojson(folder, {"type": "MultiPolygon", "coordinates": squares})
    with Mask(masked(path), (1, 1)) as mask:
        return mask.check()


ANOTHERS = [
    pytest.param((50, 3, 5, 5), "y 50 to 55 and x 3 to 8.*20 x 40 px.*all of its area", id="below"),
    pytest.param((-9, -9, 5, 5), "all of its area is outside", id="before"),
    pytest.param((10, 10, 90, 120), "97 % of its area is outside", id="coarser"),
    pytest.param((0, 0, 38, 18), "x 0 to 18.*would fit with x and y exchanged", id="exchanged"),
]


@pytest.mark.parametrize(("box", "says"), ANOTHERS)
def test_polygons_of_another_image_are_refused_with_numbers(
    tmp_path: Path, box: tuple[float, float, float, float], says: str
) -> None:
    with pytest.raises(TilewrightError, match=f"(?s)roi.geojson: .*({says})"):
        fit(tmp_path, box)


def test_polygons_that_go_over_the_edge_are_taken_and_said(tmp_path: Path) -> None:
    assert fit(tmp_path, (2, 3, 10, 10)) == ()
    assert fit(tmp_path, (0, 0, 20, 40)) == ()
    assert fit(tmp_path, (-0.5, -0.5, 21, 41)) == ()
    (said,) = fit(tmp_path, (2, 3, 10, 10), (5, 36, 10, 8))
    assert said == "22 % of its mask's area lies outside it, which isn't looked at."


@pytest.mark.parametrize("data", [{"type": "FeatureCollection", "features": []}, []])
def test_a_collection_without_features_says_that_there_is_nothing(
    tmp_path: Path, data: object
) -> None:
    with Mask(masked(geojson(tmp_path, data)), (1, 1)) as mask:
        assert not mask.inside(((0, 20), (0, 40))).any()
        assert mask.check() == ("Its mask has no polygon: nothing of it is looked at.",)


def test_a_tile_suffices_by_the_share_of_it_that_lies_inside(tmp_path: Path) -> None:
    path = geojson(tmp_path, SQUARE)  # 32 px
    for least, wanted in ((0, True), (0.04, True), (0.05, False)):
        with Mask(masked(path, min_tissue=least), (1, 1)) as mask:
            assert mask.suffices(mask.inside(((0, 20), (0, 40)))) is wanted
            assert not mask.suffices(mask.inside(((10, 20), (0, 40))))


def test_a_mask_that_was_edited_since_the_plan_is_refused(tmp_path: Path) -> None:
    ref = masked(geojson(tmp_path, SQUARE))
    geojson(tmp_path, SQUARES)
    with pytest.raises(TilewrightError, match=r"roi.geojson: was changed since.*Run again"):
        Mask(ref, (1, 1))


def test_geojson_that_was_only_touched_is_the_same_mask(tmp_path: Path) -> None:
    path = geojson(tmp_path, SQUARE)
    before = stamped(path)
    os.utime(path, (1, 1))
    assert stamped(path) == before


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((40, 20), np.uint8))
    with pytest.raises(TilewrightError, match="another shape than its image's 20 x 40 px"):
        Mask(masked(tmp_path / "mask.tif"), (1, 1))
    with pytest.raises(TilewrightError, match="no such mask"):
        stamped(tmp_path / "nothing.tif")


CLASSES = [
    {"classification": {"name": "Ignore*", "color": [0, 0, 0]}},
    {"classification": {"names": ["Stroma", "Ignore*"]}},
    {"classification": "Ignore*"},
]


@pytest.mark.parametrize("properties", CLASSES)
def test_what_qupath_ignores_is_cut_out_and_said(
    tmp_path: Path, properties: dict[str, object]
) -> None:
    ring = [[4, 5], [8, 5], [8, 7], [4, 7], [4, 5]]
    pen = {"type": "Polygon", "coordinates": [ring]}
    tissue = {"classification": {"name": "Tumor"}}
    features = [
        {"type": "Feature", "geometry": pen, "properties": properties},
        {"type": "Feature", "geometry": SQUARE, "properties": tissue},
    ]
    wanted = np.zeros((20, 40), bool)
    wanted[4:8, 2:10] = True
    wanted[5:7, 4:8] = False
    path = geojson(tmp_path, {"type": "FeatureCollection", "features": features})
    with Mask(masked(path), (1, 1)) as mask:
        np.testing.assert_array_equal(mask.inside(((0, 20), (0, 40))), wanted)
        (said,) = mask.check()
    assert said.startswith("1 of its mask's shapes have a class that QuPath ignores")


def test_nan_in_a_mask_image_is_outside(tmp_path: Path) -> None:
    values = np.full((20, 40), np.nan, np.float32)
    values[4:8, 2:10] = 1
    values[6, 3] = 0
    tifffile.imwrite(tmp_path / "mask.tif", values)
    with Mask(masked(tmp_path / "mask.tif"), (1, 1)) as mask:
        np.testing.assert_array_equal(mask.inside(((0, 20), (0, 40))), values == 1)


def test_what_of_a_mask_image_cant_be_as_it_is_meant_is_said(tmp_path: Path) -> None:
    square = np.zeros((20, 40), np.uint8)
    square[4:8, 2:10] = 255
    said = {
        "a.jpg": (imagecodecs.jpeg8_encode(square), "is a JPEG, in which black isn't 0"),
        "a.png": (imagecodecs.png_encode(np.dstack([square] * 4)), "alpha .* isn't read"),
    }
    for name, (data, words) in said.items():
        (tmp_path / name).write_bytes(data)
        with Mask(masked(tmp_path / name), (1, 1)) as mask:
            (remark,) = mask.check()
        assert re.search(words, remark)
    tifffile.imwrite(tmp_path / "z.ome.tif", np.stack([square, square]), metadata={"axes": "ZYX"})
    with Mask(masked(tmp_path / "z.ome.tif"), (1, 1)) as mask:
        assert mask.check() == ("Its mask has 2 planes along Z: the first counts for all.",)
    tifffile.imwrite(tmp_path / "plain.tif", square)
    with Mask(masked(tmp_path / "plain.tif"), (1, 1)) as mask:
        assert mask.check() == ()
