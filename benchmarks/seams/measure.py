"""Runs rules on scenes and scores what they make."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from seams.job import Array, Job
from seams.rules import RULES, Outcome, run
from seams.scenes import SCENES, Scene
from tilewright.contract.grid import Grid
from tilewright.merge.measure.seam import SeamMeter

from oracle import score, whole  # isort: skip - `scenes` puts tests/ on the path

TRUTH, UNTILED = "truth", "untiled"


@dataclass(frozen=True)
class Row:
    """What one rule came to on one scene, or why it has no result.

    `seconds`, `cpu` and `peak_mb` are `rules.Outcome`'s; the counts are `oracle.Score`'s.
    """

    scene: str
    noise: str
    rule: str
    ap: float | None = None
    pq: float | None = None
    split: int | None = None
    merged: int | None = None
    lost: int | None = None
    sbe: float | None = None
    seconds: float | None = None
    cpu: float | None = None
    peak_mb: float | None = None
    version: str | None = None
    note: str = ""
    error: str = ""

    @property
    def case(self) -> tuple[str, str]:
        """The scene and the noise."""
        return self.scene, self.noise

    @property
    def mistakes(self) -> int:
        """Objects split, merged or lost."""
        return (self.split or 0) + (self.merged or 0) + (self.lost or 0)


def measure(scenes: Iterable[str], rules: Sequence[str], seconds: float = 180) -> list[Row]:
    """Run each rule on each scene with each of its noises; rows `truth` and `untiled`, too."""
    with tempfile.TemporaryDirectory() as name:
        cases, rows = {}, []
        for scene in (SCENES[s] for s in scenes):
            for noise in scene.noises:
                cases[scene.name, noise] = Path(name) / f"{scene.name}-{noise}".replace(" ", "_")
                rows += _prepared(scene, noise, cases[scene.name, noise])
        for rule in rules:
            mine = {c: f for c, f in cases.items() if RULES[rule].volumes or c[0] != "volume"}
            print(f"{rule} on {len(mine)} scenes", file=sys.stderr, flush=True)
            outcomes = run(rule, list(mine.values()), seconds)
            for case, folder, outcome in zip(mine, mine.values(), outcomes, strict=True):
                rows.append(_scored(case, rule, folder, outcome))
    return rows


def _prepared(scene: Scene, noise: str, folder: Path) -> list[Row]:
    """Write a scene's tiles and truth; what truth and an untiled run score."""
    truth = scene.truth()
    grid = scene.grid(truth.shape)
    Job.write(folder, grid, scene.seen(truth, noise).labels)
    np.save(folder / "truth.npy", truth)
    known = {TRUTH: truth, UNTILED: scene.untiled(truth, noise)}
    return [_row((scene.name, noise), rule, truth, seen, grid) for rule, seen in known.items()]


def _scored(case: tuple[str, str], rule: str, folder: Path, outcome: Outcome) -> Row:
    told = {k: v for k, v in asdict(outcome).items() if k != "labels"}
    if outcome.labels is None:
        return Row(*case, rule, **{**told, "seconds": None, "cpu": None, "peak_mb": None})
    truth, labels = np.load(folder / "truth.npy"), np.load(outcome.labels).astype(np.int64)
    outcome.labels.unlink()
    told.update({k: round(told[k], 2) for k in ("seconds", "cpu")}, peak_mb=round(told["peak_mb"]))
    return _row(case, rule, truth, labels, SCENES[case[0]].grid(truth.shape), **told)


def _row(
    case: tuple[str, str], rule: str, truth: Array, labels: Array, grid: Grid, **told: object
) -> Row:
    found = asdict(score(truth, labels))
    found.update(ap=round(found["ap"], 4), pq=round(found["pq"], 4))
    meter = SeamMeter(grid)
    meter.include(meter.count(whole(grid), labels))
    value = meter.value()
    return Row(*case, rule, **found, sbe=None if value is None else round(value, 2), **told)  # type: ignore[arg-type]
