"""Slides that are plain TIFF: their pyramid, pixel size and background; never their label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from slides import PATIENT, picture, reduced, tissue, write_philips, write_svs

from tilewright.errors import TilewrightError
from tilewright.images.find import find_images
from tilewright.images.image import image_id, list_scenes, open_image

Array = np.ndarray[Any, Any]
WHOLE = tissue(131, 203)
"""No multiple of a tile, of 4 or of 16."""
LEVELS = [WHOLE, reduced(WHOLE, 4), reduced(WHOLE, 16)]
TILED: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32)}
SPACINGS = ['"0.00025" "0.00025"', '"0.0005" "0.0005"', '"0.001" "0.001"']
HIDDEN = "never read: they can name a patient"


def write_generic(path: Path, levels: list[Array], **options: Any) -> None:
    """A TIFF whose lower levels are marked as reduced, and with a label at its end."""
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            kind = {"subfiletype": int(number > 0), "metadata": None}
            file.write(level, **kind, **{**TILED, **options})
        file.write(picture(20, 30), photometric="rgb", metadata=None)


def write_ome(path: Path, levels: list[Array], *others: str, **about: Any) -> None:
    """An OME-TIFF with its lower levels as SubIFDs, and pictures of names."""
    tags = {"resolution": about.pop("per_cm", (1, 1)), "resolutionunit": 3}
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {**TILED, **tags, "metadata": {"axes": "YXS", "Name": "slide", **about}}
        file.write(levels[0], subifds=len(levels) - 1, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **TILED)
        for name in others:
            options = {"photometric": "rgb", "metadata": {"axes": "YXS", "Name": name}}
            file.write(picture(20, 30), **options)


# Aperio


def test_an_aperio_slide_is_its_tiled_pages_and_its_own_fields(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS)
    with open_image(tmp_path / "a.svs") as image:
        assert (image.axes, image.is_slide) == ("YXC", True)
        assert image.levels == [level.shape for level in LEVELS]
        assert (image.mpp, image.mpp_from) == ((0.499, 0.499), "Aperio's MPP")
        assert (image.magnification, image.remarks) == (20, ())
        for number, level in enumerate(LEVELS):
            np.testing.assert_array_equal(image.read(number, {}), level)


def test_a_level_of_a_size_that_is_cut_lies_where_its_factor_says(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS)
    with open_image(tmp_path / "a.svs") as image:
        assert image.steps == [(1, 1), (4, 4), (16, 16)]  # and not 131 / 32 and 203 / 50
        y, x = (int(n * step) for n, step in zip((31, 49), image.steps[1], strict=True))
        fine = image.read(0, {"Y": slice(y, y + 4), "X": slice(x, x + 4)})
        coarse = image.read(1, {"Y": 31, "X": 49})
    np.testing.assert_array_equal(np.rint(fine.mean((0, 1))), coarse)


def test_levels_without_a_whole_factor_lie_by_their_sizes(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", [WHOLE, tissue(52, 81)])
    with open_image(tmp_path / "a.svs") as image:
        assert image.steps[1] == (131 / 52, 203 / 81)


@pytest.mark.parametrize("asked", [1, 2, 3, "1", "label", "Macro", "Thumbnail", "Label image"])
def test_a_slides_label_macro_and_thumbnail_are_never_read(
    tmp_path: Path, asked: int | str
) -> None:
    write_svs(tmp_path / "a.svs", LEVELS)
    assert [scene.size for scene in list_scenes(tmp_path / "a.svs")] == [(131, 203)]
    with pytest.raises(TilewrightError, match=HIDDEN):
        open_image(tmp_path / "a.svs", scene=asked)


def test_a_label_in_tiles_is_no_level(tmp_path: Path) -> None:
    said = "Aperio Image Library\r\nlabel 33x51"
    write_svs(tmp_path / "a.svs", LEVELS[:2], pictures=False)
    with tifffile.TiffWriter(tmp_path / "a.svs", append=True) as file:
        file.write(picture(33, 51), description=said, metadata=None, **TILED)
        file.write(picture(32, 96), description="Aperio", metadata=None, **TILED)
    with open_image(tmp_path / "a.svs") as image:
        assert image.levels == [level.shape for level in LEVELS[:2]]
        for number in range(2):
            assert not (image.read(number, {}) == PATIENT).all(-1).any()


@pytest.mark.parametrize(
    ("said", "mpp"),
    [("0.4990", 0.499), ("0.25", 0.25), ("0,2520", 0.252), ("2.5e-1", 0.25), (" 0.5 ", 0.5)],
)
def test_aperios_mpp_is_read_with_a_point_or_a_comma(tmp_path: Path, said: str, mpp: float) -> None:
    write_svs(tmp_path / "a.svs", LEVELS, mpp=said)
    with open_image(tmp_path / "a.svs") as image:
        assert (image.mpp, image.remarks) == ((mpp, mpp), ())


ABSURD = ["0", "0.0", "-0.25", "nan", "inf", "499", "0.000499", "25.4", "0.25um", "none", "1_0", ""]


@pytest.mark.parametrize("said", ABSURD)
def test_an_absurd_mpp_counts_as_none_and_what_it_says_is_told(tmp_path: Path, said: str) -> None:
    resolution = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    write_svs(tmp_path / "a.svs", LEVELS, mpp=said, **resolution)
    with open_image(tmp_path / "a.svs") as image:
        assert (image.mpp, image.mpp_from) == (None, None)
        assert image.remarks == (
            f"Its pixel size of '{said}' (Aperio's MPP) can't be a slide's and isn't used.",
        )


def test_a_slide_without_mpp_has_none_whatever_its_magnification(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS, mpp=None)
    with open_image(tmp_path / "a.svs") as image:
        assert (image.mpp, image.mpp_from, image.magnification) == (None, None, 20)


@pytest.mark.parametrize(("per_cm", "differs"), [(20000, False), (20400, True), (40000, True)])
def test_fields_that_differ_by_more_than_2_percent_are_said(
    tmp_path: Path, per_cm: int, differs: bool
) -> None:
    resolution = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    write_svs(tmp_path / "a.svs", LEVELS, mpp="0.505", **resolution)
    with open_image(tmp_path / "a.svs") as image:
        assert image.mpp == (0.505, 0.505)
        said = "Its pixel size is 0.505 µm by Aperio's MPP, which is taken, and"
        assert [r.startswith(said) for r in image.remarks] == [True] * differs


def test_a_printers_resolution_isnt_held_against_a_slides(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS, resolution=(72, 72), resolutionunit="INCH")
    with open_image(tmp_path / "a.svs") as image:
        assert (image.mpp, image.remarks) == ((0.499, 0.499), ())


def test_tiles_of_level_0_that_were_never_written_are_glass(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", [WHOLE], sparse=[{0, 8}], pictures=False)
    wanted = WHOLE.copy()
    wanted[:32, :32] = wanted[32:64, 32:64] = 255
    with open_image(tmp_path / "a.svs") as image:
        np.testing.assert_array_equal(image.read(0, {}), wanted)
        assert image.remarks[0].startswith("2 of its 35 strips or tiles were never written: ")


def test_missing_tiles_of_a_lower_level_are_what_the_finer_one_shows(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS, sparse=[set(), {1}, {0}], pictures=False)
    with open_image(tmp_path / "a.svs") as image:
        np.testing.assert_array_equal(image.read(1, {}), LEVELS[1])
        coarse = image.read(2, {}).astype(int)  # a mean of means, each rounded
        assert np.abs(coarse - LEVELS[2]).max() <= 1
        assert "or as a finer level shows the place" in image.remarks[0]


def test_a_tile_over_one_that_was_never_written_isnt_trusted(tmp_path: Path) -> None:
    damaged = [WHOLE, np.zeros_like(LEVELS[1])]
    write_svs(tmp_path / "a.svs", damaged, sparse=[{0}, {1}], pictures=False)
    wanted = LEVELS[1].copy()
    wanted[:8, :8] = 255
    with open_image(tmp_path / "a.svs") as image:
        np.testing.assert_array_equal(image.read(1, {}), wanted)


def test_pages_of_one_size_are_focal_planes(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS[:2], planes=3)
    with open_image(tmp_path / "a.svs") as image:
        assert image.axes == "ZYXC"
        assert image.levels == [(3, *level.shape) for level in LEVELS[:2]]


@pytest.mark.parametrize("name", ["rgb", "ycbcr"])
def test_jpeg_is_of_the_colours_that_its_tag_says(tmp_path: Path, name: str) -> None:
    args = {"level": 98, **({"outcolorspace": "rgb"} if name == "rgb" else {})}
    write_svs(tmp_path / "a.svs", LEVELS, compression="jpeg", compressionargs=args)
    with tifffile.TiffFile(tmp_path / "a.svs") as file:
        assert file.pages.first.photometric.name.lower() == name
    with open_image(tmp_path / "a.svs") as image:
        assert np.abs(image.read(0, {}).astype(int) - WHOLE).mean() < 3


def test_junk_inside_a_jpeg_tile_whose_end_is_there_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    write_svs(path, LEVELS, compression="jpeg", pictures=False)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        begin, count = page.dataoffsets[8], page.databytecounts[8]
    with path.open("r+b") as file:
        file.seek(begin + count - 60)
        file.write(b"\x13\xff\x4d\x07\xff\xc9" * 5)
    with open_image(path) as image:
        image.read(0, {"Y": slice(0, 32)})
        with pytest.raises(TilewrightError, match=r"Y 32 to 64, X 32 to 64.*JPEG data is damaged"):
            image.read(0, {"Y": slice(32, 64), "X": slice(32, 64)})


def test_a_truncated_slide_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", LEVELS)
    data = (tmp_path / "a.svs").read_bytes()
    (tmp_path / "b.svs").write_bytes(data[: len(data) // 3])
    with pytest.raises(TilewrightError, match=rf"b\.svs: it is cut off: {len(data) // 3} bytes"):
        open_image(tmp_path / "b.svs")


def test_slides_in_a_folder_are_found_by_their_endings(tmp_path: Path) -> None:
    names = ["A.SVS", "b.ndpi", "c.qptiff", "d.tiff"]
    for name in names:
        write_svs(tmp_path / name, LEVELS[:1])
    assert [path.name for path in find_images(str(tmp_path)).images] == names
    assert image_id(tmp_path / "A.SVS") == "A"


@pytest.mark.parametrize("ending", ["svs", "ndpi", "qptiff"])
def test_an_ending_alone_makes_no_slide(tmp_path: Path, ending: str) -> None:
    tifffile.imwrite(tmp_path / f"a.{ending}", WHOLE, photometric="rgb", metadata=None)
    with open_image(tmp_path / f"a.{ending}") as image:
        assert not image.is_slide
        np.testing.assert_array_equal(image.read(0, {}), WHOLE)


# Philips


def test_what_only_fills_up_a_philips_level_isnt_read(tmp_path: Path) -> None:
    whole = tissue(192, 256)
    levels = [whole, reduced(whole, 2), reduced(whole, 4)]
    write_philips(tmp_path / "a.tiff", levels, SPACINGS)
    with open_image(tmp_path / "a.tiff") as image:
        assert image.levels == [level.shape for level in levels]
        assert image.steps == [(1, 1), (2, 2), (4, 4)]
        assert (image.is_slide, image.magnification) == (True, 40)
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(image.read(number, {}), level)


def test_a_philips_levels_rows_come_before_its_columns(tmp_path: Path) -> None:
    write_philips(tmp_path / "a.tiff", [tissue(64, 128)], ['"0.00025" "0.00030"'])
    with open_image(tmp_path / "a.tiff") as image:
        assert image.mpp == pytest.approx((0.25, 0.30))
        assert image.mpp_from == "Philips' DICOM_PIXEL_SPACING of level 0"


def test_philips_spacings_that_disagree_are_said(tmp_path: Path) -> None:
    whole = '"0.000226" "0.000226"'
    write_philips(tmp_path / "a.tiff", [tissue(64, 128)], SPACINGS[:1], whole=whole)
    with open_image(tmp_path / "a.tiff") as image:
        assert image.mpp == pytest.approx((0.25, 0.25))
        assert image.remarks == (
            "Its pixel size is 0.25 µm by Philips' DICOM_PIXEL_SPACING of level 0, which is taken, "
            "and 0.226 by Philips' DICOM_PIXEL_SPACING of the slide.",
        )


@pytest.mark.parametrize("spacings", [[], ['"0" "0"'] * 3, ['"x" "y"'] * 3])
def test_a_philips_slide_without_spacings_has_its_levels_and_no_mpp(
    tmp_path: Path, spacings: list[str]
) -> None:
    whole = tissue(192, 256)
    levels = [whole, reduced(whole, 2), reduced(whole, 4)]
    write_philips(tmp_path / "a.tiff", levels, spacings)
    with open_image(tmp_path / "a.tiff") as image:
        assert (image.mpp, len(image.remarks)) == (None, len(spacings) // 3)
        assert image.levels == [level.shape for level in levels]


def test_philips_missing_tiles_are_white(tmp_path: Path) -> None:
    write_philips(tmp_path / "a.tiff", [tissue(64, 128)], SPACINGS[:1], sparse={1})
    with open_image(tmp_path / "a.tiff") as image:
        assert (image.read(0, {"X": slice(64, 128)}) == 255).all()
        assert image.remarks == (
            "1 of its 2 strips or tiles was never written: it is read as white.",
        )


# files without a vendor


def test_a_pyramid_of_reduced_pages_in_tiles_is_a_slide(tmp_path: Path) -> None:
    levels = [WHOLE, reduced(WHOLE, 4), reduced(WHOLE, 8)]  # not each by the same number
    resolution = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    write_generic(tmp_path / "a.tif", levels, **resolution)
    assert len(list_scenes(tmp_path / "a.tif")) == 1
    with open_image(tmp_path / "a.tif") as image:
        assert image.levels == [level.shape for level in levels]
        assert (image.is_slide, image.mpp_from) == (True, "resolution tags")
        assert image.mpp == pytest.approx((0.5, 0.5))
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(image.read(number, {}), level)
    with pytest.raises(TilewrightError, match=HIDDEN):
        open_image(tmp_path / "a.tif", scene=1)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_what_is_transparent_in_a_slide_is_white(tmp_path: Path, kind: str) -> None:
    levels = []
    for level in (WHOLE, reduced(WHOLE, 2)):
        alpha = np.full((*level.shape[:2], 1), 255, np.uint8)
        alpha[:10], alpha[10:20] = 0, 128
        share = alpha / 255 if kind == "assocalpha" else 1
        levels.append(np.concatenate([np.rint(level * share).astype(np.uint8), alpha], -1))
    write_generic(tmp_path / "a.tif", levels, extrasamples=[kind])
    with open_image(tmp_path / "a.tif") as image:
        assert (image.axes, image.is_slide) == ("YXC", True)
        found = image.read(0, {})
        np.testing.assert_array_equal(found[20:], WHOLE[20:])
        assert (found[:10] == 255).all()
        half = WHOLE[10:20] * (128 / 255) + 255 * (127 / 255)
        assert np.abs(found[10:20] - half).max() <= 1
        np.testing.assert_array_equal(image.read(0, {"C": 1}), found[..., 1])
        assert "read as white" in image.remarks[0]


NO_SLIDES: dict[str, dict[str, Any]] = {
    "grey": {"photometric": "minisblack"},
    "in strips": {"tile": None},
    "on Earth": {"extratags": [(34735, 3, 4, (1, 1, 0, 0), True)]},
}


@pytest.mark.parametrize("kind", [*NO_SLIDES, "without a pyramid", "of 16 bits"])
def test_other_pictures_are_no_slides(tmp_path: Path, kind: str) -> None:
    levels = [WHOLE, reduced(WHOLE, 2)]
    if kind == "grey":
        levels = [level[..., 0].copy() for level in levels]
    if kind == "of 16 bits":
        levels = [level.astype("u2") * 257 for level in levels]
    write_generic(
        tmp_path / "a.tif", levels[: 1 if "without" in kind else 2], **NO_SLIDES.get(kind, {})
    )
    with open_image(tmp_path / "a.tif") as image:
        assert not image.is_slide
        assert image.steps[0] == (1, 1)


def test_a_printers_resolution_is_no_slides(tmp_path: Path) -> None:
    levels = [WHOLE, reduced(WHOLE, 2)]
    write_generic(tmp_path / "a.tif", levels, resolution=(72, 72), resolutionunit="INCH")
    with open_image(tmp_path / "a.tif") as image:
        assert image.mpp is None
        assert "of 352.8 µm (resolution tags) can't be a slide's" in image.remarks[0]


def test_an_ome_pyramid_in_colours_is_a_slide_and_its_pictures_are_none(tmp_path: Path) -> None:
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    names = ("label image", "macro image", "Overview 1")
    write_ome(tmp_path / "a.ome.tif", [WHOLE, reduced(WHOLE, 2)], *names, **size)
    assert [s.name for s in list_scenes(tmp_path / "a.ome.tif")] == ["slide"]
    with open_image(tmp_path / "a.ome.tif") as image:
        assert (image.is_slide, image.mpp) == (True, (0.25, 0.25))
        assert image.mpp_from == "OME PhysicalSize"
        np.testing.assert_array_equal(image.read(1, {}), reduced(WHOLE, 2))
    for asked in (1, "label image", "overview 1"):
        with pytest.raises(TilewrightError, match=HIDDEN):
            open_image(tmp_path / "a.ome.tif", scene=asked)


def test_an_ome_slides_physical_size_counts_before_its_tags(tmp_path: Path) -> None:
    about = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "per_cm": (20000, 20000)}
    write_ome(tmp_path / "a.ome.tif", [WHOLE, reduced(WHOLE, 2)], **about)
    with open_image(tmp_path / "a.ome.tif") as image:
        assert image.mpp == (0.25, 0.25)
        assert image.remarks == (
            "Its pixel size is 0.25 µm by OME PhysicalSize, which is taken, and 0.5 by resolution "
            "tags.",
        )


def test_an_ome_slides_magnification_is_its_objectives(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Instrument ID="Instrument:0"><Objective ID="Objective:0:0" NominalMagnification="40.0"/>'
        '<Objective ID="Objective:0:1" NominalMagnification="63"/></Instrument><Image ID="Image:0">'
        '<ObjectiveSettings ID="Objective:0:0"/><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint8" SizeX="203" SizeY="131" SizeC="3" SizeZ="1" SizeT="1"><Channel ID="Channel:0'
        ':0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(WHOLE, subifds=1, description=xml, metadata=None, **TILED)
        file.write(reduced(WHOLE, 2), subfiletype=1, **TILED)
    with open_image(tmp_path / "a.ome.tif") as image:
        assert (image.is_slide, image.magnification, image.mpp) == (True, 40, None)


def test_an_absurd_physical_size_of_a_slide_counts_as_none(tmp_path: Path) -> None:
    size = {"PhysicalSizeX": 0.00025, "PhysicalSizeY": 0.00025}
    write_ome(tmp_path / "a.ome.tif", [WHOLE, reduced(WHOLE, 2)], **size)
    with open_image(tmp_path / "a.ome.tif") as image:
        assert image.mpp is None
        assert "0.00025 µm x 0.00025 µm (OME PhysicalSize) can't be" in image.remarks[0]


def test_labels_beside_an_image_that_is_no_slide_stay_scenes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name in ("image", "label"):
            file.write(WHOLE[..., 0].copy(), metadata={"axes": "YX", "Name": name})
    assert [s.name for s in list_scenes(tmp_path / "a.ome.tif")] == ["image", "label"]


FOREIGN: dict[str, dict[str, Any]] = {
    "Leica": {"description": "<?xml version='1.0'?><scn><collection/></scn>"},
    "Ventana": {"extratags": [(700, 1, 23, b"<iScan ScanRes='0.25'/>", True)]},
    "Argos": {"extratags": [(65000, 2, 19, "<Argos.Scan.Metadata/>"[:19], True)]},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_slide_whose_tiles_arent_a_plain_tiffs_is_never_read_as_one(
    tmp_path: Path, name: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", WHOLE, metadata=None, **TILED, **FOREIGN[name])
    with pytest.raises(TilewrightError, match=r"a\.tif: .*OpenSlide"):
        open_image(tmp_path / "a.tif")


def test_a_qptiff_has_its_channels_and_none_of_its_pictures(tmp_path: Path) -> None:
    planes = [WHOLE[..., c].copy() for c in range(3)]
    xml = (
        "<PerkinElmer-QPI-ImageDescription><Name>{}</Name><Objective>20x</Objective>"
        "<PixelSizeMicrons>0.497</PixelSizeMicrons></PerkinElmer-QPI-ImageDescription>"
    )
    options: dict[str, Any] = {"metadata": None, "software": "PerkinElmer-QPI"}
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as file:
        for by in (1, 2):
            for name, plane in zip(("DAPI", "FITC", "Cy5"), planes, strict=True):
                pixels = plane if by == 1 else np.ascontiguousarray(plane[:-1:2, :-1:2])
                file.write(pixels, tile=(32, 32), description=xml.format(name), **options)
            if by == 1:
                file.write(picture(30, 40), photometric="rgb", **options)
        for size in ((21, 50), (23, 29)):
            file.write(picture(*size), photometric="rgb", **options)
    with open_image(tmp_path / "a.qptiff") as image:
        assert (image.axes, image.is_slide) == ("CYX", False)
        assert image.channel_names == ("DAPI", "FITC", "Cy5")
        assert (image.mpp, image.magnification) == ((0.497, 0.497), 20)
        assert image.levels == [(3, 131, 203), (3, 65, 101)]
        np.testing.assert_array_equal(image.read(0, {}), planes)
        assert len(image.scenes) == 1
