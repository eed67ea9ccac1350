"""From --input to images: ids, paths, and where results may lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import numbered, write_ome_zarr
from planning import grey, planned

from tilewright.errors import USAGE, TilewrightError
from tilewright.plan.folders import check_work
from tilewright.plan.inputs import Row, check_ids
from tilewright.plan.plan import Plan


def by_sheet(tmp_path: Path, text: str, name: str = "s.csv", **params: object) -> Plan:
    (tmp_path / name).write_text(text)
    return planned(tmp_path, input=str(tmp_path / name), **params)


def ids(plan: Plan) -> list[str]:
    return [i.ref.id for i in plan.images]


def test_rows_of_commas_as_excel_leaves_them_are_passed_over(tmp_path: Path) -> None:
    grey(tmp_path / "a.tif")
    for rows in (1, 2):
        plan = by_sheet(tmp_path, "image,id,mpp\na.tif,x,0.5\n" + ",,\n" * rows)
        assert [(i.ref.id, i.ref.mpp) for i in plan.images] == [("x", (0.5, 0.5))]


def test_a_pixel_size_may_have_a_decimal_comma(tmp_path: Path) -> None:
    grey(tmp_path / "a.tif")
    for text in ("image;mpp\na.tif;0,25\n", 'image,mpp\na.tif,"0,25"\n'):
        (image,) = by_sheet(tmp_path, text).images
        assert image.ref.mpp == (0.25, 0.25)


def test_paths_may_be_relative_absolute_or_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    grey(tmp_path / "in side" / "a b.tif")
    grey(tmp_path / "home" / "c.tif")
    grey(tmp_path / "odd\\name.tif")
    text = (
        f"image,id\nin side/a b.tif,a\n{tmp_path}/in side/a b.tif,b\n~/c.tif,c\nodd\\name.tif,d\n"
    )
    assert ids(by_sheet(tmp_path, text)) == ["a", "b", "c", "d"]


def test_an_accent_may_be_written_otherwise_than_on_the_disk(tmp_path: Path) -> None:
    grey(tmp_path / "e\u0301.tif")
    (image,) = by_sheet(tmp_path, "image,id\n\u00e9.tif,x\n").images
    assert Path(image.ref.path).name == "e\u0301.tif"


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (r"C:\slides\a.tif", "is a path of Windows. Write it as this machine has it"),
        (r"slides\a.tif", "is a path of Windows"),
        (r"\\server\share\a.tif", "is a path of Windows"),
        ("https://example.org/a.tif", "is an address, and images are read from folders"),
    ],
)
@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_path_of_elsewhere_is_named_with_its_line(
    tmp_path: Path, cell: str, says: str, column: str
) -> None:
    grey(tmp_path / "a.tif")
    line = cell if column == "image" else f"a.tif,,{cell}"
    with pytest.raises(TilewrightError, match=rf"s\.csv, line 2: .* {says}"):
        by_sheet(tmp_path, f"image,id,mask\n{line}\n")


@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("mpp", "NA", "number. Write µm per pixel, as 0.25, or `magnification`, or leave the cell"),
        ("mpp", "0.5 µm", "should be a number"),
        ("mpp", "1.234,5", "should be a number"),
        ("mpp", "0", "should be above 0"),
        ("mpp", "nan", "should be a finite number"),
        (
            "range",
            "0-255",
            "should be two numbers, LOW,HIGH, e.g. 0,4095. Write",
        ),
        ("range", "9,1", "should be LOW,HIGH: the first number under the second"),
    ],
)
def test_a_number_that_is_none_is_named_by_line_and_column(
    tmp_path: Path, column: str, cell: str, says: str
) -> None:
    grey(tmp_path / "a.tif")
    with pytest.raises(TilewrightError) as why:
        by_sheet(tmp_path, f"image;{column}\na.tif;{cell}\n")
    assert f"s.csv, line 2: its {column} {cell!r}: " in str(why.value)
    assert says in str(why.value)


def test_a_workbook_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "s.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(TilewrightError, match=r"s\.xlsx: is a workbook.*Save its sheet as CSV"):
        planned(tmp_path, input=str(tmp_path / "s.xlsx"))


def test_a_sheet_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"s\.csv: can't be read \(No such file"):
        planned(tmp_path, input=str(tmp_path / "s.csv"))


@pytest.mark.parametrize(
    ("one", "two"), [("A", "a"), ("Stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")]
)
def test_ids_that_a_file_system_takes_for_one_are_refused(one: str, two: str) -> None:
    with pytest.raises(TilewrightError, match=r"have ids .* and .*, which some file systems take"):
        check_ids([Row(Path("x.tif"), one), Row(Path("y.tif"), two)])


def test_what_a_sheet_says_besides_goes_to_the_group_and_no_job(tmp_path: Path) -> None:
    grey(tmp_path / "a.tif")
    grey(tmp_path / "b.tif")
    text = "image,condition,donor\na.tif,{},D7\nb.tif,treated,\n"
    one, two = (by_sheet(tmp_path, text.format(c)) for c in ("control", "mock"))
    assert one.jobs == two.jobs
    assert one.recipe.digest == two.recipe.digest
    assert [g.columns for g in one.groups] != [g.columns for g in two.groups]
    (group,) = one.groups
    assert group.columns["a"] == (("condition", "control"), ("donor", "D7"))
    assert [i.columns for i in one.file.images] == [
        {"condition": "control", "donor": "D7"},
        {"condition": "treated", "donor": ""},
    ]
    said = "what it says of condition, donor goes into tables and run.json; nothing is read by it"
    assert one.warnings[0] == f"s.csv: {said}."


def test_a_bad_image_keeps_what_the_sheet_says_of_it(tmp_path: Path) -> None:
    grey(tmp_path / "a.tif")
    plan = by_sheet(tmp_path, "image,donor\na.tif,D7\ngone.tif,D8\n")
    assert [b.columns for b in plan.file.bad] == [{"donor": "D8"}]


# Where results may lie


def test_results_may_lie_beside_the_folder_of_images(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    for outdir in (tmp_path, tmp_path / "in", tmp_path / "in" / "out"):
        assert ids(planned(tmp_path, outdir=str(outdir))) == ["a"]


def test_results_in_an_image_or_over_one_are_refused(tmp_path: Path) -> None:
    scan = write_ome_zarr(tmp_path / "scan", [numbered("YX")], "YX") or tmp_path / "scan"
    for outdir in (tmp_path, scan, scan / "out"):
        with pytest.raises(TilewrightError, match="results would lie in the image itself") as why:
            planned(tmp_path, input=str(tmp_path / "scan"), outdir=str(outdir))
        assert why.value.code == USAGE
    grey(tmp_path / "b.tif").rename(tmp_path / "b")
    for outdir in (tmp_path, tmp_path / "b" / ".."):
        with pytest.raises(TilewrightError, match="results would lie in the image itself"):
            planned(tmp_path, input=str(tmp_path / "b"), outdir=str(outdir))
    (tmp_path / "c").write_text("not a folder")
    grey(tmp_path / "in" / "c.tif")
    with pytest.raises(TilewrightError, match=r"would lie in .*/c, which is a file"):
        planned(tmp_path, outdir=str(tmp_path))


@pytest.mark.parametrize("name", ["images.csv", "objects.csv"])
def test_a_sheet_that_the_run_would_write_over_is_refused(tmp_path: Path, name: str) -> None:
    grey(tmp_path / "a.tif")
    (tmp_path / name).write_text("image\na.tif\n")
    with pytest.raises(TilewrightError, match=rf"the run's own {name} would replace it") as why:
        planned(tmp_path, input=str(tmp_path / name), outdir=str(tmp_path))
    assert why.value.code == USAGE
    planned(tmp_path, input=str(tmp_path / name), outdir=str(tmp_path / "out"))


def test_results_in_anybodys_zarr_are_refused(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    write_ome_zarr(tmp_path / "other.zarr", [numbered("YX")], "YX")
    for outdir in (tmp_path / "other.zarr", tmp_path / "other.zarr" / "results"):
        with pytest.raises(TilewrightError, match=r"lies in .*other\.zarr, which is a Zarr") as why:
            planned(tmp_path, outdir=str(outdir))
        assert why.value.code == USAGE
    with pytest.raises(TilewrightError, match=r"would lie in .*other\.zarr, which is a Zarr"):
        by_sheet(tmp_path, "image,id\nin/a.tif,other.zarr\n", outdir=str(tmp_path))


def test_results_in_the_work_folder_are_refused(tmp_path: Path) -> None:
    check_work(tmp_path / "out", tmp_path / "out" / ".tilewright" / "work")
    for results in (tmp_path / "work", tmp_path / "work" / "out"):
        with pytest.raises(TilewrightError, match="lies in the work folder"):
            check_work(results, tmp_path / "work")
