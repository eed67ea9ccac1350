"""A model that says `exact` gives, tiled, what it gives of the whole image: bit for bit.

A small convolutional network with a total stride of 1, 2 or 4, over any extents, tiles, bands and
contexts that its spec allows, through the real worker, banks and merge. The untiled result is the
worker's own, of one tile that holds the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from banking import merge_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import CONVNET, HERE, banked, convnet, written
from running import Checkout, are_the_same_objects, labels, level0, run_json, store
from scipy import ndimage

from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.registry.registry import Registry
from tilewright.tile_results.bank import Bank, tile_name

Array = np.ndarray[Any, Any]
THRESHOLD = 40.0
LONGEST = {2: 100, 3: 44}  # px
MOST_TILES = 5  # along an axis
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Case:
    """One image, and how it is cut."""

    pixels: Array
    spec: ModelSpec
    coarse: bool = False
    jobs: int = 1

    @property
    def model(self) -> Any:
        """What starts the network."""
        return convnet(self.spec, threshold=THRESHOLD, coarse=self.coarse)


def image(shape: tuple[int, ...], rng: np.random.Generator, share: float) -> Array:
    """Bright spots of their own brightness on a noisy ground, uint8."""
    spots = rng.random(shape) < share
    grown = ndimage.grey_dilation(spots * rng.integers(60, 256, shape), (3,) * len(shape))
    return np.clip(grown + rng.integers(0, 12, shape), 0, 255).astype(np.uint8)


def names(values: list[int]) -> dict[str, float]:
    """By axis, as a spec has them."""
    return dict(zip("zyx"[-len(values) :], map(float, values), strict=True))


def spec_of(tile: TileSpec, kind: str) -> ModelSpec:
    axes = "C" + tile.axes.upper()
    return ModelSpec(
        "convnet", "1", tile, axes=axes, output_kind=kind, equivalence="exact",  # type: ignore[arg-type]
        receptive_field=CONVNET["radius"](tile.stride_multiple), batch_size=3,
    )  # fmt: skip


def whole_in_one(case: Case) -> Case:
    """The same image as one tile."""
    step, tile = case.spec.tile_spec.stride_multiple, case.spec.tile_spec
    size = names([-(-n // step) * step for n in case.pixels.shape])
    one = replace(tile, size=size, band={}, context={})
    return replace(case, spec=replace(case.spec, tile_spec=one), jobs=1)


def tile_axis(
    draw: st.DrawFn, extent: int, step: int, coarse: bool, least_band: int
) -> tuple[int, int, int]:
    """Size, band and context of an axis, as the spec of an exact model may have them, in px."""
    least = -(-extent // (MOST_TILES * step))
    context = CONVNET["radius"](step) + draw(st.integers(0, 3))
    band = draw(st.integers(least_band, least_band + 6))
    unit = step if coarse else math.lcm(step, 2) // 2  # twice the margin is a number of strides
    band += -(band + context) % unit
    return step * draw(st.integers(least, least + 8)) + 2 * (band + context), band, context


@st.composite
def cases(draw: st.DrawFn, axes: int, kind: str) -> Case:
    """A map's band may be anything; that of labels holds every object."""
    step = draw(st.sampled_from([1, 2, 4]))
    coarse = kind == "map" and draw(st.booleans())
    sides = st.integers(1, LONGEST[axes]) | st.integers(LONGEST[axes] // 2, LONGEST[axes])
    shape = tuple(draw(sides) for _ in range(axes))
    pixels = image(shape, np.random.default_rng(draw(st.integers(0, 2**32 - 1))), 0.006 / step**2)
    pad = draw(st.sampled_from(["reflect", "edge", "zero", "white"]))
    size = names([-(-n // step) * step for n in shape])
    tile = TileSpec(size, variable_input=True, pad=pad, stride_multiple=step)  # type: ignore[arg-type]
    case = Case(pixels, spec_of(tile, kind), coarse, draw(st.integers(1, 3)))
    band = largest(untiled(case)) if kind == "labels" else [0] * axes
    cuts = [tile_axis(draw, n, step, coarse, b) for n, b in zip(shape, band, strict=True)]
    size, bands, contexts = (names(list(v)) for v in zip(*cuts, strict=True))
    cut = replace(tile, size=size, band=bands, context=contexts)
    return replace(case, spec=replace(case.spec, tile_spec=cut))


def largest(labels: Array) -> list[int]:
    """Along each axis, the pixels of the longest object."""
    boxes = ndimage.find_objects(labels)
    return [max((b[k].stop - b[k].start for b in boxes), default=0) for k in range(labels.ndim)]


def untiled(case: Case) -> Array:
    """What the worker banks of one tile that holds the whole image."""
    with TemporaryDirectory() as name:
        folder, one = Path(name), whole_in_one(case)
        (bank,) = banked(folder, reference(folder, case), one.spec, one.model)
        what = "map" if case.spec.output_kind == "map" else "labels"
        return Bank(bank).get(tile_name("i000", 0, 0, what))


def tiled(case: Case) -> Array:
    """What the merge makes of the tiles."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        banks = banked(folder, reference(folder, case), case.spec, case.model, case.jobs)
        store = merge_all(banks[::-1], folder / "out", case.spec) / "a" / "p.zarr"
        what = "maps" if case.spec.output_kind == "map" else "labels"
        return level0(store, f"{what}/everything")


def reference(folder: Path, case: Case) -> ImageRef:
    return written(folder, case.pixels, "ZYX"[-case.pixels.ndim :])


def check_map(case: Case) -> None:
    found, wanted = tiled(case), untiled(case)
    assert found.dtype == wanted.dtype == np.float32
    assert found.tobytes() == wanted.tobytes()


def check_labels(case: Case) -> None:
    assert are_the_same_objects(tiled(case), untiled(case))


@settings(quick, max_examples=140)
@given(cases(2, "map"))
def test_maps_of_any_tiling_are_the_whole_images_bit_for_bit(case: Case) -> None:
    check_map(case)


@settings(quick, max_examples=60)
@given(cases(2, "labels"))
def test_labels_of_any_tiling_are_the_whole_images(case: Case) -> None:
    check_labels(case)


@settings(quick, max_examples=15)
@given(cases(3, "map"))
def test_maps_of_a_volume_too(case: Case) -> None:
    check_map(case)


@settings(quick, max_examples=10)
@given(cases(3, "labels"))
def test_labels_of_a_volume_too(case: Case) -> None:
    check_labels(case)


# --- what it takes --------------------------------------------------


def fixed(kind: str, step: int, size: int, band: int, context: int) -> Case:
    """A picture of 97 x 74 px and square tiles."""
    sides = {k: dict.fromkeys("yx", float(v)) for k, v in
             (("size", size), ("band", band), ("context", context))}  # fmt: skip
    tile = TileSpec(**sides, variable_input=True, stride_multiple=step)
    return Case(image((97, 74), np.random.default_rng(1), 0.004), spec_of(tile, kind))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_networks_radius_is_what_it_says(step: int) -> None:
    """One pixel of noise is made brighter; how far away does something change?"""
    noise = np.random.default_rng(0).uniform(1, 2, (1, 64, 64)).astype(np.float32)
    before, farthest = CONVNET["network"](noise, step, False), 0
    for at in ((32, 32), (33, 31), (35, 34)):
        brighter = noise.copy()
        brighter[(0, *at)] += 100
        changed = np.argwhere((CONVNET["network"](brighter, step, False) != before).any(axis=0))
        farthest = max(farthest, int(np.abs(changed - at).max()))
    assert farthest == CONVNET["radius"](step)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        pytest.param({}, False, id="as the spec asks"),
        pytest.param({"context": 4}, True, id="a context one pixel too small"),
        pytest.param({"size": 43}, True, id="origins off the total stride"),
    ],
)
def test_each_condition_is_needed(change: dict[str, int], differs: bool) -> None:
    """Shows that the tests above can fail."""
    case = fixed("map", 2, **{"size": 42, "band": 0, "context": 5, **change})
    assert np.array_equal(tiled(case), untiled(case)) != differs


# --- through Nextflow ----------------------------------------------


SHAPES = {"map": (210, 173), "coarse": (210, 173), "labels": (210, 173), "volume": (41, 100, 93)}


@pytest.mark.nextflow
@pytest.mark.parametrize("version", SHAPES)
def test_a_run_of_the_pipeline_gives_what_one_tile_gives(
    checkout: Checkout, tmp_path: Path, version: str
) -> None:
    spec = Registry.load(HERE / "models").choose("convnet", version).spec()
    share = 0.0001 if version == "volume" else 0.001
    pixels = image(SHAPES[version], np.random.default_rng(2), share)
    case = Case(pixels, spec, version == "coarse")
    written(tmp_path, pixels)
    (tmp_path / "list.csv").write_text(f"image,axes\na.tif,{'ZYX'[-pixels.ndim :]}\n")
    words = ("run", "--input", "list.csv", "--outdir", "out", "--model", spec.model_name)
    models = ("--manifests", checkout.root / "tests" / "models")
    done = checkout.cli(*words, *models, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_json(tmp_path / "out")["images"][0]["tiles"] >= 12
    wanted = untiled(case)
    if spec.output_kind == "map":
        found = level0(store(tmp_path / "out", "a"), "maps/everything")
        assert found.tobytes() == wanted.tobytes()
    else:
        bands = [spec.tile_spec.band[axis] for axis in spec.tile_spec.axes]
        assert wanted.max() > 10
        assert all(side <= band for side, band in zip(largest(wanted), bands, strict=True))
        assert are_the_same_objects(labels(tmp_path / "out", "a"), wanted)
