"""Vendors' slides by OpenSlide, on made ones: pixels, background, places, and what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from vendor_slides import coloured, halves, harmed, write_bif, write_mrxs, write_scn

from tilewright.errors import TilewrightError
from tilewright.images.image import fingerprint, list_scenes, open_image, set_fingerprint
from tilewright.images.slides.openslide import open_slide, over
from tilewright.images.source import Level

FILL = (250, 240, 230)


def whole(level: Level) -> np.ndarray:
    """All of a level."""
    return level.read(tuple(slice(0, n) for n in level.shape))


@pytest.fixture
def mirax(tmp_path: Path) -> Path:
    """A MIRAX slide whose first row of 64 px images, and one more, weren't scanned."""
    path = tmp_path / "a.mrxs"
    missing = [(0, column) for column in range(6)] + [(2, 3)]
    write_mrxs(path, halves(coloured(256, 384), 3), missing=missing, fill=FILL)
    return path


def test_a_mirax_slide_has_its_own_pixels_at_every_level(mirax: Path) -> None:
    with open_image(mirax) as image:
        assert image.levels == [(256, 384, 3), (128, 192, 3), (64, 96, 3)]
        assert image.steps == [(1, 1), (2, 2), (4, 4)]
        for number, level in enumerate(halves(coloured(256, 384), 3)[1:], 1):
            np.testing.assert_array_equal(image.read(number, {}), level)
            window = {"Y": slice(13, 47), "X": slice(5, 70)}
            np.testing.assert_array_equal(image.read(number, window), level[13:47, 5:70])


def test_what_was_not_scanned_has_the_slides_own_background(mirax: Path) -> None:
    expected = coloured(256, 384)
    expected[:64] = expected[128:192, 192:256] = FILL
    with open_image(mirax) as image:
        np.testing.assert_array_equal(image.read(0, {}), expected)


def test_a_mirax_slide_tells_pixel_size_objective_bounds_and_chunks(mirax: Path) -> None:
    with open_image(mirax) as image:
        assert image.mpp == (0.25, 0.25)
        assert image.mpp_from == "MIRAX's MICROMETER_PER_PIXEL"
        assert image.magnification == 40
        assert image.bounds == (64, 0, 192, 384)
        assert image.chunks[0] == (64, 64, 3)
        assert image.is_slide


def test_it_is_said_that_no_real_file_was_tried(mirax: Path) -> None:
    with open_image(mirax) as image:
        assert image.remarks[0].startswith("Reading MIRAX was never tried on a scanner's own file")


def test_a_level_that_says_another_pixel_size_is_told(tmp_path: Path) -> None:
    write_mrxs(tmp_path / "a.mrxs", halves(coloured(128, 128), 2), mpp=(0.25, 0.52))
    with open_image(tmp_path / "a.mrxs") as image:
        assert image.mpp == (0.25, 0.25)
        assert "level 1 would make a pixel 0.26 µm and its level 0 says 0.25" in image.remarks[1]


def test_an_absurd_pixel_size_is_none_and_said(tmp_path: Path) -> None:
    write_mrxs(tmp_path / "a.mrxs", [coloured(64, 64)], mpp=(250.0,))
    with open_image(tmp_path / "a.mrxs") as image:
        assert image.mpp is None
        assert image.mpp_from is None
        assert "250 µm (MIRAX's MICROMETER_PER_PIXEL) can't be a slide's" in image.remarks[1]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (shutil.rmtree, "its folder a isn't beside it"),
        (lambda folder: (folder / "Slidedat.ini").unlink(), r"its folder a has no Slidedat\.ini"),
        (lambda folder: (folder / "Index.dat").unlink(), r"a/Index\.dat of it isn't there"),
        (lambda folder: (folder / "Data0000.dat").unlink(), r"a/Data0000\.dat of it isn't there"),
        (
            lambda folder: (folder / "Index.dat").write_bytes(b"01.02"),
            r"OpenSlide can.t read it \(.*Index",
        ),
    ],
)
def test_a_mirax_slide_without_all_of_its_folder_is_refused_by_name(
    mirax: Path, harm: object, words: str
) -> None:
    harm(mirax.with_suffix(""))  # type: ignore[operator]
    with pytest.raises(TilewrightError, match=words) as error:
        open_image(mirax)
    assert str(mirax) in error.value.what


def test_an_ending_that_openslide_does_not_know_is_told(mirax: Path) -> None:
    loud = mirax.rename(mirax.with_suffix(".MRXS"))
    with pytest.raises(TilewrightError, match=r"ends in \.MRXS") as error:
        open_image(loud)
    assert error.value.fix == "Rename it."


def test_after_a_damaged_place_others_are_still_read(mirax: Path) -> None:
    data = mirax.with_suffix("") / "Data0000.dat"
    bytes_ = bytearray(data.read_bytes())
    bytes_[:40] = bytes(40)  # the first image that was scanned: row 1, column 0
    data.write_bytes(bytes_)
    with open_image(mirax) as image:
        with pytest.raises(TilewrightError, match=r"Y 64 to 128, X 0 to 64, .*OpenSlide says: PNG"):
            image.read(0, {"Y": slice(64, 128), "X": slice(0, 64)})
        there = image.read(0, {"Y": slice(64, 128), "X": slice(64, 128)})
    np.testing.assert_array_equal(there, coloured(256, 384)[64:128, 64:128])


@pytest.mark.parametrize("name", ["Slidedat.ini", "Index.dat", "Data0000.dat"])
def test_whatever_is_changed_in_a_slide_it_is_read_or_refused_in_a_sentence(
    mirax: Path, name: str
) -> None:
    target, told = mirax.with_suffix("") / name, 0
    data = target.read_bytes()
    for seed in range(100):
        target.write_bytes(harmed(data, seed))
        try:
            with open_image(mirax) as image:
                image.read(0, {"Y": slice(0, 256), "X": slice(0, 384)})
        except TilewrightError:
            told += 1
    assert told > 20


def test_a_slide_may_be_closed_twice(mirax: Path) -> None:
    image = open_image(mirax)
    image.close()
    image.close()


def test_a_changed_file_in_a_slides_folder_changes_its_fingerprint(mirax: Path) -> None:
    def stamp() -> str:
        with open_image(mirax) as image:
            return set_fingerprint(fingerprint(mirax), mirax, image.files)

    before = stamp()
    data = mirax.with_suffix("") / "Data0000.dat"
    data.write_bytes(data.read_bytes() + b"\0")
    assert stamp() != before


def test_scanned_areas_of_an_scn_lie_where_they_do_on_the_slide(tmp_path: Path) -> None:
    one, other = halves(coloured(256, 320, 1), 2), halves(coloured(128, 192, 2), 2)
    write_scn(tmp_path / "a.scn", [(64, 32, one), (400, 300, other)], (700, 800))
    source = open_slide(tmp_path / "a.scn", 0, 2**24)
    for number, step in enumerate((1, 2)):
        expected = np.full((700 // step, 800 // step, 3), 255, np.uint8)
        expected[64 // step : 320 // step, 32 // step : 352 // step] = one[number]
        expected[400 // step : 528 // step, 300 // step : 492 // step] = other[number]
        np.testing.assert_array_equal(whole(source.levels[number]), expected)
    assert source.bounds == (64, 32, 464, 460)
    assert source.mpp == pytest.approx((0.25, 0.25))
    assert source.mpp_from == "Leica's resolution tags"
    assert source.remarks[1].startswith("Its 2 scanned areas are one image")
    source.close()


def test_tiles_of_a_bif_that_overlap_are_laid_over_each_other(tmp_path: Path) -> None:
    meant = write_bif(tmp_path / "a.bif", [coloured(256, 320)], 64, 8)
    source = open_slide(tmp_path / "a.bif", 0, 2**24)
    np.testing.assert_array_equal(whole(source.levels[0]), meant)
    assert source.mpp == (0.25, 0.25)
    assert source.mpp_from == "Ventana's ScanRes"
    assert source.magnification == 40
    source.close()


def write_trestle(path: Path, levels: Sequence[np.ndarray], overlap: int = 0) -> None:
    """A Trestle slide, whose level-0 tiles have so many pixels in common with the next."""
    said = f"Objective Power=20;OverlapsXY={overlap} {overlap};Background Color=F0E0D0"
    with tifffile.TiffWriter(path) as tiff:
        for level in levels:
            tiff.write(level, tile=(64, 64), photometric="rgb", metadata=None, description=said,
                       software="MedScan 1.0", resolution=(0.5, 0.5), resolutionunit=1)  # fmt: skip


def test_levels_that_do_not_fit_level_0s_grid_are_read_pixel_by_pixel(tmp_path: Path) -> None:
    fine, coarse = coloured(503, 717, 1), coloured(125, 179, 2)
    write_trestle(tmp_path / "a.tif", [fine, coarse])
    with open_image(tmp_path / "a.tif") as image:
        assert (image.mpp, image.mpp_from) == ((0.5, 0.5), "Trestle's resolution tags")
        assert image.steps[1] == (4, 4), "by what it shows: 503 / 125 is 4.02"
        found = image.read(1, {"Y": slice(30, 90), "X": slice(41, 100)})
    np.testing.assert_array_equal(found, coarse[30:90, 41:100])
    slide = openslide.OpenSlide(tmp_path / "a.tif")
    factor = slide.level_downsamples[1]
    theirs = slide.read_region((round(41 * factor), round(30 * factor)), 1, (59, 60))
    assert (np.asarray(theirs)[..., :3] != found).any(), "what ours isn't"


def test_trestles_tiles_that_overlap_are_laid_over_each_other(tmp_path: Path) -> None:
    stored = coloured(128, 192)
    write_trestle(tmp_path / "a.tif", [stored], overlap=4)
    expected = np.zeros((124, 184, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            tile = stored[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
            expected[row * 60 : row * 60 + 64, column * 60 : column * 60 + 64] = tile
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read(0, {}), expected)


def test_colours_that_are_half_there_lie_over_the_background() -> None:
    rgba = np.array([[[100, 0, 200, 128], [9, 9, 9, 0], [7, 8, 9, 255]]], np.uint8)
    background = np.array([200, 100, 0], np.uint8)
    mixed = [round((c * 128 + b * 127) / 255) for c, b in ((100, 200), (0, 100), (200, 0))]
    assert over(rgba, background).tolist() == [[mixed, [200, 100, 0], [7, 8, 9]]]


def test_a_vms_slide_without_its_images_names_them(tmp_path: Path) -> None:
    text = "[Virtual Microscope Specimen]\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=a.jpg\n"
    (tmp_path / "a.vms").write_text(text)
    with pytest.raises(TilewrightError, match=r"a\.jpg of it isn't there"):
        open_image(tmp_path / "a.vms")


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.czi", b"ZISRAWFILE" + bytes(200)), ("a.svslide", b"SQLite format 3\0" + bytes(200))],
)
def test_what_openslide_can_not_read_is_refused_in_its_words(
    tmp_path: Path, name: str, start: bytes
) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(TilewrightError, match=r"OpenSlide can.t read it"):
        open_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.scn", "a.bif"])
def test_a_slide_inside_a_tiff_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for write in (
        lambda: write_scn(path, [(64, 64, [coloured(128, 64)])], (256, 192)),
        lambda: write_bif(path, [coloured(128, 192)], 64, 8),
    ):
        write()
        with open_image(path) as image:
            assert image.is_slide
            assert len(image.scenes) == len(list_scenes(path)) == 1
            assert image.shape[0] > 64, "no label or macro picture"
            with pytest.raises(TilewrightError, match="label"):
                open_image(path, scene=1)


def test_a_plain_tiff_called_as_a_slide_is_a_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), 7, np.uint8))
    (tmp_path / "a.tif").rename(tmp_path / "a.scn")
    with open_image(tmp_path / "a.scn") as image:
        assert not image.is_slide
        assert image.read(0, {}).max() == 7


def test_openslide_and_pydicom_are_only_imported_for_slides_that_need_them() -> None:
    script = "import sys, tilewright.images.find; print({'openslide', 'pydicom'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
