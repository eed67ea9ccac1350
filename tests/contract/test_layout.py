"""An image's geometry follows from its reference and its level's sizes: no file is opened."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tilewright.contract.jobs import ImageRef
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError

FLAT = ModelSpec("flat", "1", TileSpec({"y": 32, "x": 32}, band={"y": 4, "x": 4}))
DEEP = ModelSpec("deep", "1", TileSpec({"z": 4, "y": 32, "x": 32}))


def ref(**more: Any) -> ImageRef:
    """A stack of 3 time points, 2 channels and 5 slices of 100 x 80 px."""
    return ImageRef("i000", "a", "/nowhere.tif", "", "TCZYX", (3, 2, 5, 100, 80), "uint16", **more)


def level(half: int = 1) -> dict[str, int]:
    return {"T": 3, "C": 2, "Z": 5, "Y": math.ceil(100 / half), "X": 80 // half}


def test_a_2d_model_loops_over_time_and_slices_and_a_3d_model_over_time() -> None:
    flat, deep = (Layout.of(ref(), spec, level()) for spec in (FLAT, DEEP))
    assert (flat.shape, flat.iterated, flat.deep) == ((100, 80), {"T": 3, "Z": 5}, False)
    assert flat.planes == tuple({"T": t, "Z": z} for t in range(3) for z in range(5))
    assert (deep.shape, deep.iterated, deep.deep) == ((5, 100, 80), {"T": 3}, True)
    assert deep.planes == ({"T": 0}, {"T": 1}, {"T": 2})
    assert flat.pixels == deep.pixels == 3 * 5 * 100 * 80
    assert flat.grid.counts == (4, 3)  # of a stride of 24
    assert (flat.channels, flat.dtype.name) == (2, "uint16")


def test_a_region_is_those_of_the_whole_images_pixels_that_it_meets() -> None:
    """Rows 11 to 40 of level 0 are, of one half as fine read at 1.5 px a pixel, rows 8 to 30."""
    made = Layout.of(ref(region=(11, 20, 30, 41), factor=(1.5, 1.5)), FLAT, level(2))
    assert made.start == (8, 15)
    assert made.shape == (23, 31)  # to 30.75 and 45.75, rounded up
    assert made.origin == pytest.approx((8 / 0.75, 20))
    assert made.scale == (0.75, 0.75)
    there = Layout.of(ref(factor=(1.5, 1.5)), FLAT, level(2))
    assert (there.start, there.shape) == ((0, 0), (75, 60))


def test_a_level_may_show_less_than_its_size_and_a_region_past_it_has_its_last_pixel() -> None:
    """Level 0 has 100 rows, and one of 24 shows 4 of them a row: the last 4 are on none."""
    sizes = {**level(), "Y": 24, "X": 20}
    made = Layout.of(ref(region=(97, 0, 3, 80)), FLAT, sizes, (4.0, 4.0))
    assert (made.start, made.shape) == ((23, 0), (1, 20))
    assert (made.origin, made.scale) == ((92, 0), (0.25, 0.25))


def test_a_region_outside_of_the_image_is_refused() -> None:
    with pytest.raises(TilewrightError, match="has nothing of its 100 x 80 pixels"):
        Layout.of(ref(region=(100, 0, 10, 10)), FLAT, level())
