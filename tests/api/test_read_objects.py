"""A run's objects as a pandas frame, or one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tilewright import read_objects
from tilewright.errors import BAD_DATA, UNAVAILABLE, TilewrightError
from tilewright.stores.anndata import Table
from tilewright.stores.csv_parts import gather, join, write_part


def a_run(here: Path, most: int | None = None) -> Path:
    """The output folder of a run of two images, one of them called as a formula."""
    for name, rows in (("=a", 2), ("007", 3)):
        obs = {"id": np.arange(1, rows + 1), "area_px": np.full(rows, 4)}
        x = np.array([[0.5]] * (rows - 1) + [[np.nan]], np.float32)
        table = Table(obs, x, ("mean_=x",), np.zeros((rows, 2)), said={"grade": "NA"})
        write_part(here / f"{name}.rows", name, table)
        gather([here / f"{name}.rows"], here / f"{name}.objects")
    made = join(here.glob("*.objects"), here, most)
    images = [{"id": name, "columns": {"grade": "NA"}} for name in ("=a", "007")]
    (here / "run.json").write_text(json.dumps({"tables": made.files, "images": images}))
    return here


@pytest.mark.parametrize("most", [None, 2])
def test_texts_are_what_they_were_and_numbers_are_numbers(tmp_path: Path, most: int) -> None:
    frame = read_objects(a_run(tmp_path, most))
    assert list(frame) == ["image", "grade", "id", "area (px)", "mean_=x"]
    assert frame["image"].tolist() == ["007"] * 3 + ["=a"] * 2
    assert frame["grade"].tolist() == ["NA"] * 5
    assert frame["area (px)"].tolist() == [4] * 5
    assert frame["mean_=x"].isna().tolist() == [False, False, True, False, True]


def test_a_run_that_found_nothing_gives_a_frame_without_rows(tmp_path: Path) -> None:
    images = [{"id": "a", "columns": {"grade": "1"}}]
    run = {"tables": [], "images": images, "result": "labels"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    frame = read_objects(tmp_path)
    assert list(frame) == ["image", "grade", "id"]
    assert len(frame) == 0


def test_a_sheets_column_called_as_a_measured_one_keeps_its_text(tmp_path: Path) -> None:
    obs = {"id": np.array([1]), "area_px": np.array([4])}
    x, said = np.array([[0.5]], np.float32), {"mean_DAPI": "7"}
    write_part(tmp_path / "a.rows", "a", Table(obs, x, ("mean_DAPI",), np.zeros((1, 2)), said=said))
    gather([tmp_path / "a.rows"], tmp_path / "a.objects")
    made = join(tmp_path.glob("*.objects"), tmp_path)
    run = {"tables": made.files, "images": [{"id": "a", "columns": said}], "result": "labels"}
    (tmp_path / "run.json").write_text(json.dumps(run))
    frame = read_objects(tmp_path)
    assert list(frame) == ["image", "mean_DAPI (sheet)", "id", "area (px)", "mean_DAPI"]
    assert frame["mean_DAPI (sheet)"].tolist() == ["7"]
    assert frame["mean_DAPI"].tolist() == [0.5]


def test_a_run_of_maps_has_no_objects_which_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"tables": [], "images": [], "result": "map"}))
    with pytest.raises(TilewrightError, match="its run has no objects, but map") as raised:
        read_objects(tmp_path)
    assert raised.value.code == BAD_DATA


@pytest.mark.parametrize("text", ["{", "[]", '{"tables": [], "images": [1]}', "\xff"])
def test_a_broken_run_json_is_said_in_plain_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    says = r"run\.json: can't be read \(it isn't a run\.json of this release\)\. Run again"
    with pytest.raises(TilewrightError, match=says) as raised:
        read_objects(tmp_path)
    assert raised.value.code == BAD_DATA


def test_a_run_of_a_later_release_is_refused(tmp_path: Path) -> None:
    run = json.loads((a_run(tmp_path) / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "tilewright": "99.0.0"}))
    with pytest.raises(TilewrightError, match=r"Tilewright 99\.0\.0 wrote it, and this is"):
        read_objects(tmp_path)


def test_a_folder_that_is_half_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"has no run\.json, so no run .*its end\. Give"):
        read_objects(tmp_path)
    (a_run(tmp_path) / "objects.csv").unlink()
    with pytest.raises(
        TilewrightError, match=r"objects\.csv isn't there. Run the same command again"
    ):
        read_objects(tmp_path)


def test_without_pandas_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TilewrightError, match="pandas isn't installed here") as raised:
        read_objects(a_run(tmp_path))
    assert raised.value.code == UNAVAILABLE
