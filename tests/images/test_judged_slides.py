"""Made slides are read as they were made, and as openslide, tiffslide and wsidicom read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from judging.compare import KEPT, Read, ask, found, judge_all, region, size
from judging.made import MACRO, PATIENT, Array, Row
from judging.real import real_slides
from judging.table import ROWS
from made_slides.pyramid import levels
from plugin import environment

from tilewright.api.tiles import tiles
from tilewright.contract.spec import Resolution, TileSpec
from tilewright.images.image import list_scenes, open_image

MPP = 0.499
Made = tuple[Row, Path]
Judged = dict[tuple[str, str], tuple[Row, Path, Read]]
SIDE = 224
BAND = 64
PAIRS = [(row.name, judge) for row in ROWS for judge in row.judges]
UNLIKE = [(row.name, name) for row in ROWS for name, judge in row.judges.items() if judge.because]


@pytest.fixture(scope="module", params=ROWS, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    row: Row = request.param
    return row, row.make(tmp_path_factory.mktemp("made"))


def test_a_slide_of_every_kind_shows_what_was_made_at_every_level(made: Made) -> None:
    row, path = made
    with open_image(path) as image:
        assert image.mpp == pytest.approx((MPP, MPP), rel=1e-4)
        assert len(image.levels) == 3
        assert image.is_slide or row.kind == "ome_zarr"
        by = round(size(image, 0)[0] / size(image, 1)[0])
        for plane in range(row.planes):
            for level in levels(row.slide, 3, by, plane):
                truth = np.concatenate(list(level.bands(BAND))).astype(int)
                place = slice(0, level.height), slice(0, level.width)
                pixels = region(image, level.number, place, plane).astype(int)
                off = np.abs(pixels - truth).mean()
                assert off <= row.off
                assert all(off < far for far in shifted(pixels, truth))


def shifted(pixels: Array, truth: Array) -> Iterator[float]:
    """How far pixels are off, in the mean, if they are taken to lie a pixel further."""
    for axis in (0, 1):
        for by in (1, -1):
            yield float(np.abs(np.roll(pixels, by, axis) - truth).mean())


def test_neither_label_nor_macro_is_a_scene_or_in_a_level(made: Made) -> None:
    _, path = made
    assert len(list_scenes(path)) == 1
    with open_image(path) as image:
        for level in range(len(image.levels)):
            height, width = size(image, level)
            pixels = region(image, level, (slice(0, height), slice(0, width))).astype(int)
            for colour in (PATIENT, MACRO):
                assert not (np.abs(pixels - colour).max(axis=-1) < 40).any()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judge_all(environment("slides"), tmp_path_factory.mktemp("judged"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "judge"), PAIRS)
def test_a_judge_reads_the_same_pixels_or_it_is_said_why_not(
    judged: Judged, name: str, judge: str
) -> None:
    row, path, read = judged[name, judge]
    assert "failed" not in read.about
    said = row.judges[judge]
    with open_image(path) as image:
        outcome = found(image, read, row.planes // 2)
        assert outcome.levels == (said.levels or len(image.levels))
        assert said.because or not outcome.most
        assert vars(outcome) == json.loads(KEPT.read_text())[name][judge]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "judge"), PAIRS)
def test_a_judge_says_the_same_size_of_a_pixel(judged: Judged, name: str, judge: str) -> None:
    row, path, read = judged[name, judge]
    with open_image(path) as image:
        if row.judges[judge].has_mpp:
            assert image.mpp == pytest.approx(read.about["mpp"], rel=1e-4)
        else:
            assert read.about["mpp"] is None


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize(("name", "judge"), [p for p in PAIRS if p not in UNLIKE])
def test_a_models_tiles_are_those_of_a_loop_over_a_judges_pixels(
    judged: Judged, name: str, judge: str, level: int
) -> None:
    row, path, read = judged[name, judge]
    with open_image(path) as image:
        theirs = read.level(size(image, level))
        factor = round(size(image, 0)[0] / size(image, level)[0])
    assert theirs is not None
    spec = TileSpec({"y": SIDE, "x": SIDE}, resolution=Resolution(mpp=MPP * factor))
    compared = 0
    for tile in tiles(path, spec, mask="none"):
        top, left = (round(n / factor) for n in tile.origin)
        loop = theirs[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)
        if tile.plane.get("Z", 0) == row.planes // 2:
            compared += loop[0].size
            np.testing.assert_array_equal(tile.pixels[:, : loop.shape[1], : loop.shape[2]], loop)
    assert compared == theirs[..., 0].size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small.svs", "boxes_0.dcm"])
def test_a_real_slide_is_read_as_openslide_reads_it(tmp_path: Path, name: str) -> None:
    python = environment("slides")
    path = real_slides(python, python.parents[1] / "share" / "slides")[name]
    (read,) = ask(python, [("openslide", path)], tmp_path)
    with open_image(path) as image:
        outcome = found(image, read)
        assert (outcome.levels, outcome.most) == (1, 0)
        assert image.mpp == pytest.approx(read.about["mpp"])
        assert image.is_slide
        assert image.magnification == 20
