"""Black and white of an image: what the headers say, what the user says, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from pictures import write_ome_zarr
from planning import grey, planned

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import ProblemsError
from tilewright.plan.fit import Planned, plan_image
from tilewright.plan.inputs import Row, find_inputs
from tilewright.plan.params import Params, check_params
from tilewright.preprocess.reader import TileReader

SPEC = ModelSpec("ranged", "1", TileSpec({"y": 32, "x": 32}), input_range=(0.0, 1.0))


def found(path: Path, said: tuple[float, float] | None = None, **spec: Any) -> Planned:
    model = ModelSpec(**{**vars(SPEC), **spec})
    return plan_image(Row(path, "a", range=said), Params(input=str(path)), model)


def taken(path: Path, said: tuple[float, float] | None = None) -> tuple[float, float, str]:
    planned = found(path, said)
    assert planned.range is not None
    return planned.range.low, planned.range.high, planned.range.by


def ome(folder: Path, dtype: str, **about: Any) -> Path:
    path = folder / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((32, 32), dtype), metadata={"axes": "YX", **about})
    return path


def tiff(folder: Path, dtype: str, *greatest: int) -> Path:
    """A TIFF with MaxSampleValue."""
    path = folder / "a.tif"
    tags = [(281, 3, len(greatest), greatest, True)] if greatest else []
    shape = (32, 32, len(greatest)) if len(greatest) > 1 else (32, 32)
    planar: Any = {"planarconfig": "contig"} if len(greatest) > 1 else {}
    tifffile.imwrite(
        path, np.zeros(shape, dtype), photometric="minisblack", extratags=tags, **planar
    )
    return path


def store(folder: Path, dtype: str, *windows: Any) -> Path:
    """An OME-Zarr with what omero says of its channels."""
    path = folder / "a.zarr"
    write_ome_zarr(path, [np.zeros((len(windows), 32, 32), dtype)], "CYX")
    group = zarr.open_group(path, mode="r+")
    about = dict(group.attrs["ome"])  # type: ignore[arg-type]
    group.attrs["ome"] = {**about, "omero": {"channels": [{"window": w} for w in windows]}}
    return path


@pytest.mark.parametrize(("dtype", "bits", "high"), [
    ("uint16", 12, 4095), ("int16", 12, 4095), ("uint32", 14, 16383), ("uint16", 8, 255),
    ("uint16", 11, 2047), ("uint16", 16, 65535), ("uint16", 32, 65535), ("int16", 16, 32767),
    ("float32", 12, 1), ("uint8", 8, 255), ("uint8", 7, 127),
])  # fmt: skip
def test_significant_bits_count_as_they_stand(
    tmp_path: Path, dtype: str, bits: int, high: int
) -> None:
    path = ome(tmp_path, dtype, SignificantBits=bits)
    own = high in (65535, 32767, 255, 1) and not (dtype == "uint16" and bits == 8)
    assert taken(path) == (0, high, dtype if own else f"SignificantBits {bits}")


@pytest.mark.parametrize(("dtype", "greatest", "high"), [
    ("uint16", [4095], 4095), ("int16", [4095], 4095), ("uint16", [255], 255),
    ("uint16", [4000], 65535), ("uint16", [0], 65535), ("uint16", [65535], 65535),
    ("uint16", [4095, 4095], 4095), ("uint16", [4095, 3000], 65535),
])  # fmt: skip
def test_a_greatest_sample_counts_where_it_is_a_full_count_of_bits(
    tmp_path: Path, dtype: str, greatest: list[int], high: int
) -> None:
    path = tiff(tmp_path, dtype, *greatest)
    planned = found(path, num_channels=len(greatest))
    assert planned.range is not None
    assert planned.range.high == high


@pytest.mark.parametrize(("dtype", "windows", "high"), [
    ("uint16", [{"min": 0, "max": 4095, "start": 100, "end": 1000}], 4095),
    ("uint16", [{"min": 0, "max": 4095.0}], 4095),
    ("float32", [{"min": 0, "max": 255.0, "start": 0, "end": 10}], 255),
    ("uint16", [{"min": 0, "max": 3012, "start": 0, "end": 255}], 65535),
    ("uint16", [{"start": 0, "end": 4095}], 65535), ("uint16", [None], 65535),
    ("uint16", [{"max": "4095"}], 65535), ("uint16", [{"max": True}], 65535),
    ("uint16", [{"max": 65535}], 65535), ("int16", [{"min": -32768, "max": 32767}], 32767),
    ("uint16", [{"max": 10**400}], 65535), ("float32", [{"max": float("nan")}], 1),
    ("float32", [{"max": float("inf")}], 1), ("uint8", [{"max": 65535}], 255),
])  # fmt: skip
def test_omeros_window_max_counts_and_what_is_displayed_never(
    tmp_path: Path, dtype: str, windows: list[Any], high: int
) -> None:
    planned = found(store(tmp_path, dtype, *windows), num_channels=len(windows))
    assert planned.range is not None
    assert planned.range.high == high


def test_an_images_own_extremes_never_count(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = np.full((32, 32), 4095, "uint16")
    tifffile.imwrite(path, pixels, imagej=True, metadata={"min": 0.0, "max": 4095.0})
    assert taken(path) == (0, 65535, "uint16")


def test_samples_of_12_bits_are_12_bits(tmp_path: Path) -> None:
    packed = tmp_path / "a.tif"
    pixels = np.full((32, 32), 4095, "uint16")
    tifffile.imwrite(packed, pixels, bitspersample=12, photometric="minisblack")
    assert taken(packed) == (0, 4095, "BitsPerSample 12")
    jpeg = tmp_path / "a.jpg"
    jpeg.write_bytes(imagecodecs.jpeg8_encode(pixels, bitspersample=12))
    assert taken(jpeg) == (0, 4095, "12 bits a sample")
    png = tmp_path / "a.png"
    png.write_bytes(imagecodecs.png_encode(pixels))
    assert taken(png) == (0, 65535, "uint16")


@pytest.mark.parametrize(("how", "low", "high"), [
    ({"extratags": [(281, 3, 1, 4095, True)]}, 61440, 65535), ({"bitspersample": 12}, 0, 4095),
    ({}, 0, 65535),
])  # fmt: skip
def test_where_white_is_zero_the_range_is_turned_round_like_the_values(
    tmp_path: Path, how: dict[str, Any], low: int, high: int
) -> None:
    path = tmp_path / "a.tif"
    pixels = np.linspace(0, 4095, 32 * 32).round().astype("uint16").reshape(32, 32)
    tifffile.imwrite(path, pixels, photometric="miniswhite", **how)
    assert taken(path)[:2] == (low, high)
    with TileReader(found(path).ref, SPEC) as reader:
        seen = reader.read(0, ((0, 32), (0, 32)))[0]
    full = 4095 if how else 65535
    assert np.allclose(seen, 1 - pixels / full, atol=1e-5)


def test_the_user_wins_over_all(tmp_path: Path) -> None:
    path = ome(tmp_path, "uint16", SignificantBits=12)
    assert taken(path, (100.0, 1023.0)) == (100, 1023, "--range")
    assert found(path, (100.0, 1023.0)).ref.range == (100, 1023)


@pytest.mark.parametrize(("dtype", "said", "words"), [
    ("uint8", None, []), ("bool", None, []),
    ("uint16", None, ["0 to 65535", "nothing says", "uint16", "--range 0,4095 for 12 bits"]),
    ("int16", None, ["0 to 32767", "nothing says"]),
    ("float32", None, ["0 to 1 ", "nothing says", "--range 0,255"]),
    ("uint16", (0.0, 4095.0), ["0 to 4095", "as --range says"]),
    ("uint8", (0.0, 255.0), []),
])  # fmt: skip
def test_a_remark_tells_what_isnt_sure_and_nothing_else(
    tmp_path: Path, dtype: str, said: tuple[float, float] | None, words: list[str]
) -> None:
    told = found(tiff(tmp_path, dtype), said).remarks
    assert len(told) == bool(words)
    assert all(word in told[0] for word in words)


@pytest.mark.parametrize("more", [
    {"color_space": "HED", "num_channels": 3},
    {"normalization": {"method": "zscore"}, "tile_spec": TileSpec({"y": 32, "x": 32}, pad="white")},
])  # fmt: skip
def test_whatever_needs_black_and_white_says_that_nobody_knows_them(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    path = tmp_path / "a.tif"
    channels = more.get("num_channels", 1)
    colours: Any = {"photometric": "rgb"} if channels == 3 else {"photometric": "minisblack"}
    tifffile.imwrite(
        path, np.zeros((32, 32, 3) if channels == 3 else (32, 32), "uint16"), **colours
    )
    told = found(path, **{"input_range": None, **more}).remarks
    assert [t for t in told if "nothing says how far its uint16 values go" in t]


def test_a_range_is_told_by_its_very_numbers(tmp_path: Path) -> None:
    (told,) = found(tiff(tmp_path, "float64"), (1e9, 1e9 + 0.5)).remarks
    assert "Values 1000000000 to 1000000000.5 are" in told


def test_what_the_file_says_is_a_remark(tmp_path: Path) -> None:
    (told,) = found(ome(tmp_path, "uint16", SignificantBits=12)).remarks
    assert "0 to 4095" in told
    assert "SignificantBits 12" in told


@pytest.mark.parametrize("said", [None, (0.0, 4095.0)])
def test_a_model_that_needs_no_range_gets_the_same_job(
    tmp_path: Path, said: tuple[float, float] | None
) -> None:
    path = tiff(tmp_path, "uint16")
    plain: dict[str, Any] = {"normalization": {"method": "zscore"}, "input_range": None}
    planned = found(path, said, **plain)
    assert (planned.ref.range, planned.range) == (None, None)
    assert planned.ref == found(path, None, **plain).ref
    assert ["isn't" in t or "doesn't use it" in t for t in planned.remarks] == [True] * bool(said)


def test_a_sheets_column_says_each_images_range(tmp_path: Path) -> None:
    for name in "ab":
        grey(tmp_path / f"{name}.tif")
    sheet = tmp_path / "s.csv"
    sheet.write_text('image,range\na.tif,"0,4095"\nb.tif,\n')
    a, b = find_inputs(Params(input=str(sheet), range=(0.0, 1023.0)), tmp_path).rows
    assert (a.range, b.range) == ((0, 4095), (0, 1023))
    sheet.write_text("image,range\na.tif,4095\n")
    with pytest.raises(ProblemsError, match=r"line 2: its range '4095': .*two numbers, LOW,HIGH"):
        find_inputs(Params(input=str(sheet)), tmp_path)


@pytest.mark.parametrize("said", ["4095", "1,0", "0,0", "0,nan", "0,inf", "a,b", "0,1,2", ""])
def test_a_range_is_two_numbers_that_ascend(said: str) -> None:
    params, problems = check_params({"input": ".", "range": said})
    assert params is not None
    assert params.range is None
    assert "--range" in str(problems[0])


def test_numbers_and_words_are_one_range() -> None:
    for said in ("-5,4095.5", " -5 , 4095.5", [-5, 4095.5]):
        params, problems = check_params({"input": ".", "range": said})
        assert params is not None
        assert (params.range, problems) == ((-5, 4095.5), [])


def test_plan_json_tells_the_range_and_what_strict_is_changes_no_task(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    plans = [planned(tmp_path, model="nuclei", strict=strict) for strict in (False, True)]
    told = plans[0].file.to_dict()["images"][0]
    assert (told["range"], told["range_from"]) == (None, None)
    assert plans[0].recipe.digest == plans[1].recipe.digest
    assert plans[0].jobs == plans[1].jobs
    assert plans[0].groups == plans[1].groups


def test_the_header_cache_remembers_the_range(tmp_path: Path) -> None:
    from tilewright.plan.header_cache import Headers

    path = tiff(tmp_path, "uint16", 4095)
    first, second = (Headers(Params(input=str(path)), SPEC) for _ in range(2))
    made = first.plan(Row(path, "a"))
    first.save()
    second = Headers(Params(input=str(path)), SPEC)
    assert second.plan(Row(path, "a")) == made
    other = second.plan(Row(path, "a", range=(0.0, 9.0)))
    assert other.ref.range == (0, 9)


def test_12_bits_reach_the_model_as_its_whole_range(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.linspace(0, 4095, 32 * 32).round().astype("uint16").reshape(32, 32)
    tifffile.imwrite(path, pixels, metadata={"axes": "YX", "SignificantBits": 12})
    with TileReader(found(path).ref, SPEC) as reader:
        seen = reader.read(0, ((0, 32), (0, 32)))
    assert np.allclose(seen[0], pixels / 4095, atol=1e-6)
