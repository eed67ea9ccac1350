"""What a sheet says of images reaches their tables, and what an earlier run left is named."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import pytest
from running import Checkout, ran, run_json, store, write_discs

pytestmark = pytest.mark.nextflow
ALWAYS = ["PLAN", "REPORT"]


@dataclass(frozen=True)
class After:
    """A run, and what lay in the output folder after it."""

    done: subprocess.CompletedProcess[str]
    ran: list[str]
    facts: dict[str, Any]
    conditions: dict[str, set[str]]
    heads: dict[str, list[str]]


def head(table: Path) -> list[str]:
    """The names of a table's columns."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


@pytest.fixture(scope="module")
def runs(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, After]:
    """Into the folder that holds the images': a run, another condition, a damaged image, a slip."""
    here = tmp_path_factory.mktemp("sheets")
    for seed, name in enumerate("ab"):
        write_discs(here / "slides" / f"{name}.tif", seed=seed)
    found: dict[str, After] = {}

    def run(name: str, condition: str, *args: str) -> None:
        lines = (
            "image;mpp;condition;arm",
            f"slides/a.tif;0,5;{condition};7",
            "slides/b.tif;0,5;;8",
            ";;;",
        )
        (here / "sheet.csv").write_text("\n".join(lines))
        done = checkout.run(here / "sheet.csv", here, *args, cwd=here)
        obs = {n: anndata.read_zarr(store(here, n) / "tables" / "everything").obs for n in "ab"}
        said = {n: set(o["condition"].dropna()) for n, o in obs.items()}
        heads = {n: head(here / n) for n in ("images.csv", "objects.csv")}
        found[name] = After(done, ran(here), run_json(here), said, heads)

    run("first", "control")
    run("condition", "treated")
    (here / "slides" / "b.tif").write_bytes(b"II*\0 nothing of a TIFF")
    run("damage", "treated")
    run("slip", "treated", "--mpp", "much")
    return found


def test_a_sheets_other_columns_are_in_tables_and_run_json(runs: dict[str, After]) -> None:
    first = runs["first"]
    assert first.done.returncode == 0, first.done.stderr
    assert first.conditions == {"a": {"control"}, "b": set()}
    columns = [image["columns"] for image in first.facts["images"]]
    assert columns == [{"condition": "control", "arm": "7"}, {"condition": "", "arm": "8"}]
    assert [image["mpp"] for image in first.facts["images"]] == [[0.5, 0.5]] * 2
    assert "note: sheet.csv: what it says of condition, arm goes into tables" in first.done.stderr


@pytest.mark.parametrize("table", ["images.csv", "objects.csv"])
def test_a_sheets_other_columns_come_in_its_order(runs: dict[str, After], table: str) -> None:
    assert runs["first"].heads[table][:3] == ["image", "condition", "arm"]


def test_another_condition_is_merged_and_not_predicted_again(runs: dict[str, After]) -> None:
    assert runs["condition"].ran == sorted(["MERGE", "TABLES", *ALWAYS])
    assert runs["condition"].conditions == {"a": {"treated"}, "b": set()}


def test_a_store_that_stays_of_an_earlier_run_is_named(runs: dict[str, After]) -> None:
    run = runs["damage"]
    assert run.done.returncode == 65
    (left,) = (image for image in run.facts["images"] if image["id"] == "b")
    assert left["store"] is None
    assert left["stale"] == "b/toy-1-everything.zarr"
    said = (
        "b: The store toy-1-everything.zarr in its folder is an earlier run's, of the same recipe"
    )
    assert f"tilewright: note: {said}; this run has none for it." in run.done.stderr


def test_a_run_that_begins_nothing_says_whose_the_results_are(runs: dict[str, After]) -> None:
    run = runs["slip"]
    assert run.done.returncode == 2
    assert "is an earlier run's" in run.done.stderr
    assert run.facts == runs["damage"].facts
