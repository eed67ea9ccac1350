"""docs/adding-a-model.md, done as it says: every file it shows, every command, in order."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from running import PIPELINE, ROOT, Checkout, copy_checkout, run_json

PAGE = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")
MINUTES = 15


def benchmark() -> ModuleType:
    """benchmarks/walk.py, which knows what the page says to do."""
    found = importlib.util.spec_from_file_location("walk", ROOT / "benchmarks" / "walk.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules["walk"] = module  # its dataclass looks for it
    found.loader.exec_module(module)
    return module


WALK = benchmark()
STEPS = list(WALK.steps(PAGE))


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, dict[str, str], float]:
    """The checkout after the walk, what each command printed, and the seconds it all took."""
    if shutil.which("nextflow") is None:
        pytest.fail("There is no nextflow on the PATH: ./tilewright test brings it.")
    folder = tmp_path_factory.mktemp("walk")
    copy = copy_checkout(folder / "checkout", folder / "cache")
    for name in ("pyproject.toml", "docs"):
        whole = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        whole(ROOT / name, copy.root / name)
    for name in ("running.py", "trying.py"):
        shutil.copy(ROOT / "tests" / name, copy.root / "tests")
    begun, told = time.monotonic(), {}
    for step in STEPS:
        if step.path:
            assert (copy.root / step.path).is_file(), "the page changes what new-model wrote"
            (copy.root / step.path).write_text(step.text, encoding="utf-8")
        else:
            told[str(step)] = do(copy, step.words)
    return copy, told, time.monotonic() - begun


def do(copy: Checkout, words: tuple[str, ...]) -> str:
    """Run one command of the page; of `test`, the tests alone: the checks have been done here."""
    if words[0] == "test":
        command = [sys.executable, "-m", "pytest", "-q", *words[1:]]
        done = subprocess.run(
            command, cwd=copy.root, env=copy.env, capture_output=True, text=True, check=False
        )
    else:
        done = copy.cli(*words, cwd=copy.root)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.nextflow
def test_the_walk_ends_with_two_models_that_find_something(
    walked: tuple[Checkout, dict[str, str], float],
) -> None:
    copy, told, seconds = walked
    assert seconds < MINUTES * 60
    for results in ("results-blobs", "results-mine"):
        run = run_json(copy.root / results)
        assert run["failed"] == []
        assert all(image["objects"] > 0 for image in run["images"]), run["images"]
    passed = [out for line, out in told.items() if line.startswith("./tilewright test")]
    assert all("2 passed" in out for out in passed)
    assert copy.cli("generate", "--check", cwd=copy.root).returncode == 0
    assert "NUCLEI" in (copy.root / "src" / "tilewright" / "api" / "models.py").read_text()


@pytest.mark.nextflow
def test_the_network_of_the_walk_finds_what_the_shipped_one_does(
    walked: tuple[Checkout, dict[str, str], float], tmp_path: Path
) -> None:
    """Its manifest has what the file tells; the shipped one has more, all of it defaults."""
    copy, _, _ = walked
    made = yaml.safe_load((copy.root / "manifests" / "my_nuclei.yml").read_text())
    ours = yaml.safe_load((ROOT / "manifests" / "nuclei.yml").read_text())
    for field in ("num_channels", "color_space", "normalization", "output_kind"):
        assert made["spec"][field] == ours["spec"][field], field
    tile, shipped = made["spec"]["tile_spec"], ours["spec"]["tile_spec"]
    assert tile["stride_multiple"] == shipped["stride_multiple"] == 8
    assert tile["variable_input"] is True


def test_the_page_shows_the_script_and_names_every_file_that_is_written() -> None:
    assert [s.path for s in STEPS if s.path] == ["bin/run_blobs.py", "manifests/blobs.yml"]
    assert [s.words[0] for s in STEPS if s.words].count("new-model") == 2
    assert "src" in PIPELINE
    assert all(s.path in PAGE.replace(f"title={s.path}", "") for s in STEPS if s.path)
