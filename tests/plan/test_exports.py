"""`--export` is checked before anything runs, and told to EXPORT and ENV."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tilewright.errors import TilewrightError
from tilewright.plan.plan import make_plan, write_plan

BAD = [
    pytest.param("geojsn", "nuclei", r"--export geojsn: .*Did you mean geojson", id="unknown"),
    pytest.param(
        "csv,hdf5", "nuclei", r"--export: hdf5 holds table, and the result is labels", id="1"
    ),
]


def given(folder: Path, **more: object) -> dict[str, object]:
    tifffile.imwrite(folder / "a.tif", np.zeros((64, 64), np.uint8), photometric="minisblack")
    return {"input": str(folder / "a.tif"), "outdir": str(folder / "out"), **more}


@pytest.mark.parametrize(("words", "model", "says"), BAD)
def test_a_format_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, words: str, model: str, says: str
) -> None:
    with pytest.raises(TilewrightError, match=says) as caught:
        make_plan(given(tmp_path, export=words, model=model), tmp_path)
    assert caught.value.code == 2


def test_export_is_told_the_formats_of_each_group_and_env_what_to_build(tmp_path: Path) -> None:
    root = tmp_path / "envs"
    plan = make_plan(given(tmp_path, export="geojson,parquet", env_root=str(root)), tmp_path)
    assert plan.to_build == ["base", "export"]
    write_plan(plan, tmp_path / "task")
    (asked,) = (tmp_path / "task" / "exports").iterdir()
    assert asked.stem == plan.groups[0].group
    said = json.loads(asked.read_text())
    assert said["formats"] == ["geojson", "parquet"]
    assert len(said["code"]) == 64
    plain = make_plan(given(tmp_path, env_root=str(root)), tmp_path)
    assert plain.to_build == ["base"]
    write_plan(plain, tmp_path / "plain")
    assert list((tmp_path / "plain" / "exports").iterdir()) == []
