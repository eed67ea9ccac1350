"""What a TIFF's samples mean is what is read; the judge is Pillow, with libtiff, or the formula."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import Array, speckles
from PIL import Image as Pillow
from tifffile import TIFF

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.image import Image, open_image

SHAPE = (37, 53)
BOX = {"Y": slice(9, 30), "X": slice(13, 41)}
STORED: list[dict[str, Any]] = [
    {},
    {"rowsperstrip": 5, "compression": "zlib"},
    {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "lzw", "predictor": True},
]
"""Ways to store the same samples."""


def patches(samples: int = 3) -> Array:
    """Squares of colours, uint8 (y, x, sample): JPEG keeps them nearly as they are."""
    squares = speckles((5, 7, samples), "uint8").repeat(8, 0).repeat(8, 1)
    return np.asarray(squares[: SHAPE[0], : SHAPE[1]])


def pillows(path: Path, mode: str = "RGB") -> Array:
    """The whole picture, as Pillow makes it."""
    with Pillow.open(path) as picture:
        return np.asarray(picture.convert(mode))


def read(path: Path, **more: Any) -> tuple[Array, Image]:
    """All of an image, whose box and channels by themselves are those of the whole."""
    with open_image(path, **more) as image:
        whole = image.read(0, {})
        assert (whole.shape, whole.dtype) == (image.shape, image.dtype)
        at = tuple(BOX.get(a, slice(None)) for a in image.axes)
        np.testing.assert_array_equal(image.read(0, BOX), whole[at])
        for channel in range(image.size("C") if "C" in image.axes else 0):
            one = whole.take(channel, image.axes.index("C"))
            np.testing.assert_array_equal(image.read(0, {"C": channel}), one)
            part = image.read(0, {"C": slice(channel, channel + 1), **BOX})
            assert part.shape[image.axes.index("C")] == 1
        return whole, image


def refused(path: Path) -> str:
    """The sentence that a file is refused with."""
    with pytest.raises(TilewrightError) as error, open_image(path):
        pass
    assert error.value.code == BAD_DATA
    return str(error.value)


# Grey ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", STORED)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_where_white_is_zero_the_values_are_turned_round(
    tmp_path: Path, dtype: str, how: dict[str, Any]
) -> None:
    pixels = speckles(SHAPE, dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", **how)
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, np.iinfo(dtype).max - pixels)
    assert "turned round" in image.remarks[0]


@pytest.mark.parametrize("dtype", ["bool", "uint8"])
def test_white_is_zero_as_pillow_reads_it(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", speckles(SHAPE, dtype), photometric="miniswhite")
    whole, _ = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(
        whole, pillows(tmp_path / "a.tif", "1" if dtype == "bool" else "L")
    )


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_black_is_the_greatest_value_of_its_bits(tmp_path: Path, bits: int) -> None:
    pixels = speckles(SHAPE, "uint8" if bits < 8 else "uint16") >> (8 if bits < 8 else 16) - bits
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", bitspersample=bits)
    whole, _ = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, 2**bits - 1 - pixels)


def test_a_fax_has_white_where_it_has_no_ink(tmp_path: Path) -> None:
    picture = Pillow.fromarray(speckles(SHAPE, "bool"))
    for name, tag in (("white", 0), ("black", 1)):
        path = tmp_path / f"{name}.tif"
        picture.save(path, compression="group4", tiffinfo={262: tag})
        np.testing.assert_array_equal(read(path)[0], pillows(path, "1"))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_white_is_zero_is_refused_where_black_has_no_value(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", speckles(SHAPE, dtype), photometric="miniswhite")
    assert f"WhiteIsZero (0) of {dtype}" in refused(tmp_path / "a.tif")


def test_imagejs_inverting_table_is_for_display(tmp_path: Path) -> None:
    pixels = speckles(SHAPE, "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", imagej=True)
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pixels)
    assert "as ImageJ uses it" in image.remarks[0]


def test_a_stack_where_white_is_zero_is_turned_round_whole(tmp_path: Path) -> None:
    pixels = speckles((3, *SHAPE), "uint8")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, photometric="miniswhite", metadata={"axes": "ZYX"}
    )
    whole, image = read(tmp_path / "a.ome.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(whole, 255 - pixels)


def test_without_a_photometric_tag_black_is_zero(tmp_path: Path) -> None:
    pixels = speckles(SHAPE, "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        tag = file.pages.first.tags["PhotometricInterpretation"]
        file.filehandle.seek(tag.offset)
        file.filehandle.write((60000).to_bytes(2, "little"))  # a private tag
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], pixels)


# Palettes --------------------------------------------------------------------------------------


def colours(step: int, count: int = 256) -> Array:
    """A ColorMap, uint16 (3, index), of eight bits times `step`."""
    eight: Array = np.random.default_rng(3).integers(0, 256, (3, count))
    eight[:, -1] = 255
    return (eight * step).astype(np.uint16)


@pytest.mark.parametrize("how", STORED)
def test_a_palette_gives_its_colours(tmp_path: Path, how: dict[str, Any]) -> None:
    how = {**how, "predictor": None} if "predictor" in how else how
    pixels = speckles(SHAPE, "uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="palette", colormap=colours(257), **how
    )
    whole, image = read(tmp_path / "a.tif")
    assert (image.axes, image.dtype) == ("YXC", "uint8")
    np.testing.assert_array_equal(whole, pillows(tmp_path / "a.tif"))
    assert image.remarks == (
        "Its values are indices of a palette (ColorMap): it is read as RGB.",
    )  # fmt: skip


@pytest.mark.parametrize(("step", "dtype"), [(1, "uint8"), (256, "uint8"), (255, "uint16")])
def test_a_palette_of_sixteen_bits_gives_sixteen(tmp_path: Path, step: int, dtype: str) -> None:
    pixels, table = speckles(SHAPE, "uint8"), colours(step)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=table)
    whole, _ = read(tmp_path / "a.tif")
    wanted = table.T if dtype == "uint16" else table.T // step
    assert whole.dtype == dtype
    np.testing.assert_array_equal(whole, wanted[pixels])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_bits_gives_its_colours(tmp_path: Path, bits: int) -> None:
    picture = Pillow.fromarray(speckles(SHAPE, "uint8") >> 8 - bits).convert("P")
    picture.putpalette([v for i in range(2**bits) for v in (13 * i, 15 * i, 255 - i)])
    picture.save(tmp_path / "a.tif", bits=bits)
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], np.asarray(picture.convert("RGB")))


def test_indices_of_sixteen_bits_have_their_colours(tmp_path: Path) -> None:
    pixels, table = speckles(SHAPE, "uint16"), colours(257, 2**16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=table)
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], (table.T // 257)[pixels])


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    pixels = speckles(SHAPE, "uint8")
    table = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=table)
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, 255 - pixels)
    assert "read as grey" in image.remarks[0]


def test_a_palette_of_every_grey_in_order_says_nothing(tmp_path: Path) -> None:
    pixels = speckles(SHAPE, "uint8")
    table = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=table)
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pixels)
    assert image.remarks == ()


def test_each_slice_of_a_stack_has_its_palettes_colours(tmp_path: Path) -> None:
    pixels = speckles((4, *SHAPE), "uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="palette", colormap=colours(257),
        metadata={"axes": "ZYX"},
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    assert image.axes == "ZYXC"
    np.testing.assert_array_equal(whole, (colours(257).T // 257)[pixels])


def test_palettes_that_differ_by_page_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for table in (colours(257), colours(257)[::-1]):
            file.write(
                speckles(SHAPE, "uint8"), photometric="palette", colormap=table, metadata=None
            )
    assert "its pages have different ColorMaps" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize("program", ["ImageJ", "OME-TIFF"])
def test_tables_of_programs_that_measure_are_for_display(tmp_path: Path, program: str) -> None:
    pixels = speckles((2, *SHAPE), "uint8")
    imagej = program == "ImageJ"
    path = tmp_path / ("a.tif" if imagej else "a.ome.tif")
    tifffile.imwrite(
        path, pixels, photometric="palette", colormap=colours(257), imagej=imagej,
        metadata={"axes": "CYX"},
    )  # fmt: skip
    whole, image = read(path)
    assert image.axes == "CYX"
    np.testing.assert_array_equal(whole, pixels)
    assert f"as {program} uses it" in image.remarks[0]


def test_luts_of_an_imagej_composite_are_for_display(tmp_path: Path) -> None:
    pixels = speckles((2, *SHAPE), "uint8")
    luts = [np.asarray(colours(1, 256), np.uint8)] * 2
    about = {"axes": "CYX", "mode": "composite", "LUTs": luts}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata=about)
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pixels)
    assert image.remarks == ()


def test_a_masks_values_are_its_labels(tmp_path: Path) -> None:
    pixels = speckles(SHAPE, "uint8") // 64
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=colours(257))
    np.testing.assert_array_equal(read(tmp_path / "a.tif", labels=True)[0], pixels)


# Inks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_cmyk_becomes_rgb(tmp_path: Path, compression: str | None) -> None:
    picture = Pillow.fromarray(patches(4), "CMYK")
    picture.save(tmp_path / "a.tif", compression=compression)
    whole, image = read(tmp_path / "a.tif")
    assert image.axes == "YXC"
    np.testing.assert_array_equal(whole, pillows(tmp_path / "a.tif"))
    assert image.remarks == ("Its inks (CMYK) are read as RGB, without a colour profile.",)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_cmyk_of_any_layout_is_what_the_inks_leave(tmp_path: Path, planar: str, dtype: str) -> None:
    inks = speckles((4, *SHAPE), dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", inks if planar == "separate" else np.moveaxis(inks, 0, -1),
        photometric="separated", planarconfig=planar, tile=(16, 16), compression="zlib",
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    assert (image.axes, image.dtype) == ("CYX" if planar == "separate" else "YXC", dtype)
    share = inks.astype(float) / np.iinfo(dtype).max
    wanted = (1 - share[:3]) * (1 - share[3]) * np.iinfo(dtype).max
    got = whole if planar == "separate" else np.moveaxis(whole, -1, 0)
    assert np.abs(got - wanted).max() <= 1


def test_cmyk_and_alpha_become_rgb(tmp_path: Path) -> None:
    inks = patches(5)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", extrasamples=["unassalpha"])
    Pillow.fromarray(inks[..., :4], "CMYK").save(tmp_path / "b.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], pillows(tmp_path / "b.tif"))


@pytest.mark.parametrize(
    ("samples", "inkset", "words"), [(5, 2, "5 inks, InkSet 2"), (4, 2, "4 inks, InkSet 2")]
)
def test_other_inks_are_refused(tmp_path: Path, samples: int, inkset: int, words: str) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", patches(samples), photometric="separated", planarconfig="contig",
        extratags=[(332, 3, 1, inkset, True)],
    )  # fmt: skip
    assert f"SEPARATED (5) of {words}" in refused(tmp_path / "a.tif")


# Luma ------------------------------------------------------------------------------------------

RATIOS = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
YCBCR: dict[str, list[Any]] = {
    "as-it-is": [],
    "studio-range": [(532, 5, 6, RATIOS, True)],
    "coefficients": [(529, 5, 3, (2126, 10000, 7152, 10000, 722, 10000), True)],
}


@pytest.mark.parametrize("tags", YCBCR.values(), ids=YCBCR)
def test_ycbcr_becomes_rgb_as_libtiff_does(tmp_path: Path, tags: list[Any]) -> None:
    luma = np.asarray(Pillow.fromarray(patches()).convert("YCbCr"))
    tifffile.imwrite(
        tmp_path / "a.tif", luma, photometric="ycbcr", subsampling=(1, 1), extratags=tags,
        compression="zlib",  # Pillow asks libtiff for colours only where it decompresses
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    assert image.remarks == ()
    near = np.abs(whole.astype(int) - pillows(tmp_path / "a.tif"))
    assert near.max() <= 2  # libtiff's tables hold whole numbers


def _packed(luma: Array, across: int, down: int) -> bytes:
    """YCbCr (y, x, 3) as TIFF 6.0 stores it: blocks of Y, each with one Cb and one Cr."""
    height, width = luma.shape[:2]
    whole = np.pad(luma, ((0, -height % down), (0, -width % across), (0, 0)), "edge")
    blocks = whole.reshape(whole.shape[0] // down, down, -1, across, 3).swapaxes(1, 2)
    ys = blocks[..., 0].reshape(*blocks.shape[:2], -1)
    return np.concatenate([ys, blocks[:, :, 0, 0, 1:]], axis=-1).tobytes()


def _by_hand(path: Path, tags: dict[int, tuple[int, ...]], pieces: list[bytes], at: int) -> None:
    """A TIFF as tifffile doesn't write it; `at` is the tag that says where its pieces are."""
    start = 8
    places = tuple(start + sum(map(len, pieces[:i])) for i in range(len(pieces)))
    tags = {**tags, at: places, 325 if at == 324 else 279: tuple(map(len, pieces))}
    body, extra = b"".join(pieces), b""
    entries, after = b"", start + len(body) + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        kind, code = (3, "H") if max(values) < 2**16 else (4, "I")
        value = struct.pack(f"<{len(values)}{code}", *values)
        where = struct.pack("<I", after + len(extra)) if len(value) > 4 else value.ljust(4, b"\0")
        extra += value if len(value) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, len(values)) + where
    head = struct.pack("<2sHI", b"II", 42, start + len(body))
    page = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(head + body + page + extra)


@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("is_tiled", [False, True])
@pytest.mark.parametrize(("compression", "code"), [(None, 1), ("zlib", 8), ("lzw", 5)])
@pytest.mark.parametrize("by", [(2, 2), (2, 1), (4, 2), (4, 4), (1, 2)])
def test_ycbcr_with_fewer_cb_and_cr_becomes_rgb(
    tmp_path: Path,
    by: tuple[int, int],
    compression: str | None,
    code: int,
    is_tiled: bool,
    side: int,
) -> None:
    luma = np.asarray(Pillow.fromarray(patches()).convert("YCbCr"))
    full = np.pad(luma, ((0, -luma.shape[0] % side), (0, -luma.shape[1] % side), (0, 0)))
    corners = [(y, x) for y in range(0, 37, side) for x in range(0, 53, side)]
    tiles = [full[y : y + side, x : x + side] for y, x in corners]
    pieces = tiles if is_tiled else [luma[y : y + side] for y in range(0, 37, side)]
    coded = [TIFF.COMPRESSORS[code](_packed(p, *by)) if compression else _packed(p, *by)
             for p in pieces]  # fmt: skip
    cut = {322: (side,), 323: (side,)} if is_tiled else {278: (side,)}
    tags = {256: (53,), 257: (37,), 258: (8, 8, 8), 259: (code,), 262: (6,), 277: (3,), 530: by}
    _by_hand(tmp_path / "a.tif", tags | cut, coded, 324 if is_tiled else 273)
    whole, image = read(tmp_path / "a.tif")
    assert image.remarks == ()
    if compression:  # else Pillow doesn't ask libtiff, and fails
        near = np.abs(whole.astype(int) - pillows(tmp_path / "a.tif"))
    else:
        near = np.abs(whole.astype(int) - patches())[::8, ::8]
    assert near.max() <= 2


def test_planes_of_ycbcr_become_planes_of_rgb(tmp_path: Path) -> None:
    luma = np.asarray(Pillow.fromarray(patches()).convert("YCbCr"))
    for name, planar in (("a", "contig"), ("b", "separate")):
        pixels = luma if planar == "contig" else np.moveaxis(luma, -1, 0)
        tifffile.imwrite(
            tmp_path / f"{name}.tif", pixels, photometric="ycbcr", planarconfig=planar,
            subsampling=(1, 1), tile=(16, 16),
        )  # fmt: skip
    contig, separate = (read(tmp_path / f"{name}.tif")[0] for name in "ab")
    np.testing.assert_array_equal(np.moveaxis(separate, 0, -1), contig)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpegs_ycbcr_stays_the_rgb_that_libjpeg_makes(
    tmp_path: Path, subsampling: tuple[int, int]
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", patches(), photometric="ycbcr", compression="jpeg",
        subsampling=subsampling, tile=(16, 16),
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pillows(tmp_path / "a.tif"))
    assert image.remarks == ()


@pytest.mark.parametrize("writer", ["Aperio Image Library v11", "bfconvert"])
def test_only_aperios_jpeg_2000_of_that_number_is_ycbcr(tmp_path: Path, writer: str) -> None:
    aperio = writer.startswith("Aperio")
    pixels = patches()
    tile = np.asarray(Pillow.fromarray(pixels).convert("YCbCr")) if aperio else pixels
    coded = imagecodecs.jpeg2k_encode(tile[:32, :32], level=0, codecformat="j2k", mct=False)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            iter([coded]), shape=(32, 32, 3), dtype="uint8", tile=(32, 32), photometric="rgb",
            compression=33003, description=f"{writer} \r\n32x32", metadata=None,
        )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        got = image.read(0, {})
    assert np.abs(got.astype(int) - pixels[:32, :32]).max() <= (2 if aperio else 0)


@pytest.mark.parametrize(
    "tag",
    [(532, 5, 6, (9, 1, 9, 1, 128, 1, 240, 1, 128, 1, 240, 1), True), (529, 5, 3, (0,) * 6, True),
     (532, 5, 2, (9, 1, 9, 1), True)],
)  # fmt: skip
def test_tags_by_which_no_rgb_can_be_computed_are_refused(tmp_path: Path, tag: Any) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", patches(), photometric="ycbcr", subsampling=(1, 1), extratags=[tag]
    )
    assert "it can't be read as an image (its" in refused(tmp_path / "a.tif")


# Refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples"),
    [("CIELAB", 3), ("ICCLAB", 3), ("ITULAB", 3), ("LOGLUV", 3), ("LOGL", 1), ("CFA", 1),
     ("LINEAR_RAW", 3), ("DEPTH_MAP", 1)],
)  # fmt: skip
def test_what_cant_be_converted_is_refused_by_its_name(
    tmp_path: Path, name: str, samples: int
) -> None:
    pixels = patches(samples)
    how = {"planarconfig": "contig"} if samples > 1 else {}
    pixels = pixels if samples > 1 else pixels[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=name.lower(), **how)
    said = refused(tmp_path / "a.tif")
    assert f"PhotometricInterpretation is {name} (" in said
    assert said.endswith("Save it as RGB or as greyscale.")


# Alpha -----------------------------------------------------------------------------------------

ALPHA = {"assocalpha": "stored multiplied by their alpha", "unassalpha": "alpha (transparency)"}


@pytest.mark.parametrize("how", STORED)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ALPHA)
@pytest.mark.parametrize("colour", ["minisblack", "rgb"])
def test_alpha_is_no_channel(
    tmp_path: Path, colour: str, kind: str, planar: str, how: dict[str, Any]
) -> None:
    count = 3 if colour == "rgb" else 1
    pixels = speckles((count + 1, *SHAPE), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels if planar == "separate" else np.moveaxis(pixels, 0, -1),
        photometric=colour, planarconfig=planar, extrasamples=[kind], **how,
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    wanted = pixels[:count] if planar == "separate" else np.moveaxis(pixels[:count], 0, -1)
    np.testing.assert_array_equal(whole, wanted if count == 3 else pixels[0])
    assert len(image.remarks) == 1
    assert ALPHA[kind] in image.remarks[0]


def test_two_greys_without_alpha_stay_two(tmp_path: Path) -> None:
    pixels = speckles((*SHAPE, 2), "uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig",
        extrasamples=["unspecified"],
    )  # fmt: skip
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pixels)
    assert (image.remarks, image.channel_names) == ((), None)


def test_alpha_goes_wherever_it_stands(tmp_path: Path) -> None:
    pixels = speckles((*SHAPE, 4), "uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig",
        extrasamples=["unspecified", "unassalpha", "unspecified"],
    )  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], pixels[..., [0, 1, 3]])


def test_what_follows_rgb_and_isnt_alpha_stays_and_the_colours_are_named(tmp_path: Path) -> None:
    pixels = speckles((*SHAPE, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, pixels)
    assert image.channel_names == ("red", "green", "blue", "sample 3")


def test_an_ordinary_rgb_says_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", patches(), photometric="rgb")
    whole, image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(whole, patches())
    assert (image.remarks, image.channel_names) == ((), None)


def test_samples_that_a_program_calls_channels_are_samples(tmp_path: Path) -> None:
    inks = patches(4)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", metadata={"axes": "YXC"})
    Pillow.fromarray(inks, "CMYK").save(tmp_path / "b.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], pillows(tmp_path / "b.tif"))


# Pyramids --------------------------------------------------------------------------------------


def _pyramid(path: Path, levels: list[Array], **how: Any) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], subifds=len(levels) - 1, tile=(16, 16), **how)
        for level in levels[1:]:
            file.write(level, subfiletype=1, tile=(16, 16), **how)


PYRAMIDS: dict[str, tuple[int, dict[str, Any]]] = {
    "white": (1, {"photometric": "miniswhite"}),
    "palette": (1, {"photometric": "palette", "colormap": colours(257)}),
    "inks": (4, {"photometric": "separated", "compression": "zlib"}),
    "alpha": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
}


@pytest.mark.parametrize(("samples", "how"), PYRAMIDS.values(), ids=PYRAMIDS)
def test_every_level_is_converted_alike(tmp_path: Path, samples: int, how: dict[str, Any]) -> None:
    pixels = speckles((64, 96, samples), "uint8").squeeze()
    levels = [pixels, pixels[::2, ::2], pixels[::4, ::4]]
    _pyramid(tmp_path / "a.tif", levels, **how)
    with open_image(tmp_path / "a.tif") as image:
        assert [shape[:2] for shape in image.levels] == [(64, 96), (32, 48), (16, 24)]
        whole = image.read(0, {})
        for number in (1, 2):
            got = image.read(number, {"Y": slice(3, 15)})
            np.testing.assert_array_equal(got, whole[:: 2**number, :: 2**number][3:15])
