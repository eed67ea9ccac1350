"""images.csv: a row per image, whatever came of it, and what a long table of objects says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from test_report import Run

from tilewright.plan.earlier import many_objects
from tilewright.stores.csv_rows import SPREADSHEET_ROWS, too_long


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def rows(run: Run) -> list[dict[str, str]]:
    """What a program reads of the images."""
    run.write()
    path = run.here / "out" / "images.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_an_image_has_its_figures_with_their_units(run: Run) -> None:
    run.result("a", mpp=[0.5, 0.25], looked_px=4e6, intensities={"mean_=x": [1.0, 2.5, 3e7]})
    (row,) = rows(run)
    assert row["image"] == "a"
    assert row["donor"] == "7"
    assert row["objects"] == "3"
    assert float(row["looked at (mm²)"]) == 0.5
    assert float(row["density (1/mm²)"]) == 6
    assert [row[f"area {p} % (px)"] for p in (5, 50, 95)] == ["10", "20.5", "1234"]
    assert [float(row[f"area {p} % (µm²)"]) for p in (5, 50)] == [1.25, 2.5625]
    assert row["mean_=x 95 %"] == "3e+07"
    assert row["why none"] == ""
    assert row["store"].startswith("a/")


def test_nothing_is_divided_by_what_nobody_looked_at(run: Run) -> None:
    run.result("a", mpp=[0.5, 0.5], looked_px=0.0, objects=0)
    run.result("b", mpp=[0.5, 0.5], looked_px=8e6)
    first, second = rows(run)
    assert first["density (1/mm²)"] == ""
    assert second["density (1/mm²)"] == "1.5"


def test_volumes_are_counted_by_the_cubic_millimetre(run: Run) -> None:
    run.result("a", mpp=[1.0, 1.0], z_um=2.0, looked_px=1e9, area_px=None,
               volume_px=[1.0, 2.0, 3.0])  # fmt: skip
    (row,) = rows(run)
    assert float(row["density (1/mm³)"]) == 1.5
    assert float(row["volume 50 % (µm³)"]) == 4
    assert not [name for name in row if "mm²" in name or name.startswith("area")]


def test_an_image_without_a_result_says_why(run: Run) -> None:
    run.refused("=b", "Its cells are all on one line,\nwhich can't be.")
    run.result("a")
    first, second = rows(run)
    assert first["image"] == "'=b"
    assert first["why none"] == "Its cells are all on one line, which can't be."
    assert first["objects"] == ""
    assert second["objects"] == "3"


def test_a_table_that_no_spreadsheet_holds_is_said(run: Run, tmp_path: Path) -> None:
    run.result("a")
    told = {"files": ["objects.csv"], "rows": SPREADSHEET_ROWS + 1}
    (run.here / "merged" / "tables.json").write_text(json.dumps(told))
    said, page = run.write()
    assert said["tables"] == ["objects.csv"]
    (line,) = (r for r in said["remarks"] if "spreadsheet" in r)
    assert "1,048,576 rows" in line
    assert "--table_rows 1048575 makes files that fit. Run again with it, which does" in line
    assert "--table_rows 1048575" in page
    assert too_long(SPREADSHEET_ROWS, None) == []
    assert too_long(10 * SPREADSHEET_ROWS, SPREADSHEET_ROWS) == []
    counts = {"counts": {"objects": SPREADSHEET_ROWS + 1}}
    (tmp_path / "run.json").write_text(json.dumps(counts))
    assert many_objects(tmp_path, None) == [f"By the run that is there: {line}"]
    assert many_objects(tmp_path, 1000) == many_objects(tmp_path / "none", None) == []
