"""Images of every kind open lazily, and a region of one is what it is in the whole."""

from __future__ import annotations

import contextlib
import math
import os
import tracemalloc
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SIZES, boxes, numbered, speckles, write_ome_zarr
from PIL import Image as Pillow

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.image import fingerprint, image_id, open_image

# Telling apart -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.b.ome.tif", "a.b"),
        ("a.OME.TIFF", "a"),
        ("a.tif", "a"),
        ("slide 1.jpeg", "slide 1"),
        ("a.ome.zarr", "a"),
        ("a.zarr", "a"),
        ("plain", "plain"),
        (".tif", ".tif"),
    ],
)
def test_an_id_is_the_name_without_its_image_extension(name: str, expected: str) -> None:
    assert image_id(Path("in") / name) == expected


def test_a_fingerprint_changes_with_content_and_time_and_with_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(3 * 2**20))
    os.utime(path, ns=(5, 5))
    first = fingerprint(path)
    assert first == fingerprint(path)
    path.write_bytes(bytes(3 * 2**20 - 1) + b"x")
    os.utime(path, ns=(5, 5))
    changed = fingerprint(path)
    os.utime(path, ns=(6, 6))
    assert len({first, changed, fingerprint(path)}) == 3


def test_a_folders_fingerprint_changes_with_its_metadata_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [numbered("YX")], "YX")
    seen = {fingerprint(path)}
    about = path / "zarr.json"
    times = about.stat().st_mtime_ns
    about.write_text(about.read_text().replace("micrometer", "millimeter"))
    os.utime(about, ns=(times, times))
    seen.add(fingerprint(path))
    (path / "more").write_bytes(b"")
    seen.add(fingerprint(path))
    assert len(seen) == 3


TWO_FILES = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="53" SizeY="37" '
    'SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0" SamplesPerPixel="1"/>'
    '<TiffData FirstZ="0" IFD="0"><UUID FileName="bad one">urn:uuid:1</UUID></TiffData>'
    '<TiffData FirstZ="1" IFD="0"><UUID FileName="other.ome.tif">urn:uuid:2</UUID></TiffData>'
    "</Pixels></Image></OME>"
)
"""Two slices, one in the file `bad one` and one in `other.ome.tif`."""

# Reading ---------------------------------------------------------------------------------------


def _tiff(path: Path, pixels: Any, axes: str, **more: Any) -> None:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **more}, metadata={"axes": axes})


def _ome_tiff(path: Path, pixels: Any, axes: str) -> None:
    rgb = {"photometric": "rgb"} if axes.endswith("YXC") else {}
    _tiff(path, pixels, axes.replace("YXC", "YXS"), ome=True, **rgb)


def _imagej(path: Path, pixels: Any, axes: str) -> None:
    _tiff(path, pixels, axes, imagej=True)


def _zarr_v2(path: Path, pixels: Any, axes: str) -> None:
    write_ome_zarr(path, [pixels], axes, version="0.4")


def _zarr_v3(path: Path, pixels: Any, axes: str) -> None:
    write_ome_zarr(path, [pixels], axes)


def _png(path: Path, pixels: Any, axes: str) -> None:
    path.write_bytes(imagecodecs.png_encode(pixels))


WRITERS = {
    "tiled": lambda p, a, x: _tiff(p, a, x, tile=(16, 16), compression="zlib"),
    "striped": lambda p, a, x: _tiff(p, a, x, rowsperstrip=5, compression="lzw", predictor=True),
    "whole-page": lambda p, a, x: _tiff(p, a, x, rowsperstrip=99, compression="zlib"),
    "plain": _tiff,
    "plain-tiled": lambda p, a, x: _tiff(p, a, x, tile=(16, 16)),
    "big-endian-bigtiff": lambda p, a, x: _tiff(p, a, x, byteorder=">", bigtiff=True),
    "ome-tiff": _ome_tiff,
    "ome-zarr-0.4": _zarr_v2,
    "ome-zarr-0.5": _zarr_v3,
}
EVERY = [(how, axes) for how in WRITERS for axes in ("YX", "CYX", "ZYX", "TYX", "TCYX", "TCZYX")]
MORE = [("tiled", "ZCYX"), ("ome-tiff", "YXC"), ("ome-tiff", "TYXC")]


@pytest.mark.parametrize(("how", "axes"), EVERY + MORE)
def test_every_box_of_every_format_is_what_was_written(tmp_path: Path, how: str, axes: str) -> None:
    pixels = numbered(axes)
    WRITERS[how](tmp_path / "a", pixels, axes)
    with open_image(tmp_path / "a") as image:
        assert (image.axes, image.shape, image.dtype) == (axes, pixels.shape, pixels.dtype)
        assert image.levels == [pixels.shape]
        for box in boxes(pixels.shape, 23):
            got = image.read(0, dict(zip(axes, box, strict=True)))
            np.testing.assert_array_equal(got, pixels[box])
            assert got.dtype.isnative


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZCYX"])
def test_imagejs_axes_are_read(tmp_path: Path, axes: str) -> None:
    pixels = numbered(axes)
    _imagej(tmp_path / "a.tif", pixels, axes)
    with open_image(tmp_path / "a.tif") as image:
        assert image.axes == axes
        np.testing.assert_array_equal(image.read(0, {}), pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_an_rgb_tiffs_samples_are_its_channels(
    tmp_path: Path, planar: str, tile: tuple[int, int] | None
) -> None:
    pixels = speckles((37, 53, 3) if planar == "contig" else (3, 37, 53), "uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planar, tile=tile,
        compression="zlib",
    )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        assert image.axes == ("YXC" if planar == "contig" else "CYX")
        got = image.read(0, {"C": 1, "Y": slice(20, 37)})
    np.testing.assert_array_equal(got, pixels[20:, :, 1] if planar == "contig" else pixels[1, 20:])


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "uint32", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_every_dtype_comes_as_it_is(tmp_path: Path, dtype: str, tile: Any) -> None:
    pixels = speckles((37, 53), dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, tile=tile, compression="zlib" if tile else None,
        photometric="minisblack",  # tifffile calls bool WhiteIsZero, which is another image
    )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        assert image.dtype == dtype
        got = image.read(0, {"Y": slice(9, 30), "X": slice(3, 40)})
    np.testing.assert_array_equal(got, pixels[9:30, 3:40])


@pytest.mark.parametrize(
    ("samples", "dtype"), [((), "uint8"), ((3,), "uint8"), ((4,), "uint8"), ((3,), "uint16")]
)
def test_a_png_is_read_by_box(tmp_path: Path, samples: tuple[int, ...], dtype: str) -> None:
    pixels = speckles((37, 53, *samples), dtype)
    _png(tmp_path / "a.png", pixels, "")
    with open_image(tmp_path / "a.png") as image:
        assert image.axes == ("YXC" if samples else "YX")
        assert image.dtype == dtype
        got = image.read(0, {"Y": slice(9, 30), "X": 5})
    wanted = pixels[..., :3] if samples else pixels  # alpha is left out
    np.testing.assert_array_equal(got, wanted[9:30, 5])


@pytest.mark.parametrize("samples", [(), (3,)])
def test_a_jpeg_is_read_as_its_library_decodes_it(tmp_path: Path, samples: tuple[int, ...]) -> None:
    data = imagecodecs.jpeg8_encode(speckles((37, 53, *samples), "uint8"))
    (tmp_path / "a.jpg").write_bytes(data)
    with open_image(tmp_path / "a.jpg") as image:
        assert image.shape == (37, 53, *samples)
        got = image.read(0, {"Y": slice(9, 30)})
    np.testing.assert_array_equal(got, imagecodecs.jpeg8_decode(data)[9:30])


def test_a_pngs_palette_is_applied(tmp_path: Path) -> None:
    picture = Pillow.fromarray(speckles((37, 53, 3), "uint8")).quantize(17)
    picture.save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(image.read(0, {}), np.asarray(picture.convert("RGB")))


def test_twelve_bits_come_as_sixteen(tmp_path: Path) -> None:
    pixels = speckles((37, 54)) // 16
    high, low = pixels[:, ::2], pixels[:, 1::2]  # three bytes hold two pixels
    rows = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], axis=-1).astype("uint8")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            iter([rows.tobytes()]), shape=(37, 54), dtype="uint16", bitspersample=12,
            rowsperstrip=37,
        )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read(0, {"Y": slice(5, 9)}), pixels[5:9])


def test_an_ome_tiff_in_several_files_is_one_image(tmp_path: Path) -> None:
    for name, pixels in (("bad one", numbered("YX")), ("other.ome.tif", numbered("YX") + 5)):
        tifffile.imwrite(tmp_path / name, pixels, description=TWO_FILES, metadata=None)
    with open_image(tmp_path / "bad one") as image:
        assert image.axes == "ZYX"
        got = image.read(0, {"Y": slice(5, 9)})
        again = image.read(0, {"Y": slice(5, 9)})
    np.testing.assert_array_equal(got, np.stack([numbered("YX"), numbered("YX") + 5])[:, 5:9])
    np.testing.assert_array_equal(got, again)


def test_jpeg_compressed_tiles_are_read_as_tifffile_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, speckles((70, 90, 3), "uint8"), photometric="rgb", tile=(32, 32), compression="jpeg"
    )
    with open_image(path) as image:
        got = image.read(0, {"Y": slice(30, 70), "X": slice(50, 90)})
    np.testing.assert_array_equal(got, tifffile.imread(path)[30:70, 50:90])


def test_tiles_that_were_never_written_are_background(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        tiles = iter([speckles((16, 16)), None, None, None])
        file.write(tiles, shape=(32, 32), dtype="uint16", tile=(16, 16), compression="zlib")
    with open_image(tmp_path / "a.tif") as image:
        got = image.read(0, {})
    np.testing.assert_array_equal(got[:16, :16], speckles((16, 16)))
    assert not got[16:].any()


def test_a_number_drops_its_axis_and_a_missing_axis_is_all(tmp_path: Path) -> None:
    pixels = numbered("TCZYX")
    _zarr_v3(tmp_path / "a.zarr", pixels, "TCZYX")
    with open_image(tmp_path / "a.zarr") as image:
        got = image.read(0, {"T": 1, "Z": 2, "X": slice(40, 900)})
    np.testing.assert_array_equal(got, pixels[1, :, 2, :, 40:])


@given(
    y=st.tuples(st.integers(0, 36), st.integers(1, 37)),
    x=st.tuples(st.integers(0, 52), st.integers(1, 53)),
    how=st.sampled_from(["tiled", "striped", "ome-zarr-0.5"]),
)
@settings(deadline=None)
def test_any_region_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    y: tuple[int, int],
    x: tuple[int, int],
    how: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"region-{how}"
    pixels = numbered("CYX")
    if not path.exists():
        WRITERS[how](path, pixels, "CYX")
    rows, columns = slice(y[0], y[0] + y[1]), slice(x[0], x[0] + x[1])
    with open_image(path) as image:
        got = image.read(0, {"Y": rows, "X": columns})
    np.testing.assert_array_equal(got, pixels[:, rows, columns])


def test_every_level_of_a_pyramid_is_read(tmp_path: Path) -> None:
    levels = [numbered("YX"), numbered("YX")[::2, ::2], numbered("YX")[::4, ::4]]
    write_ome_zarr(tmp_path / "a.zarr", levels, "YX")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(levels[0], subifds=2, tile=(16, 16), compression="zlib")
        for level in levels[1:]:
            file.write(level, subfiletype=1, tile=(16, 16), compression="zlib")
    for name in ("a.zarr", "a.tif"):
        with open_image(tmp_path / name) as image:
            assert image.levels == [a.shape for a in levels]
            for number, level in enumerate(levels):
                np.testing.assert_array_equal(image.read(number, {}), level)


def test_a_scene_is_chosen_by_number(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(numbered("YX"), metadata={"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 1})
        file.write(
            numbered("CYX"), metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        )
    for number in range(2):
        write_ome_zarr(
            tmp_path / "b.zarr" / str(number), [numbered("ZCYX"[number:])], "ZCYX"[number:]
        )
    zarr.open_group(tmp_path / "b.zarr", mode="a").attrs["ome"] = {"bioformats2raw.layout": 3}
    for name in ("a.ome.tif", "b.zarr"):
        with open_image(tmp_path / name, scene=1) as image:
            assert (image.axes, len(image.scenes), image.mpp) == ("CYX", 2, (0.5, 0.5))


def test_axes_that_the_file_gets_wrong_can_be_given(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered("ZYX"), photometric="minisblack")
    with open_image(tmp_path / "a.tif", axes="tyx") as image:
        assert image.axes == "TYX"
        np.testing.assert_array_equal(image.read(0, {"T": 2}), numbered("ZYX")[2])


# What the file says ----------------------------------------------------------------------------

OME = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.3,
       "PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm"}  # fmt: skip


def _res(unit: str | int, per: float, **more: Any) -> dict[str, Any]:
    return {"resolution": (per, per), "resolutionunit": unit, **more}


PIXEL_SIZES = [
    pytest.param({"ome": True, "metadata": OME}, (0.3, 0.25), id="ome-units"),
    pytest.param(_res("CENTIMETER", 20000), (0.5, 0.5), id="centimetre"),
    pytest.param(_res("INCH", 101600), (0.25, 0.25), id="inch"),
    pytest.param(_res("INCH", 72), None, id="72-dpi-is-a-screen"),
    pytest.param(_res("INCH", 300), None, id="300-dpi-is-a-printer"),
    pytest.param(_res("NONE", 2), None, id="no-unit"),
    pytest.param({}, None, id="nothing"),
    pytest.param(_res(1, 2, imagej=True, metadata={"unit": "micron"}), (0.5, 0.5), id="imagej"),
    pytest.param(_res(1, 2, imagej=True, metadata={"unit": "\\u00B5m"}), (0.5, 0.5), id="imagej-µ"),
    pytest.param(_res(1, 2, imagej=True, metadata={"unit": "pixel"}), None, id="imagej-pixel"),
]


@pytest.mark.parametrize(("how", "expected"), PIXEL_SIZES)
def test_a_tiffs_pixel_size_is_in_micrometres_or_not_known(
    tmp_path: Path, how: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered("YX"), **how)
    with open_image(tmp_path / "a.tif") as image:
        assert image.mpp == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [
        ("micrometer", 0.5, 0.5),
        ("nanometer", 500, 0.5),
        ("millimeter", 5e-4, 0.5),
        (None, 1.0, None),
        ("second", 1.0, None),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarrs_pixel_size_is_in_micrometres_or_not_known(
    tmp_path: Path, version: str, unit: str | None, scale: float, expected: float | None
) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [numbered("YX")], "YX", version=version, unit=unit, scale=scale)
    with open_image(path) as image:
        assert image.mpp == (None if expected is None else pytest.approx((expected, expected)))


def test_slices_have_their_own_spacing(tmp_path: Path) -> None:
    pixels = numbered("ZYX")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, photometric="minisblack", metadata={"axes": "ZYX", **OME}
    )
    tifffile.imwrite(
        tmp_path / "b.tif", pixels, **_res(1, 2, imagej=True, metadata={"unit": "um", "spacing": 2})
    )
    write_ome_zarr(tmp_path / "c.zarr", [pixels], "ZYX")
    for name in ("a.ome.tif", "b.tif", "c.zarr"):
        with open_image(tmp_path / name) as image:
            assert image.z_um == pytest.approx(2)


def test_channels_have_the_names_the_file_gives(tmp_path: Path) -> None:
    names = ["DAPI", "GFP", "7"]
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        numbered("CYX"),
        metadata={"axes": "CYX", "Channel": {"Name": names}},
    )
    write_ome_zarr(tmp_path / "b.zarr", [numbered("CYX")], "CYX", channels=names)
    for name in ("a.ome.tif", "b.zarr"):
        with open_image(tmp_path / name) as image:
            assert image.channel_names == tuple(names)


def test_an_rgb_image_with_one_named_channel_has_no_channel_names(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.ome.tif", speckles((9, 9, 3), "uint8"), photometric="rgb",
        metadata={"axes": "YXS", "Channel": {"Name": ["brightfield"]}},
    )  # fmt: skip
    with open_image(tmp_path / "a.ome.tif") as image:
        assert image.channel_names is None


# Only what is needed ---------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the TIFF strips and tiles as they are decoded."""
    seen: list[int] = []
    real = tifffile.TiffPage.decode.func  # type: ignore[attr-defined]

    def counting(page: tifffile.TiffPage) -> Any:
        decode = real(page)

        def one(data: Any, index: int, **more: Any) -> Any:
            if data is not None:  # else it is only asked whether it could
                seen.append(index)
            return decode(data, index, **more)

        return one

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(counting))
    return seen


def test_only_the_tiles_a_box_meets_are_decoded_and_once(
    tmp_path: Path, decoded: list[int]
) -> None:
    pixels = speckles((160, 160))
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(16, 16), compression="zlib")
    with open_image(tmp_path / "a.tif") as image:
        assert decoded == []
        box = {"Y": slice(31, 33), "X": slice(100, 112)}
        np.testing.assert_array_equal(image.read(0, box), pixels[31:33, 100:112])
        assert decoded == [16, 26]
        image.read(0, box)
    assert decoded == [16, 26]


def test_reading_strip_by_strip_decodes_each_strip_once(tmp_path: Path, decoded: list[int]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", speckles((160, 160)), rowsperstrip=8, compression="zlib")
    with open_image(tmp_path / "a.tif") as image:
        for y, x in boxes((160, 160), 40):
            image.read(0, {"Y": y, "X": x})
    assert decoded == list(range(20))


def test_only_the_chunks_a_box_meets_are_read(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.zarr", [numbered("YX")], "YX")
    for chunk in (tmp_path / "a.zarr" / "s0" / "c").rglob("*"):
        if chunk.is_file() and chunk.relative_to(tmp_path / "a.zarr/s0/c") != Path("1/2"):
            chunk.write_bytes(b"broken")
    with open_image(tmp_path / "a.zarr") as image:
        got = image.read(0, {"Y": slice(16, 32), "X": slice(32, 48)})
        np.testing.assert_array_equal(got, numbered("YX")[16:32, 32:48])


def test_opening_a_png_or_jpeg_decodes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(speckles((37, 53), "uint8"))[:60])
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(speckles((37, 53), "uint8"))[:400])
    for name in ("a.png", "a.jpg"):
        with open_image(tmp_path / name) as image:
            assert image.shape == (37, 53)


@pytest.mark.parametrize(
    ("how", "tile", "expected"),
    [
        pytest.param({"tile": (16, 16), "compression": "zlib"}, (16, 16), 1, id="its-own-tiles"),
        pytest.param({"tile": (16, 16), "compression": "zlib"}, (32, 48), 1, id="their-multiples"),
        pytest.param({"rowsperstrip": 16, "compression": "zlib"}, (16, 16), 10, id="strips"),
        pytest.param({"rowsperstrip": 160, "compression": "zlib"}, (16, 16), 100, id="whole-page"),
        pytest.param({"rowsperstrip": 160, "compression": "zlib"}, (160, 160), 1, id="one-tile"),
        pytest.param({"rowsperstrip": 160}, (16, 16), 1, id="not-compressed"),
    ],
)
def test_the_decode_factor_says_how_often_a_byte_is_decoded_when_none_is_kept(
    tmp_path: Path, how: dict[str, Any], tile: tuple[int, int], expected: float
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", speckles((160, 160)), **how)
    with open_image(tmp_path / "a.tif", kept=0) as image:
        assert image.decode_factor(tile) == pytest.approx(expected)


@pytest.mark.parametrize("axes", ["YX", "CYX", "ZYX"])
def test_strips_of_a_row_of_tiles_that_are_kept_are_decoded_once(
    tmp_path: Path, decoded: list[int], axes: str
) -> None:
    """20 rows meet 3 strips of 8, or 4 if they begin elsewhere; half as many aren't enough."""
    shape = dict(zip("CZYX", (3, 2, 160, 160), strict=True))
    row = 4 * 8 * 160 * 2 * (3 if axes == "CYX" else 1)
    pixels = speckles(tuple(shape[a] for a in axes))
    layout = {"rowsperstrip": 8, "compression": "zlib", "metadata": {"axes": axes}}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **layout)
    planes: list[dict[str, Any]] = [{"Z": 0}, {"Z": 1}] if axes == "ZYX" else [{}]
    for kept in (row, row // 2):
        decoded.clear()
        with open_image(tmp_path / "a.tif", kept=kept) as image:
            for plane in planes:
                for y, x in boxes((160, 160), 20):
                    image.read(0, {**plane, "Y": y, "X": x})
            assert (image.decode_factor((20, 20)) == 1) == (kept == row)
        assert (len(decoded) == 20 * math.prod(pixels.shape[:-2])) == (kept == row)


def test_a_png_or_jpeg_is_decoded_once_whatever_the_tiles(tmp_path: Path) -> None:
    _png(tmp_path / "a.png", speckles((160, 160), "uint8"), "YX")
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(speckles((160, 160), "uint8")))
    for name in ("a.png", "a.jpg"):
        with open_image(tmp_path / name) as image:
            assert image.decode_factor((16, 16)) == 1


@pytest.mark.parametrize("how", ["tiled", "striped", "plain", "plain-tiled", "big-endian-bigtiff"])
def test_a_region_is_in_memory_once(tmp_path: Path, how: str) -> None:
    pixels = speckles((500, 2000))
    WRITERS[how](tmp_path / "a.tif", pixels, "YX")
    with open_image(tmp_path / "a.tif", kept=0) as image:
        image.read(0, {"Y": slice(0, 5)})
        tracemalloc.start()
        found = image.read(0, {})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    np.testing.assert_array_equal(found, pixels)
    assert peak < 1.3 * pixels.nbytes


@pytest.mark.parametrize("name", ["plain.tif", "tiled.tif", "a.zarr", "a.png"])
def test_what_is_read_belongs_to_who_reads_it(tmp_path: Path, name: str) -> None:
    writers = {"plain.tif": _tiff, "tiled.tif": WRITERS["tiled"], "a.zarr": _zarr_v3, "a.png": _png}
    writers[name](tmp_path / name, numbered("YX"), "YX")
    with open_image(tmp_path / name) as image:
        found = image.read(0, {})
        assert not isinstance(found, np.memmap)
        found[...] = 0
        np.testing.assert_array_equal(image.read(0, {}), numbered("YX"))


def test_the_decode_factor_counts_reads_across_slices(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    write_ome_zarr(tmp_path / "a.zarr", [speckles((8, 32, 32))], "ZYX")
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    group.create_array("s0", shape=(8, 32, 32), chunks=(4, 16, 16), dtype="u2", overwrite=True)
    with open_image(tmp_path / "a.zarr") as image:
        assert image.decode_factor((16, 16)) == pytest.approx(4)
        assert image.decode_factor((4, 16, 16)) == pytest.approx(1)


# Bad input -------------------------------------------------------------------------------------


def _damaged(path: Path, pixels: Any, at: int, **more: Any) -> None:
    """A TIFF whose bytes after `at` are overwritten by ones, up to 200."""
    tifffile.imwrite(path, pixels, **more)
    data = bytearray(path.read_bytes())
    data[at : at + 200] = b"\xff" * len(data[at : at + 200])
    path.write_bytes(data)


def _cut(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("this is no image")


def _header_only(path: Path) -> None:
    path.write_bytes(b"II*\0\x08\0\0\0")


def _noise(path: Path) -> None:
    path.write_bytes(b"II*\0" + bytes(range(256)) * 4)


def _cut_plain(path: Path) -> None:
    tifffile.imwrite(path, speckles((64, 64)))
    _cut(path, 0.5)


def _cut_tiled(path: Path) -> None:
    tifffile.imwrite(path, speckles((64, 64)), tile=(16, 16), compression="zlib")
    _cut(path, 0.5)


def _folder(path: Path) -> None:
    path.mkdir()


def _plain_zarr(path: Path) -> None:
    zarr.open_group(path, mode="w").create_array("x", shape=(4, 4), dtype="u1")


def _zarr_without_array(path: Path) -> None:
    write_ome_zarr(path, [numbered("YX")], "YX")
    (path / "s0" / "zarr.json").unlink()


def _bad_json(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text("{")


def _no_pixels(path: Path) -> None:
    write_ome_zarr(path, [np.zeros((4, 4), "uint8")], "YX")
    zarr.open_group(path, mode="a").create_array(
        "s0", shape=(0, 4), chunks=(1, 4), dtype="u1", overwrite=True
    )


def _coloured_channels(path: Path) -> None:
    pixels = speckles((2, 37, 53, 3), "uint8")
    tifffile.imwrite(path, pixels, ome=True, photometric="rgb", metadata={"axes": "CYXS"})


def _complex(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((8, 8), "complex64"))


def _unknown_axes(path: Path) -> None:
    tifffile.imwrite(path, numbered("ZYX"), photometric="minisblack")


def _cut_png(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(speckles((8, 8), "uint8"))[:20])


def _cut_jpeg(path: Path) -> None:
    path.write_bytes(imagecodecs.jpeg8_encode(speckles((8, 8), "uint8"))[:20])


def _huge_png(path: Path) -> None:
    data = bytearray(imagecodecs.png_encode(speckles((8, 8), "uint8")))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    path.write_bytes(data)


def _one_huge_strip(path: Path) -> None:
    side = 2**15 + 1
    with tifffile.TiffWriter(path) as file:
        strips = iter([b"x"])
        file.write(strips, shape=(side, side), dtype="u1", rowsperstrip=side, compression="zlib")


def _pickled(path: Path) -> None:
    write_ome_zarr(path, [numbered("YX")], "YX", version="0.4")
    about = path / "s0" / ".zarray"
    about.write_text(about.read_text().replace('"filters": null', '"filters": [{"id": "pickle"}]'))


def _plane_missing(path: Path) -> None:
    other = path.with_name("other.ome.tif")
    for at in (path, other):
        tifffile.imwrite(at, numbered("YX"), description=TWO_FILES, metadata=None)
    other.unlink()


BAD_FILES = [
    pytest.param(lambda path: None, "there is no such file", id="missing"),
    pytest.param(_empty, r"empty \(0 bytes\)", id="zero-bytes"),
    pytest.param(_text, "no image format.*Export it as OME-TIFF", id="text"),
    pytest.param(_header_only, "can't be read as an image", id="tiff-header-alone"),
    pytest.param(_noise, "can't be read as an image", id="tiff-noise"),
    pytest.param(_cut_plain, "cut off: .* bytes", id="cut-plain-tiff"),
    pytest.param(_cut_tiled, "cut off: .* bytes", id="cut-tiled-tiff"),
    pytest.param(_folder, "isn't OME-Zarr", id="folder"),
    pytest.param(_plain_zarr, "no `multiscales`", id="zarr-of-another-kind"),
    pytest.param(_zarr_without_array, "level 's0', which isn't there", id="zarr-lost-its-array"),
    pytest.param(_bad_json, "can't be read as an image", id="zarr-bad-json"),
    pytest.param(_no_pixels, r"no pixels \(0 x 4\)", id="zero-size"),
    pytest.param(_complex, "complex64.*real numbers", id="complex"),
    pytest.param(_unknown_axes, r"4 x 37 x 53 pixels along axes \?YX.*--axes ZYX", id="axes"),
    pytest.param(_coloured_channels, "channels is in colours itself.*in grey", id="colours"),
    pytest.param(_cut_png, "can't be read as an image", id="cut-png"),
    pytest.param(_cut_jpeg, "can't be read as an image", id="cut-jpeg"),
    pytest.param(_huge_png, "GiB of pixels.*tiled TIFF", id="huge-png"),
    pytest.param(_one_huge_strip, "1.0 GiB .* as one piece.*in tiles or strips", id="huge-strip"),
    pytest.param(_pickled, "pickle", id="pickled"),
    pytest.param(_plane_missing, r"missing \(other\.ome\.tif\)", id="file-of-a-set-missing"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD_FILES)
def test_a_file_that_cant_be_opened_is_named_with_what_to_do(
    tmp_path: Path, spoil: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bad one"
    spoil(path)
    with pytest.raises(TilewrightError, match=says) as error:
        open_image(path)
    assert error.value.code == BAD_DATA
    assert str(path) in error.value.what
    assert error.value.fix.endswith(".")
    assert not caplog.records


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ("YX", "axes YX were given for 4 x 37 x 53 pixels"),
        ("TZYX", "axes TZYX were given"),
        ("YYX", "axes YYX were given"),
        ("TCZ", "axes TCZ were given"),
        ("QYX", "axes QYX were given.*out of T, C, Z, Y and X: --axes ZYX"),
    ],
)
def test_axes_that_dont_fit_are_refused_with_the_images_size(
    tmp_path: Path, axes: str, says: str
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", numbered("ZYX"), photometric="minisblack", metadata={"axes": "ZYX"}
    )
    with pytest.raises(TilewrightError, match=says):
        open_image(tmp_path / "a.tif", axes=axes)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.png"])
def test_a_scene_that_isnt_there_is_refused_with_how_many_are(tmp_path: Path, name: str) -> None:
    pixels = numbered("YX")
    writer = {"a.tif": _tiff, "a.zarr": _zarr_v3, "a.png": _png}[name]
    writer(tmp_path / name, pixels, "YX")
    with pytest.raises(TilewrightError, match=r"scene 1 .* it has 1"):
        open_image(tmp_path / name, scene=1)


def _broken_tile(path: Path) -> None:
    _damaged(path, speckles((64, 64)), 2000, tile=(16, 16), compression="zlib")


def _broken_chunk(path: Path) -> None:
    write_ome_zarr(path, [numbered("YX")], "YX")
    (path / "s0" / "c" / "1" / "1").write_bytes(b"broken")


def _broken_png(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(speckles((37, 53), "uint8"))[:500])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(_broken_tile, r"pixels at Y 0 to 64, X 0 to 64 can't be read", id="tile"),
        pytest.param(_broken_chunk, r"pixels at Y 0 to 37, X 0 to 53 can't be read", id="chunk"),
        pytest.param(_broken_png, "can't be read", id="png"),
    ],
)
def test_damage_found_when_reading_is_named_with_where_it_is(
    tmp_path: Path, spoil: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bad one"
    spoil(path)
    with open_image(path) as image, pytest.raises(TilewrightError, match=says) as error:
        image.read(0, {})
    assert error.value.code == BAD_DATA
    assert str(path) in error.value.what
    assert not caplog.records


def test_all_sizes_differ_so_that_swapped_axes_show() -> None:
    assert len(set(SIZES.values())) == len(SIZES)


@pytest.mark.parametrize("how", ["tiled", "striped", "plain", "ome-tiff", "png", "jpeg"])
@given(at=st.integers(8, 2000), value=st.integers(0, 255), keep=st.floats(0.02, 1))
@settings(max_examples=40, deadline=None)
def test_whatever_is_damaged_ends_in_pixels_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, how: str, at: int, value: int, keep: float
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged-{how}"
    pixels = speckles((37, 53), "uint8")
    if how == "png":
        _png(path, pixels, "YX")
    elif how == "jpeg":
        path.write_bytes(imagecodecs.jpeg8_encode(pixels))
    else:
        WRITERS[how](path, pixels, "YX")
    data = bytearray(path.read_bytes())
    data[at : at + 4] = bytes([value] * 4)
    path.write_bytes(data[: int(len(data) * keep)])
    with contextlib.suppress(TilewrightError), open_image(path) as image:
        if math.prod(image.shape) < 10**6:  # a damaged header may claim any size
            image.read(0, {})


def test_a_row_of_windows_decodes_each_tile_once_and_holds_no_more_than_the_row_meets(
    tmp_path: Path,
) -> None:
    """Whatever the windows, in rows: as many as meet it, of all levels together."""
    path, side, piece = tmp_path / "a.tif", 512, 32
    pixels = speckles((side, side), "uint8")
    with tifffile.TiffWriter(path) as file:
        for level in (pixels, pixels[::2, ::2]):
            file.write(level, tile=(piece, piece), compression="zlib", metadata=None)
    for step, rows in ((piece, 0), (24, 2), (50, 3)):
        with open_image(path, axes="YX") as image:
            level: Any = vars(image)["_source"].levels[0].read.__self__
            decoded = count_calls(level, "_segment")
            for y in range(0, side, step):
                for x in range(0, side, step):
                    box = slice(y, min(y + step, side)), slice(x, min(x + step, side))
                    found = image.read(0, {"Y": box[0], "X": box[1]})
                    np.testing.assert_array_equal(found, pixels[box])
                    assert level._cache.nbytes <= rows * piece * side
            assert len(decoded) == (side // piece) ** 2


def count_calls(thing: Any, name: str) -> list[Any]:
    """What a method of one object is called with from now on."""
    calls, own = [], getattr(thing, name)

    def counted(*given: Any) -> Any:
        calls.append(given)
        return own(*given)

    vars(thing)[name] = counted
    return calls
