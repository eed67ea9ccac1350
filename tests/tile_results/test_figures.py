"""What the model saw, gathered tile by tile, is what numpy says of all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.merge.write.seen import summed
from tilewright.tile_results.bank import Bank, BankWriter
from tilewright.tile_results.figures import SIDE, Figures, Seen, picture, seen_of

Array = np.ndarray[Any, Any]
TILE = TileSpec({"y": 64, "x": 64})


def model(channels: int = 1, **more: Any) -> ModelSpec:
    return ModelSpec(model_name="m", version="1", tile_spec=TILE, num_channels=channels, **more)


def noise(seed: int, channels: int = 1, spread: float = 1.0, mean: float = 0.0) -> Array:
    found = np.random.default_rng(seed).normal(mean, spread, (channels, 64, 64))
    return found.astype(np.float32)


def gathered(tiles: list[Array], spec: ModelSpec) -> Figures:
    figures = Figures.none(spec.num_channels)
    for number, tile in enumerate(tiles):
        figures.include(number, tile, spec)
    return figures


@pytest.mark.parametrize(
    ("spread", "mean"), [(1, 0), (0.3, 100), (5, -1000), (1e-4, 1e-3), (1e6, 0)]
)
def test_figures_of_tiles_are_those_of_all_pixels(spread: float, mean: float) -> None:
    tiles = [noise(n, 2, spread, mean) for n in range(5)]
    found = summed(gathered(tiles, model(2)))
    for c, channel in enumerate(found.channels):
        pixels = np.concatenate([t[c].ravel() for t in tiles]).astype(float)
        assert channel.mean == pytest.approx(pixels.mean(), rel=1e-4, abs=1e-5 * spread)
        assert channel.std == pytest.approx(pixels.std(), rel=1e-4)
        assert channel.min == pytest.approx(pixels.min(), rel=1e-5)
        assert channel.max == pytest.approx(pixels.max(), rel=1e-5)
        high = np.percentile(pixels, 99.9)
        assert abs(channel.p999 - high) <= 0.032 * abs(high)


@pytest.mark.parametrize("values", [
    [0, 0, 0, 0], [1, 1, 1, 1], [-1, -1, -2, -3], [0, 0, 0, 1], [-5, 0, 0, 0], [3e38, 1, 0, -3e38],
])  # fmt: skip
def test_percentiles_of_few_values_lie_among_them(values: list[float]) -> None:
    tile = np.tile(np.array(values, np.float32), (1, 64, 16))
    (channel,) = summed(gathered([tile], model())).channels
    assert channel.p999 == pytest.approx(max(values), abs=0.032 * abs(max(values)))
    assert channel.p999 <= max(values)


def test_tiles_with_content_count_and_background_doesnt() -> None:
    spec = model(mean=(0.5,), std=(0.2,))
    glass, tissue = noise(0, spread=0.01, mean=2.2), noise(1)
    found = summed(gathered([glass, glass, tissue, glass], spec))
    assert (found.tiles, found.with_content, found.shown) == (4, 1, 2)
    assert found.channels[0].mean == pytest.approx(float(tissue.mean()), abs=1e-5)
    blank = summed(gathered([glass, glass], spec))
    assert (blank.tiles, blank.with_content, blank.shown) == (2, 0, 0)
    assert blank.channels[0].mean == pytest.approx(2.2, abs=1e-2)


@pytest.mark.parametrize("range_", [(0.0, 1.0), (0.0, 255.0)])
def test_content_of_a_model_with_a_range_is_by_that_range(range_: tuple[float, float]) -> None:
    spec = model(input_range=range_)
    tiles = [noise(n, spread=s * range_[1]) for n, s in enumerate((0.001, 0.1))]
    assert summed(gathered(tiles, spec)).with_content == 1


def test_banks_hold_the_same_figures_wherever_tasks_were_cut(tmp_path: Path) -> None:
    spec = model(3)
    tiles = [noise(n, 3) for n in range(6)]

    def banked(name: str, cuts: list[range]) -> Figures:
        banks = []
        for number, part in enumerate(cuts):
            path = tmp_path / f"{name}{number}.bank"
            seen = Seen(spec)
            for n in part:
                seen.include("i000", n, tiles[n])
            with BankWriter(path) as bank:
                seen.bank(bank)
                about: Any = {"group": "g", "job": number, "recipe": "r", "weights": "w"}
                empty: Any = {"images": [], "parts": [], "failures": {}, "left_out": {}}
                bank.close({**about, **empty, "skipped": {}})
            banks.append(Bank(path))
        found = seen_of("i000", banks)
        assert found is not None
        return found

    one, three = banked("a", [range(6)]), banked("b", [range(2), range(2, 2), range(2, 6)])
    assert summed(one) == summed(three)
    assert np.array_equal(one.shown, three.shown)
    assert np.array_equal(one.bins, three.bins)
    assert seen_of("i001", []) is None


def test_images_of_a_pack_keep_their_own_figures() -> None:
    seen = Seen(model())
    for n, image in enumerate(["a", "a", "b"]):
        seen.include(image, n, noise(n, mean=100.0 * n))
    seen._close()
    found = {k: Figures.unpacked(v) for k, v in seen._done.items()}
    assert [int(f.tiles.sum()) for f in found.values()] == [2, 1]
    assert summed(found["b"]).channels[0].mean == pytest.approx(200, abs=0.1)


def test_a_tile_is_shown_from_black_to_white_as_the_model_expects_it() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32) * np.ones((3, 64, 1), np.float32)
    spec = model(3, input_range=(0.0, 1.0), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    shown = picture((ramp - 0.5) / 0.25, spec)
    assert shown.dtype == np.uint8
    assert np.abs(shown[0, 0] - ramp[0, 0] * 255).max() <= 0.5
    dark = picture((ramp / 16 - 0.5) / 0.25, spec)
    assert dark.max() == 16
    colours = ramp * np.array([1, 0.5, 0], np.float32)[:, None, None]
    bgr = picture(colours, model(3, input_range=(0.0, 1.0), color_space="BGR"))
    assert (bgr[0].max(), bgr[2].max()) == (0, 255)


@pytest.mark.parametrize(("shape", "spec", "shown"), [
    ((1, 64, 64), model(), (1, 64, 64)), ((2, 64, 64), model(2), (3, 64, 64)),
    ((5, 64, 64), model(5), (3, 64, 64)), ((1, 8, 64, 64), model(), (1, 64, 64)),
    ((1, 600, 300), model(), (1, 150, 75)),
])  # fmt: skip
def test_any_tile_is_a_small_picture(
    shape: tuple[int, ...], spec: ModelSpec, shown: tuple[int, ...]
) -> None:
    found = picture(np.zeros(shape, np.float32), spec)
    assert found.shape == shown
    assert max(found.shape) <= SIDE


def test_axes_in_the_models_own_order_are_understood() -> None:
    spec = model(2, axes="YXC")
    tile = np.stack([noise(0)[0], 5 + noise(1)[0]], axis=-1)
    means = [c.mean for c in summed(gathered([tile], spec)).channels]
    assert means == pytest.approx([0, 5], abs=0.1)


def test_what_fills_a_tile_up_counts_in_no_figure() -> None:
    tile = noise(3, 2)
    tile[:, 10:], tile[:, :, 20:] = 50, -50
    figures = Figures.none(2)
    figures.include(0, tile, model(2), (slice(0, 10), slice(0, 20)))
    for channel, pixels in zip(summed(figures).channels, tile[:, :10, :20], strict=True):
        assert channel.mean == pytest.approx(float(pixels.mean()), abs=1e-5)
        assert (channel.min, channel.max) == pytest.approx((pixels.min(), pixels.max()), rel=1e-5)


def test_of_pixels_that_are_nearly_all_0_the_percentile_is_0() -> None:
    tile = np.zeros((1, 64, 64), np.float32)
    tile[0, 0, 0] = 1
    assert summed(gathered([tile], model())).channels[0].p999 == 0
