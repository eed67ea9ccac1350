"""DICOM's whole slides, made ones: pixels as OpenSlide has them, levels, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from vendor_slides import coloured, halves, harmed, write_dicom

from tilewright.errors import TilewrightError
from tilewright.images.find import find_images
from tilewright.images.image import fingerprint, image_id, open_image


def as_openslide(path: Path, level: int = 0) -> np.ndarray:
    """All of a level by OpenSlide, white where nothing is."""
    slide = openslide.OpenSlide(path)
    rgba = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    return np.where(rgba[..., 3:] == 0, 255, rgba[..., :3])


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A folder with a slide's three levels, its label, overview and thumbnail."""
    folder = tmp_path / "case 7"
    folder.mkdir()
    for number, level in enumerate(halves(coloured(200, 333), 3)):
        write_dicom(folder / f"level{number}.dcm", level, mpp=0.25 * 2**number)
    for kind in ("LABEL", "OVERVIEW", "THUMBNAIL"):
        write_dicom(folder / f"{kind.lower()}.dcm", coloured(64, 64, 9), kind=kind)
    return folder


@pytest.mark.parametrize("coded", ["jpeg", "jpeg-rgb", "j2k", "raw"])
def test_pixels_are_those_of_openslide(tmp_path: Path, coded: str) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(150, 200), coded=coded)
    with open_image(tmp_path / "a.dcm") as image:
        found = image.read(0, {})
    np.testing.assert_array_equal(found, held)
    np.testing.assert_array_equal(found, as_openslide(tmp_path / "a.dcm"))


def test_a_window_is_decoded_from_the_tiles_that_it_meets(tmp_path: Path) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(150, 200), coded="raw")
    with open_image(tmp_path / "a.dcm") as image:
        assert image.chunks == [(64, 64, 3)]
        found = image.read(0, {"Y": slice(60, 131), "X": slice(63, 200), "C": 1})
    np.testing.assert_array_equal(found, held[60:131, 63:200, 1])


def test_a_folder_is_one_image_of_all_levels_whatever_file_names_it(slide: Path) -> None:
    for path in (slide, slide / "level0.dcm", slide / "level2.dcm", slide / "label.dcm"):
        with open_image(path) as image:
            assert image.levels == [(200, 333, 3), (100, 167, 3), (50, 84, 3)]
            assert image.steps == [(1, 1), (2, 2), (4, 4)]
            assert image.is_slide
            for number in range(3):
                expected = as_openslide(slide / "level0.dcm", number)
                np.testing.assert_array_equal(image.read(number, {}), expected)
    assert image_id(slide) == "case 7"


def test_label_overview_and_thumbnail_are_no_scenes_and_no_files_of_it(slide: Path) -> None:
    with open_image(slide) as image:
        assert len(image.scenes) == 1
        assert {p.name for p in image.files} == {"level0.dcm", "level1.dcm", "level2.dcm"}


def test_only_a_label_is_no_slide(slide: Path, tmp_path: Path) -> None:
    shutil.copy(slide / "label.dcm", tmp_path / "label.dcm")
    with pytest.raises(TilewrightError, match="DICOM with only its label"):
        open_image(tmp_path / "label.dcm")


def test_tiles_that_are_not_there_are_glass(tmp_path: Path) -> None:
    def place(row: int, column: int) -> Dataset:
        where, frame = Dataset(), Dataset()
        where.RowPositionInTotalImagePixelMatrix = row + 1
        where.ColumnPositionInTotalImagePixelMatrix = column + 1
        frame.PlanePositionSlideSequence = [where]
        return frame

    held = write_dicom(
        tmp_path / "a.dcm", coloured(64, 128), DimensionOrganizationType="TILED_SPARSE",
        TotalPixelMatrixRows=128, TotalPixelMatrixColumns=192,
        PerFrameFunctionalGroupsSequence=[place(64, 64), place(0, 128)],
    )  # fmt: skip
    expected = np.full((128, 192, 3), 255, np.uint8)
    expected[64:, 64:128], expected[:64, 128:] = held[:, :64], held[:, 64:]
    with open_image(tmp_path / "a.dcm") as image:
        np.testing.assert_array_equal(image.read(0, {}), expected)
    np.testing.assert_array_equal(expected, as_openslide(tmp_path / "a.dcm"))


def test_a_level_of_one_tile_needs_no_place(tmp_path: Path) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(40, 50), DimensionOrganizationType=None)
    with open_image(tmp_path / "a.dcm") as image:
        np.testing.assert_array_equal(image.read(0, {}), held)


def parts_of(folder: Path, count: int) -> np.ndarray:
    """A level of 3 tiles in as many files (a concatenation) as there are to be; all its pixels."""
    pixels = coloured(64, 192)
    held = [
        write_dicom(
            folder / f"part{n}.dcm", pixels[:, n * 64 : n * 64 + 64], TotalPixelMatrixColumns=192,
            ConcatenationUID="1.2.9", InConcatenationNumber=n + 1, InConcatenationTotalNumber=3,
            ConcatenationFrameOffsetNumber=n,
        )
        for n in range(count)
    ]  # fmt: skip
    return np.concatenate(held, axis=1)


def test_a_level_in_several_files_is_one(tmp_path: Path) -> None:
    expected = parts_of(tmp_path, 3)
    with open_image(tmp_path) as image:
        np.testing.assert_array_equal(image.read(0, {}), expected)


def test_a_part_of_a_level_that_is_not_there_is_named(tmp_path: Path) -> None:
    parts_of(tmp_path, 2)
    with pytest.raises(TilewrightError, match="of the 3 files of its level of 64 x 192 px part 3"):
        open_image(tmp_path / "part0.dcm")


def test_grey_of_12_bits_is_read_with_its_white(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4095, (80, 70), np.uint16)
    write_dicom(tmp_path / "a.dcm", pixels, coded="raw", BitsStored=12, HighBit=11)
    with open_image(tmp_path / "a.dcm") as image:
        assert (image.axes, image.dtype) == ("YX", np.uint16)
        assert image.white is not None
        assert image.white.value == 4095
        assert not image.is_slide
        np.testing.assert_array_equal(image.read(0, {}), pixels)


@pytest.mark.parametrize(
    ("tags", "mpp", "source"),
    [
        ({}, (0.25, 0.25), "DICOM's PixelSpacing"),
        ({"mpp": None}, None, None),
        ({"mpp": 499.0}, None, None),
        (
            {"mpp": None, "ImagedVolumeWidth": 0.064, "ImagedVolumeHeight": 0.032},
            (0.5, 0.5), "DICOM's ImagedVolumeWidth and -Height",
        ),
    ],
)  # fmt: skip
def test_the_pixel_size_is_what_a_field_says(
    tmp_path: Path, tags: dict[str, Any], mpp: object, source: object
) -> None:
    write_dicom(tmp_path / "a.dcm", coloured(64, 128), **tags)
    with open_image(tmp_path / "a.dcm") as image:
        assert image.mpp == (pytest.approx(mpp) if mpp else None)
        assert image.mpp_from == source
        assert any("499 µm" in remark for remark in image.remarks) == (tags.get("mpp") == 499)


def test_pixel_sizes_that_differ_are_said(tmp_path: Path) -> None:
    tags = {"ImagedVolumeWidth": 0.064, "ImagedVolumeHeight": 0.032}
    write_dicom(tmp_path / "a.dcm", coloured(64, 128), **tags)
    with open_image(tmp_path / "a.dcm") as image:
        assert image.remarks == (
            "Its pixel size is 0.25 µm by DICOM's PixelSpacing, which is taken, and 0.5 µm by "
            "DICOM's ImagedVolumeWidth and -Height.",
        )


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR, which can't be read"),
        ({"TotalPixelMatrixFocalPlanes": 3}, "holds 3 focal planes"),
        ({"NumberOfOpticalPaths": 2}, "holds 2 optical paths"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "DICOM with no image of a whole slide"),
        ({"NumberOfFrames": 1}, "1 frames for its 2 tiles"),
    ],
)
def test_what_is_not_read_of_dicom_is_said(
    tmp_path: Path, tags: dict[str, Any], words: str
) -> None:
    write_dicom(tmp_path / "a.dcm", coloured(64, 128), **tags)
    with pytest.raises(TilewrightError, match=words):
        open_image(tmp_path / "a.dcm")


def test_images_of_one_size_in_a_series_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("dapi", "fitc"):
        write_dicom(tmp_path / f"{name}.dcm", coloured(64, 64))
    with pytest.raises(TilewrightError, match=r"2 of its files .* \(64 x 64 px\): dapi\.dcm, fitc"):
        open_image(tmp_path)


def test_a_finest_level_that_was_made_of_a_finer_one_is_said(tmp_path: Path) -> None:
    write_dicom(tmp_path / "level0.dcm", coloured(128, 128))
    smaller = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    write_dicom(tmp_path / "level1.dcm", coloured(64, 64), ImageType=smaller, mpp=0.5)
    with open_image(tmp_path) as image:
        assert image.remarks == ()
    (tmp_path / "level0.dcm").unlink()
    with open_image(tmp_path) as image:
        (said,) = image.remarks
        assert image.mpp == pytest.approx((0.5, 0.5))
    assert said.startswith("Its finest level was made from a finer one (RESAMPLED), whose file")


@pytest.mark.parametrize("mpp", [0.25, 0.5, None])
def test_files_that_are_no_levels_of_one_image_are_refused(tmp_path: Path, mpp: object) -> None:
    write_dicom(tmp_path / "a.dcm", coloured(256, 384), mpp=mpp and 0.25)
    write_dicom(tmp_path / "b.dcm", coloured(128, 64), mpp=mpp)
    with pytest.raises(TilewrightError, match="256 x 384 px and 128 x 64 px aren't levels of one"):
        open_image(tmp_path)


def test_a_copy_of_a_file_is_no_image_of_its_own(slide: Path) -> None:
    shutil.copy(slide / "level0.dcm", slide / "level0 (copy).dcm")
    with open_image(slide) as image:
        assert len(image.levels) == 3


@pytest.mark.parametrize("coded", ["jpeg", "raw"])
def test_a_file_that_was_cut_off_is_refused_before_anything_is_read(
    tmp_path: Path, coded: str
) -> None:
    path = tmp_path / "a.dcm"
    write_dicom(path, coloured(200, 200), coded=coded)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(TilewrightError, match="cut off"):
            open_image(path)


def test_a_damaged_tile_is_named_and_others_are_read(tmp_path: Path) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(64, 192))
    data = bytearray((tmp_path / "a.dcm").read_bytes())
    starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", data)]
    assert len(starts) == 3
    data[starts[1] : starts[1] + 300] = bytes(300)
    (tmp_path / "a.dcm").write_bytes(data)
    with open_image(tmp_path / "a.dcm") as image:
        with pytest.raises(TilewrightError, match="X 64 to 128"):
            image.read(0, {"X": slice(64, 128)})
        np.testing.assert_array_equal(image.read(0, {"X": slice(128, 192)}), held[:, 128:])


def test_a_series_that_grows_changes_its_folders_fingerprint(slide: Path) -> None:
    before = fingerprint(slide)
    (slide / "results").mkdir()
    (slide / "results" / "run.json").write_text("{}")
    assert fingerprint(slide) == before, "what else lies there is no part of it"
    write_dicom(slide / "level3.dcm", coloured(25, 42))
    assert fingerprint(slide) != before


@pytest.mark.parametrize("coded", ["jpeg", "j2k", "raw"])
def test_whatever_is_changed_in_a_file_it_is_read_or_refused_in_a_sentence(
    tmp_path: Path, coded: str
) -> None:
    path, told = tmp_path / "a.dcm", 0
    write_dicom(path, coloured(64, 100), coded=coded)
    data = path.read_bytes()
    for seed in range(150):
        path.write_bytes(harmed(data, seed))
        find_images(str(tmp_path))
        try:
            with open_image(path) as image:
                image.read(0, {})
        except TilewrightError:
            told += 1
    assert 20 < told < 150


def test_frames_are_found_by_a_table_of_their_places_or_without_one(tmp_path: Path) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(64, 192))
    data = (tmp_path / "a.dcm").read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00OB") + 12  # the table's item: its tag, its length, 3 places
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    assert length == 12
    places = np.frombuffer(data[at + 8 : at + 20], "<u4")
    none = data[: at + 4] + bytes(4) + data[at + 20 :]
    wide = places.astype("<u8").tobytes()
    table = b"\xe0\x7f\x01\x00OV\0\0" + len(wide).to_bytes(4, "little") + wide
    extended = data[: at - 12] + table + none[at - 12 :]
    for content in (data, none, extended):
        (tmp_path / "a.dcm").write_bytes(content)
        with open_image(tmp_path / "a.dcm") as image:
            np.testing.assert_array_equal(image.read(0, {}), held)


def test_a_frame_in_several_pieces_is_one(tmp_path: Path) -> None:
    held = write_dicom(tmp_path / "a.dcm", coloured(64, 128))
    header = pydicom.dcmread(tmp_path / "a.dcm")
    frames = list(generate_frames(header.PixelData, number_of_frames=2))
    header.PixelData = encapsulate(frames, fragments_per_frame=3)
    header["PixelData"].is_undefined_length = True
    header.save_as(tmp_path / "a.dcm")
    with open_image(tmp_path / "a.dcm") as image:
        np.testing.assert_array_equal(image.read(0, {}), held)
