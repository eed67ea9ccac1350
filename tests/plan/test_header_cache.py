"""Headers that are remembered: the same plan without opening an image, and never another one."""

import json
from pathlib import Path
from typing import Any

import pytest
import tifffile
from ome_sets import write_set
from pictures import speckles
from planning import grey, planned

from tilewright.errors import ProblemsError
from tilewright.plan import fit, header_cache
from tilewright.plan.plan import Plan


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images and an empty cache."""
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "home"))
    grey(tmp_path / "in" / "a.tif", (700, 700))
    grey(tmp_path / "in" / "b.tif")
    return tmp_path / "in"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are opened from here on."""
    names: list[str] = []
    real = fit.opened

    def noted(path: Path, **more: Any) -> Any:
        names.append(path.name)
        return real(path, **more)

    monkeypatch.setattr(fit, "opened", noted)
    return names


def grey_slices(folder: Path, names: list[str]) -> None:
    """An image of one slice a file."""
    planes = [(name, 0) for name in names]
    write_set(folder, {name: [speckles((64, 64), "uint8")] for name in names}, [planes])


def said(plan: Plan) -> tuple[Any, ...]:
    """All that a plan decides."""
    return plan.file, plan.groups, plan.jobs


def test_a_second_plan_is_the_same_and_opens_no_image(tmp_path: Path, opened: list[str]) -> None:
    first = said(planned(tmp_path, tile_size=256))
    assert opened == ["a.tif", "b.tif"]
    opened.clear()
    assert said(planned(tmp_path, tile_size=256)) == first
    assert opened == []


def test_an_image_that_changed_is_opened_again(
    tmp_path: Path, images: Path, opened: list[str]
) -> None:
    planned(tmp_path)
    grey(images / "b.tif", (50, 60))
    opened.clear()
    plan = planned(tmp_path)
    assert opened == ["b.tif"]
    assert [tuple(i.ref.shape) for i in plan.images] == [(700, 700), (50, 60)]


def test_a_moved_image_keeps_what_is_known_under_its_new_name(
    tmp_path: Path, images: Path, opened: list[str]
) -> None:
    planned(tmp_path)
    opened.clear()
    (images / "a.tif").rename(images / "c.tif")
    plan = planned(tmp_path)
    assert opened == []
    assert [i.ref.id for i in plan.images] == ["b", "c"]
    assert plan.images[1].ref.path == str(images / "c.tif")


def test_another_question_is_asked_anew(tmp_path: Path, opened: list[str]) -> None:
    planned(tmp_path)
    for other in ({"tile_size": 256}, {"region": "0,0,20,20"}, {"mpp": 0.5}):
        opened.clear()
        planned(tmp_path, **other)
        assert opened == ["a.tif", "b.tif"], other


@pytest.mark.parametrize("text", ["", "[]", "{", '{"%s": 1}', '{"%s": {"ref": {}}}', "null"])
def test_what_is_remembered_is_never_trusted_blindly(
    tmp_path: Path, text: str, opened: list[str]
) -> None:
    first = said(planned(tmp_path))
    (file,) = header_cache.folder().iterdir()
    key = next(iter(json.loads(file.read_text())))
    file.write_text(text.replace("%s", key))
    opened.clear()
    assert said(planned(tmp_path)) == first
    assert opened == ["a.tif", "b.tif"]
    assert len(json.loads(file.read_text())) == 2, "it is mended"


def test_a_bad_image_is_bad_each_time(tmp_path: Path, images: Path) -> None:
    (images / "b.tif").write_bytes(b"II*\0 nothing")
    for _ in range(2):
        plan = planned(tmp_path)
        assert [row.id for row, _ in plan.bad] == ["b"]
        with pytest.raises(ProblemsError, match=r"b\.tif"):
            planned(tmp_path, strict=True)


def test_an_ome_tiff_that_names_no_other_file_is_remembered_by_its_name(
    tmp_path: Path, images: Path, opened: list[str]
) -> None:
    (images / "a.tif").unlink()
    pixels = tifffile.imread(images / "b.tif")
    tifffile.imwrite(images / "c.ome.tif", pixels, metadata={"axes": "YX"})
    planned(tmp_path)
    opened.clear()
    planned(tmp_path)
    assert opened == []
    (images / "c.ome.tif").rename(images / "d.ome.tif")  # an OME-XML may name its own file
    planned(tmp_path)
    assert opened == ["d.ome.tif"]


@pytest.mark.parametrize("suffix", [".ome.tif", ".tif"])
def test_a_file_of_a_set_is_another_image_when_any_file_of_the_set_changes(
    tmp_path: Path, images: Path, opened: list[str], suffix: str
) -> None:
    for path in images.iterdir():
        path.unlink()
    names = [f"s{i}{suffix}" for i in range(2)]
    grey_slices(images, names)
    first = {i.ref.id: i.ref.fingerprint for i in planned(tmp_path).images}
    assert {i.ref.id: i.ref.fingerprint for i in planned(tmp_path).images} == first
    opened.clear()
    with (images / names[1]).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    plan = planned(tmp_path)
    assert opened == names
    assert all(i.ref.fingerprint != first[i.ref.id] for i in plan.images)


def test_a_cache_that_can_not_be_written_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "file"))
    assert planned(tmp_path).tiles == planned(tmp_path).tiles > 0


def test_questions_of_long_ago_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_cache, "QUESTIONS", 2)
    for size in (256, 320, 384):
        planned(tmp_path, tile_size=size)
    assert len(list(header_cache.folder().iterdir())) == 2
