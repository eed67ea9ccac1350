"""Which models' environments a commit's tests build."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from running import ROOT


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("by_turns", ROOT / "tools" / "by_turns.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TURNS = load()
NAMES = ["cellpose", "cellposesam", "sam", "sam2", "stardist"]


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("envs/sam.yml", ["sam"]),
        ("bin/run_sam2.py", ["sam2"]),
        ("tests/models/test_cellpose.py", ["cellpose"]),
        ("benchmarks/zoo/make/make_stardist.py", ["stardist"]),
        ("manifests/cellposesam.yml", ["cellposesam"]),
        ("docs/sam.md", []),
        ("src/tilewright/samples.py", []),
    ],
)
def test_a_file_touches_the_environment_whose_name_it_has(file: str, names: list[str]) -> None:
    assert TURNS.touched(NAMES, [file]) == names


def test_by_turns_every_environment_comes_first_and_a_commit_always_gives_the_same() -> None:
    orders = [TURNS.in_turn(NAMES, f"{n:040x}") for n in range(40)]
    assert {order[0] for order in orders} == set(NAMES)
    assert all(sorted(order) == NAMES for order in orders)
    assert orders == [TURNS.in_turn(NAMES, f"{n:040x}") for n in range(40)]


def test_what_a_commit_tests_takes_its_minutes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TURNS, "MINUTES", {"long": 20, "half": 6})
    names = ["half", "long", "short", "other", "third"]
    assert TURNS.within(names, 12) == ["half", "short", "other"]
    assert TURNS.within(["long", "short"], 12) == ["long"]  # one always
    assert TURNS.within([], 12) == []


def test_minutes_are_of_environments_that_are_there() -> None:
    assert set(load().MINUTES) <= set(TURNS.models())


def commit(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "x" if path.exists() else "x")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], cwd=folder, check=True)


def test_a_commit_tests_what_it_touched_and_one_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TURNS, "MINUTES", {})  # whichever the other is, both go in
    commit(tmp_path, *(f"envs/{name}.yml" for name in (*NAMES, "base")))
    first = TURNS.main(tmp_path).split()
    assert len(first) == 1
    assert "what changed isn't known" in capsys.readouterr().err
    commit(tmp_path, "envs/sam.yml", "envs/base.yml")
    both = TURNS.main(tmp_path).split()
    assert both[0] == "sam"
    assert len(set(both)) == 2
    said = capsys.readouterr().err
    assert f"changed: sam; by turns: {both[1]}; left to other commits: none" in said


def test_a_commit_that_touches_all_leaves_some_to_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TURNS, "MINUTES", {})
    commit(tmp_path, "README.md")
    commit(tmp_path, *(f"envs/{name}.yml" for name in NAMES))
    chosen = TURNS.main(tmp_path).split()
    left = capsys.readouterr().err.split("left to other commits: ")[1].strip().split(", ")
    assert len(chosen) < len(NAMES)
    assert sorted([*chosen, *left]) == NAMES


def test_without_a_commit_all_are_tested(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    for name in NAMES:
        (tmp_path / "envs" / f"{name}.yml").touch()
    assert TURNS.main(tmp_path).split() == NAMES


def test_a_test_of_an_environment_that_isnt_wanted_is_skipped_and_names_it() -> None:
    words = ["-m", "slow", "-rs", "-p", "no:cacheprovider", "tests/models/test_stardist.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "TILEWRIGHT_TEST_ENVIRONMENTS": "sam timm"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "models' environments: sam timm" in ran.stdout
    assert "the environment stardist isn't tested now, only sam timm" in ran.stdout
    assert " passed" not in ran.stdout
