"""What runs on a pull request: others' code by its commit, and our own by words that are right."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


def check() -> ModuleType:
    """What `./tilewright test` runs."""
    spec = importlib.util.spec_from_file_location("check", ROOT / "tools" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps(workflow: Path) -> list[dict[str, Any]]:
    """All steps of all jobs."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_pinned_by_its_commit(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", name)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}


def test_every_push_is_tested_and_its_words_name_what_is_there() -> None:
    checks = ROOT / ".github" / "workflows" / "checks.yml"
    workflow = yaml.safe_load(checks.read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML's `on`
    runs = [step.get("run", "").partition(" test ")[2] for step in steps(checks)]
    words = [shlex.split(line) for line in runs if line]
    assert len(words) == 2
    for asked in words:
        ours = [word for word in asked if word != "--no-checks"]
        assert all(is_there for _, is_there in check().pytest_words(ours)), asked
