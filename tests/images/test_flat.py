"""PNG and JPEG have the colours that Pillow gives them, less alpha; turned ones say so."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import Array, speckles
from PIL import Image as Pillow
from PIL import ImageOps

from tilewright.errors import TilewrightError
from tilewright.images.image import Image, open_image

SHAPE = (37, 53)
NO_ALPHA = "Its alpha (transparency) isn't read."
INKS = "Its inks (CMYK) are read as RGB, without a colour profile."


def patches(samples: int = 3) -> Array:
    """Squares of colours, uint8 (y, x, sample)."""
    squares = speckles((5, 7, samples), "uint8").repeat(8, 0).repeat(8, 1)
    return np.asarray(squares[: SHAPE[0], : SHAPE[1]])


def read(path: Path) -> tuple[Array, Image]:
    """All of an image, and what it says of itself."""
    with open_image(path) as image:
        whole = image.read(0, {})
        part = image.read(0, {"Y": slice(9, 30), "X": slice(13, 41)})
        np.testing.assert_array_equal(part, whole[9:30, 13:41])
        assert (whole.shape, whole.dtype) == (image.shape, image.dtype)
        return whole, image


# PNG -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [2, 4])
def test_a_pngs_alpha_is_no_channel(tmp_path: Path, samples: int, dtype: str) -> None:
    pixels = speckles((*SHAPE, samples), dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    whole, image = read(tmp_path / "a.png")
    np.testing.assert_array_equal(whole, pixels[..., 0] if samples == 2 else pixels[..., :3])
    assert image.remarks == (NO_ALPHA,)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_what_a_png_calls_transparent_keeps_its_colour(tmp_path: Path, mode: str) -> None:
    picture = Pillow.fromarray(patches()).convert(mode)
    first = picture.getpixel((0, 0))
    picture.save(tmp_path / "a.png", transparency=first)
    whole, image = read(tmp_path / "a.png")
    wanted = picture if mode == "L" else picture.convert("RGB")
    np.testing.assert_array_equal(whole, np.asarray(wanted))
    assert image.remarks == (NO_ALPHA,)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_greys_fills_eight_bits(tmp_path: Path, bits: int) -> None:
    greys = speckles(SHAPE, "uint8") >> 8 - bits
    rows = [b"\0" + np.packbits(_bits(row, bits)).tobytes() for row in greys]
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], bits, 0, 0, 0, 0)
    _png(tmp_path / "a.png", [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows)))])
    whole, image = read(tmp_path / "a.png")
    np.testing.assert_array_equal(whole, greys * (255 // (2**bits - 1)))
    assert image.remarks == ()


def _bits(row: Array, bits: int) -> Array:
    return (row[:, None] >> np.arange(bits - 1, -1, -1) & 1).ravel()


def _png(path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*chunks, (b"IEND", b"")]
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_gamma_and_significant_bits_of_a_png_are_not_applied(tmp_path: Path) -> None:
    greys = speckles(SHAPE, "uint8")
    rows = b"".join(b"\0" + row.tobytes() for row in greys)
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 8, 0, 0, 0, 0)
    gamma, bits = (b"gAMA", struct.pack(">I", 100000)), (b"sBIT", b"\x04")
    chunks = [(b"IHDR", head), gamma, bits, (b"IDAT", zlib.compress(rows))]
    _png(tmp_path / "a.png", chunks)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], greys)


# JPEG ------------------------------------------------------------------------------------------

CODED: dict[str, tuple[int, dict[str, Any]]] = {
    "RGB, Adobe's transform 0": (3, {"colorspace": "RGB", "outcolorspace": "RGB"}),
    "YCbCr": (3, {"colorspace": "RGB", "outcolorspace": "YCBCR"}),
    "grey": (1, {}),
}


@pytest.mark.parametrize(("samples", "how"), CODED.values(), ids=CODED)
def test_a_jpeg_of_any_colours_is_what_pillow_makes_of_it(
    tmp_path: Path, samples: int, how: dict[str, Any]
) -> None:
    pixels = patches(samples).squeeze()
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(pixels, level=95, **how))
    whole, image = read(tmp_path / "a.jpg")
    np.testing.assert_array_equal(whole, np.asarray(Pillow.open(tmp_path / "a.jpg")))
    assert image.remarks == ()


@pytest.mark.parametrize("inks", ["CMYK", "YCCK"])
def test_inks_of_a_jpeg_become_rgb(tmp_path: Path, inks: str) -> None:
    data = imagecodecs.jpeg8_encode(
        patches(4), level=95, colorspace="CMYK", outcolorspace=inks
    )  # fmt: skip
    (tmp_path / "a.jpg").write_bytes(data)
    whole, image = read(tmp_path / "a.jpg")
    wanted = Pillow.open(tmp_path / "a.jpg").convert("RGB")
    np.testing.assert_array_equal(whole, np.asarray(wanted))
    assert (image.axes, image.remarks) == ("YXC", (INKS,))


def test_a_cmyk_jpeg_of_a_picture_is_that_picture(tmp_path: Path) -> None:
    Pillow.fromarray(patches()).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    whole, _ = read(tmp_path / "a.jpg")
    assert np.abs(whole.astype(int) - patches()).mean() < 4


# Orientation -----------------------------------------------------------------------------------

TURNED = {3: "turned by 180°", 6: "turned by 90° to the right", 8: "turned by 90° to the left"}


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png"])
def test_a_turned_picture_is_read_as_stored_and_says_so(
    tmp_path: Path, name: str, number: int
) -> None:
    path, pixels = tmp_path / name, np.full((*SHAPE, 3), 9, np.uint8)
    pixels[:8, :16] = 200
    if name == "a.tif":
        tags = [(274, 3, 1, number, True)]
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=tags)
    else:
        exif = Pillow.Exif()
        exif[274] = number
        Pillow.fromarray(pixels).save(path, exif=exif, quality=98)
    whole, image = read(path)
    assert np.abs(whole.astype(int) - pixels).max() < 12
    assert len(image.remarks) == (2 <= number <= 8)
    if number in TURNED:
        assert f"orientation is {number}, so viewers show it {TURNED[number]}" in image.remarks[0]


@pytest.mark.parametrize("number", [3, 6, 8])
def test_viewers_show_a_turned_picture_as_is_said(number: int) -> None:
    exif = Pillow.Exif()
    exif[274] = number
    data = io.BytesIO()
    Pillow.fromarray(patches()).save(data, "PNG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Pillow.open(data)))
    quarters = {3: 2, 6: -1, 8: 1}[number]
    np.testing.assert_array_equal(shown, np.rot90(patches(), quarters))


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09", b"nonsense"]
)
def test_a_damaged_exif_block_says_nothing_of_sound_pixels(tmp_path: Path, exif: bytes) -> None:
    greys = speckles(SHAPE, "uint8")
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in greys))
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 8, 0, 0, 0, 0)
    _png(tmp_path / "a.png", [(b"IHDR", head), (b"eXIf", exif), (b"IDAT", rows)])
    whole, image = read(tmp_path / "a.png")
    np.testing.assert_array_equal(whole, greys)
    assert image.remarks == ()


def test_more_pictures_than_the_first_are_spoken_of(tmp_path: Path) -> None:
    first, *more = [Pillow.fromarray(patches()).rotate(90 * n) for n in range(3)]
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=more)
    first.save(tmp_path / "a.png", save_all=True, append_images=more)
    for name, said in (("a.jpg", "3 pictures (MPO)"), ("a.png", "3 frames (animated PNG)")):
        whole, image = read(tmp_path / name)
        assert image.remarks == (f"It holds {said}, and only the first is read.",)
        with Pillow.open(tmp_path / name) as opened:
            np.testing.assert_array_equal(whole, np.asarray(opened))


def test_any_number_of_fill_bytes_may_stand_before_a_jpegs_markers(tmp_path: Path) -> None:
    """T.81, B.1.1.2: any marker may be preceded by any number of fill bytes, FF."""
    exif = Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(patches()).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data.replace(b"\xff\xe1", b"\xff\xff\xff\xe1", 1))
    whole, image = read(tmp_path / "b.jpg")
    np.testing.assert_array_equal(whole, read(tmp_path / "a.jpg")[0])
    assert "orientation is 6" in image.remarks[0]


def test_exif_after_a_pngs_pixels_counts(tmp_path: Path) -> None:
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in speckles(SHAPE, "uint8")))
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 8, 0, 0, 0, 0)
    exif = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, 6, 0) + bytes(4)
    _png(tmp_path / "a.png", [(b"IHDR", head), (b"IDAT", rows), (b"eXIf", exif)])
    assert "orientation is 6" in read(tmp_path / "a.png")[1].remarks[0]


def test_inks_of_twelve_bits_are_refused(tmp_path: Path) -> None:
    frame = struct.pack(">HHBHHB", 0xFFC1, 20, 12, 37, 53, 4) + bytes(12)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + frame)
    with pytest.raises(TilewrightError, match="it is CMYK of 12 bits"):
        open_image(tmp_path / "a.jpg")
