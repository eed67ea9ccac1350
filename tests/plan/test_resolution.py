"""Which level is read: the coarsest that is no coarser than what is wanted."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import Image
from tilewright.images.source import Level, Source
from tilewright.plan.pixel_size import PixelSize
from tilewright.plan.resolution import resolution

TILE = TileSpec({"y": 16, "x": 16})
Sides = tuple[int, int]


def unread(_: object) -> np.ndarray:
    raise AssertionError("a header is enough")


def pyramid(sides: list[Sides], steps: list[tuple[float, float]] | None = None) -> Image:
    levels = tuple(
        Level(shape, None, unread, step=steps[n] if steps else None)
        for n, shape in enumerate(sides)
    )
    return Image(Path("a.svs"), Source("YX", np.dtype("u1"), levels, lambda: None), "YX")


def reads(target: float, tolerance: float = 0.05) -> ModelSpec:
    return ModelSpec(
        "m", "1", replace(TILE, resolution=Resolution(mpp=target, tolerance=tolerance))
    )


def size(*mpp: float) -> PixelSize:
    y, x = mpp if len(mpp) == 2 else mpp * 2
    return PixelSize((y, x), "Aperio's MPP")


@given(
    sides=st.tuples(st.integers(2000, 10**5), st.integers(2000, 10**5)),
    factors=st.lists(st.floats(1.5, 4.5), max_size=4),
    mpp=st.tuples(st.floats(0.1, 2), st.floats(0.9, 1.1)),
    target=st.floats(0.1, 20),
    tolerance=st.floats(0, 0.2),
)
@settings(max_examples=300, deadline=None)
def test_the_level_is_the_coarsest_that_is_not_coarser_than_wanted(
    sides: Sides,
    factors: list[float],
    mpp: tuple[float, float],
    target: float,
    tolerance: float,
) -> None:
    steps = np.cumprod([1.0, *factors])
    shapes = [(int(sides[0] / s), int(sides[1] / s)) for s in steps]
    image, own = pyramid(shapes), (mpp[0], mpp[0] * mpp[1])
    pixels = [
        tuple(m * n / s for m, n, s in zip(own, sides, shape, strict=True)) for shape in shapes
    ]
    fine = [n for n, p in enumerate(pixels) if max(p) <= target * (1 + tolerance)]
    close = [n for n, p in enumerate(pixels) if abs(max(p) / target / (1 + tolerance) - 1) < 1e-6]
    if close:
        return
    if not fine:
        with pytest.raises(TilewrightError, match="coarser than"):
            resolution(image, size(*own), reads(target, tolerance))
        return
    level, factor = resolution(image, size(*own), reads(target, tolerance))
    assert level == max(fine)
    ratios = [p / target for p in pixels[level]]
    if factor == (1, 1):
        assert max(abs(r - 1) for r in ratios) <= tolerance + 1e-6
    else:
        assert factor == pytest.approx(ratios)
        assert max(factor) <= 1 + tolerance + 1e-6


@pytest.mark.parametrize("share", [0.95, 1.05])
@pytest.mark.parametrize("target", [0.25, 0.3, 0.5, 0.7, 1.0, 1.1, 4.4])
def test_pixels_at_the_tolerances_edge_are_taken_as_they_are(target: float, share: float) -> None:
    image = pyramid([(4000, 4000)])
    assert resolution(image, size(target * share), reads(target)) == (0, (1, 1))


@pytest.mark.parametrize("share", [0.949, 1.051])
def test_pixels_past_the_tolerances_edge_are_not(share: float) -> None:
    image = pyramid([(4000, 4000)])
    if share > 1:
        words = "a.svs: has 0.5255 µm per pixel (Aperio's MPP), coarser than the 0.5 that m reads"
        with pytest.raises(TilewrightError, match=re.escape(words)):
            resolution(image, size(0.5 * share), reads(0.5))
    else:
        found = resolution(image, size(0.5 * share), reads(0.5))
        assert found == (0, (pytest.approx(share), pytest.approx(share)))


def test_a_factor_of_nearly_4_is_nearly_4() -> None:
    """A level of 10,001 px in 40,002 shows 3.9998 of them a pixel: 0.99995 µm, of 0.25."""
    image = pyramid([(40_002, 39_998), (10_001, 10_000)])
    level, factor = resolution(image, size(0.25), reads(1.0, 0.001))
    assert (level, factor) == (1, (1, 1))
    level, (y, x) = resolution(image, size(0.25), reads(1.0, 0.0))
    assert (level, y, x) == (1, pytest.approx(0.99995), pytest.approx(0.99995))
    assert resolution(image, size(0.25), reads(0.99994, 0.0))[0] == 0


def test_what_a_level_shows_counts_and_not_how_many_pixels_it_has() -> None:
    """One of 2,500 px whose last three of level 0 are on none is exactly 4 times as coarse."""
    image = pyramid([(10_003, 10_003), (2500, 2500)], [(1.0, 1.0), (4.0, 4.0)])
    assert resolution(image, size(0.25), reads(1.0, 0.0)) == (1, (1, 1))


def test_the_coarser_side_of_oblong_pixels_decides() -> None:
    image = pyramid([(8000, 8000), (4000, 4000), (2000, 2000)])
    level, factor = resolution(image, size(0.25, 0.5), reads(1.0))
    assert (level, factor) == (1, (0.5, 1.0))
    with pytest.raises(TilewrightError, match=r"has 0\.25 x 0\.6 µm per pixel .* coarser than"):
        resolution(image, size(0.25, 0.6), reads(0.5))


def test_levels_may_be_listed_in_any_order() -> None:
    image = pyramid([(8000, 8000), (1000, 1000), (4000, 4000)])
    assert resolution(image, size(0.25), reads(0.6))[0] == 2
    assert resolution(image, size(0.25), reads(2.1))[0] == 1


def test_a_level_of_a_spec_is_read_as_it_is_whatever_its_factor() -> None:
    image = pyramid([(40_002, 39_998), (10_001, 10_000)])
    spec = replace(reads(1), tile_spec=replace(TILE, resolution=Resolution(level=1)))
    assert resolution(image, PixelSize(), spec) == (1, (1, 1))
    assert math.isclose(image.steps[1][0], 40_002 / 10_001)
