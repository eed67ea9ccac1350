"""The tables of a whole run: what is in them, and that they aren't written again for nothing."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from running import Checkout, discs, labels, pieces, ran, run_json, store, write_discs
from skimage.measure import regionprops

from tilewright import read_objects

pytestmark = pytest.mark.nextflow
EVIL = '=HYPERLINK("x")'


@dataclass(frozen=True)
class After:
    """What lay in the output folder after a run, and which of its tasks weren't cached."""

    code: int
    said: str
    ran: list[str]
    facts: dict[str, Any]
    written: dict[str, int]
    images: list[dict[str, str]]
    beside: set[str]


def leave_behind(out: Path) -> None:
    """What an earlier run of many images, with a truth, leaves; and a file of somebody's own."""
    facts = run_json(out) | {"pictures": ["report/old/picture.png", "report/two/../../../x.png"]}
    (out / "run.json").write_text(json.dumps(facts))
    texts = {
        "report/old/picture.png": "",
        "report/two/mine.png": "",
        "scores.json": '{"recipe": "0"}',
    }
    for name, text in {**texts, "scores.html": "", "scores.csv": ""}.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)


def rows(path: Path) -> list[dict[str, str]]:
    """A table as any program reads it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def runs(checkout: Checkout, here: Path) -> dict[str, After]:
    """A run of two images and one that is none; the same again; split; and with shapes."""
    big = write_discs(here / "in" / "big.tif", (300, 340), seed=3)
    write_discs(here / "in" / "small.tif", seed=4)
    (here / "in" / "none.tif").write_bytes(b"II*\0 nothing of a TIFF")
    lines = ("image,mpp,condition", f'{big},0.5,"=HYPERLINK(""x"")"', "in/small.tif,,-1.5",
             "in/none.tif,,")  # fmt: skip
    (here / "sheet.csv").write_text("\n".join(lines))
    found: dict[str, After] = {}
    (here / "out").mkdir()
    (here / "out" / "objects-7.csv").write_text("somebody's own")
    (here / "out" / "scores.csv").write_text("somebody's own")

    def run(name: str, *args: str) -> None:
        out = here / "out"
        done = checkout.run(here / "sheet.csv", out, *args, cwd=here)
        made = [
            p for p in sorted(out.glob("*.csv")) if p.name not in ("objects-7.csv", "scores.csv")
        ]
        written = {p.name: p.stat().st_mtime_ns for p in made}
        facts, images = run_json(out), rows(out / "images.csv")
        beside = {
            str(p.relative_to(out)) for kind in ("scores.*", "report/**/*") for p in out.glob(kind)
        }
        found[name] = After(done.returncode, done.stderr, ran(out), facts, written, images, beside)

    run("first")
    run("again")
    run("split", "--table_rows", "200")
    leave_behind(here / "out")
    run("shape", "--features", "shape")
    return found


def test_every_object_has_a_row_and_every_image_too(runs: dict[str, After], here: Path) -> None:
    first = runs["first"]
    assert first.code == 65
    assert first.facts["tables"] == ["objects.csv"]
    counts = {row["image"]: row["objects"] for row in first.images}
    assert counts == {
        name: str(pieces_of(here, name)) if name != "none" else ""
        for name in ("big", "small", "none")
    }
    (none,) = (row for row in first.images if row["image"] == "none")
    assert none["why none"].startswith(str(here / "in" / "none.tif"))
    assert none["store"] == ""


def pieces_of(here: Path, name: str) -> int:
    """How many discs were drawn."""
    shape, seed = {"big": ((300, 340), 3), "small": ((64, 64), 4)}[name]
    return int(pieces(discs(shape, seed)).max())


def test_density_is_of_what_was_looked_at_where_micrometres_are_known(
    runs: dict[str, After],
) -> None:
    rows = {row["image"]: row for row in runs["first"].images}
    area = 300 * 340 * 0.5**2 / 1e6
    assert float(rows["big"]["looked at (mm²)"]) == pytest.approx(area, rel=1e-6)
    count = int(rows["big"]["objects"])
    assert float(rows["big"]["density (1/mm²)"]) == pytest.approx(count / area, rel=1e-6)
    assert rows["small"]["density (1/mm²)"] == ""


def test_a_resume_that_changed_nothing_writes_no_table(runs: dict[str, After]) -> None:
    assert runs["again"].ran == ["PLAN", "REPORT"]
    assert runs["again"].written == runs["first"].written


def test_a_long_table_is_split_on_request_and_nothing_else_is_done(
    runs: dict[str, After], here: Path
) -> None:
    split = runs["split"]
    assert split.ran == ["PLAN", "REPORT", "TABLES"]
    assert split.facts["tables"] == ["objects-1.csv", "objects-2.csv"]
    assert sorted(split.written) == ["images.csv", "objects-1.csv", "objects-2.csv"]


def test_only_tables_that_a_run_wrote_are_taken_away(runs: dict[str, After], here: Path) -> None:
    assert runs["shape"].facts["tables"] == ["objects.csv"]
    there = sorted(p.name for p in (here / "out").glob("objects*.csv"))
    assert there == ["objects-7.csv", "objects.csv"]
    assert (here / "out" / "objects-7.csv").read_text() == "somebody's own"


def test_scores_and_pictures_of_an_earlier_run_arent_taken_for_this_ones(
    runs: dict[str, After],
) -> None:
    assert runs["split"].beside == {"scores.csv"}  # somebody's own
    assert runs["shape"].beside == {"report/two", "report/two/mine.png"}


def test_more_features_predict_nothing_again(runs: dict[str, After]) -> None:
    assert "PREDICT" not in runs["shape"].ran
    assert {"MERGE", "TABLES"} <= set(runs["shape"].ran)


def test_the_table_is_the_stores_and_scikit_images(runs: dict[str, After], here: Path) -> None:
    assert runs["shape"].facts["tables"] == ["objects.csv"]
    out = here / "out"
    frame = read_objects(out)
    assert set(frame["condition"]) == {EVIL, "-1.5"}
    raw = (out / "objects.csv").read_text(encoding="utf-8-sig")
    assert '"\'=HYPERLINK(""x"")"' in raw
    assert ",-1.5," in raw
    big = frame[frame["image"] == "big"].reset_index(drop=True)
    props = regionprops(labels(out, "big").astype(int))
    assert big["id"].tolist() == [p.label for p in props]
    for name, values in {
        "area (px)": [p.area for p in props],
        "perimeter (px)": [p.perimeter for p in props],
        "perimeter (µm)": [p.perimeter / 2 for p in props],
        "axis_major (px)": [p.axis_major_length for p in props],
        "extent": [p.extent for p in props],
    }.items():
        assert big[name].to_numpy() == pytest.approx(np.array(values), rel=1e-6), name
    assert set(big["agreement"]) == {1.0}
    obs = anndata.read_zarr(store(out, "big") / "tables" / "everything").obs
    assert obs["perimeter_px"].to_numpy() == pytest.approx(big["perimeter (px)"], rel=1e-9)
    assert frame[frame["image"] == "small"]["perimeter (µm)"].isna().all()
