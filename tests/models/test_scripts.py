"""The scripts of models: short, and good for the Pythons their environments may have."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

MOST, LONGER = 90, {"run_empanada.py": 180, "run_cellpose.py": 97}  # lines; both know volumes, too
SCRIPTS = sorted((Path(__file__).parents[2] / "bin").glob("run_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_and_runs_on_python_3_8(script: Path) -> None:
    text = script.read_text()
    ast.parse(text, feature_version=(3, 8))
    assert len(text.splitlines()) <= LONGER.get(script.name, MOST)
    assert os.access(script, os.X_OK)
