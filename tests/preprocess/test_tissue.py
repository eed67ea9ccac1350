"""Tissue is found on slides of many kinds, made of a real picture with their tissue known."""

from __future__ import annotations

import json
import sys
import zlib
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tilewright import ROOT
from tilewright.images.image import open_image
from tilewright.preprocess.glass import colour
from tilewright.preprocess.overview import overview
from tilewright.preprocess.tissue import TissueRule, find_tissue

sys.path.insert(0, str(ROOT / "benchmarks"))

from tissue.kinds import EMPTY, KINDS
from tissue.measure import scored
from tissue.slide import Slide
from tissue.tables import MOST_LOST_OF_A_KIND
from tissue.texture import Texture

Array = np.ndarray[Any, Any]
SMALL = (300, 400)  # px of 8 µm
LIKELY = [
    "H&E", "very pale", "fat", "pen, black", "pen, blue", "pen, green", "pen, red", "smear",
    "bubbles", "dust", "black borders", "unscanned, white", "unscanned, black", "IHC (DAB)",
    "hematoxylin only", "trichrome, blue", "fragments", "tissue all over", "out of focus",
    "yellowish glass", "uneven light", "shadow at the edge", "blood", "carbon and tattoo",
]  # fmt: skip


@lru_cache
def texture() -> Texture:
    """That of the demo's tissue."""
    return Texture([ROOT / "examples" / "nuclei" / "tissue.tif"])


@lru_cache
def slide(kind: str, seed: int = 1) -> tuple[Slide, Array]:
    """A small slide of a kind, and its picture."""
    made = Slide(zlib.crc32(f"{kind} {seed}".encode()), texture(), SMALL)
    KINDS[kind](made)
    return made, made.scanned()


@pytest.mark.parametrize("kind", LIKELY)
def test_the_tissue_of_a_slide_is_found_whatever_lies_beside_it(kind: str) -> None:
    made, picture = slide(kind)
    _, iou, lost, _ = scored(made, find_tissue(picture, (8.0, 8.0)))
    assert lost < MOST_LOST_OF_A_KIND
    assert iou > 0.75  # of pieces of 1 mm, whose rim of a pixel counts


@pytest.mark.parametrize("kind", EMPTY)
def test_a_slide_without_tissue_has_none(kind: str) -> None:
    found = find_tissue(slide(kind)[1], (8.0, 8.0))
    assert found.mean() < (0.005 if kind == "empty with dirt" else 1e-9)


@pytest.mark.parametrize("value", [0, 128, 240, 255])
def test_an_even_picture_of_any_brightness_has_no_tissue(value: int) -> None:
    assert not find_tissue(np.full((90, 120, 3), value, np.uint8)).any()
    assert not find_tissue(np.full((90, 120), value, np.uint8)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (8, 8)])
def test_a_picture_of_a_few_pixels_is_looked_at(shape: tuple[int, int]) -> None:
    found = find_tissue(np.full((*shape, 3), (200, 120, 180), np.uint8), (500.0, 500.0))
    assert found.shape == shape
    assert found.all()


def test_the_same_picture_gives_the_same_tissue_and_is_not_changed() -> None:
    picture = slide("pen, blue")[1]
    before = picture.copy()
    assert np.array_equal(find_tissue(picture), find_tissue(picture))
    assert np.array_equal(picture, before)


def test_a_slide_turned_round_has_its_tissue_turned_round() -> None:
    made, picture = slide("H&E")
    found, turned = find_tissue(picture), find_tissue(picture[::-1, ::-1])
    assert np.mean(found != turned[::-1, ::-1]) < 0.002
    assert scored(made, turned[::-1, ::-1])[1] > 0.9


def test_lengths_are_in_microns_so_that_coarser_pixels_find_the_same_tissue() -> None:
    made, picture = slide("H&E")
    half = picture.reshape(150, 2, 200, 2, 3).mean((1, 3)).round().astype(np.uint8)
    found = find_tissue(half, (16.0, 16.0)).repeat(2, 0).repeat(2, 1)
    assert scored(made, found)[1] > 0.9


def test_a_pixel_size_that_nobody_knows_is_taken_as_the_rules() -> None:
    picture = slide("H&E")[1]
    assert np.array_equal(find_tissue(picture), find_tissue(picture, (8.0, 8.0)))


def test_pieces_and_holes_count_by_their_area() -> None:
    picture = np.full((200, 300, 3), 240, np.uint8)
    picture[20:180, 20:180] = 200, 120, 180
    picture[80:110, 80:110] = 240  # 0.06 mm²
    picture[20:33, 220:233] = 200, 120, 180  # 0.011 mm²
    found = find_tissue(picture, (8.0, 8.0))
    assert found[95, 95]
    assert not found[26, 226]
    rule = replace(TissueRule(), hole_mm2=0.01, speck_mm2=0.005)
    other = find_tissue(picture, (8.0, 8.0), rule)
    assert not other[95, 95]
    assert other[26, 226]


def test_glass_at_the_edge_of_a_slide_full_of_tissue_is_no_hole() -> None:
    picture = np.full((200, 300, 3), (200, 120, 180), np.uint8)
    picture[:50, :50] = 240  # 0.16 mm²
    assert not find_tissue(picture, (8.0, 8.0))[10, 10]


def test_a_rule_is_json_and_back() -> None:
    rule = replace(TissueRule(), speck_mm2=0.1)
    assert TissueRule(**json.loads(json.dumps(asdict(rule)))) == rule


@pytest.mark.parametrize(
    ("light", "filled"), [((236, 225, 190), 255), ((190, 195, 200), 0), ((244, 243, 245), 255)]
)
def test_glass_is_the_slides_own_and_not_what_the_scanner_filled(
    light: tuple[int, int, int], filled: int
) -> None:
    picture = np.full((100, 100, 3), light, np.uint8)
    picture[:, :60] = filled
    picture[:20] = 190, 110, 170
    assert np.allclose(colour(picture) * 255 - 0.5, light, atol=0.01)


def test_where_no_glass_is_seen_it_is_taken_as_white() -> None:
    noise = np.random.default_rng(1).normal(0, 12, (200, 200, 3))
    pink = (np.array([215, 150, 190]) + noise).astype(np.uint8)
    assert colour(pink).tolist() == [1, 1, 1]
    assert find_tissue(pink, (8.0, 8.0)).all()


def test_grey_slides_have_what_is_darker_than_glass() -> None:
    made, picture = slide("H&E")
    assert scored(made, find_tissue(picture.mean(-1).astype(np.uint8), (8.0, 8.0)))[1] > 0.85


def test_in_a_dark_picture_tissue_is_what_shines() -> None:
    picture = np.full((150, 150), 5, np.uint8)
    picture[40:100, 40:100] = 90
    found = find_tissue(picture, (8.0, 8.0))
    assert found[45:95, 45:95].all()
    assert not found[:30].any()


def written(path: Path, pixels: Array, **options: Any) -> Path:
    """A pyramid of two levels, or a plain file, at 2 µm a pixel."""
    known = {"resolution": (5000, 5000), "resolutionunit": "CENTIMETER", **options}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=int("tile" in options), **known)
        if "tile" in options:
            small = pixels.reshape(-1, 4, pixels.shape[1] // 4, 4, *pixels.shape[2:]).mean((1, 3))
            file.write(small.round().astype(pixels.dtype), subfiletype=1, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64)}])
def test_an_overview_is_the_mean_of_blocks_with_or_without_a_pyramid(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilewright.preprocess.overview.OVERVIEW_BYTES", 2**14)
    pixels = np.random.default_rng(1).integers(0, 256, (320, 480, 3), np.uint8)
    path = written(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    with open_image(path) as image:
        seen = overview(image, 8.0)
    wanted = pixels.reshape(80, 4, 120, 4, 3).mean((1, 3))
    assert seen.scale == (4, 4)
    assert seen.mpp == pytest.approx((8, 8))
    assert seen.pixels.dtype == np.uint8
    assert np.abs(seen.pixels - wanted).max() <= 0.51


def test_an_overview_of_a_slide_with_a_damaged_level_is_of_the_next_finer_one(
    tmp_path: Path,
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (256, 320, 3), np.uint8)
    small = np.rint(pixels.reshape(64, 4, 80, 4, 3).mean((1, 3))).astype(np.uint8)
    path = tmp_path / "a.tif"
    for damaged in (False, True):
        with tifffile.TiffWriter(path) as file:
            options = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}
            file.write(pixels, subifds=1, resolution=(1e4, 1e4), resolutionunit=3, **options)
            file.write(small, subfiletype=1, **options)
        if damaged:
            with tifffile.TiffFile(path) as file:
                page = file.series[0].levels[1].keyframe
                place, count = page.dataoffsets[1], page.databytecounts[1]
            with path.open("r+b") as raw:
                raw.seek(place)
                raw.write(bytes(count))
        with open_image(path) as image:
            seen = overview(image, 4.0)
        assert seen.scale == (4, 4)
        assert np.abs(seen.pixels.astype(int) - small).max() <= 1


def test_the_last_row_of_an_overview_may_be_of_fewer_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((41, 43, 3), np.uint8)
    pixels[40:], pixels[:, 40:] = 100, 200
    with open_image(written(tmp_path / "a.tif", pixels, photometric="rgb")) as image:
        seen = overview(image, 8.0)
    assert seen.pixels.shape == (11, 11, 3)
    assert seen.pixels[10, 0, 0] == 100
    assert seen.pixels[0, 10, 0] == 200


def test_a_slide_of_16_bits_has_the_tissue_of_8(tmp_path: Path) -> None:
    made, picture = slide("H&E")
    found = []
    for name, pixels in (("8", picture), ("12", picture.astype(np.uint16) * 16)):
        file = written(tmp_path / f"{name}.tif", pixels, photometric="rgb")
        with open_image(file) as image:
            seen = overview(image, 2.0)
        found.append(find_tissue(seen.pixels, (8.0, 8.0)))
    assert np.mean(found[0] != found[1]) < 0.002
    assert scored(made, found[1])[1] > 0.9


@pytest.mark.parametrize("axes", ["CYX", "ZCYX"])
def test_an_overview_of_planes_is_of_the_middle_slice_in_colour(tmp_path: Path, axes: str) -> None:
    pixels = np.zeros((5, 3, 30, 40), np.uint8)
    pixels[2] = np.array([10, 20, 30])[:, None, None]
    path = tmp_path / "a.ome.tif"
    planes = pixels[2] if axes == "CYX" else pixels
    tifffile.imwrite(path, planes, metadata={"axes": axes}, photometric="minisblack")
    with open_image(path) as image:
        seen = overview(image, 8.0)
    assert seen.mpp is None
    assert seen.pixels.shape == (30, 40, 3)
    assert seen.pixels[3, 3].tolist() == [10, 20, 30]
