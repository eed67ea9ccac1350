"""Stains: what torchstain makes of a small image, tile by tile as of the whole."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import Array, reference
from skimage.data import immunohistochemistry
from stains import MACENKO, TARGETS, torchstains
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

from tilewright.contract.jobs import ImageRef, Job, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import BAD_DATA, USAGE, TilewrightError
from tilewright.plan import cut
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.predict.worker import Notes, tiles_of
from tilewright.preprocess import stain
from tilewright.preprocess.reader import TileReader, statistics
from tilewright.registry.checks.run import check_spec

TISSUE = immunohistochemistry()[::2, ::2]
OTHER = immunohistochemistry()[1:400:2, 100:400]


def model(method: str, size: int = 999, **more: Any) -> ModelSpec:
    """A model that takes RGB of any size with its stains normalised."""
    tile = TileSpec({"y": size, "x": size}, variable_input=True)
    fields = {"num_channels": 3, "color_space": "RGB", "stain_target": TARGETS.get(method), **more}
    return ModelSpec("m", "1", tile, stain_normalization=method, **fields)


def saved(folder: Path, pixels: Array, name: str = "a.tif") -> ImageRef:
    """The picture as TIFF, all of its channels chosen."""
    tifffile.imwrite(folder / name, pixels, photometric="rgb", tile=(64, 64))
    return reference(folder / name, pixels, "YXC", channels=(0, 1, 2))


def whole(ref: ImageRef, spec: ModelSpec) -> Array:
    """All of an image, (3, y, x)."""
    with TileReader(ref, spec) as reader:
        return reader.read(0, tuple((0, n) for n in reader.shape))


@pytest.mark.parametrize("method", TARGETS)
def test_a_small_image_becomes_what_torchstain_makes_of_it(tmp_path: Path, method: str) -> None:
    got = whole(saved(tmp_path, TISSUE), model(method))
    expected = torchstains(method, TISSUE, TARGETS[method])
    np.testing.assert_array_equal(got.transpose(1, 2, 0), expected)
    assert (got.transpose(1, 2, 0) != TISSUE).mean() > 0.5


@pytest.mark.parametrize("method", TARGETS)
def test_the_target_may_be_an_image_of_a_known_digest(tmp_path: Path, method: str) -> None:
    path = tmp_path / "target.tif"
    tifffile.imwrite(path, OTHER, photometric="rgb")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = model(method, stain_target={"image": str(path), "sha256": sha256})
    got = whole(saved(tmp_path, TISSUE), spec)
    np.testing.assert_array_equal(got.transpose(1, 2, 0), torchstains(method, TISSUE, OTHER))


@pytest.mark.parametrize("method", TARGETS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_tile_has_the_whole_images_stains(tmp_path: Path, method: str, dtype: str) -> None:
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixels = (TISSUE / 255 * top).astype(dtype)
    ref = saved(tmp_path, pixels)
    untiled = whole(ref, model(method))
    with TileReader(ref, model(method, size=60)) as reader:
        assert len(reader.grid) == 25
        for tile in reader.grid:
            y, x = (slice(*interval) for interval in tile.window)
            np.testing.assert_array_equal(reader.read(0, tile.window), untiled[:, y, x])
    as_bytes = untiled / top * 255
    expected = torchstains(method, TISSUE, TARGETS[method]).transpose(2, 0, 1)
    np.testing.assert_allclose(as_bytes, expected, atol=2)  # less than its rounding, down


def test_statistics_found_ahead_give_the_same_and_hold_the_fit(tmp_path: Path) -> None:
    ref = saved(tmp_path, TISSUE)
    spec = model("macenko", normalization={"method": "zscore"})
    ahead = statistics(ref, spec)
    assert ahead is not None
    (fit,) = ahead["stain"]
    assert np.shape(fit["HERef"]) == (3, 2)
    stained = torchstains("macenko", TISSUE, MACENKO)
    means = [m for m, _ in ahead["values"][0]]
    np.testing.assert_allclose(means, stained.reshape(-1, 3).mean(axis=0), rtol=1e-6)
    found = whole(dataclasses.replace(ref, statistics=ahead), spec)
    np.testing.assert_array_equal(found, whole(ref, spec))


@pytest.mark.parametrize(
    ("fields", "ahead"),
    [({"stain_normalization": None}, False), ({}, True),
     ({"stain_normalization": None, "normalization": {"method": "zscore"}}, True),
     ({"stain_normalization": None, "normalization": {"method": "zscore", "scope": "tile"}},
      False)],
)  # fmt: skip
def test_a_big_images_fit_is_found_once_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], ahead: bool
) -> None:
    monkeypatch.setattr(cut, "SCAN_PIXELS", 1000)
    path = Path(saved(tmp_path, TISSUE).path)
    spec = dataclasses.replace(model("macenko", size=60), **fields)
    planned = plan_image(Row(path, "a"), Params(input="."), spec)
    assert cut.needs_scan(planned, spec) is ahead


def test_a_bigger_image_is_fitted_to_an_even_share_of_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stain, "STAIN_PIXELS", TISSUE[..., 0].size // 4)
    ahead = statistics(saved(tmp_path, TISSUE), model("macenko"))
    assert ahead is not None
    share = NumpyMacenkoNormalizer()
    share.fit(TISSUE[::2, ::2])
    np.testing.assert_allclose(ahead["stain"][0]["HERef"], share.HERef)


def test_not_a_number_does_not_count_for_the_fit(tmp_path: Path) -> None:
    pixels = (TISSUE / 255).astype("float32")
    pixels[:20, :30] = np.nan
    ahead = statistics(saved(tmp_path, pixels), model("macenko"))
    assert ahead is not None
    rest = NumpyMacenkoNormalizer()
    rest.fit((pixels * 255)[np.isfinite(pixels).all(axis=2)])
    np.testing.assert_allclose(ahead["stain"][0]["HERef"], rest.HERef)


def test_bgr_is_the_stained_rgb_turned_round(tmp_path: Path) -> None:
    ref = saved(tmp_path, TISSUE)
    bgr = whole(ref, model("macenko", color_space="BGR"))
    np.testing.assert_array_equal(bgr, whole(ref, model("macenko"))[::-1])


# Without tissue --------------------------------------------------------------------------------

GLASS = np.full((80, 80, 3), 240, "uint8")


@pytest.mark.parametrize("method", TARGETS)
def test_glass_is_passed_through_as_it_is(tmp_path: Path, method: str) -> None:
    got = whole(saved(tmp_path, GLASS), model(method, on_failure="passthrough"))
    np.testing.assert_array_equal(got, GLASS.transpose(2, 0, 1))


@pytest.mark.parametrize("pixels", [GLASS, np.full((80, 80, 3), (200, 100, 150), "uint8")])
def test_an_image_without_tissue_or_of_one_colour_is_an_error(tmp_path: Path, pixels: Any) -> None:
    with pytest.raises(TilewrightError, match=r"no tissue that .* macenko .*passthrough") as error:
        whole(saved(tmp_path, pixels), model("macenko", on_failure="error"))
    assert error.value.code == BAD_DATA
    assert "a.tif" in error.value.what


@pytest.mark.parametrize(("policy", "marked"), [("skip", "left_out"), ("error", "failures")])
def test_the_worker_marks_the_image_and_reads_the_others(
    tmp_path: Path, policy: str, marked: str
) -> None:
    spec = model("macenko", size=60, on_failure=policy)
    glass = saved(tmp_path, GLASS, "glass.tif")
    tissue = dataclasses.replace(saved(tmp_path, TISSUE), key="i001")
    job = Job("g", 0, (glass, tissue), (("i000", 0, 4), ("i001", 0, 25)))
    notes = Notes()
    works = list(tiles_of(job, Recipe.trial(spec), notes))
    assert [w.image for w in works] == ["i001"] * 25
    assert "no tissue" in getattr(notes, marked)["i000"]
    assert notes.skipped == ({"i000": [0, 1, 2, 3]} if policy == "skip" else {})
    assert not {"left_out": notes.failures, "failures": notes.left_out}[marked]


# Refused ---------------------------------------------------------------------------------------

REFUSED = [
    pytest.param("vahadane", {}, "vahadane isn't there.*macenko or reinhard", id="vahadane"),
    pytest.param("pink", {}, "pink isn't there", id="unknown"),
    pytest.param("macenko", {"color_space": "HED"}, "color_space is HED", id="hed"),
    pytest.param("macenko", {"num_channels": 1}, "num_channels: 3", id="channels"),
    pytest.param("macenko", {"stain_target": None}, "without its target's fit", id="none"),
    pytest.param("reinhard", {"stain_target": MACENKO}, r"means \(3\)", id="other"),
    pytest.param(
        "macenko", {"stain_target": {"image": "gone.tif", "sha256": "0"}},
        "gone.tif: the stain_target isn't there", id="gone",
    ),
    pytest.param("macenko", {"on_failure": "ignore"}, "on_failure is 'ignore'", id="policy"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "more", "says"), REFUSED)
def test_stains_that_cannot_be_done_are_refused_in_a_sentence(
    method: str, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(TilewrightError, match=says) as error:
        check_spec(model(method, **more))
    assert error.value.code == USAGE


def test_a_grey_image_has_no_stains(tmp_path: Path) -> None:
    ref = dataclasses.replace(saved(tmp_path, TISSUE), channels=(0,))
    with pytest.raises(TilewrightError, match="1 channel is chosen, and stains are in 3"):
        TileReader(ref, model("macenko"))
