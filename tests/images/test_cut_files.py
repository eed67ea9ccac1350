"""A file that is cut off, wherever, gives the right pixels or one sentence, never others."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import numbered, speckles
from PIL import Image as Pillow

from tilewright.errors import TilewrightError
from tilewright.images.endings import check_jpeg, check_jxr, whole_lzw
from tilewright.images.image import open_image
from tilewright.images.jpeg2000 import check_j2k

STACK = speckles((6, 37, 53))
COLOUR = speckles((48, 64, 3), "uint8")


def stack(**how: Any) -> Callable[[Path], Any]:
    """Writes a stack; its pages one by one where they aren't contiguous."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, STACK, photometric="minisblack", **how)

    return write


def pages(contiguous: bool, **how: Any) -> Callable[[Path], Any]:
    """Writes a stack as pages that nothing but their order tells of."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for plane in STACK:
                file.write(
                    plane, photometric="minisblack", metadata=None, contiguous=contiguous, **how
                )

    return write


def libtiff(path: Path) -> None:
    """A stack by libtiff: a directory after each plane."""
    first, *rest = [Pillow.fromarray(plane) for plane in STACK]
    first.save(path, format="TIFF", save_all=True, append_images=rest)


def colour(**how: Any) -> Callable[[Path], Any]:
    """Writes a coloured TIFF."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, COLOUR, photometric="rgb", **how)

    return write


def flat(encode: Callable[[Any], bytes]) -> Callable[[Path], Any]:
    """Writes a PNG or JPEG."""

    def write(path: Path) -> None:
        path.write_bytes(encode(COLOUR))

    return write


def with_preview(pixels: Any) -> bytes:
    """A JPEG that holds a small JPEG, with an end of its own, in its header."""
    small, whole = io.BytesIO(), io.BytesIO()
    Pillow.fromarray(pixels[::4, ::4]).save(small, "JPEG")
    Pillow.fromarray(pixels).save(whole, "JPEG", quality=95)
    data, inner = whole.getvalue(), small.getvalue()
    return data[:2] + b"\xff\xe5" + struct.pack(">H", len(inner) + 2) + inner + data[2:]


KINDS: dict[str, tuple[Callable[[Path], Any], str | None]] = {
    "imagej": (stack(imagej=True, metadata={"axes": "ZYX"}), None),
    "shaped": (stack(metadata={"axes": "ZYX"}), None),
    "shaped-zlib": (stack(metadata={"axes": "ZYX"}, compression="zlib", rowsperstrip=9), None),
    "shaped-one-directory": (stack(metadata={"axes": "ZYX"}, truncate=True), None),
    "ome": (stack(ome=True, metadata={"axes": "ZYX"}), None),
    "tiles": (stack(metadata={"axes": "ZYX"}, tile=(16, 16), compression="lzw"), None),
    "bigtiff": (stack(metadata={"axes": "ZYX"}, bigtiff=True, byteorder=">"), None),
    "pages": (pages(contiguous=True), "ZYX"),
    "pages-apart": (pages(contiguous=False), "ZYX"),
    "pages-strips": (pages(contiguous=False, rowsperstrip=9), "ZYX"),
    "pages-zstd": (pages(contiguous=False, compression="zstd"), "ZYX"),
    "libtiff": (libtiff, "ZYX"),
    "jpeg-tiles": (colour(tile=(16, 32), compression="jpeg"), None),
    "jpeg-strips": (colour(rowsperstrip=16, compression="jpeg"), None),
    "packbits": (colour(rowsperstrip=5, compression="packbits"), None),
    "png": (flat(imagecodecs.png_encode), None),
    "jpeg": (flat(lambda pixels: imagecodecs.jpeg8_encode(pixels, level=95)), None),
    "jpeg-with-preview": (flat(with_preview), None),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_gives_the_right_pixels_or_one_sentence(tmp_path: Path, kind: str) -> None:
    write, axes = KINDS[kind]
    path = tmp_path / "a"
    write(path)
    data = path.read_bytes()
    with open_image(path, axes=axes) as image:
        right = image.read(0, {})
        assert right.shape == image.shape
        assert image.size("Z") in {1, 6}
    ends = range(1, 40)
    spread = [len(data) * i // 53 for i in range(53)]
    refused = 0
    for keep in sorted({*spread, *ends, *(len(data) - n for n in ends if n < len(data))}):
        path.write_bytes(data[:keep])
        try:
            with open_image(path, axes=axes) as image:
                found = image.read(0, {})
        except TilewrightError:
            refused += 1
            continue
        np.testing.assert_array_equal(found, right, err_msg=f"{keep} of {len(data)} bytes")
    assert refused > 39


@pytest.mark.parametrize("kind", ["imagej", "shaped", "shaped-one-directory", "bigtiff"])
def test_a_stack_cut_at_a_third_is_refused_with_both_lengths(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    KINDS[kind][0](path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    said = rf"cut off: {len(data) // 3} bytes where its header says at least \d+"
    with pytest.raises(TilewrightError, match=said):
        open_image(path)


def test_planes_that_one_directory_tells_of_are_all_read(tmp_path: Path) -> None:
    """As ImageJ writes stacks over 4 GB: one directory, and all planes after it."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].offset
    data = bytearray(path.read_bytes())
    count = int.from_bytes(data[place : place + 2], "big" if data[:2] == b"MM" else "little")
    data[place + 2 + 12 * count : place + 6 + 12 * count] = bytes(4)
    path.write_bytes(data)
    with open_image(path) as image:
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.read(0, {}), STACK)


@pytest.mark.parametrize("share", [1, 3])
def test_a_stack_of_imagej_that_gives_only_a_number_of_images_is_slices(
    tmp_path: Path, share: int
) -> None:
    """As ImageJ's TiffDecoder reads it: so many planes follow each other."""
    path = tmp_path / "a.tif"
    said = f"ImageJ=1.54f\nimages={len(STACK)}\n"
    tifffile.imwrite(path, STACK[0], description=said, metadata=None, photometric="minisblack")
    data = path.read_bytes() + STACK[1:].tobytes()
    path.write_bytes(data[: len(data) // share])
    if share > 1:
        with pytest.raises(TilewrightError, match=f"says at least {len(data)}"):
            open_image(path)
        return
    with open_image(path) as image:
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.read(0, {}), STACK)


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        pytest.param(259, 99, r"JPEG_99 \(99\)", id="compression"),
        pytest.param(317, 7, "7", id="predictor"),
        pytest.param(258, 0, "0-bit", id="bits"),
    ],
)
def test_pixels_that_nobody_decodes_are_refused_before_any_is_read(
    tmp_path: Path, tag: int, value: int, says: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbered("YX"), metadata=None, compression="zlib", predictor=True)
    patched(path, tag, [value])
    with pytest.raises(TilewrightError, match=f"can't be decoded here: .*{says}"):
        open_image(path)


def patched(path: Path, tag: int, values: list[int]) -> None:
    """Other numbers in a tag of the first page."""
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(values)


def test_a_strip_that_was_never_written_is_background_and_never_the_files_header(
    tmp_path: Path,
) -> None:
    for rows in (37, 10):
        path = tmp_path / f"{rows}.tif"
        tifffile.imwrite(path, numbered("YX"), rowsperstrip=rows, metadata=None)
        with tifffile.TiffFile(path) as file:
            places = [0, *file.pages.first.dataoffsets[1:]]
            counts = [0, *file.pages.first.databytecounts[1:]]
        patched(path, 273, places)
        patched(path, 279, counts)
        if rows == 37:
            with pytest.raises(TilewrightError, match="none of its strips or tiles was ever"):
                open_image(path)
        else:
            with open_image(path) as image:
                found = image.read(0, {})
                assert image.remarks == (
                    "1 of its 4 strips or tiles was never written: it is read as 0.",
                )
            assert not found[:10].any()
            np.testing.assert_array_equal(found[10:], numbered("YX")[10:])


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        pytest.param(273, 0, "lies in the file's header", id="no-place"),
        pytest.param(279, 0, "strip of plane 0 has no bytes", id="no-bytes"),
        pytest.param(279, 50, "fewer bytes than pixels|can't be read", id="few-bytes"),
        pytest.param(279, 60_000, r"cut off: \d+ bytes", id="more-bytes-than-the-file"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"rowsperstrip": 10}, {"compression": "lzw"}])
def test_strips_that_are_nowhere_or_short_are_refused(
    tmp_path: Path, how: dict[str, Any], tag: int, value: int, says: str
) -> None:
    path = tmp_path / "a.tif"
    layout = {"rowsperstrip": 37, "bigtiff": True, **how}  # whose counts may be large
    tifffile.imwrite(path, numbered("YX"), metadata=None, **layout)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        values = list(page.dataoffsets if tag == 273 else page.databytecounts)
    values[0] = value
    patched(path, tag, values)
    with pytest.raises(TilewrightError, match=says), open_image(path) as image:
        image.read(0, {})


def test_strips_of_a_later_page_that_lie_apart_are_found(tmp_path: Path) -> None:
    """tifffile takes a page's strips to follow each other where the first page's do."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for plane in STACK[:2]:
            file.write(plane, rowsperstrip=20, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[1].tags[273]
        first, second = tag.value
        size = file.pages[1].databytecounts[1]
        at, form = tag.valueoffset, file.byteorder + "II"
        short = tag.dtype == 3
    data = path.read_bytes()
    moved = len(data) + len(data) % 2
    data = data.ljust(moved, b"\0") + data[second : second + size]
    blank = bytearray(data)
    blank[second : second + size] = b"\xaa" * size
    struct.pack_into(form.replace("I", "H") if short else form, blank, at, first, moved)
    path.write_bytes(blank)
    with open_image(path, axes="ZYX") as image:
        np.testing.assert_array_equal(image.read(0, {}), STACK[:2])


def test_a_jpegs_end_is_found_behind_what_looks_like_one() -> None:
    whole = with_preview(COLOUR)
    check_jpeg(whole)
    check_jpeg(whole + b"what a camera adds")
    for keep in (len(whole) - 1, len(whole) - 2, len(whole) // 2):
        with pytest.raises(ValueError, match="it has no end"):
            check_jpeg(whole[:keep])


def test_a_jpeg_xr_that_is_cut_is_told() -> None:
    whole = imagecodecs.jpegxr_encode(COLOUR)
    check_jxr(whole)
    for keep in (len(whole) - 1, len(whole) // 2):
        with pytest.raises(ValueError, match="JPEG XR data is cut off"):
            check_jxr(whole[:keep])


@pytest.mark.parametrize("seed", range(40))
def test_lzw_data_that_is_cut_gives_its_bytes_or_is_told(seed: int) -> None:
    noise = np.random.default_rng(seed)
    right = noise.integers(0, noise.integers(2, 256), 40 * seed + 50).astype("uint8").tobytes()
    coded = imagecodecs.lzw_encode(right)
    assert whole_lzw(coded, len(right)) == coded
    assert whole_lzw(coded + b"\0", len(right)) == coded + b"\0"  # filled up to a word
    for keep in range(len(coded) - 9, len(coded)):
        with contextlib.suppress(ValueError):
            found = imagecodecs.lzw_decode(whole_lzw(coded[:keep], len(right)))
            assert len(found) < len(right) or found[: len(right)] == right


def odd_page(path: Path, **how: Any) -> None:
    """A stack of 20 pages, of which tifffile looks at the first, second, eighth and last alone."""
    with tifffile.TiffWriter(path) as file:
        for number in range(20):
            more = how if number == 5 else {}
            file.write(
                STACK[number % 6], metadata=None, contiguous=False,
                **{"photometric": "minisblack", **more},
            )  # fmt: skip


@pytest.mark.parametrize(
    "how", [{"compression": "lzw"}, {"compression": "zlib", "predictor": True}]
)
def test_a_page_is_read_as_its_own_directory_says(tmp_path: Path, how: dict[str, Any]) -> None:
    odd_page(tmp_path / "a.tif", **how)
    with open_image(tmp_path / "a.tif", axes="ZYX") as image:
        for number in (19, 5, 4):
            np.testing.assert_array_equal(image.read(0, {"Z": number}), STACK[number % 6])
        assert image.read(0, {}).shape == (20, 37, 53)


def test_a_page_of_another_colour_is_refused(tmp_path: Path) -> None:
    odd_page(tmp_path / "a.tif", photometric="miniswhite")
    with (
        open_image(tmp_path / "a.tif", axes="ZYX") as image,
        pytest.raises(TilewrightError, match="plane 5 has another size, colour or type"),
    ):
        image.read(0, {"Z": 5})


def test_a_jpeg_of_which_a_part_was_written_over_is_refused_as_libjpeg_does_not() -> None:
    """By zeros, as a copy that failed leaves them, or by noise, anywhere in its pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    pixels[128:] = 240
    rng = np.random.default_rng(1)
    for more in ({}, {"optimize": True}, {"subsampling": "444"}):
        whole = imagecodecs.jpeg8_encode(pixels, level=85, **more)
        check_jpeg(whole)
        first = whole.index(b"\xff\xda") + 14
        for start in range(first, len(whole) - 3000, 5000):
            for fill in (bytes(2000), rng.integers(0, 256, 2000).astype(np.uint8).tobytes()):
                with pytest.raises(ValueError, match="its JPEG data is"):
                    check_jpeg(whole[:start] + fill + whole[start + 2000 :])


def test_a_jpeg_of_one_colour_is_no_damaged_one_however_many_zeros_it_has() -> None:
    for value in (0, 127, 128, 255):
        flat = np.full((2048, 2048, 3), value, np.uint8)
        for more in (
            {},
            {"optimize": True},
            {"subsampling": "444"},
            {"optimize": True, "level": 100},
        ):
            check_jpeg(imagecodecs.jpeg8_encode(flat, **more))


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_small_hole_in_a_jpeg_of_stained_tissue_is_told(subsampling: str) -> None:
    """However large the picture is: what zeros can mean in it, its Huffman tables say."""
    rng = np.random.default_rng(0)
    for side in (128, 512, 1024):
        pixels = np.clip(rng.normal(200, 20, (side, side, 3)), 0, 255).astype(np.uint8)
        whole = imagecodecs.jpeg8_encode(pixels, level=75, subsampling=subsampling)
        check_jpeg(whole)
        for size in (24, 512):
            hole = whole[:2000] + bytes(size) + whole[2000 + size :]
            with pytest.raises(ValueError, match="only zeros in a part of it"):
                check_jpeg(hole)


@pytest.mark.parametrize("level", [1, 50, 75, 95, 100])
@pytest.mark.parametrize("more", [{}, {"optimize": True}])
def test_no_jpeg_of_what_is_regular_is_taken_for_a_damaged_one(
    level: int, more: dict[str, Any]
) -> None:
    y, x = np.mgrid[:256, :256]
    noise = np.random.default_rng(0).normal(240, 2, (256, 256))
    for grey in (x, x // 8, (x + y) % 256, 255 * ((x // 16 + y // 16) % 2), x // 8 % 2, noise):
        pixels = np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
        for subsampling in ("444", "422", "420"):
            check_jpeg(
                imagecodecs.jpeg8_encode(pixels, level=level, subsampling=subsampling, **more)
            )
        check_jpeg(imagecodecs.jpeg8_encode(pixels[..., 0].copy(), level=level, **more))


def test_a_jpeg_2000_that_was_cut_off_or_written_over_is_refused_as_openjpeg_does_not() -> None:
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(200, 20, (256, 256, 3)), 0, 255).astype(np.uint8)
    for more in ({"level": 30}, {"reversible": True}):
        whole = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **more)
        check_j2k(whole)
        check_j2k(whole + b"\0")
        middle = len(whole) // 2
        noise = rng.integers(0, 256, 4000).astype(np.uint8).tobytes()
        for harmed, words in (
            (whole[:middle], "cut off"),
            (whole[:middle] + bytes(512) + whole[middle + 512 :], "only zeros in a part of it"),
            (whole[:middle] + noise + whole[middle + 4000 :], "a marker in its pixels"),
            (whole[:middle] + bytes(len(whole) - middle), "only zeros in a part of it"),
            (whole[:-2] + b"ab", "a part of it has another length"),
        ):
            with pytest.raises(ValueError, match=words):
                check_j2k(harmed)


def test_no_jpeg_2000_of_what_is_regular_is_taken_for_a_damaged_one() -> None:
    y, x = np.mgrid[:256, :256]
    for grey in (0 * x, x, x // 8, (x + y) % 256, 255 * ((x // 16 + y // 16) % 2), x // 8 % 2):
        pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
        for resolutions in (1, 6, 9):
            for more in ({"level": 20}, {"reversible": True}):
                for one in (pixels, pixels[..., 0].copy()):
                    check_j2k(
                        imagecodecs.jpeg2k_encode(
                            one, codecformat="j2k", resolutions=resolutions, **more
                        )
                    )
