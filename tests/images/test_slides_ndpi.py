"""Hamamatsu NDPI: one JPEG a page, of which what a window meets is decoded; focal planes are Z."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from slides import ndpi_page, picture, reduced, tissue, write_ndpi

from tilewright.errors import TilewrightError
from tilewright.images.image import list_scenes, open_image

Array = np.ndarray[Any, Any]
WHOLE = tissue(264, 256)
EXTRAS = [ndpi_page(picture(40, 96), lens=lens, blocks=None) for lens in (-1, -2)]


def decoded(page: dict[str, Any]) -> Array:
    """A page's pixels, its JPEG decoded whole by Pillow."""
    return np.asarray(Pillow.open(io.BytesIO(page["data"])))


def pyramid(**options: Any) -> list[dict[str, Any]]:
    """Three levels by 4: the lowest has no restart markers."""
    coarse = [ndpi_page(reduced(WHOLE, by), mpp=0.5 * by, **options) for by in (4,)]
    last = ndpi_page(reduced(WHOLE, 16), mpp=8.0, **{**options, "blocks": None})
    return [ndpi_page(WHOLE, **options), *coarse, last]


def test_an_ndpi_is_read_as_its_jpegs_decode_with_its_own_fields(tmp_path: Path) -> None:
    pages = pyramid()
    write_ndpi(tmp_path / "a.ndpi", [*pages, *EXTRAS])
    with open_image(tmp_path / "a.ndpi") as image:
        assert (image.axes, image.is_slide, image.magnification) == ("YXC", True, 20)
        assert image.levels == [(264, 256, 3), (66, 64, 3), (16, 16, 3)]
        assert image.steps == [(1, 1), (4, 4), (16, 16)]
        assert image.mpp == pytest.approx((0.5, 0.5))
        assert (image.mpp_from, image.remarks) == ("NDPI's resolution tags", ())
        for level, page in enumerate(pages):
            np.testing.assert_array_equal(image.read(level, {}), decoded(page))
        corner = image.read(0, {"Y": slice(101, 133), "X": slice(61, 129)})
    np.testing.assert_array_equal(corner, decoded(pages[0])[101:133, 61:129])


@pytest.mark.parametrize("blocks", [1, 2, 16])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
def test_whatever_the_width_of_its_intervals_pixels_are_the_same(
    tmp_path: Path, blocks: int, subsampling: str
) -> None:
    width = 8 * blocks * (2 if subsampling == "4:2:2" else 1)
    page = ndpi_page(WHOLE, blocks=blocks, subsampling=subsampling)
    write_ndpi(tmp_path / "a.ndpi", [page])
    parts = [
        decoded(ndpi_page(WHOLE[:, x : x + width], blocks=None, subsampling=subsampling))
        for x in range(0, 256, width)
    ]
    with open_image(tmp_path / "a.ndpi") as image:
        chunk = image.chunks[0]
        assert chunk is not None
        assert chunk[1] == width
        found = image.read(0, {})
    # Colours at the sides of an interval don't come from its neighbours, as in OpenSlide.
    difference = np.abs(found.astype(int) - np.concatenate(parts, 1))
    assert difference.max() <= 2


def test_intervals_of_half_the_rows_of_colour_are_decoded_each_alone(tmp_path: Path) -> None:
    write_ndpi(tmp_path / "a.ndpi", [ndpi_page(WHOLE, blocks=2, subsampling="4:2:0")])
    with open_image(tmp_path / "a.ndpi") as image:
        assert image.chunks[0] == (16, 32, 3)
        found = image.read(0, {})
    assert np.abs(found.astype(int) - WHOLE).mean() < 5


@pytest.mark.parametrize("blocks", [3, 40])
def test_a_jpeg_whose_intervals_are_no_tiles_is_read_as_one(tmp_path: Path, blocks: int) -> None:
    page = ndpi_page(WHOLE, blocks=blocks)
    write_ndpi(tmp_path / "a.ndpi", [page, *EXTRAS])
    with open_image(tmp_path / "a.ndpi") as image:
        np.testing.assert_array_equal(image.read(0, {}), decoded(page))


def test_a_damaged_interval_is_said_with_its_place_and_others_are_read(tmp_path: Path) -> None:
    path, page = tmp_path / "a.ndpi", ndpi_page(WHOLE)
    write_ndpi(path, [page])
    begin, end = page["at"] + page["starts"][9], page["at"] + page["starts"][10] - 2
    with path.open("r+b") as file:
        file.seek(begin)
        file.write((b"\x00\xff\x01\xfe" * (end - begin))[: end - begin])
    with open_image(path) as image:
        fine = image.read(0, {"X": slice(0, 64)})
        np.testing.assert_array_equal(fine, decoded(page)[:, :64])
        with pytest.raises(TilewrightError, match=r"X 64 to 128.*damaged between two restart"):
            image.read(0, {"X": slice(64, 128)})


def test_an_interval_of_zeros_is_damage_though_its_markers_are_there(tmp_path: Path) -> None:
    path, page = tmp_path / "a.ndpi", ndpi_page(WHOLE)
    write_ndpi(path, [page])
    with path.open("r+b") as file:
        file.seek(page["at"] + page["starts"][9])
        file.write(bytes(page["starts"][10] - 2 - page["starts"][9]))
    with (
        open_image(path) as image,
        pytest.raises(TilewrightError, match=r"X 64 to 128.*only zeros in a part of it"),
    ):
        image.read(0, {"X": slice(64, 128)})


def test_intervals_that_dont_begin_behind_a_marker_are_damage(tmp_path: Path) -> None:
    page = ndpi_page(WHOLE)
    page["starts"] = [page["starts"][0], *(at + 3 for at in page["starts"][1:])]
    write_ndpi(tmp_path / "a.ndpi", [page])
    with (
        open_image(tmp_path / "a.ndpi") as image,
        pytest.raises(TilewrightError, match="damaged between two restart markers"),
    ):
        image.read(0, {})


def test_focal_planes_are_z_by_their_height(tmp_path: Path) -> None:
    planes = {z: tissue(64, 128, seed) for seed, z in enumerate((1500, -1500, 0))}
    pages = [ndpi_page(pixels, z=z) for z, pixels in planes.items()]
    pages += [ndpi_page(reduced(pixels, 4), z=z, mpp=2.0) for z, pixels in planes.items()]
    write_ndpi(tmp_path / "a.ndpi", [*pages, *EXTRAS])
    with open_image(tmp_path / "a.ndpi") as image:
        assert (image.axes, image.z_um) == ("ZYXC", 1.5)
        assert image.levels == [(3, 64, 128, 3), (3, 16, 32, 3)]
        for number, page in enumerate((pages[1], pages[2], pages[0])):
            np.testing.assert_array_equal(image.read(0, {"Z": number}), decoded(page))


def test_focal_planes_at_uneven_heights_have_no_distance(tmp_path: Path) -> None:
    write_ndpi(tmp_path / "a.ndpi", [ndpi_page(WHOLE, z=z) for z in (0, 1000, 5000)])
    with open_image(tmp_path / "a.ndpi") as image:
        assert image.z_um is None
        assert "aren't evenly apart" in image.remarks[0]


def test_pages_of_one_size_at_one_height_are_no_stack(tmp_path: Path) -> None:
    write_ndpi(tmp_path / "a.ndpi", [ndpi_page(WHOLE), ndpi_page(WHOLE)])
    with pytest.raises(TilewrightError, match="2 of its pages are the same focal plane"):
        open_image(tmp_path / "a.ndpi")


@pytest.mark.parametrize("asked", [1, 2, "Macro", "map", "label"])
def test_its_macro_picture_and_map_are_no_scenes(tmp_path: Path, asked: int | str) -> None:
    write_ndpi(tmp_path / "a.ndpi", [ndpi_page(WHOLE), *EXTRAS])
    assert len(list_scenes(tmp_path / "a.ndpi")) == 1
    with pytest.raises(TilewrightError, match=r"asked for and it has 1.*never read.*a patient"):
        open_image(tmp_path / "a.ndpi", scene=asked)


def test_an_ndpi_is_told_by_its_content(tmp_path: Path) -> None:
    page = ndpi_page(WHOLE)
    write_ndpi(tmp_path / "a.tif", [page, *EXTRAS])
    with open_image(tmp_path / "a.tif") as image:
        assert image.mpp_from == "NDPI's resolution tags"
        np.testing.assert_array_equal(image.read(0, {}), decoded(page))


def test_pixels_beyond_4_gib_are_found(tmp_path: Path) -> None:
    page = ndpi_page(WHOLE)
    write_ndpi(tmp_path / "a.ndpi", [page, *EXTRAS], beyond=2**32 + 12345)
    with open_image(tmp_path / "a.ndpi") as image:
        np.testing.assert_array_equal(image.read(0, {}), decoded(page))


def test_a_level_whose_resolution_is_another_is_said(tmp_path: Path) -> None:
    pages = [ndpi_page(WHOLE), ndpi_page(reduced(WHOLE, 4), mpp=1.0)]
    write_ndpi(tmp_path / "a.ndpi", pages)
    with open_image(tmp_path / "a.ndpi") as image:
        assert image.mpp == pytest.approx((0.5, 0.5))
        assert image.remarks == (
            "Its pixel size is 0.5 µm by NDPI's resolution tags, which is taken, and 0.25 by those "
            "of level 1.",
        )


def test_a_truncated_ndpi_is_refused_with_both_lengths(tmp_path: Path) -> None:
    page = ndpi_page(WHOLE)
    write_ndpi(tmp_path / "a.ndpi", [page])
    data = bytearray((tmp_path / "a.ndpi").read_bytes())
    (tmp_path / "b.ndpi").write_bytes(data[: len(data) // 2])
    with pytest.raises(TilewrightError, match=r"b\.ndpi: .*(cut off|can't be read)"):
        open_image(tmp_path / "b.ndpi")
