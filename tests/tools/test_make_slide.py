"""Made slides: any region of one is of the same picture, and what is harmed is what is said."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from judging.made import ROOT, Options, Row, Slide
from made_slides import harm
from made_slides.ndpi import fitting
from made_slides.pyramid import levels, reduced

MAKE = ROOT / "tools" / "make_slide.py"
SHAPE = (700, 900)


def slide(**more: Any) -> Slide:
    return Slide(*SHAPE, **{"tissue": 0.4, "seed": 3, **more})


def whole(made: Slide, plane: int | None = None) -> Any:
    return made.region(0, 0, *SHAPE, plane)


def test_any_region_is_cut_from_one_picture() -> None:
    made, rng = slide(), np.random.default_rng(0)
    picture, mask = whole(made), made.mask(0, 0, *SHAPE)
    for _ in range(20):
        (top, bottom), (left, right) = (np.sort(rng.choice(n, 2, replace=False)) for n in SHAPE)
        place = int(top), int(left), int(bottom - top), int(right - left)
        np.testing.assert_array_equal(made.region(*place), picture[top:bottom, left:right])
        np.testing.assert_array_equal(made.mask(*place), mask[top:bottom, left:right])
        assert not made.is_glass(*place) or not mask[top:bottom, left:right].any()


def test_the_share_of_tissue_is_counted_and_about_what_was_asked_for() -> None:
    made = slide()
    assert made.share() == pytest.approx(made.mask(0, 0, *SHAPE).mean())
    assert Slide(5000, 7000, 0.2, 1).share() == pytest.approx(0.2, abs=0.02)
    assert slide(tissue=0.0).share() < 0.01


def test_glass_is_bright_and_tissue_is_not_glass() -> None:
    made = slide()
    mask, picture = made.mask(0, 0, *SHAPE), whole(made).astype(int)
    assert (np.abs(picture[~mask] - (243, 242, 244)) <= 2).all()
    assert picture[mask].mean() < 220


def test_other_seeds_are_other_slides_and_planes_are_blurred() -> None:
    made = slide(planes=3)
    assert (whole(made) != whole(slide(seed=4))).any()
    np.testing.assert_array_equal(whole(made, 1), whole(slide()))
    sharp, blurred = (np.abs(np.diff(whole(made, z).astype(int), axis=1)).mean() for z in (1, 0))
    assert blurred < sharp


@pytest.mark.parametrize("by", [2, 4])
def test_each_level_is_the_mean_of_the_one_before(by: int) -> None:
    found = []
    for level in levels(slide(), 3, by):
        rows = 32 * by
        found.append(np.concatenate(list(level.bands(rows))))
        assert found[-1].shape[:2] == (level.height, level.width)
    for fine, coarse in itertools.pairwise(found):
        height, width = coarse.shape[0] * by, coarse.shape[1] * by
        parts = fine[:height, :width].reshape(coarse.shape[0], by, coarse.shape[1], by, 3)
        np.testing.assert_allclose(coarse, parts.mean((1, 3)), atol=0.51)
        np.testing.assert_array_equal(reduced(fine, by), coarse)


@pytest.mark.parametrize("how", harm.HOW)
def test_one_tile_is_harmed_and_no_other_byte(tmp_path: Path, how: str) -> None:
    path = Row("", "svs").make(tmp_path)
    before = path.read_bytes()
    told = harm.corrupt_tile(path, 1, how)
    after = path.read_bytes()
    changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[1].keyframe
        begin, size = page.dataoffsets[told["tile"]], page.databytecounts[told["tile"]]
    assert len(before) == len(after)
    assert len(changed)
    assert begin <= changed.min()
    assert changed.max() < begin + size


def test_an_ndpi_is_made_of_whole_strips() -> None:
    options = Options(subsampling="422")
    height, width = fitting(1101, 1399, options)
    assert (height % 8, width % 16) == (0, 0)
    assert (height // 16 % 8, width // 16 % 16) == (0, 0)
    assert (1101 - height < 8 * 16, 1399 - width < 16 * 16) == (True, True)


def test_a_slide_is_made_with_its_truth_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "a.svs"
    words = ["--size", "900x700", "--tissue", "0.4", "--seed", "3", "--mpp", "none", "--truncate"]
    subprocess.run([sys.executable, MAKE, "svs", out, *words, "0.5"], check=True)
    truth = json.loads((tmp_path / "a.svs.truth.json").read_text())
    assert truth["size"] == list(SHAPE)
    assert truth["options"]["mpp"] is None
    assert truth["tissue"] == pytest.approx(slide().share(), abs=1e-6)
    assert truth["bytes"] == out.stat().st_size
    small = imagecodecs.png_decode((tmp_path / "a.svs.truth.png").read_bytes())
    assert (small > 0).mean() == pytest.approx(truth["tissue"], abs=0.03)


def test_a_factor_that_cuts_a_row_of_tiles_is_refused_as_levels_would_be_wrong(
    tmp_path: Path,
) -> None:
    words = ["svs", tmp_path / "a.svs", "--size", "600x600", "--by", "3"]
    run = subprocess.run(
        [sys.executable, MAKE, *words], check=False, capture_output=True, text=True
    )
    assert "the factor 3 doesn't divide 256" in run.stderr
