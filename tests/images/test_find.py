"""Which images a path, a folder or a pattern names, and what is said of all else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pictures import numbered, write_ome_zarr
from vendor_slides import coloured, write_dicom, write_mrxs

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.find import find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images at the top (one of them OME-Zarr), one below, and what is no image."""
    (tmp_path / "below").mkdir()
    for name in ("b.tif", "a.PNG", ".hidden.tif", "notes.txt", "below/c.ome.tiff"):
        (tmp_path / name).write_bytes(b"x")
    write_ome_zarr(tmp_path / "d.zarr", [numbered("YX")], "YX")
    (tmp_path / "d.zarr" / "thumbnail.png").write_bytes(b"x")
    return tmp_path


def test_a_folder_gives_its_images_sorted_and_not_those_below(folder: Path) -> None:
    assert [p.name for p in find_images(str(folder)).images] == ["a.PNG", "b.tif", "d.zarr"]


def test_recursive_goes_below_but_not_into_an_ome_zarr(folder: Path) -> None:
    found = find_images(str(folder), recursive=True).images
    assert {p.name for p in found} == {"a.PNG", "b.tif", "d.zarr", "c.ome.tiff"}


def test_a_link_back_up_is_not_followed(folder: Path) -> None:
    (folder / "below" / "up").symlink_to(folder)
    assert len(find_images(str(folder), recursive=True).images) == 4


def test_links_that_go_round_are_not_followed_twice(tmp_path: Path) -> None:
    for name, other in ("ab", "ba"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "link").symlink_to(f"../{other}")
        (tmp_path / name / f"{name}.tif").touch()
    images = find_images(str(tmp_path), recursive=True).images
    assert [str(p.relative_to(tmp_path)) for p in images] == [
        "a/a.tif", "a/link/b.tif", "b/b.tif", "b/link/a.tif",
    ]  # fmt: skip


def test_an_ome_zarr_folder_is_one_image(folder: Path) -> None:
    assert find_images(str(folder / "d.zarr")).images == [folder / "d.zarr"]


def test_a_glob_gives_the_images_it_matches(folder: Path) -> None:
    assert [p.name for p in find_images(str(folder / "*.t*")).images] == ["b.tif"]


def test_a_path_that_exists_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "cells[1].tif").write_bytes(b"x")
    (tmp_path / "cells1.tif").write_bytes(b"x")
    assert find_images(str(tmp_path / "cells[1].tif")).images == [tmp_path / "cells[1].tif"]


@pytest.mark.parametrize("source", ["nothing", "*.tif", "empty"])
def test_no_image_found_is_said_with_what_is_looked_for(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TilewrightError, match=r"no image found.*\.tif.*--recursive") as error:
        find_images(str(tmp_path / source))
    assert error.value.code == BAD_DATA
    assert source in error.value.what


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.tif", ["b.tif", "x/d.tif", "x/y/e.tif"]),
        ("**", ["b.tif", "d.zarr", "x/d.tif", "x/y/e.tif"]),
        ("**/y/*", ["x/y/e.tif"]),
        ("x/**/e.tif", ["x/y/e.tif"]),
        ("x*/*.tif", ["x/d.tif"]),
    ],
)
def test_two_stars_are_any_depth(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in ("b.tif", "x/d.tif", "x/y/e.tif", ".hidden/f.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    write_ome_zarr(tmp_path / "d.zarr", [numbered("YX")], "YX")
    (tmp_path / "d.zarr" / "thumbnail.tif").write_bytes(b"x")
    found = find_images(str(tmp_path / pattern)).images
    assert [str(p.relative_to(tmp_path)) for p in found] == expected


def test_a_pattern_below_a_folder_with_brackets_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run[1]" / "a.tif").write_bytes(b"x")
    assert len(find_images(str(tmp_path / "run[1]" / "*.tif")).images) == 1


def test_files_that_are_passed_over_are_named_one_of_each_ending_first(folder: Path) -> None:
    for name in [f"n{k}.txt" for k in range(9)] + ["z.doc"]:
        (folder / name).write_bytes(b"x")
    files, below = find_images(str(folder)).remarks
    assert files == (
        f"Passed over in {folder}, which by their endings are no TIFF, OME-Zarr, PNG, JPEG or "
        "slide: n0.txt, z.doc, n1.txt, n2.txt, n3.txt and 6 more."
    )
    assert below.endswith("though there are images in them: below; --recursive looks there, too.")


def test_nothing_is_said_of_a_folder_of_images_alone(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    for name in (".DS_Store", "Thumbs.db", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert find_images(str(tmp_path)).remarks == ()


def test_where_no_image_is_found_what_was_passed_over_is_named(tmp_path: Path) -> None:
    (tmp_path / "slide.doc").write_bytes(b"x")
    with pytest.raises(TilewrightError, match=r"no image found there\. Passed over .*slide\.doc"):
        find_images(str(tmp_path))


def result(folder: Path) -> None:
    """A store of ours and its picture."""
    (folder / "m-1.0.0-t.zarr").mkdir(parents=True)
    about = {"zarr_format": 3, "attributes": {"tilewright": {"recipe_digest": "ab"}}}
    (folder / "m-1.0.0-t.zarr" / "zarr.json").write_text(json.dumps(about))
    (folder / "m-1.0.0-t.png").write_bytes(b"x")


def test_results_in_a_folder_of_images_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    (tmp_path / "run.json").write_text("{}")
    result(tmp_path / "a")
    found = find_images(str(tmp_path), recursive=True, results=tmp_path)
    assert [p.name for p in found.images] == ["a.tif"]
    (said,) = found.remarks
    assert said.endswith("as results of Tilewright: a/m-1.0.0-t.png, a/m-1.0.0-t.zarr.")
    assert find_images(str(tmp_path)).remarks == ()
    store = tmp_path / "a" / "m-1.0.0-t.zarr"
    assert find_images(str(store)).images == [store], "asked for by its name, it is"


def test_pictures_that_a_report_links_are_no_images(tmp_path: Path) -> None:
    picture = tmp_path / "report" / "a" / "picture.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x")
    assert find_images(str(tmp_path), recursive=True).images == [picture], "somebody's own folder"
    (tmp_path / "a.tif").write_bytes(b"x")
    (tmp_path / "report.html").write_text("")
    found = find_images(str(tmp_path), recursive=True)
    assert [p.name for p in found.images] == ["a.tif"]


def test_work_of_nextflows_tasks_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    write_ome_zarr(tmp_path / "work" / "ab" / "cdef" / "copy.zarr", [numbered("YX")], "YX")
    (tmp_path / "work" / "ab" / "cdef" / ".command.run").write_text("")
    for source in (tmp_path, tmp_path / "**"):
        found = find_images(str(source), recursive=True)
        assert [p.name for p in found.images] == ["a.tif"]


# Slides


def test_a_mirax_slides_folder_is_a_part_of_it(tmp_path: Path) -> None:
    write_mrxs(tmp_path / "a.mrxs", [coloured(64, 64)])
    (tmp_path / "a" / "preview.jpg").write_bytes(b"x")
    for source in (tmp_path, tmp_path / "a.mrxs", tmp_path / "a", tmp_path / "*"):
        for recursive in (False, True):
            found = find_images(str(source), recursive=recursive)
            assert found.images == [tmp_path / "a.mrxs"]
            assert found.remarks == ()


def test_a_vms_slides_jpegs_are_parts_of_it(tmp_path: Path) -> None:
    named = "ImageFile=a.jpg\nImageFile(1,0)=a-1.jpg\nMacroImage=m.jpg\n"
    (tmp_path / "a.vms").write_text(f"[Virtual Microscope Specimen]\n{named}")
    for name in ("a.jpg", "a-1.jpg", "m.jpg", "photo.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in find_images(str(tmp_path)).images] == ["a.vms", "photo.jpg"]


def dicom_slide(folder: Path, series: str) -> Path:
    """A folder with a slide's level and its label."""
    folder.mkdir(parents=True)
    write_dicom(folder / "level0.dcm", coloured(64, 64), series=series)
    write_dicom(folder / "label.dcm", coloured(64, 64), series=series, kind="LABEL")
    return folder


def test_a_folder_with_one_slides_dicom_is_one_image(tmp_path: Path) -> None:
    folders = [dicom_slide(tmp_path / name, f"1.{n}") for n, name in enumerate("ab")]
    assert find_images(str(tmp_path)).images == folders
    assert find_images(str(folders[0])).images == folders[:1]
    assert find_images(str(tmp_path), recursive=True).images == folders
    assert find_images(str(tmp_path)).remarks == ()


def test_of_several_slides_dicom_in_one_folder_each_is_an_image(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    for n, name in enumerate("ab"):
        for side in (64, 128):
            write_dicom(folder / f"{name}{side}.dcm", coloured(side, side), series=f"1.{n}")
        write_dicom(folder / f"{name}.dcm", coloured(64, 64), series=f"1.{n}", kind="LABEL")
    (folder / "photo.png").write_bytes(b"x")
    expected = ["a128.dcm", "b128.dcm", "photo.png"]
    assert [p.name for p in find_images(str(folder)).images] == expected
    assert [p.name for p in find_images(str(tmp_path), recursive=True).images] == expected


def test_dicom_without_endings_is_found_by_what_it_contains(tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "a", "1.2")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert find_images(str(tmp_path)).images == [folder]


def test_a_folder_of_dicom_and_other_images_is_searched(tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "a", "1.2")
    (folder / "photo.png").write_bytes(b"x")
    assert [p.name for p in find_images(str(folder)).images] == ["level0.dcm", "photo.png"]


def test_formats_that_are_not_read_are_named_by_what_they_are(tmp_path: Path) -> None:
    for name in ("a.tif", "b.vsi", "c.nd2", "d.ND2", "e.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "_b_" / "stack1").mkdir(parents=True)
    (tmp_path / "_b_" / "stack1" / "frame_t.ets").write_bytes(b"x")
    found = find_images(str(tmp_path), recursive=True)
    assert [p.name for p in found.images] == ["a.tif"]
    assert found.remarks[0] == (
        f"Passed over in {tmp_path}, as their formats aren't read here: b.vsi (Olympus VSI), "
        "c.nd2 (Nikon ND2), d.ND2 (Nikon ND2); export them as OME-TIFF or OME-Zarr."
    )
    assert "e.txt" in found.remarks[1]
