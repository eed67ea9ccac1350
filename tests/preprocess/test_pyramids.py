"""A slide is seen the same however it is tiled: its level, resampled, is one image."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import Array, write_ome_zarr
from PIL import Image as Pillow
from slides import reduced, write_svs

from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.plan.fit import Planned, plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.reader import TileReader

MPP = 0.2513  # of level 0
SIDES = (403, 331)
FACTORS = (3.9998, 16.01)  # of the levels below it: none is whole


def tissue(height: int, width: int) -> Array:
    """Smooth colours with noise and cells, (y, x, 3) uint8."""
    rng = np.random.default_rng(4)
    y, x = np.indices((height, width))
    waves = np.stack([np.sin(y / a) * np.cos(x / b) for a, b in ((31, 17), (13, 41), (23, 29))], -1)
    noise = rng.normal(0, 12, (height, width, 3))
    return np.clip(170 + 60 * waves + noise, 0, 255).astype(np.uint8)


@cache
def slide(folder: Path) -> tuple[Path, list[Array]]:
    """A pyramid as OME-Zarr, and its levels (y, x, 3)."""
    whole = tissue(*SIDES)
    levels = [whole]
    for factor in FACTORS:
        size = int(SIDES[1] / factor), int(SIDES[0] / factor)
        levels.append(np.asarray(Pillow.fromarray(whole).resize(size, Pillow.Resampling.BOX)))
    path = folder / "slide.zarr"
    names = ["red", "green", "blue"]
    stored = [np.ascontiguousarray(level.transpose(2, 0, 1)) for level in levels]
    write_ome_zarr(path, stored, "CYX", scale=MPP, channels=names)
    return path, levels


def model(target: float, size: int = 32, context: int = 4, **more: Any) -> ModelSpec:
    return ModelSpec(
        "m",
        "1",
        TileSpec(
            {"y": size, "x": size},
            context={"y": context, "x": context},
            resolution=Resolution(mpp=target, tolerance=0.01),
            variable_input=True,
        ),
        num_channels=3,
        axes="CYX",
        **{"interpolation": "bilinear", "antialias": True, **more},
    )


def planned(path: Path, spec: ModelSpec, region: tuple[int, int, int, int] | None) -> Planned:
    return plan_image(Row(path, "a"), Params(input=".", region=region), spec)


def seen(image: Planned, spec: ModelSpec) -> Array:
    """All that a model sees of an image, and its own pixels, where its pixels are in the whole.

    NaN where nothing is read; (2, 3, y, x).
    """
    with TileReader(image.ref, spec) as reader:
        at = reader.layout.start
        end = [s + n for s, n in zip(at, reader.shape, strict=True)]
        found = np.full((2, 3, *end), np.nan)
        for tile in reader.grid:
            (top, bottom), (left, right) = tile.window
            y, x = slice(at[0] + top, at[0] + bottom), slice(at[1] + left, at[1] + right)
            pair = reader.read(0, tile.window), reader.raw(0, tile.window)
            for there, pixels in zip(found, pair, strict=True):
                part = there[:, y, x]
                old = ~np.isnan(part)
                np.testing.assert_array_equal(pixels[old], part[old])  # tiles agree where they meet
                part[...] = pixels
    return found


@given(
    target=st.floats(0.3, 6),
    size=st.integers(40, 90),
    context=st.integers(0, 9),
    corner=st.tuples(st.integers(0, 402), st.integers(0, 330)),
    sides=st.tuples(st.integers(1, 500), st.integers(1, 400)),
    name=st.sampled_from(["bilinear", "bicubic", "area", "lanczos", "nearest"]),
)
@settings(max_examples=12, deadline=None)
def test_a_slides_pixels_are_the_same_to_the_bit_whatever_the_tiles_and_the_region(
    tmp_path_factory: pytest.TempPathFactory,
    target: float,
    size: int,
    context: int,
    corner: tuple[int, int],
    sides: tuple[int, int],
    name: str,
) -> None:
    path, _ = slide(tmp_path_factory.getbasetemp())
    antialias = name in ("bilinear", "bicubic", "lanczos")
    one, other = (
        model(target, *cut, interpolation=name, antialias=antialias)
        for cut in ((450, 0), (size, context))
    )
    whole = seen(planned(path, one, None), one)
    np.testing.assert_array_equal(seen(planned(path, other, None), other), whole)
    part = planned(path, other, (*corner, *sides))
    found = seen(part, other)
    there = ~np.isnan(found)
    assert there.any()
    same = whole[:, :, : found.shape[2], : found.shape[3]]
    np.testing.assert_array_equal(found[there], same[there])


@pytest.mark.parametrize(("target", "level"), [(0.5, 0), (1.1, 1), (3.1, 1), (4.5, 2)])
@pytest.mark.parametrize("region", [None, (51, 103, 197, 151)])
def test_a_slides_tile_is_pillows_of_that_box_of_its_level(
    tmp_path_factory: pytest.TempPathFactory,
    target: float,
    level: int,
    region: tuple[int, int, int, int] | None,
) -> None:
    path, levels = slide(tmp_path_factory.getbasetemp())
    spec = model(target, 48, 8)
    image = planned(path, spec, region)
    assert image.ref.level == level
    height, width = levels[level].shape[:2]
    with TileReader(image.ref, spec) as reader:
        for tile in itertools.islice(reader.grid, 6):
            got = reader.read(0, tile.window)
            sides = zip(
                tile.window, reader.layout.start, image.ref.factor, got.shape[1:], strict=True
            )
            (top, bottom), (left, right) = [
                ((a + s) / f, (a + s + n) / f) for (a, _), s, f, n in sides
            ]
            if bottom > height or right > width:
                continue  # Pillow has no pixels past the end
            for channel, pixels in enumerate(got):
                want = Pillow.fromarray(levels[level][..., channel].astype(np.float32)).resize(
                    pixels.shape[::-1],
                    Pillow.Resampling.BILINEAR,
                    box=(left, top, right, bottom),
                    reducing_gap=None,
                )
                np.testing.assert_allclose(pixels, np.asarray(want), rtol=1e-5)


def test_a_region_begins_at_the_pixel_of_the_whole_image_that_holds_its_corner(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path, levels = slide(tmp_path_factory.getbasetemp())
    spec = model(1.4)
    image = planned(path, spec, (200, 150, 50, 45))
    with TileReader(image.ref, spec) as reader:
        for axis, (corner, length) in enumerate(((200, 50), (150, 45))):
            first, scale = reader.layout.origin[axis], reader.layout.scale[axis]
            assert corner - 1 / scale < first <= corner
            last = first + reader.shape[axis] / scale
            assert corner + length <= last < corner + length + 1 / scale
            assert first * scale == pytest.approx(reader.layout.start[axis])
            step = SIDES[axis] / levels[1].shape[axis]
            assert scale == pytest.approx(image.ref.factor[axis] / step)


def test_a_scanners_level_that_is_cut_off_lies_where_it_shows_and_so_does_a_region_of_it(
    tmp_path: Path,
) -> None:
    """Level 1 has 80 x 101 pixels of exactly 4 x 4: level 0 has more rows and columns."""
    whole = tissue(323, 407)
    write_svs(tmp_path / "a.svs", [whole, reduced(whole, 4)], mpp="0.5")
    spec, out = model(2.6), (321, 405, 2, 2)
    image = planned(tmp_path / "a.svs", spec, None)
    assert (image.ref.level, image.ref.factor) == (1, pytest.approx((2 / 2.6, 2 / 2.6)))
    with TileReader(image.ref, spec) as reader:
        assert reader.layout.scale == pytest.approx((0.5 / 2.6, 0.5 / 2.6), rel=1e-12)
        assert reader.shape == (62, 78)
    full = seen(image, spec)
    for region in ((101, 55, 150, 201), out):
        found = seen(planned(tmp_path / "a.svs", spec, region), spec)
        there = ~np.isnan(found)
        assert there.any()
        np.testing.assert_array_equal(
            found[there], full[:, :, : found.shape[2], : found.shape[3]][there]
        )
