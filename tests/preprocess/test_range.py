"""Black and white of an image: as its file or its user says, and wherever its values lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import Array, speckles
from test_reader import model, saved, whole

from tilewright.contract.blocks import Crop, Normalization, Resize
from tilewright.contract.jobs import EMPTY
from tilewright.preprocess.reader import TileReader

PERCENTILES = Normalization("percentile", 0, 100)
ZSCORE = Normalization("zscore")
PLAIN = speckles((37, 53), "float64")


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32"])
def test_12_bits_reach_the_model_as_all_of_its_range_whatever_they_are_in(
    tmp_path: Path, dtype: str
) -> None:
    pixels = (PLAIN * 4095).round().astype(dtype)
    spec = model(input_range=(0.0, 255.0))
    seen = whole(saved(tmp_path, pixels, range=(0.0, 4095.0)), spec)
    assert np.allclose(seen[0], pixels.astype(float) * 255 / 4095, atol=1e-4)


def test_a_range_may_begin_anywhere_and_values_outside_stay_outside(tmp_path: Path) -> None:
    pixels = np.array([[-1000, 0, 1000, 3000]] * 4, "int16")
    seen = whole(saved(tmp_path, pixels, range=(-1000.0, 1000.0)), model(input_range=(0.0, 1.0)))
    assert seen[0, 0, :4].tolist() == [0, 0.5, 1, 2]


@pytest.mark.parametrize(("dtype", "offset", "span"), [
    ("float64", 1e9, 1.0), ("float64", -1e9, 100.0), ("uint32", 2**31, 4095.0),
    ("int32", -(2**31), 255.0), ("float64", 0.0, 1e-7), ("float32", 0.0, 1e-7),
    ("float64", 1.0, 1e-7), ("uint32", 0.0, 4095.0), ("float32", 2**23, 4095.0),
])  # fmt: skip
@pytest.mark.parametrize("factor", [1.0, 0.5])
@pytest.mark.parametrize("norm", [
    PERCENTILES, ZSCORE, Normalization("percentile", 0, 100, "tile"),
    Normalization("zscore", scope="tile"),
])  # fmt: skip
def test_an_image_looks_the_same_wherever_its_values_lie(
    tmp_path: Path, dtype: str, offset: float, span: float, factor: float, norm: Normalization
) -> None:
    pixels = (offset + PLAIN * span).astype(dtype)
    shares = (pixels.astype(float) - offset) / span
    more: dict[str, Any] = {"factor": (factor, factor)}
    spec = model(normalization=norm, size=64, context=0)
    plain = whole(saved(tmp_path / "plain", shares, **more), spec)
    seen = whole(saved(tmp_path / "far", pixels, **more), spec)
    assert np.allclose(seen, plain, atol=5e-3)  # float32 at 2^23 has whole numbers
    assert plain.std() > 0.05


def test_a_range_far_from_0_is_scaled_without_loss(tmp_path: Path) -> None:
    pixels = 1e9 + np.arange(256.0).reshape(16, 16)
    ref = saved(tmp_path, pixels, range=(1e9, 1e9 + 255), factor=(1.0, 0.5))
    seen = whole(ref, model(input_range=(0.0, 255.0), interpolation="area"))
    assert np.allclose(seen[0, 0, :8], np.arange(16).reshape(8, 2).mean(axis=1), atol=1e-3)


@pytest.mark.parametrize("norm", [PERCENTILES, ZSCORE])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.3])
def test_a_flat_image_is_0_and_not_its_rounding(
    tmp_path: Path, norm: Normalization, value: float
) -> None:
    pixels = np.full((37, 53), value)
    seen = whole(saved(tmp_path, pixels), model(normalization=norm))
    assert np.abs(seen).max() < 0.01 * max(1, value)  # as float32 has it


@pytest.mark.parametrize("norm", [PERCENTILES, ZSCORE])
def test_a_range_takes_nothing_from_a_normalisation(tmp_path: Path, norm: Normalization) -> None:
    pixels = (PLAIN * 4095).astype("uint32")
    plain = whole(saved(tmp_path / "a", pixels), model(normalization=norm))
    both = model(normalization=norm, input_range=(0.0, 1.0))
    assert np.allclose(whole(saved(tmp_path / "b", pixels), both), plain, atol=1e-4)


@pytest.mark.parametrize(("pad", "seen"), [("white", 1.0), ("zero", 0.0)])
def test_what_fills_a_tile_up_is_black_or_white_of_the_range(
    tmp_path: Path, pad: str, seen: float
) -> None:
    pixels = np.full((20, 20), 2000, "uint16")
    spec = model(input_range=(0.0, 1.0), tile={"pad": pad})
    tile = whole(saved(tmp_path, pixels, range=(100.0, 4095.0)), spec)
    assert tile[0, -1, -1] == pytest.approx(seen, abs=1e-6)


def test_stains_are_unmixed_by_the_range(tmp_path: Path) -> None:
    colours: Array = speckles((3, 37, 53), "uint8")
    ref = {"channels": (0, 1, 2), "axes": "CYX"}
    spec = model(num_channels=3, color_space="HED")
    plain = whole(saved(tmp_path / "a", colours, **ref), spec)
    deep = colours.astype("uint16") * 16
    seen = whole(saved(tmp_path / "b", deep, range=(0.0, 4080.0), **ref), spec)
    assert np.allclose(seen, plain, atol=1e-6)


def test_the_pixels_that_are_measured_keep_their_values_when_resampled(tmp_path: Path) -> None:
    pixels = np.full((16, 16), 2**31 + 101, "uint32")
    with TileReader(saved(tmp_path, pixels, factor=(0.5, 0.5)), model()) as reader:
        assert np.unique(reader.raw(0, ((0, 8), (0, 8)))).tolist() == [2**31 + 101]


@pytest.mark.parametrize("norm", [
    PERCENTILES, ZSCORE, Normalization("percentile", 1, 99, "tile"),
    Normalization("zscore", scope="tile"),
])  # fmt: skip
@pytest.mark.parametrize(("dtype", "value"), [
    ("uint8", 200), ("uint16", 65535), ("float32", 0.1), ("float32", 1000.1),
    ("float64", 1e9 + 0.3), ("uint32", 2**31 + 5),
])  # fmt: skip
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_flat_image_that_is_resampled_is_0_and_not_its_rounding(
    tmp_path: Path, norm: Normalization, dtype: str, value: float, interpolation: str
) -> None:
    pixels = np.full((64, 64), value, dtype)
    spec = model(normalization=norm, interpolation=interpolation, size=64, context=0)
    for factor in (0.37, 0.5):
        seen = whole(saved(tmp_path, pixels, factor=(factor, factor)), spec)
        assert np.abs(seen).max() == 0


@pytest.mark.parametrize(("dtype", "offset", "spread"), [
    ("uint32", 2**31, 1000.0), ("float64", 1e9, 0.3),
])  # fmt: skip
def test_a_mean_far_from_0_is_subtracted_without_loss(
    tmp_path: Path, dtype: str, offset: float, spread: float
) -> None:
    pixels = (offset + PLAIN * 4 * spread).astype(dtype)
    seen = whole(saved(tmp_path, pixels), model(mean=(float(offset),), std=(spread,)))
    assert np.allclose(seen[0], (pixels.astype(float) - offset) / spread, atol=1e-5)


def test_a_channel_that_isnt_there_is_black_by_the_range(tmp_path: Path) -> None:
    ref = saved(tmp_path, 1e9 + PLAIN, range=(1e9, 1e9 + 1), channels=(0, EMPTY))
    seen = whole(ref, model(num_channels=2, input_range=(0.0, 255.0)))
    assert seen[0].std() > 10
    assert (seen[1] == 0).all()


@pytest.mark.parametrize("pad", ["zero", "white", "reflect"])
@pytest.mark.parametrize("tile", [{}, {"resize": Resize(y=24, x=36)}, {"crop": Crop(y=40, x=40)}])
def test_what_fills_a_tile_up_is_told_from_the_image(
    tmp_path: Path, pad: str, tile: dict[str, Any]
) -> None:
    spec = model(input_range=(0.0, 1.0), size=48, context=0, tile={"pad": pad}, **tile)
    ref = saved(tmp_path, np.full((30, 40), 100, "uint8"))
    with TileReader(ref, spec) as reader:
        window = reader.grid.tile(0).window
        seen, within = reader.read(0, window)[0], reader.within(window)
    there = np.zeros(seen.shape, bool)
    there[within] = True
    inside = np.isclose(seen, 100 / 255, atol=0.2)
    assert (inside == there).mean() > 0.9
    assert inside[within].mean() > 0.97
