"""An image's pixel size is what somebody says it is, and plan says who."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pictures import speckles, write_ome_zarr
from planning import planned
from slides import reduced, tissue, write_svs

from tilewright.cli.main import main
from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.image import Image
from tilewright.images.pixel_size import differ, plausible, unusable
from tilewright.images.source import Level, Source
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.plan.pixel_size import PixelSize, UnsizedError, pixel_size

SIZE = (0.499, 0.499)
TILE = TileSpec({"y": 16, "x": 16})
PLAIN = ModelSpec("plain", "1", TILE, num_channels=3)
HALF = replace(PLAIN, model_name="half", tile_spec=replace(TILE, resolution=Resolution(mpp=0.5)))
BY_POWER = replace(TILE, resolution=Resolution(magnification=20))
TWENTY = replace(PLAIN, model_name="twenty", tile_spec=BY_POWER)


def told(shape: tuple[int, int] = (64, 80), **says: Any) -> Image:
    """An image of which a header says so much; nothing of it is read."""

    def unread(_: object) -> np.ndarray:
        raise AssertionError("a header is enough")

    source = Source("YX", np.dtype("u1"), (Level(shape, None, unread),), lambda: None, **says)
    return Image(Path("a.svs"), source, "YX")


def row(mpp: Any = None, by: str = "--mpp") -> Row:
    return Row(Path("a.svs"), "a", mpp=mpp, mpp_from=by)


def aperio(**says: Any) -> Image:
    return told(**{"mpp": SIZE, "mpp_from": "Aperio's MPP", "magnification": 20.0, **says})


# Who says it


@pytest.mark.parametrize(
    ("image", "said", "spec", "expected"),
    [
        (aperio(), row(), HALF, (SIZE, "Aperio's MPP")),
        (aperio(), row(), TWENTY, (SIZE, "Aperio's MPP")),
        (aperio(), row(0.5), HALF, ((0.5, 0.5), "--mpp")),
        (aperio(), row(0.5, "the sheet"), HALF, ((0.5, 0.5), "the sheet")),
        (aperio(magnification=40.0), row("magnification"), HALF,
         ((0.25, 0.25), "40x magnification, approximate")),
        (aperio(mpp=None), row(), TWENTY, ((0.5, 0.5), "20x magnification, approximate")),
        (aperio(mpp=None), row(0.4), TWENTY, ((0.4, 0.4), "--mpp")),
        (aperio(mpp=None), row(), PLAIN, (None, None)),
        (told(mpp=(1.0, 2.0)), row(), HALF, ((1.0, 2.0), "the file")),
        (told(), row(), PLAIN, (None, None)),
    ],
)  # fmt: skip
def test_the_user_is_asked_first_then_the_file_and_its_objective_only_if_someone_says_so(
    image: Image, said: Row, spec: ModelSpec, expected: tuple[Any, str | None]
) -> None:
    found = pixel_size(image, said, spec)
    assert (found.mpp, found.by) == expected


@pytest.mark.parametrize(
    ("image", "said", "spec", "remark"),
    [
        (aperio(), row(0.25), HALF,
         "Its pixels are taken as 0.25 µm, as --mpp says; the file says 0.499 µm (Aperio's MPP)."),
        (aperio(mpp=(0.25, 0.5)), row(0.25, "the sheet"), PLAIN,
         "Its pixels are taken as 0.25 µm, as the sheet says; "
         "the file says 0.25 x 0.5 µm (Aperio's MPP)."),
        (aperio(mpp=None), row("magnification"), HALF,
         "Its pixels are taken as 0.5 µm, which is approximate: 10 over its 20x magnification."),
        (aperio(mpp=None), row(), TWENTY,
         "Its pixels are taken as 0.5 µm, which is approximate: 10 over its 20x magnification."),
        (aperio(magnification=40.0), row("magnification"), HALF,
         "Its pixels are taken as 0.25 µm, which is approximate: 10 over its 40x magnification; "
         "the file says 0.499 µm (Aperio's MPP)."),
    ],
)  # fmt: skip
def test_a_size_that_isnt_the_files_own_is_said(
    image: Image, said: Row, spec: ModelSpec, remark: str
) -> None:
    assert pixel_size(image, said, spec).remarks == (remark,)


@pytest.mark.parametrize("said", [None, 0.499, 0.4895, 0.5089])
def test_a_size_within_2_percent_of_the_files_is_no_remark(said: float | None) -> None:
    assert pixel_size(aperio(), row(said), HALF).remarks == ()


@pytest.mark.parametrize("share", [1.019, 0.982])
def test_sizes_differ_from_2_percent_on_whichever_is_which(share: float) -> None:
    one, other = (0.5, 0.5), (0.5, 0.5 * share)
    assert not differ(one, other)
    assert not differ(other, one)
    further = (0.5, 0.5 * share**1.2)
    assert differ(one, further)
    assert differ(further, one)


# What can't be


@pytest.mark.parametrize("bad", [0.0, -0.5, 0.0005, 499.0, 1e6, float("nan"), float("inf")])
def test_what_nothing_was_imaged_at_is_no_pixel_size(bad: float) -> None:
    for slide in (False, True):
        assert not plausible((bad, bad), slide=slide)
        assert not plausible((0.5, bad), slide=slide)


def test_electrons_give_finer_pixels_than_a_slide_has_and_line_scanners_oblong_ones() -> None:
    assert plausible((0.004, 0.004))
    assert not plausible((0.004, 0.004), slide=True)
    assert plausible((0.1, 1.0))
    assert not plausible((0.1, 1.0), slide=True)
    assert plausible((0.25, 0.26), slide=True)


@pytest.mark.parametrize(
    ("image", "said", "spec", "words"),
    [
        (told(mpp=(499.0, 499.0), mpp_from="OME PhysicalSize"), row(), HALF,
         "a.svs: has 499 µm per pixel (OME PhysicalSize), which can't be a microscope image's."),
        (aperio(mpp=(0.000499,) * 2, is_slide=True), row(), PLAIN,
         "a.svs: has 0.000499 µm per pixel (Aperio's MPP), which can't be a slide's."),
        (aperio(is_slide=True), row(499), PLAIN, "has 499 µm per pixel (--mpp), which can't"),
        (told(), row(499, "the sheet"), HALF, "has 499 µm per pixel (the sheet), which can't"),
        (aperio(mpp=None, magnification=0.3), row(), TWENTY, "has 33.33 µm per pixel (0.3x mag"),
        (aperio(mpp=None, is_slide=True, remarks=("It is old.", unusable("250.0", "Aperio's MPP"))),
         row(), HALF, "a.svs: says 250.0 (Aperio's MPP), which can't be a pixel size, and half"),
        (told(), row(), HALF, "a.svs: gives no pixel size, and half reads at 0.5 µm per pixel."),
        (aperio(mpp=None), row(), HALF, "gives no pixel size, and half reads at 0.5 µm per pixel."),
        (told(), row(), TWENTY, "gives no pixel size, and twenty reads at 0.5 µm per pixel."),
        (told(), row(), replace(PLAIN, supported_mpp=(0.25, 0.5)), "plain takes 0.25 or 0.5 µm"),
        (told(), row("magnification"), HALF,
         "a.svs: states no magnification, which --mpp says to go by."),
        (told(mpp=SIZE, mpp_from="tags"), row("magnification", "the sheet"), PLAIN,
         "states no magnification, which the sheet says to go by."),
    ],
)  # fmt: skip
def test_a_size_that_nobody_says_or_that_cant_be_is_refused(
    image: Image, said: Row, spec: ModelSpec, words: str
) -> None:
    with pytest.raises(UnsizedError, match=re.escape(words)) as caught:
        pixel_size(image, said, spec)
    assert caught.value.code == BAD_DATA
    if image.mpp and said.mpp and plausible(image.mpp):
        assert caught.value.fix.startswith("Leave it out: the file says 0.499 µm (")
        assert caught.value.cell == ""
    else:
        assert "--mpp NUMBER, or a sheet's column mpp" in caught.value.fix
        assert caught.value.cell == ("magnification" if caught.value.magnification else "NUMBER")


def test_an_objective_is_offered_where_it_gives_a_size() -> None:
    offer = "; `magnification` takes about 0.5 by its 20x."
    with pytest.raises(UnsizedError, match=re.escape(offer)):
        pixel_size(aperio(mpp=None), row(), HALF)
    with pytest.raises(UnsizedError) as caught:
        pixel_size(aperio(mpp=None, magnification=5000.0, is_slide=True), row(), HALF)
    assert "magnification" not in caught.value.fix


def test_an_image_without_a_scale_keeps_whatever_its_user_says() -> None:
    assert pixel_size(told(), row(1000.0), PLAIN) == PixelSize((1000.0, 1000.0), "--mpp")


# In a plan


def zarrs(tmp_path: Path, **sizes: float | None) -> None:
    """OME-Zarr images of these pixel sizes in µm; None has no unit."""
    (tmp_path / "in").mkdir(exist_ok=True)
    for name, size in sizes.items():
        unit = "micrometer" if size else None
        pixels = [speckles((3, 64, 80), "uint8")]
        write_ome_zarr(tmp_path / "in" / f"{name}.zarr", pixels, "CYX", unit=unit, scale=size or 1)


def test_plan_says_each_images_pixel_size_and_who_says_it(tmp_path: Path) -> None:
    zarrs(tmp_path, a=0.5, b=0.4)
    tifffile.imwrite(tmp_path / "in" / "c.tif", speckles((64, 80, 3), "uint8"), photometric="rgb")
    (tmp_path / "list.csv").write_text("image,mpp\nin/a.zarr,\nin/b.zarr,0.25\nin/c.tif,\n")
    plan = planned(tmp_path, input=str(tmp_path / "list.csv"))
    said = {i.id: (i.mpp, i.mpp_from) for i in plan.file.images}
    assert said == {
        "a": ((0.5, 0.5), "OME-Zarr's scale"),
        "b": ((0.25, 0.25), "the sheet"),
        "c": (None, None),
    }
    args = ["plan", "--input", str(tmp_path / "list.csv"), "--outdir", str(tmp_path / "out")]
    shown = CliRunner().invoke(main, args, env={"COLUMNS": "200"})
    for words in ("pixel size", "0.5 µm (OME-Zarr's scale)", "0.25 µm (the sheet)"):
        assert words in shown.output
    other = "b: Its pixels are taken as 0.25 µm, as the sheet says; the file says 0.4 µm"
    assert other in shown.output


def test_a_remembered_image_says_the_same_of_its_pixel_size(tmp_path: Path) -> None:
    zarrs(tmp_path, a=0.5)
    for _ in range(2):
        for mpp, by in ((None, "OME-Zarr's scale"), (0.25, "--mpp")):
            (image,) = planned(tmp_path, mpp=mpp).images
            assert image.ref.mpp_from == by
            assert any("are taken as 0.25 µm" in r for r in image.remarks) == bool(mpp)


@pytest.mark.parametrize(
    "said", ["0.25", 0.25, "Magnification", "magnification"], ids=lambda v: f"{v!r}"
)
def test_mpp_is_a_number_or_the_word(tmp_path: Path, said: object) -> None:
    zarrs(tmp_path, a=0.5)
    if str(said).lower() == "magnification":
        with pytest.raises(TilewrightError, match=r"a\.zarr: states no magnification, which --mpp"):
            planned(tmp_path, mpp=said)
    else:
        assert planned(tmp_path, mpp=said).images[0].ref.mpp == (0.25, 0.25)


@pytest.mark.parametrize("said", ["20x", "mag", True])
def test_mpp_that_is_neither_is_refused_once(tmp_path: Path, said: object) -> None:
    zarrs(tmp_path, a=0.5)
    with pytest.raises(TilewrightError, match=re.escape(f"--mpp {said!r}: should be")) as e:
        planned(tmp_path, mpp=said)
    assert len(str(e.value).splitlines()) == 1


# The table of those without


def test_a_size_of_the_users_that_cant_be_is_answered_with_the_files_own(tmp_path: Path) -> None:
    zarrs(tmp_path, a=0.5, b=None)
    for said, says in ((4000, "4000 µm per pixel (--mpp)"), ("magnification", None)):
        with pytest.raises(TilewrightError, match="2 images have no usable") as caught:
            planned(tmp_path, model="h0mini", mpp=said)
        _, _, a, b, last = str(caught.value).splitlines()
        assert a.split()[0] == "a"
        assert "0.5 µm (OME-Zarr's scale)" in a
        assert (says or "") in a
        assert a.endswith("a.zarr,")
        assert b.endswith("b.zarr,NUMBER")
        assert last.endswith("an empty cell is the file's own.")


def test_images_without_a_pixel_size_stand_in_one_table(tmp_path: Path) -> None:
    zarrs(tmp_path, a=0.5, b=None, c=None, d=5000.0)
    plan = planned(tmp_path, model="h0mini")
    assert [i.ref.id for i in plan.images] == ["a"]
    assert [row.id for row, _ in plan.bad] == ["b", "c", "d"]
    said = plan.file.to_dict()["unsized"]
    assert [(u["id"], u["says"], u["magnification"]) for u in said] == [
        ("b", "nothing", None),
        ("c", "nothing", None),
        ("d", "5000 µm per pixel (OME-Zarr's scale)", None),
    ]
    args = ["plan", "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    shown = CliRunner().invoke(main, [*args, "--model", "h0mini"], env={"COLUMNS": "60"})
    assert shown.exit_code == BAD_DATA
    lines = shown.output.splitlines()
    (at,) = (n for n, line in enumerate(lines) if "3 images have no usable pixel size" in line)
    assert lines[at].endswith("size, and h0-mini reads at 0.5 µm per pixel:")
    assert [line.split()[0] for line in lines[at + 1 : at + 5]] == ["image", "b", "c", "d"]
    assert lines[at + 2].endswith(f"{tmp_path / 'in' / 'b.zarr'},NUMBER")
    assert "--mpp NUMBER" in lines[at + 5]
    assert "gives no pixel size" not in shown.output


def test_a_sheet_of_the_tables_lines_is_planned(tmp_path: Path) -> None:
    zarrs(tmp_path, a=None, b=None)
    zarrs(tmp_path, **{"c, d": None})
    with pytest.raises(TilewrightError, match="3 images have no usable pixel size") as caught:
        planned(tmp_path, model="h0mini")
    lines = [x.split(maxsplit=2)[-1] for x in str(caught.value).splitlines()[2:5]]
    lines[2] = lines[2][lines[2].index('"') :]
    sheet = tmp_path / "sizes.csv"
    sheet.write_text("\n".join(["image,mpp", *lines]).replace("NUMBER", "0.5"))
    made = planned(tmp_path, model="h0mini", input=str(sheet))
    assert {i.ref.id: i.ref.mpp_from for i in made.images} == dict.fromkeys(
        ["a", "b", "c, d"], "the sheet"
    )


def test_a_table_of_many_is_short_and_the_error_says_all_else_too(tmp_path: Path) -> None:
    pixels = speckles((64, 80), "uint8")
    for n in range(300):
        (tmp_path / "in").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "in" / f"{n:03d}.tif", pixels)
    (tmp_path / "in" / "empty.tif").write_bytes(b"")
    with pytest.raises(TilewrightError, match="300 images have no usable pixel size") as caught:
        planned(tmp_path, model="h0mini")
    lines = str(caught.value).splitlines()
    assert len(lines) < 20
    assert "the file is empty" in lines[0]
    assert "  and 290 more" in lines
    assert lines[-1].startswith("Say how many µm a level-0 pixel is: --mpp NUMBER for all")


@given(st.floats(0.02, 20), st.floats(0.02, 20))
def test_two_sizes_agree_as_their_larger_share(one: float, other: float) -> None:
    apart = max(one, other) / min(one, other) - 1
    if abs(apart - 0.02) > 1e-9:
        assert differ((one, 1.0), (other, 1.0)) == (apart > 0.02)


# Slides


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """A folder of SVS of 20x: one with its MPP, one without, and one whose MPP is in nm."""
    (tmp_path / "in").mkdir()
    levels = [tissue(322, 407), reduced(tissue(322, 407), 4)]
    for name, mpp in (("good", "0.499"), ("none", None), ("nano", "499.0")):
        write_svs(tmp_path / "in" / f"{name}.svs", levels, mpp=mpp)
    return tmp_path


def test_slides_are_told_by_what_they_say_in_place_of_a_pixel_size(scanned: Path) -> None:
    plan = planned(scanned, model="h0mini")
    assert [(i.ref.mpp, i.ref.mpp_from) for i in plan.images] == [(SIZE, "Aperio's MPP")]
    said = {u.id: (u.says, u.magnification, u.line.rpartition(",")[2]) for u in plan.file.unsized}
    assert said["none"] == ("20x magnification", 20.0, "magnification")
    assert said["nano"][0] == "'499.0' (Aperio's MPP); 20x magnification"
    (why,) = (str(e) for row, e in plan.bad if row.id == "nano")
    assert "svs: says '499.0' (Aperio's MPP), which can't be a pixel size, and h0-mini reads" in why


def test_slides_go_by_their_magnification_if_the_user_says_so(scanned: Path) -> None:
    plan = planned(scanned, model="h0mini", mpp="magnification")
    assert not plan.bad
    approximate = "Its pixels are taken as 0.5 µm, which is approximate: 10 over its 20x"
    for image in plan.images:
        assert (image.ref.mpp, image.ref.factor) == ((0.5, 0.5), (1, 1))
        assert image.ref.mpp_from == "20x magnification, approximate"
        assert any(r.startswith(approximate) for r in image.remarks)


def test_slides_go_by_their_magnification_if_the_spec_asks_for_one(scanned: Path) -> None:
    found = {
        path.stem: plan_image(Row(path, path.stem), Params(input="."), TWENTY)
        for path in sorted((scanned / "in").glob("*.svs"))
    }
    said = {name: (image.ref.mpp, image.ref.mpp_from) for name, image in found.items()}
    assert said == {
        "good": (SIZE, "Aperio's MPP"),
        "nano": ((0.5, 0.5), "20x magnification, approximate"),
        "none": ((0.5, 0.5), "20x magnification, approximate"),
    }
    assert not [r for r in found["good"].remarks if "approximate" in r]
    five = replace(TWENTY, tile_spec=replace(TILE, resolution=Resolution(magnification=5)))
    path = scanned / "in" / "none.svs"
    quarter = plan_image(Row(path, "none"), Params(input="."), five)
    assert (quarter.ref.level, quarter.ref.factor) == (1, (1, 1))


def test_a_magnification_is_nothing_to_a_spec_that_asks_for_mpp(scanned: Path) -> None:
    path = scanned / "in" / "none.svs"
    with pytest.raises(UnsizedError, match=r"none\.svs: gives no pixel size"):
        plan_image(Row(path, "none"), Params(input="."), HALF)
    image = plan_image(Row(path, "none"), Params(input="."), PLAIN)
    assert (image.ref.mpp, image.ref.mpp_from) == (None, None)
