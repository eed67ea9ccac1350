"""What travels between steps, hurt in any way: the same value, or a sentence that names it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hurting import hurt, in_little, odd
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SPEC

from tilewright.contract.canonical import save
from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe, Scan
from tilewright.errors import UNAVAILABLE, TilewrightError

IMAGE = ImageRef(
    "i000", "a", "/in/a.tif", "f", "CYX", (3, 500, 400), "uint16", channels=(0, 2),
    mpp=(0.25, 0.25), mpp_from="--mpp", mask=("/in/a.geojson", "d"), range=(0.0, 4095.0),
    prep=({"name": "clahe", "clip": 0.01},),
)  # fmt: skip
FILES: dict[str, tuple[Callable[[Path], object], object]] = {
    "job": (Job.load, Job("g", 1, (IMAGE,), (("i000", 0, 12),))),
    "scan": (Scan.load, Scan(IMAGE, 12, 5, SPEC, True, "c")),
    "group": (Group.load, Group("g", 2, MergeOptions("match", 0.5), "n-1-t.zarr", "t")),
    "recipe": (Recipe.load, Recipe.trial(SPEC, {"a": 1})),
}


def written(path: Path, value: object) -> bytes:
    """A value's file."""
    value.save(path) if isinstance(value, Job) else save(path, value)
    return path.read_bytes()


@pytest.mark.parametrize("name", list(FILES))
def test_a_whole_file_is_the_value(tmp_path: Path, name: str) -> None:
    load, value = FILES[name]
    written(tmp_path / name, value)
    assert load(tmp_path / name) == value


@pytest.mark.parametrize("name", list(FILES))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_hurt_file_is_read_or_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    load, value = FILES[name]
    path = tmp_path_factory.getbasetemp() / name
    whole = written(path, value)
    path.write_bytes(data.draw(hurt(whole) | odd(whole)))
    with in_little():
        try:
            found = load(path)
        except TilewrightError as error:
            found = error
    if isinstance(found, TilewrightError):
        assert found.code == UNAVAILABLE
        assert found.what.startswith(f"{name}: isn't as a step of this run wrote it (")
    else:
        assert found == value or not isinstance(value, Job)  # of the others PLAN makes new ones


def test_a_job_with_one_other_digit_is_refused(tmp_path: Path) -> None:
    """SCAN made it in an earlier run: its tiles would be read in another range."""
    Job("g", 1, (dataclasses.replace(IMAGE, range=(0.0, 4095.0)),), ()).save(tmp_path / "job")
    (tmp_path / "job").write_text((tmp_path / "job").read_text().replace("4095.0", "4195.0"))
    with pytest.raises(TilewrightError, match=r"^job: isn't as a step .* SHA-256 is another"):
        Job.load(tmp_path / "job")
