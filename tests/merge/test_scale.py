"""The scale benchmark: its scenes are the same in every window, and its figures are of what ran."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import score

from tilewright import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import scale
from drawn import Lattice

PLANE = Lattice((300, 260), 24)
VOLUME = Lattice((40, 60, 50), 11)


@pytest.mark.parametrize("scene", [PLANE, VOLUME], ids=["2D", "3D"])
def test_a_window_of_a_scene_is_the_scenes(scene: Lattice) -> None:
    whole = scene.draw(tuple((0, n) for n in scene.shape))
    window = tuple((n // 3, n - n // 5) for n in scene.shape)
    inside = whole[tuple(slice(*side) for side in window)]
    assert len(np.unique(inside)) > 20
    assert np.array_equal(scene.draw(window), inside)
    labels, numbers = scene.seen(window, seed=3)
    assert np.array_equal(np.concatenate([[0], numbers])[labels], inside)


def test_tiles_that_differ_see_the_same_objects() -> None:
    window = ((0, 300), (0, 260))
    found = [PLANE.seen(window, seed, 0.06) for seed in (1, 2)]
    one, two = (np.concatenate([[0], numbers])[labels] for labels, numbers in found)
    assert set(found[0][1]) == set(found[1][1])
    differs = (one != two).mean()
    assert 0.005 < differs < 0.1


def test_precision_strip_by_strip_is_the_oracles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "STRIP", 70)
    truth = PLANE.draw(((0, 300), (0, 260)))
    labels = truth.copy()
    labels[:, 100:] = np.where(labels[:, 100:] > 0, labels[:, 100:] + 5000, 0)  # cut in two
    labels[labels == labels.max()] = 0
    assert scale.precisions(PLANE, [labels, truth]) == [pytest.approx(score(truth, labels).ap), 1]


def test_a_case_is_banked_merged_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = scale.Case((400, 360), 24, size=192, band=32)
    monkeypatch.setitem(scale.CASES, "small", case)
    scale.measure("small", tmp_path, argparse.Namespace(wobble=0.05, processes=1, peers=[]))
    said = capsys.readouterr().out
    drawn = len(np.unique(case.scene.draw(((0, 400), (0, 360))))) - 1
    assert f"{drawn} objects drawn" in said
    assert f"{drawn} found" in said
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["MERGE", "plain,", "plain,"]
