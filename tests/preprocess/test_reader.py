"""What a model sees of a tile is what it would see there of the whole image."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SIZES, Array, numbered, reference, speckles, write_ome_zarr
from PIL import Image as Pillow
from skimage.color import rgb2hed

from tilewright.contract.blocks import Normalization
from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import BAD_DATA, USAGE, TilewrightError
from tilewright.preprocess import intensity
from tilewright.preprocess.reader import TileReader, statistics
from tilewright.preprocess.resample import KERNELS
from tilewright.registry.checks.run import check_spec


def model(
    size: int = 24, context: int = 4, tile: dict[str, Any] | None = None, **more: Any
) -> ModelSpec:
    """A model of square tiles, of one channel unless said."""
    sides = {"y": size, "x": size}
    cut = TileSpec(**{"size": sides, "context": {"y": context, "x": context}, **(tile or {})})
    return ModelSpec(**{"model_name": "test", "version": "1", "tile_spec": cut, **more})


def saved(folder: Path, pixels: Array, axes: str = "YX", **more: Any) -> ImageRef:
    """The picture as OME-Zarr in chunks of 16 px, and the plan's reference to it."""
    write_ome_zarr(folder / "picture.zarr", [pixels], axes)
    return reference(folder / "picture.zarr", pixels, axes, **more)


def whole(ref: ImageRef, spec: ModelSpec, plane: int = 0) -> Array:
    """A plane in one piece."""
    with TileReader(ref, spec) as reader:
        return reader.read(plane, tuple((0, n) for n in reader.shape))


# Tiles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", ["YX", "CYX", "YXC", "TCZYX"])
def test_tiles_over_the_grid_are_crops_of_the_whole_image(tmp_path: Path, axes: str) -> None:
    pixels = numbered(axes)
    there = "C" in axes
    spec = model(num_channels=2, mean=(3.0, 4.0), std=(10.0, 100.0), tile={"variable_input": True})
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="minisblack",
        metadata={"axes": axes}, ome=axes == "TCZYX",
    )  # fmt: skip
    ref = reference(tmp_path / "a.tif", pixels, axes, channels=(2, 0) if there else (0,))
    order = [axes.index(a) for a in "TZCYX" if a in axes]
    full = pixels.transpose(order).reshape([SIZES[a] if a in axes else 1 for a in "TZCYX"])
    chosen = full[:, :, [2, 0] if there else [0, 0]].astype(float)
    expected = (chosen - np.array([[[3]], [[4]]])) / np.array([[[10]], [[100]]])
    with TileReader(ref, spec) as reader:
        assert len(reader.planes) == full.shape[0] * full.shape[1]
        for plane, at in enumerate(reader.planes):
            for tile in reader.grid:
                y, x = (slice(*interval) for interval in tile.window)
                got = reader.read(plane, tile.window)
                assert got.dtype == np.float32
                np.testing.assert_allclose(
                    got, expected[at.get("T", 0), at.get("Z", 0)][:, y, x], rtol=1e-6
                )


def test_planes_are_time_by_time_and_slice_by_slice(tmp_path: Path) -> None:
    with TileReader(saved(tmp_path, numbered("TZYX"), "TZYX"), model()) as reader:
        assert reader.planes == tuple({"T": t, "Z": z} for t in range(2) for z in range(4))


def test_a_volumes_model_gets_its_slices_in_the_tile(tmp_path: Path) -> None:
    pixels = numbered("TZYX")
    spec = model(
        axes="CZYX",
        tile={"size": {"z": 3, "y": 24, "x": 24}, "context": {}, "variable_input": True},
    )
    with TileReader(saved(tmp_path, pixels, "TZYX"), spec) as reader:
        assert (reader.shape, reader.planes) == ((4, 37, 53), ({"T": 0}, {"T": 1}))
        for tile in reader.grid:
            box = tuple(slice(*interval) for interval in tile.window)
            np.testing.assert_array_equal(reader.read(1, tile.window)[0], pixels[1][box])


def test_a_volumes_model_takes_a_flat_image_as_one_slice(tmp_path: Path) -> None:
    spec = model(axes="CZYX", tile={"size": {"z": 1, "y": 24, "x": 24}})
    with TileReader(saved(tmp_path, numbered("YX")), spec) as reader:
        assert reader.shape == (1, 37, 53)
        assert reader.read(0, ((0, 1), (0, 24), (0, 24))).shape == (1, 1, 24, 24)


def test_a_region_is_all_that_is_read(tmp_path: Path) -> None:
    ref = saved(tmp_path, numbered("YX"), region=(5, 7, 20, 30))
    with TileReader(ref, model(size=64)) as reader:
        assert reader.shape == (20, 30)
        np.testing.assert_array_equal(
            reader.raw(0, ((3, 20), (0, 30)))[0], numbered("YX")[8:25, 7:37]
        )


def test_a_level_is_read_and_its_region_is_in_level_0_pixels(tmp_path: Path) -> None:
    pixels = speckles((64, 64))
    write_ome_zarr(tmp_path / "a.zarr", [pixels, pixels[::2, ::2]], "YX")
    ref = reference(tmp_path / "a.zarr", pixels, "YX", level=1, region=(9, 16, 19, 40))
    with TileReader(ref, model(size=64)) as reader:
        assert reader.layout.origin == (
            8,
            16,
        )  # the pixel of the level that holds row 9 begins at 8
        got = reader.raw(0, tuple((0, n) for n in reader.shape))
    np.testing.assert_array_equal(got[0], pixels[8:28:2, 16:56:2])


def test_a_tiled_copy_is_read_instead_whatever_its_axes_order(tmp_path: Path) -> None:
    pixels = speckles((37, 53, 3), "uint8")
    write_ome_zarr(tmp_path / "copy.zarr", [pixels.transpose(2, 0, 1)], "CYX")
    ref = reference(
        tmp_path / "gone.tif", pixels, "YXC", channels=(0, 1, 2), copy=str(tmp_path / "copy.zarr")
    )
    got = whole(ref, model(num_channels=3, tile={"variable_input": True}))
    np.testing.assert_array_equal(got, pixels.transpose(2, 0, 1))


def test_raw_gives_all_channels_as_they_are(tmp_path: Path) -> None:
    ref = saved(tmp_path, numbered("CYX"), "CYX", channels=(1,))
    with TileReader(ref, model()) as reader:
        got = reader.raw(0, ((5, 30), (7, 50)))
    np.testing.assert_array_equal(got, numbered("CYX")[:, 5:30, 7:50])
    assert got.dtype == "uint16"


# Colour and values -----------------------------------------------------------------------------


def colours(folder: Path, spec: ModelSpec, pixels: Array, **more: Any) -> Array:
    """What the model sees of an RGB picture (y, x, 3)."""
    ref = saved(folder, pixels.transpose(2, 0, 1), "CYX", channels=(0, 1, 2), **more)
    return whole(
        ref, dataclasses.replace(spec, tile_spec=TileSpec({"y": 99, "x": 99}, variable_input=True))
    )


def test_bgr_is_rgb_the_other_way_round(tmp_path: Path) -> None:
    pixels = speckles((37, 53, 3), "uint8")
    got = colours(tmp_path, model(num_channels=3, color_space="BGR"), pixels)
    np.testing.assert_array_equal(got.transpose(1, 2, 0), pixels[..., ::-1])


def test_grey_is_pillows_grey(tmp_path: Path) -> None:
    pixels = speckles((37, 53, 3), "uint8")
    got = colours(tmp_path, model(color_space="GRAY"), pixels)
    assert got.shape == (1, 37, 53)
    np.testing.assert_allclose(got[0], Pillow.fromarray(pixels).convert("L"), atol=0.51)


def test_hed_is_scikit_images(tmp_path: Path) -> None:
    pixels = speckles((37, 53, 3), "uint8")
    got = colours(tmp_path, model(num_channels=3, color_space="HED"), pixels)
    np.testing.assert_allclose(got.transpose(1, 2, 0), rgb2hed(pixels), atol=1e-5)


def test_one_channel_is_repeated_for_a_model_that_takes_three(tmp_path: Path) -> None:
    spec = model(size=64, num_channels=3, color_space="RGB", mean=(0, 1, 2))
    got = whole(saved(tmp_path, numbered("YX")), spec)[:, :37, :53]
    np.testing.assert_array_equal(
        got, numbered("YX").astype("f4") - np.array([[[0]], [[1]], [[2]]])
    )


@pytest.mark.parametrize(
    ("dtype", "white"),
    [("uint8", 255), ("uint16", 65535), ("uint32", 2**32 - 1), ("float32", 1), ("bool", 1)],
)
def test_input_range_is_where_the_dtypes_full_range_goes(
    tmp_path: Path, dtype: str, white: float
) -> None:
    pixels = speckles((24, 24), dtype)
    got = whole(saved(tmp_path, pixels), model(input_range=(-1, 1)))
    np.testing.assert_allclose(got[0], pixels.astype(float) / white * 2 - 1, atol=1e-6)


def test_without_a_range_values_are_the_files(tmp_path: Path) -> None:
    pixels = speckles((24, 24), "int16") - 500
    np.testing.assert_array_equal(whole(saved(tmp_path, pixels), model())[0], pixels)


# The image's end -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pad", "numpys", "value"),
    [("reflect", "reflect", None), ("edge", "edge", None), ("zero", "constant", 0.0),
     ("white", "constant", 65535.0)],
)  # fmt: skip
def test_a_tile_past_the_images_end_is_filled(
    tmp_path: Path, pad: str, numpys: Any, value: float | None
) -> None:
    spec = model(tile={"pad": pad}, mean=(7.0,))
    pixels = numbered("YX")
    more = {} if value is None else {"constant_values": value}
    expected = np.pad(pixels.astype("f4"), 40, numpys, **more)[40:, 40:] - 7
    with TileReader(saved(tmp_path, pixels), spec) as reader:
        for tile in reader.grid:
            (y, _), (x, _) = tile.window
            np.testing.assert_array_equal(
                reader.read(0, tile.window)[0], expected[y : y + 24, x : x + 24]
            )


def test_an_image_smaller_than_half_a_tile_is_reflected_again_and_again(tmp_path: Path) -> None:
    pixels = numbered("YX")[:5, :1]
    got = whole(saved(tmp_path, pixels), model())
    np.testing.assert_array_equal(got[0], np.pad(pixels, ((0, 19), (0, 23)), "reflect"))


@pytest.mark.parametrize("pad", ["reflect", "edge", "zero", "white"])
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    multiple=st.sampled_from([1, 4, 8]),
    context=st.sampled_from([0, 4, 8]),
)
@settings(max_examples=25, deadline=None)
def test_tiled_and_untiled_runs_pad_alike(
    tmp_path_factory: pytest.TempPathFactory,
    pad: str,
    shape: tuple[int, int],
    multiple: int,
    context: int,
) -> None:
    pixels = (
        numbered("YX").ravel()[: math.prod(shape)] if math.prod(shape) < 1900 else speckles(shape)
    )
    pixels = pixels.reshape(shape)
    path = tmp_path_factory.mktemp("pad") / "a.tif"
    tifffile.imwrite(path, pixels)
    ref = reference(path, pixels, "YX")
    cut = {"pad": pad, "variable_input": True, "stride_multiple": multiple}
    spec = model(context=context, tile=cut, normalization={"method": "percentile"})
    untiled = whole(ref, spec)
    assert untiled.shape == (1, *(math.ceil(n / multiple) * multiple for n in shape))
    with TileReader(ref, spec) as reader:
        for tile in reader.grid:
            got = reader.read(0, tile.window)
            (y, _), (x, _) = tile.window
            want = untiled[:, y : y + got.shape[1], x : x + got.shape[2]]
            np.testing.assert_array_equal(got, want)


# Resolution ------------------------------------------------------------------------------------

RESAMPLED = sorted(KERNELS)
PILLOWS = {"area": Pillow.Resampling.BOX, "box": Pillow.Resampling.BOX,
           "bilinear": Pillow.Resampling.BILINEAR,
           "bicubic": Pillow.Resampling.BICUBIC, "lanczos": Pillow.Resampling.LANCZOS,
           "nearest": Pillow.Resampling.NEAREST}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "factor"),
    [(name, factor) for name in RESAMPLED for factor in (0.5, 0.25, 0.75, 1.5)
     if name != "nearest" or factor < 0.75],  # else a centre lies between two pixels
)  # fmt: skip
def test_resampling_is_pillows(tmp_path: Path, name: str, factor: float) -> None:
    pixels = speckles((40, 60), "float32")
    ref = saved(tmp_path, pixels, factor=(factor, factor))
    got = whole(ref, model(interpolation=name, tile={"variable_input": True}))
    size = (int(60 * factor), int(40 * factor))
    expected = Pillow.fromarray(pixels).resize(size, PILLOWS[name])
    np.testing.assert_allclose(got[0], np.asarray(expected), atol=2e-6)


@given(
    factor=st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)),
    region=st.sampled_from([None, (3, 5, 30, 41)]),
    name=st.sampled_from(RESAMPLED),
    antialias=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_resampled_tile_is_bit_for_bit_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    factor: tuple[float, float],
    region: tuple[int, int, int, int] | None,
    name: str,
    antialias: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "resampled.tif"
    pixels = speckles((61, 83), "float32")
    if not path.exists():
        tifffile.imwrite(path, pixels, tile=(16, 16), compression="zlib")
    ref = reference(path, pixels, "YX", factor=factor, region=region)
    spec = model(
        size=13, context=2, interpolation=name, antialias=antialias, tile={"variable_input": True}
    )
    untiled = whole(ref, spec)
    with TileReader(ref, spec) as reader:
        for tile in reader.grid:
            y, x = (slice(*interval) for interval in tile.window)
            np.testing.assert_array_equal(reader.read(0, tile.window), untiled[:, y, x])


def test_a_region_is_resampled_from_the_pixels_around_it_too(tmp_path: Path) -> None:
    pixels = speckles((64, 64), "float32")
    spec = model(size=64, tile={"variable_input": True})
    full = whole(saved(tmp_path, pixels, factor=(0.5, 0.5)), spec)
    part = whole(saved(tmp_path, pixels, factor=(0.5, 0.5), region=(16, 20, 24, 20)), spec)
    np.testing.assert_array_equal(part, full[:, 8:20, 10:20])


@pytest.mark.parametrize(
    ("n", "factor", "expected"),
    [(60, 0.5, 30), (61, 0.5, 31), (1, 0.1, 1), (30000, 0.2527 / 0.5, 15162), (10, 1.0, 10)],
)
def test_a_resampled_side_is_rounded_up(
    tmp_path: Path, n: int, factor: float, expected: int
) -> None:
    pixels = np.zeros((1, n), "uint8")
    with TileReader(saved(tmp_path, pixels, factor=(1.0, factor)), model()) as reader:
        assert reader.shape == (1, expected)


def test_resampled_raw_pixels_are_rounded_to_their_dtype(tmp_path: Path) -> None:
    pixels = speckles((40, 60), "uint8")
    spec = model(interpolation="bicubic")
    with TileReader(saved(tmp_path, pixels, factor=(2.0, 2.0)), spec) as reader:
        got = reader.raw(0, ((0, 80), (0, 120)))
    assert got.dtype == "uint8"
    real = Pillow.fromarray(pixels.astype("f4")).resize((120, 80), Pillow.Resampling.BICUBIC)
    expected = np.clip(np.asarray(real), 0, 255)
    np.testing.assert_allclose(got[0], expected, atol=0.501)


# Statistics ------------------------------------------------------------------------------------

PERCENTILES = {"method": "percentile", "low": 3, "high": 97.5, "scope": "image"}
ZSCORE = {"method": "zscore", "scope": "image"}


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "uint32", "float32", "float64"]
)
def test_statistics_are_numpys_per_timepoint_and_channel_over_all_slices(
    tmp_path: Path, dtype: str
) -> None:
    pixels = speckles((2, 3, 4, 37, 53), dtype)
    ref = saved(tmp_path, pixels, "TCZYX", channels=(2, 0), region=(0, 0, 5, 5))
    spec = model(num_channels=2)
    found = statistics(ref, dataclasses.replace(spec, normalization=PERCENTILES))
    score = statistics(ref, dataclasses.replace(spec, normalization=ZSCORE))
    assert found is not None
    assert score is not None
    for t in range(2):
        for c, source in enumerate((2, 0)):
            values = pixels[t, source].astype(float)
            np.testing.assert_allclose(
                found["values"][t][c], np.percentile(values, (3, 97.5)), rtol=1e-6
            )
            np.testing.assert_allclose(
                score["values"][t][c], (values.mean(), values.std()), rtol=1e-9
            )


@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=40), share=st.floats(0, 100))
@settings(deadline=None)
def test_a_histograms_percentiles_are_numpys(values: list[int], share: float) -> None:
    sample = np.array(values, "uint8")
    setting = Normalization("percentile", min(share, 99.9), 100)
    found = intensity.summary(setting, lambda: iter([sample[None]]), sample[None], sample.size)
    np.testing.assert_allclose(found[0], np.percentile(sample, (setting.low, 100)), rtol=1e-12)


def test_not_a_number_and_infinity_dont_count(tmp_path: Path) -> None:
    pixels = speckles((37, 53), "float32")
    pixels[3], pixels[5] = np.nan, np.inf
    found = statistics(saved(tmp_path, pixels), model(normalization=PERCENTILES))
    assert found is not None
    rest = np.delete(pixels, (3, 5), axis=0)
    np.testing.assert_allclose(found["values"][0][0], np.percentile(rest, (3, 97.5)))


def test_statistics_of_a_big_image_are_of_an_even_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intensity, "BLOCK", 8)
    monkeypatch.setattr(intensity, "SAMPLE_PIXELS", 4 * 8 * 8)
    pixels = speckles((64, 64), "float32")
    found = statistics(saved(tmp_path, pixels), model(normalization=PERCENTILES))
    assert found is not None
    corners = [pixels[y : y + 8, x : x + 8] for y in (16, 48) for x in (16, 48)]
    np.testing.assert_allclose(found["values"][0][0], np.percentile(corners, (3, 97.5)))


@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 120_000), st.integers(1, 120_000)))
def test_the_sample_is_all_or_about_its_size_and_aligned(shape: tuple[int, int, int]) -> None:
    boxes = intensity.sampled(shape)
    size = sum(math.prod(s.stop - s.start for s in box) for box in boxes)
    if math.prod(shape) <= intensity.SAMPLE_PIXELS:
        assert size == math.prod(shape)
    else:
        assert len(boxes) <= 2 * intensity.SAMPLE_PIXELS / intensity.BLOCK**2
        assert len(set(map(str, boxes))) == len(boxes)
        assert all(s.start % intensity.BLOCK == 0 for box in boxes for s in box[1:])


@pytest.mark.parametrize("normalization", [PERCENTILES, ZSCORE])
@pytest.mark.parametrize("scale", [None, (0.0, 1.0), (1.0, -1.0)])
def test_a_tile_is_normalised_by_its_images_statistics(
    tmp_path: Path, normalization: dict[str, Any], scale: tuple[float, float] | None
) -> None:
    pixels = speckles((37, 53))
    spec = model(normalization=normalization, input_range=scale)
    values = pixels.astype(float)
    if scale:
        values = values / 65535 * (scale[1] - scale[0]) + scale[0]
    low, high = np.percentile(values, (3, 97.5)[:: -1 if scale == (1.0, -1.0) else 1])
    if scale == (1.0, -1.0):  # turned over: the low percentile of the file is the high one here
        low, high = np.interp(np.percentile(pixels, (3, 97.5)), (0, 65535), (1, -1))
    first, span = (
        (values.mean(), values.std()) if normalization is ZSCORE else (low, abs(high - low))
    )
    with TileReader(saved(tmp_path, pixels), spec) as reader:
        got = reader.read(0, ((13, 37), (29, 53)))
    np.testing.assert_allclose(got[0], (values[13:, 29:] - first) / span, rtol=1e-4, atol=1e-5)


def test_each_timepoint_has_its_own_statistics(tmp_path: Path) -> None:
    pixels = np.stack([speckles((24, 24)), speckles((24, 24)) // 7])
    spec = model(normalization=PERCENTILES)
    ref = saved(tmp_path, pixels, "TYX")
    np.testing.assert_allclose(whole(ref, spec, 0), whole(ref, spec, 1), atol=2e-3)


def test_statistics_that_the_plan_gives_are_taken(tmp_path: Path) -> None:
    ref = saved(tmp_path, speckles((24, 24)), statistics={"values": [[[10.0, 20.0]]]})
    got = whole(ref, model(normalization=PERCENTILES))
    np.testing.assert_allclose(got[0], (speckles((24, 24)).astype("f4") - 10) / 10)


def test_a_tiles_own_statistics_leave_out_what_is_filled(tmp_path: Path) -> None:
    pixels = speckles((37, 53))
    spec = model(normalization={**PERCENTILES, "scope": "tile"}, tile={"pad": "zero"})
    ref = saved(tmp_path, pixels)
    assert statistics(ref, spec) is None
    with TileReader(ref, spec) as reader:
        got = reader.read(0, ((16, 37), (32, 53)))
    own = pixels[16:, 32:].astype(float)
    low, high = np.percentile(own, (3, 97.5))
    np.testing.assert_allclose(got[0, :21, :21], (own - low) / (high - low), atol=1e-5)


def test_a_flat_image_is_zero_and_not_infinite(tmp_path: Path) -> None:
    got = whole(saved(tmp_path, np.full((24, 24), 9, "uint8")), model(normalization=PERCENTILES))
    assert not got.any()


def test_statistics_do_not_depend_on_the_files_format(tmp_path: Path) -> None:
    pixels = speckles((37, 53), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, rowsperstrip=3, compression="zlib")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    spec = model(normalization=PERCENTILES)
    found = [statistics(reference(tmp_path / n, pixels, "YX"), spec) for n in ("a.tif", "a.png")]
    assert found[0] == found[1] == statistics(saved(tmp_path, pixels), spec)


# Bad input -------------------------------------------------------------------------------------

BAD_SPECS = [
    pytest.param({"color_space": "LAB"}, "no color_space 'LAB'.*RGB", id="colour"),
    pytest.param({"stain_normalization": "macenko"}, "num_channels: 3", id="stain"),
    pytest.param({"interpolation": "cubic"}, "'cubic'.*bicubic", id="interpolation"),
    pytest.param({"axes": "CZYX"}, "axes CZYX, and tile_spec's size has yx", id="axes"),
    pytest.param({"crop": {"size": 8}}, "would lie elsewhere", id="crop"),
    pytest.param({"tile": {"pad": "wrap"}}, "no pad 'wrap'.*reflect", id="pad"),
]


@pytest.mark.parametrize(("change", "says"), BAD_SPECS)
def test_what_a_spec_asks_for_and_isnt_there_is_refused_by_name(
    change: dict[str, Any], says: str
) -> None:
    with pytest.raises(TilewrightError, match=says) as error:
        check_spec(model(**change))
    assert error.value.code == USAGE


TWO = {"channels": (0, 1)}
THREE = {"num_channels": 3}
BAD_REFERENCES = [
    pytest.param({"channels": (3,)}, {}, "channel 3 is wanted.* it has 3", BAD_DATA, id="channel"),
    pytest.param(TWO, THREE, "2 channels are chosen.* takes 3", BAD_DATA, id="count"),
    pytest.param(TWO, {**THREE, "color_space": "BGR"}, "BGR is made from 3", BAD_DATA, id="bgr"),
    pytest.param(
        {"shape": (3, 30, 53)}, {}, "3 x 37 x 53 .* plan says 3 x 30 x 53", BAD_DATA, id="changed"
    ),
    pytest.param({"level": 2}, {}, "level 2 is wanted, and its last is 0", BAD_DATA, id="level"),
    pytest.param(
        {"region": (37, 0, 5, 5)}, {}, r"\(37, 0, 5, 5\).* 37 x 53 pixels", USAGE, id="region"
    ),
]


@pytest.mark.parametrize(("change", "spec", "says", "code"), BAD_REFERENCES)
def test_a_reference_that_doesnt_fit_its_image_is_refused(
    tmp_path: Path, change: dict[str, Any], spec: dict[str, Any], says: str, code: int
) -> None:
    ref = dataclasses.replace(saved(tmp_path, numbered("CYX"), "CYX"), **change)
    with pytest.raises(TilewrightError, match=says) as error:
        TileReader(ref, model(**spec))
    assert error.value.code == code
    assert "picture.zarr" in error.value.what
