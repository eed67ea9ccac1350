"""What can't be right of what a model saw is said with its figures; what can be isn't."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tilewright.contract.blocks import Normalization
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.merge.write.facts import ChannelFigures, SeenFacts
from tilewright.plan.value_range import ValueRange as Taken
from tilewright.report.guard import doubts, lines, told

TILE = TileSpec({"y": 64, "x": 64})
IMAGENET: dict[str, Any] = {
    "num_channels": 3, "color_space": "RGB", "input_range": (0.0, 1.0),
    "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
}  # fmt: skip


def model(**more: Any) -> ModelSpec:
    return ModelSpec(**{"model_name": "m", "version": "1", "tile_spec": TILE, **more})


def seen(*channels: tuple[float, float, float, float, float]) -> SeenFacts:
    """Mean, std, min, max and 99.9th percentile of each channel."""
    return SeenFacts(4, 4, 0, [ChannelFigures(*c) for c in channels])


def said(facts: SeenFacts, taken: Taken | None, spec: ModelSpec) -> list[str]:
    return [told([d]) for d in doubts(facts, taken, spec)]


def of_pixels(low: float, high: float, taken: Taken, span: tuple[float, float]) -> SeenFacts:
    """What a model with a range sees of pixels spread evenly over `low` to `high`."""
    slope = (span[1] - span[0]) / (taken.high - taken.low)
    least, most = ((v - taken.low) * slope + span[0] for v in (low, high))
    return seen(((least + most) / 2, (most - least) / 3.46, least, most, most * 0.999))


@pytest.mark.parametrize(("taken", "pixels", "words"), [
    (Taken(0, 65535, "uint16"), (0, 4095), ["nearly black", "6.2", "--range 0,4095", "uint16"]),
    (Taken(0, 65535, "uint16"), (90, 3001), ["nearly black", "--range 0,4095."]),
    (Taken(0, 65535, "uint16"), (0, 255), ["nearly black", "--range 0,255."]),
    (Taken(0, 4294967295, "uint32"), (0, 16383), ["nearly black", "--range 0,16383."]),
    (Taken(0, 32767, "int16"), (0, 1023), ["nearly black", "--range 0,1023."]),
    (Taken(0, 1, "float32"), (0, 255), ["0 to 255", "beyond", "--range 0,255.", "float32"]),
    (Taken(0, 1, "float32"), (-1, 1), ["-1 to 1", "beyond", "--range=-1,1."]),
    (Taken(0, 32767, "int16"), (-1000, 3000), ["-1,000 to 3,000", "--range=-1024,4095."]),
    (Taken(0, 4095, "SignificantBits 12"), (0, 65535), ["beyond", "--range 0,65535."]),
    (Taken(0, 255, "uint8"), (0, 20), ["nearly black", "--range LOW,HIGH"]),
    (Taken(0, 1, "float32"), (0, 0.05), ["nearly black", "--range LOW,HIGH"]),
    (Taken(0, 1, "float32"), (0, 1.02), ["beyond", "--range 0,1.1."]),
    (Taken(0, 1, "float32"), (200, 200), ["200 to 200", "beyond", "--range 0,255."]),
    (Taken(0, 1, "float64"), (1e9, 1e9), ["beyond", "--range LOW,HIGH"]),
    (Taken(0, 1, "float64"), (1e9, 1e9 + 1e6), ["beyond", "--range 1000000000,1001000000."]),
    (Taken(0, 1, "float64"), (0, 9e10), ["beyond", "--range 0,9e+10."]),
])  # fmt: skip
@pytest.mark.parametrize("span", [(0.0, 1.0), (0.0, 255.0)])
def test_a_range_that_isnt_the_images_is_told_with_what_to_say(
    taken: Taken, pixels: tuple[float, float], words: list[str], span: tuple[float, float]
) -> None:
    spec = model(input_range=span)
    (sentence,) = said(of_pixels(*pixels, taken, span), taken, spec)
    assert [word for word in words if word not in sentence] == []


@pytest.mark.parametrize(("taken", "pixels"), [
    (Taken(0, 255, "uint8"), (0, 255)), (Taken(0, 255, "uint8"), (3, 60)),
    (Taken(0, 65535, "uint16"), (0, 65535)), (Taken(0, 65535, "uint16"), (200, 9000)),
    (Taken(0, 4095, "--range"), (0, 4095)), (Taken(0, 4095, "--range"), (0, 4100)),
    (Taken(0, 1, "float32"), (0, 1)), (Taken(0, 1, "float32"), (-0.005, 1.005)),
    (Taken(0, 255, "uint8"), (0, 0)), (Taken(0, 65535, "uint16"), (17, 17)),
])  # fmt: skip
def test_nothing_is_said_of_an_ordinary_image_or_an_empty_one(
    taken: Taken, pixels: tuple[float, float]
) -> None:
    assert said(of_pixels(*pixels, taken, (0.0, 1.0)), taken, model(input_range=(0.0, 1.0))) == []


def test_an_interpolation_that_overshoots_may() -> None:
    taken = Taken(0, 255, "uint8")
    facts = of_pixels(-30, 290, taken, (0.0, 1.0))
    assert said(facts, taken, model(input_range=(0.0, 1.0), interpolation="bicubic")) == []
    assert len(said(facts, taken, model(input_range=(0.0, 1.0)))) == 1


def test_a_range_is_judged_before_mean_and_std() -> None:
    channels = [
        ((0.03 - m) / s, 0.02 / s, -m / s, (4095 / 65535 - m) / s, (0.062 - m) / s)
        for m, s in zip(IMAGENET["mean"], IMAGENET["std"], strict=True)
    ]
    taken = Taken(0, 65535, "uint16")
    (all_three,) = said(seen(*channels), taken, model(**IMAGENET))
    assert "saw it nearly black: 99.9 % is under 6.2 %" in all_three
    assert "--range 0,4095." in all_three
    (two,) = said(seen(*channels[:2], (0, 1, -1, 2, 2)), taken, model(**IMAGENET))
    assert "saw it of channels 0, 1 nearly black" in two


@pytest.mark.parametrize(("mean", "std", "fits"), [
    (0, 1, True), (2.9, 0.06, True), (-2.9, 4.9, True), (3.1, 1, False), (-3.1, 1, False),
    (0, 0.04, False), (0, 5.1, False), (0.2, 3e8, False),
])  # fmt: skip
@pytest.mark.parametrize("spec", [
    model(normalization=Normalization("percentile")), model(normalization=Normalization("zscore")),
    model(mean=(100.0,), std=(20.0,)),
])  # fmt: skip
def test_normalised_values_are_judged_by_the_validators_bounds(
    mean: float, std: float, fits: bool, spec: ModelSpec
) -> None:
    found = said(seen((mean, std, mean - std, mean + std, mean + std)), None, spec)
    assert len(found) == (not fits)
    assert all("a mean of " in s and "a std of 0.05 to 5" in s for s in found)


def test_a_channel_that_isnt_there_is_not_judged() -> None:
    spec = model(
        num_channels=2, channel_names=("segment", "nucleus"), normalization=Normalization("zscore")
    )
    found = seen((0, 1, -2, 2, 2), (0, 0, 0, 0, 0))
    assert said(found, None, spec) == []
    (one,) = said(seen((0, 1, -2, 2, 2), (9, 1, 7, 11, 11)), None, spec)
    assert "of channel nucleus" in one


def test_a_model_that_takes_values_as_they_are_is_not_judged() -> None:
    assert said(seen((900, 300, 0, 4095, 4000)), None, model()) == []
    assert doubts(None, None, model()) == []


def test_images_that_share_a_doubt_share_a_line_with_all_their_figures() -> None:
    taken, spec = Taken(0, 65535, "uint16"), model(input_range=(0.0, 1.0))
    each = [
        (f"i{n}", doubts(of_pixels(0, 2100 + 100 * n, taken, (0.0, 1.0)), taken, spec))
        for n in range(9)
    ]
    (line,) = lines([*each, ("fine", [])])
    assert line.startswith("i0, i1, i2 and 6 more: The model saw it nearly black")
    assert "under (3.2 to 4.42) %" in line


@pytest.mark.parametrize(("taken", "pixels", "words"), [
    (Taken(0, 65535, "uint16"), (-3, 40), "nearly black"),
    (Taken(0, 1, "float32"), (-20, 250), "beyond"),
])  # fmt: skip
def test_what_overshoots_below_0_is_no_reason_for_a_range_below_0(
    taken: Taken, pixels: tuple[float, float], words: str
) -> None:
    spec = model(input_range=(0.0, 1.0), interpolation="bicubic")
    (sentence,) = said(of_pixels(*pixels, taken, (0.0, 1.0)), taken, spec)
    assert words in sentence
    assert sentence.endswith("If the pixels go from 0 to 255, say so: --range 0,255.")


@pytest.mark.parametrize(("taken", "pixels"), [
    (Taken(0, 65535, "uint16"), (0, 4000)), (Taken(0, 65535, "uint16"), (90, 300)),
    (Taken(0, 1, "float32"), (-20, 250)), (Taken(0, 1, "float32"), (-1, 1)),
    (Taken(0, 1, "float32"), (0, 1.02)), (Taken(0, 1, "float64"), (1e9, 1e9 + 1e6)),
    (Taken(0, 1, "float64"), (-3e12, 5e12)), (Taken(0, 32767, "int16"), (-1000, 3000)),
    (Taken(0, 4095, "SignificantBits 12"), (0, 65535)), (Taken(0, 255, "uint8"), (-9, 300)),
    (Taken(0, 1, "float32"), (-0.02, 1.5)), (Taken(100, 200, "--range"), (0, 150)),
])  # fmt: skip
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_range_that_a_sentence_says_to_say_leaves_nothing_to_say(
    taken: Taken, pixels: tuple[float, float], interpolation: Any
) -> None:
    spec = model(input_range=(0.0, 1.0), interpolation=interpolation)
    for sentence in said(of_pixels(*pixels, taken, (0.0, 1.0)), taken, spec):
        asked = re.search(r"--range[ =](\S+),(\S+)\.$", sentence)
        assert asked, sentence
        mended = Taken(float(asked[1]), float(asked[2]), "--range")
        assert said(of_pixels(*pixels, mended, (0.0, 1.0)), mended, spec) == []
