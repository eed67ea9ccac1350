"""Each scene that is asked for is an image of the run, with an id of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from ome_sets import write_set
from pictures import speckles, write_ome_zarr
from planning import grey, planned

from tilewright.contract.faults import LAST_TRY
from tilewright.errors import INTERNAL, ProblemsError
from tilewright.images.image import list_scenes
from tilewright.images.scenes import Scene
from tilewright.plan import scenes
from tilewright.plan.plan import Plan


def two(path: Path, *names: str) -> None:
    """An OME-TIFF of two images, the first one smaller."""
    path.parent.mkdir(exist_ok=True)
    with tifffile.TiffWriter(path, ome=True) as file:
        for number, name in enumerate(names or ("A", "B")):
            pixels = np.full((20 + number, 30), number, "u2")
            file.write(pixels, metadata={"axes": "YX", "Name": name})


def found(plan: Plan) -> dict[str, int]:
    """The scene of each id."""
    return {image.ref.id: image.ref.scene for image in plan.images}


def test_only_the_first_scene_is_read_and_the_user_is_told(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    plan = planned(tmp_path)
    assert found(plan) == {"a": 0}
    (remark,) = plan.images[0].remarks
    assert remark.startswith("It holds 2 images, and only scene 0 ('A', 20 x 30 px) is read")
    assert f"a: {remark}" in plan.file.remarks


def test_images_that_several_files_of_a_set_give_are_spoken_of(tmp_path: Path) -> None:
    """Counted twice they would be two samples."""
    (tmp_path / "in").mkdir()
    files = {f"p{n}.ome.tif": [speckles((37, 53))] for n in range(2)}
    write_set(tmp_path / "in", files, [[(name, 0)] for name in files])
    assert not [line for line in planned(tmp_path).warnings if "several times" in line]
    (line,) = [line for line in planned(tmp_path, scene="all").warnings if "several times" in line]
    assert line.startswith("p0, p0-1, p1 and p1-1 are 2 images, read several times")
    alone = planned(tmp_path, scene="all", input="in/p0.ome.tif")
    assert not [line for line in alone.warnings if "several times" in line]
    write_set(tmp_path / "in", files, [[(name, 0) for name in files]])  # now one of two slices
    (line,) = [line for line in planned(tmp_path).warnings if "several times" in line]
    assert line.startswith("p0 and p1 are one image, read several times")


def test_who_asks_for_the_first_scene_is_told_nothing(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    plan = planned(tmp_path, scene="0")
    assert (found(plan), plan.images[0].remarks) == ({"a": 0}, ())


def test_all_gives_each_scene_an_id_and_a_single_one_its_files(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    grey(tmp_path / "in" / "b.tif")
    plan = planned(tmp_path, scene="all")
    assert found(plan) == {"a": 0, "a-1": 1, "b": 0}
    assert [image.ref.shape for image in plan.images[:2]] == [(20, 30), (21, 30)]
    assert not any(image.remarks for image in plan.images)


@pytest.mark.parametrize("scene", ["B", "b", "1", 1])
def test_a_scenes_id_is_its_number_however_it_is_asked_for(
    tmp_path: Path, scene: str | int
) -> None:
    two(tmp_path / "in" / "a.ome.tif", "A/../..", "B")
    assert found(planned(tmp_path, scene=scene)) == {"a-1": 1}


def test_a_file_without_the_scene_is_left_out_by_name(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    two(tmp_path / "in" / "b.ome.tif", "C", "D")
    plan = planned(tmp_path, scene="B")
    assert found(plan) == {"a-1": 1}
    ((row, error),) = plan.bad
    assert (row.id, "scene 'B' was asked for and it has 2" in str(error)) == ("b", True)


def test_ids_that_collide_once_scenes_are_named_are_refused(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    grey(tmp_path / "in" / "a-1.tif")
    assert found(planned(tmp_path)) == {"a": 0, "a-1": 0}
    with pytest.raises(ProblemsError, match="have the same id 'a-1'"):
        planned(tmp_path, scene="all")


def test_a_sheets_column_takes_numbers_names_and_all(tmp_path: Path) -> None:
    two(tmp_path / "a.ome.tif")
    two(tmp_path / "b.ome.tif")
    (tmp_path / "in").write_text("")
    sheet = tmp_path / "in.csv"
    sheet.write_text("image,id,scene\na.ome.tif,,all\na.ome.tif,x,all\nb.ome.tif,,\n"
                     "b.ome.tif,y,B\nb.ome.tif,,1\n")  # fmt: skip
    plan = planned(tmp_path, input=str(sheet))
    assert found(plan) == {"a": 0, "a-1": 1, "x": 0, "x-1": 1, "b": 0, "y": 1, "b-1": 1}


def test_a_scene_whose_file_cant_be_opened_is_a_bad_image_and_no_end(tmp_path: Path) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    (tmp_path / "in" / "b.tif").write_bytes(b"II*\0")
    plan = planned(tmp_path, scene="all")
    assert found(plan) == {"a": 0, "a-1": 1}
    assert [row.id for row, _ in plan.bad] == ["b"]


def test_what_is_remembered_of_a_scene_is_that_scenes(tmp_path: Path) -> None:
    for number in range(2):
        pixels = np.full((20 + number, 30), 9, "u2")
        write_ome_zarr(tmp_path / "in" / "a.zarr" / str(number), [pixels], "YX", version="0.4")
    (tmp_path / "in" / "a.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "in" / "a.zarr" / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    for _ in range(2):
        assert len(planned(tmp_path).images[0].remarks) == 1
        plan = planned(tmp_path, scene="all")
        assert [(i.ref.scene, i.ref.shape) for i in plan.images] == [(0, (20, 30)), (1, (21, 30))]
        assert not any(i.remarks for i in plan.images)


def test_a_bug_over_one_files_scenes_is_that_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    two(tmp_path / "in" / "a.ome.tif")
    two(tmp_path / "in" / "b.ome.tif")

    def broken(path: Path) -> list[Scene]:
        if path.name == "b.ome.tif":
            raise KeyError("nobody thought of this")
        return list_scenes(path)

    monkeypatch.setattr(scenes, "list_scenes", broken)
    plan = planned(tmp_path, scene="all")
    assert found(plan) == {"a": 0, "a-1": 1}
    ((row, why),) = plan.bad
    assert (row.id, why.code) == ("b", INTERNAL)
    assert str(why) == (
        f"{tmp_path}/in/b.ome.tif: KeyError: 'nobody thought of this'. "
        "That is a fault of ours: please report it."
    )
    assert "in broken" in capfd.readouterr().err
    monkeypatch.setenv(LAST_TRY, "false")
    with pytest.raises(KeyError):
        planned(tmp_path, scene="all")
