"""What an earlier run left is told apart from this one's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from planning import grey, planned

from tilewright.cli.main import main
from tilewright.images.image import fingerprint
from tilewright.plan.earlier import TOUCHED
from tilewright.plan.plan import Plan, write_plan


def published(tmp_path: Path) -> Plan:
    """A plan that lies in the output folder, as PLAN leaves it."""
    plan = planned(tmp_path)
    write_plan(plan, tmp_path / "out")
    return plan


def test_an_image_that_was_only_touched_is_the_same_and_plan_says_so(tmp_path: Path) -> None:
    path = grey(tmp_path / "in" / "a.tif")
    grey(tmp_path / "in" / "b.tif")
    before = published(tmp_path)
    assert not any(i.remarks for i in planned(tmp_path).images)
    path.chmod(0o600)
    after = planned(tmp_path)
    assert after.jobs == before.jobs
    assert [i.remarks for i in after.images] == [(TOUCHED,), ()]
    published(tmp_path)
    assert not any(i.remarks for i in planned(tmp_path).images), "it was said once"


def test_a_middle_that_was_written_with_an_old_time_shows_by_its_ctime(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.zeros((2048, 2048), np.uint8))
    published(tmp_path)
    old, stamp = path.stat(), fingerprint(path)
    with path.open("r+b") as file:
        file.seek(old.st_size // 2)
        file.write(b"\xff" * 100)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert fingerprint(path) == stamp
    assert [i.remarks for i in planned(tmp_path).images] == [(TOUCHED,)]


def test_a_changed_image_is_no_touched_one(tmp_path: Path) -> None:
    path = grey(tmp_path / "in" / "a.tif")
    published(tmp_path)
    os.utime(path, (1, 1))
    assert [i.remarks for i in planned(tmp_path).images] == [()]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [{"path": "x"}]}'])
def test_an_earlier_plan_that_says_too_little_says_nothing(tmp_path: Path, text: str) -> None:
    grey(tmp_path / "in" / "a.tif")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.json").write_text(text)
    assert [i.remarks for i in planned(tmp_path).images] == [()]


def test_plan_says_which_stores_are_of_an_earlier_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        grey(tmp_path / "in" / f"{name}.tif")
    (tmp_path / "in" / "bad.tif").write_bytes(b"no image")
    plan = planned(tmp_path)
    for name, made_by in (("a", "0" * 64), ("b", plan.recipe.digest), ("bad", "0" * 64)):
        store = tmp_path / "out" / name / plan.file.store
        store.mkdir(parents=True)
        about = {"tilewright": {"recipe_digest": made_by}}
        (store / ".zattrs").write_text(json.dumps(about))
    words = ["plan", "--input", str(tmp_path / "in"), "--outdir", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main.main(words, standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    store = plan.file.store
    assert f"note a: The store {store} in its folder is of an earlier recipe; it stays" in said
    assert f"note bad: The store {store} in its folder is an earlier run's, of an earlier" in said
    assert "note b:" not in said
    assert "all 2 images" not in said
    assert "note c:" not in said
