"""Flags stand on pixels that deserve them, and on no other: pictures made worse on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tilewright.merge.measure.flags import Flag, Judge

Array = np.ndarray


def nuclei(seed: int = 0, count: int = 40) -> Array:
    """(256, 256) float: bright discs of 7 px radius on dark, with a camera's noise."""
    rng = np.random.default_rng(seed)
    image = np.full((256, 256), 20.0)
    y, x = np.mgrid[:256, :256]
    for cy, cx, light in rng.integers((8, 8, 80), (248, 248, 180), (count, 3)):
        image[(y - cy) ** 2 + (x - cx) ** 2 < 49] = light
    return ndimage.gaussian_filter(image, 1) + rng.normal(0, 1.5, image.shape)


def flags(*windows: Array, dtype: type = np.uint8, **how: object) -> list[Flag]:
    judge = Judge((0,), **how)  # type: ignore[arg-type]
    for window in windows:
        judge.look(np.clip(window.round(), 0, np.iinfo(dtype).max).astype(dtype)[None])
    return judge.flags()


def names(*windows: Array, **how: object) -> list[str]:
    return [flag.name for flag in flags(*windows, **how)]


def test_a_sharp_picture_has_no_flag() -> None:
    assert names(nuclei()) == []
    assert names(nuclei() * 16, dtype=np.uint16) == []


@pytest.mark.parametrize(
    ("made", "name", "figure"),
    [
        (lambda n: ndimage.gaussian_filter(n, 8), "out of focus", (11, 25)),
        (lambda n: n * 2.5, "saturated", (5, 20)),
        (lambda n: (n - 20) * 0.02 + 20, "hardly any contrast", (1, 5)),
        (lambda _: nuclei(count=1), "nearly empty", (0.1, 0.5)),
    ],
)
def test_a_picture_that_was_made_worse_has_its_flag_with_its_figure(
    made: object, name: str, figure: tuple[float, float]
) -> None:
    (flag,) = flags(made(nuclei()))  # type: ignore[operator]
    assert flag.name == name
    assert figure[0] < flag.figure < figure[1]
    assert "over" in flag.rule or "under" in flag.rule


def test_noise_alone_has_hardly_any_contrast() -> None:
    noise = np.random.default_rng(0).normal(1000, 50, (256, 256))
    assert names(noise, dtype=np.uint16) == ["hardly any contrast"]


def test_a_flat_picture_has_no_contrast_and_nothing_fails() -> None:
    assert flags(np.zeros((64, 64)))[0].figure == 0
    judge = Judge((0,))
    judge.look(np.full((1, 64, 64), np.nan, np.float32))
    judge.look(np.zeros((1, 2, 64), np.float32))
    assert [f.name for f in judge.flags()] == ["hardly any contrast"]
    assert Judge(()).flags() == []


def test_of_a_12_bit_camera_its_end_is_known_and_another_if_the_run_says_it() -> None:
    bright = np.minimum(nuclei() * 60, 4095)
    assert names(bright, dtype=np.uint16) == ["saturated"]
    assert names(np.minimum(bright, 4000), dtype=np.uint16) == []
    assert names(np.minimum(bright, 4000), dtype=np.uint16, end=4000.0) == ["saturated"]


def test_a_mask_of_two_values_isnt_saturated() -> None:
    assert "saturated" not in names((nuclei() > 60) * 255.0)


def test_glass_that_is_white_isnt_saturated() -> None:
    tissue = np.clip(255 - np.stack([nuclei(), nuclei() * 0.8, nuclei() * 0.9]) + 22, 0, 255)
    for light, found in ((True, []), (False, ["saturated"])):
        judge = Judge((0, 1, 2), colour=True, light=light)
        judge.look(tissue.round().astype(np.uint8))
        assert [flag.name for flag in judge.flags()] == found


def test_one_sharp_window_of_a_slide_is_enough() -> None:
    soft = ndimage.gaussian_filter(nuclei(), 8)
    assert names(soft, soft) == ["out of focus"]
    assert names(soft, nuclei()) == []


def test_only_channels_that_the_model_read_are_judged() -> None:
    both = np.stack([nuclei(), np.zeros((256, 256))]).round().astype(np.uint8)
    for read, found in (((0,), []), ((0, 1), ["hardly any contrast"])):
        judge = Judge(read)
        judge.look(both)
        assert [flag.name for flag in judge.flags()] == found


def test_of_several_channels_a_flag_names_its_own_and_of_one_or_of_colours_none() -> None:
    soft = ndimage.gaussian_filter(nuclei(), 8)
    three = np.stack([nuclei(), soft, soft]).round().astype(np.uint8)
    judge = Judge((0, 1, 2), names=("DAPI", "GFP", "channel 2"))
    judge.look(three)
    assert [flag.said for flag in judge.flags()] == [
        "out of focus (GFP)", "out of focus (channel 2)"
    ]  # fmt: skip
    for alone in (Judge((0,), names=("GFP",)), Judge((0, 1, 2), True, names=("R", "G", "B"))):
        alone.look(np.stack([soft] * 3).round().astype(np.uint8))
        assert [(flag.said, flag.channel) for flag in alone.flags()] == [("out of focus", None)]
