"""The benchmark of seams: its scores are right, its rules do what is said of them, it runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import abutting, dense_cells, full_and_empty, pixel_cells, score

from tilewright import ROOT
from tilewright.contract.grid import Grid, TileAxis

sys.path.insert(0, str(ROOT / "benchmarks"))

from seams import measure, rules, tables, targets
from seams.environment import peers_python
from seams.job import Job
from seams.measure import Row
from seams.plain import hard_cut, mutual_best, summed
from seams.scenes import SCENES, Scene

# --- scores -------------------------------------------------------------------------------------


def row(drawn: str) -> np.ndarray:
    """(1, n) labels: one character a pixel, a dot is background."""
    return np.array([[0 if c == "." else ord(c) for c in drawn]])


@pytest.mark.parametrize(
    ("truth", "predicted", "ap", "pq", "counts"),
    [
        pytest.param("aaaa.bbbb", "cccc.dddd", 1, 1, (0, 0, 0), id="perfect, other ids"),
        pytest.param("aaaa.bbbb", "ccdd.eeee", 1 / 4, 1 / 2.5, (1, 0, 0), id="one split"),
        pytest.param("aaaa.bbbb", "cccc.cccc", 0, 0, (0, 1, 0), id="two made one"),
        pytest.param("aaaa.bbbb", "cccc.....", 1 / 2, 1 / 1.5, (0, 0, 1), id="one lost"),
        pytest.param("aaaa.bbbb", "cccc.d...", 1 / 3, 1 / 2, (0, 0, 1), id="one nearly lost"),
        pytest.param("aaaa.bbbb", "cccc.ddd.", 1, 1.75 / 2, (0, 0, 0), id="one found at IoU 0.75"),
        pytest.param("aaaa.....", "cccc.dddd", 1 / 2, 1 / 1.5, (0, 0, 0), id="one invented"),
        pytest.param(".........", ".........", 1, 1, (0, 0, 0), id="nothing there, nothing found"),
        pytest.param(".........", "c........", 0, 0, (0, 0, 0), id="nothing there, one found"),
    ],
)
def test_a_score_is_what_a_person_would_count(
    truth: str, predicted: str, ap: float, pq: float, counts: tuple[int, int, int]
) -> None:
    found = score(row(truth), row(predicted))
    assert (found.ap, found.pq) == (pytest.approx(ap), pytest.approx(pq))
    assert (found.split, found.merged, found.lost) == counts


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_scores_are_those_found_object_by_object(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (3, 3)).repeat(3, 0).repeat(3, 1)
    predicted = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 5, truth.shape), truth)
    masks_t, masks_p = ([a == i for i in np.unique(a[a > 0])] for a in (truth, predicted))
    ious = [[(t & p).sum() / (t | p).sum() for p in masks_p] for t in masks_t]
    hits = [i for line in ious for i in line if i > 0.5]
    inside = [[2 * (t & p).sum() >= p.sum() for p in masks_p] for t in masks_t]
    holds = [[2 * (t & p).sum() >= t.sum() for t in masks_t] for p in masks_p]
    found = score(truth, predicted)
    assert found.ap == pytest.approx(len(hits) / (len(masks_t) + len(masks_p) - len(hits)))
    assert found.pq == pytest.approx(2 * sum(hits) / (len(masks_t) + len(masks_p)))
    assert found.split == sum(sum(line) > 1 for line in inside)
    assert found.merged == sum(sum(line) > 1 for line in holds)
    assert found.lost == sum(2 * (t & (predicted > 0)).sum() < t.sum() for t in masks_t)


def test_scenes_are_what_they_are_called() -> None:
    half = full_and_empty((40, 60), 5, 0)
    assert not half[:, :30].any()
    assert half[:, 30:].all()
    squares = abutting((50, 40), 12, 10)
    assert [np.unique(squares[12:22, x]).size for x in (11, 12)] == [1, 1]
    assert squares[11, 11] != squares[12, 11] != squares[12, 12]
    assert len(np.unique(squares)) == 5 * 4
    dots = pixel_cells((7, 8))
    assert np.unique(dots, return_counts=True)[1].tolist() == [40, *[1] * 16]


# --- rules --------------------------------------------------------------------------------------

TWO_TILES = Grid((TileAxis(1), TileAxis(12, band=2)), (1, 20))
"""One row of 20 px in two tiles: valid regions 0-11 and 8-19, cores 0-9 and 10-19."""


@pytest.mark.parametrize(
    ("rule", "left", "right", "want"),
    [
        pytest.param(hard_cut, "......aaaa..", ".aaa........", "......111122........", id="cut"),
        pytest.param(summed, "......1111..", "1122........", "......112222........", id="sum"),
        pytest.param(mutual_best, "......aaaa..", "aaab........", "......111112........", id="one"),
        pytest.param(mutual_best, "......aabb..", "aab.........", "......11223.........", id="two"),
    ],
)
def test_rules_do_what_is_said_of_them(
    rule: object, left: str, right: str, want: str, tmp_path: Path
) -> None:
    seen = [np.array([[int(c, 36) if c != "." else 0 for c in s]]) for s in (left, right)]
    merged = rule(Job.write(tmp_path / "job", TWO_TILES, seen))[0]  # type: ignore[operator]
    ids = list(dict.fromkeys(merged[merged > 0].tolist()))
    assert "".join("." if i == 0 else str(ids.index(i) + 1) for i in merged) == want


def test_a_job_comes_back_as_it_was_written(tmp_path: Path) -> None:
    grid = Grid((TileAxis(9, 2, 1), TileAxis(8, 1)), (20, 17))
    seen = [np.full([hi - lo for lo, hi in t.valid], t.index) for t in grid]
    written = Job.write(tmp_path / "job", grid, seen)
    job = Job.load(tmp_path / "job")
    assert job == written
    assert [t.core for t in job.tiles] == [t.core for t in grid]
    assert all((job.core(i) == i).all() for i in range(len(grid)))


# --- the benchmark, small -----------------------------------------------------------------------

WRITTEN_HERE = [name for name, rule in rules.RULES.items() if rule.package is None]
TINY = {
    "dense": Scene("dense", "", lambda: dense_cells((150, 170), 8, 0), ((48, 18, 4),) * 2),
    "volume": Scene("volume", "", lambda: dense_cells((60, 64, 62), 6, 0), ((16, 12, 2),) * 3),
}


@pytest.fixture(scope="module")
def tiny() -> list[Row]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "SCENES", TINY)
        return measure.measure(TINY, WRITTEN_HERE, seconds=60)


def test_every_rule_has_a_row_for_every_scene_with_its_time_and_memory(tiny: list[Row]) -> None:
    cases = [(scene, noise) for scene in TINY for noise in ("perfect", "noisy")]
    names = [measure.TRUTH, measure.UNTILED, *WRITTEN_HERE]
    assert sorted((*r.case, r.rule) for r in tiny) == sorted((*c, n) for c in cases for n in names)
    ran = [r for r in tiny if r.rule in WRITTEN_HERE]
    assert all(r.error == "" and r.seconds >= 0 and r.peak_mb >= 0 for r in ran)


def test_on_small_scenes_nothing_is_missed_and_other_rules_do_worse(tiny: list[Row]) -> None:
    reference = [("volume", "noisy")]  # two dozen cells: one of them is a lot
    assert [m for m in targets.misses(tiny) if not m.startswith(" ".join(*reference))] == []
    at = {(r.case, r.rule): r for r in tiny}
    for scene in TINY:
        assert at[(scene, "perfect"), "tilewright"].ap == 1
        assert at[(scene, "perfect"), "cut"].split > 5
        assert at[(scene, "perfect"), "sum"].merged > 5
    assert at[("dense", "perfect"), "cut"].sbe > 5 * at[("dense", "perfect"), "truth"].sbe


def test_tables_have_a_line_per_scene_and_a_column_per_rule(tiny: list[Row]) -> None:
    found = tables.tables(tiny)
    head, _, *lines = found["AP"].splitlines()
    assert head == f"| scene | untiled | {' | '.join(WRITTEN_HERE)} |"
    assert lines[0].startswith("| dense, perfect | 1.000 | 1.000 | 0.")
    assert "| Tilewright | Tilewright's | 4 of 4 | " in found["Rules"]
    page = tables.filled("a\n<!-- begin AP -->\nold\n<!-- end AP -->\nb\n", tiny)
    assert page == f"a\n<!-- begin AP -->\n\n{found['AP']}\n\n<!-- end AP -->\nb\n"


def made_up(rule: str, **values: object) -> Row:
    good = {"ap": 1.0, "pq": 1.0, "split": 0, "merged": 0, "lost": 0, "sbe": 1.0}
    return Row("dense", "perfect", rule, **{**good, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "peer", "said"),
    [
        pytest.param({}, {}, [], id="all reached"),
        pytest.param({}, {"error": "RuntimeError: no"}, [], id="a peer that fails"),
        pytest.param({"pq": 0.99}, {}, ["dense perfect: PQ 0.99, ngio has 1.0"], id="worse"),
        pytest.param({"pq": 0.996}, {}, [], id="hardly worse"),
        pytest.param(
            {"split": 2}, {"lost": 1}, ["2 objects split, merged or lost, ngio has 1"], id="counts"
        ),
        pytest.param(
            {"sbe": 2.0}, {}, ["dense perfect: SBE 2.0, wanted <= 1.5 (truth 1.0)"], id="seams"
        ),
        pytest.param(
            {"error": "KeyError: 3", "ap": None, "pq": None, "sbe": None},
            {"ap": 0.5},
            ["dense perfect: KeyError: 3", "dense perfect: AP None, wanted 1"],
            id="ours fails",
        ),
    ],
)
def test_a_missed_target_is_named(
    ours: dict[str, object], peer: dict[str, object], said: list[str]
) -> None:
    rows = [made_up("truth"), made_up("tilewright", **ours), made_up("ngio", **peer)]
    assert targets.misses(rows) == said


def job_of(scene: Scene, folder: Path, noise: str = "perfect") -> np.ndarray:
    truth = scene.truth()
    Job.write(folder, scene.grid(truth.shape), scene.seen(truth, noise).labels)
    return truth


def test_a_rule_that_fails_or_takes_too_long_says_so(tmp_path: Path) -> None:
    job_of(TINY["dense"], tmp_path / "job")
    (tmp_path / "job" / "tiles" / "0.npy").write_bytes(b"no array")
    (failed,) = rules.run("cut", [tmp_path / "job"], 60)
    assert failed.labels is None
    assert failed.error.startswith("ValueError: ")
    job_of(TINY["dense"], tmp_path / "other")
    (late,) = rules.run("tilewright", [tmp_path / "other"], seconds=0)
    assert late.error == "not done after 0 s"
    (gone,) = rules.run("ngio", [tmp_path / "job"], 60, python=Path(sys.executable))
    assert gone.error == "ModuleNotFoundError: No module named 'ngio'"


# --- the figures in the docs --------------------------------------------------------------------


def test_the_tables_in_the_docs_are_those_of_the_figures_kept() -> None:
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.filled(page, tables.kept()) == page


def test_the_figures_kept_are_of_all_scenes_and_rules() -> None:
    rows = tables.kept()
    cases = {(s.name, noise) for s in SCENES.values() for noise in s.noises}
    assert {r.case for r in rows} == cases
    ran = {name: {r.case for r in rows if r.rule == name} for name in rules.RULES}
    assert ran["tilewright"] == cases
    assert all(len(mine) > len(cases) / 2 for mine in ran.values())


def test_the_tests_that_the_page_names_exist() -> None:
    named = re.findall(r"`(test_\w+)`", tables.PAGE.read_text(encoding="utf-8"))
    there = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) >= 12
    assert [name for name in named if f"def {name}(" not in there] == []


# --- with the peers' environment ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, rule in rules.RULES.items() if rule.package])
def test_a_peers_own_code_runs_on_our_tiles(name: str, tmp_path: Path) -> None:
    """Perfect tiles: those that compare overlaps are right; those that look at faces aren't."""
    scenes = [s for s in TINY if rules.RULES[name].volumes or s != "volume"]
    truths = [job_of(TINY[s], tmp_path / s) for s in scenes]
    for truth, outcome in zip(
        truths, rules.run(name, [tmp_path / s for s in scenes], 100), strict=True
    ):
        assert outcome.error == ""
        assert outcome.version
        found = score(truth, np.load(outcome.labels))
        assert (found.ap == 1) == (name not in ("cellpose", "touch"))


@pytest.mark.slow
def test_scores_are_those_of_a_library(tmp_path: Path) -> None:
    """StarDist's `matching`, which is dense: for a crop."""
    truth = dense_cells((300, 300), 12, 3)
    scene = replace(TINY["dense"], tiles=((64, 24, 4),) * 2)
    grid = scene.grid(truth.shape)
    seen = hard_cut(Job.write(tmp_path / "job", grid, scene.seen(truth, "noisy").labels))
    np.savez(tmp_path / "pair.npz", truth=truth, seen=seen.astype(np.int32))
    code = (
        "import sys, json, numpy as np; from stardist.matching import matching\n"
        "a = np.load(sys.argv[1]); m = matching(a['truth'], a['seen'], thresh=0.5)\n"
        "print(json.dumps([float(m.accuracy), float(m.panoptic_quality)]))"
    )
    done = subprocess.run(
        [peers_python(), "-c", code, tmp_path / "pair.npz"], check=True, capture_output=True
    )
    found = score(truth, seen)
    assert found.ap < 1
    assert [found.ap, found.pq] == pytest.approx(json.loads(done.stdout.splitlines()[-1]), abs=1e-6)
