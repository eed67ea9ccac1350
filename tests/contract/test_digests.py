"""A digest of code names every module that has a say in the numbers: the imports tell which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tilewright.plan.plan import MERGE_CODE, SCAN_CODE
from tilewright.registry.registry import ROOT, TILE_CODE

OURS = ROOT / "src" / "tilewright"
NO_NUMBERS = {
    "contract/closing.py": "closes files",
    "environments/interpreters.py": "says where an interpreter is",
    "errors.py": "says what is wrong",
    "environments/gpus.py": "says which GPU, not what it computes",
    "contract/jobs.py": "holds what PLAN wrote",
    "weights/cache.py": "says where weights are",
    "aiod/previews.py": "shows numbers while they are made",
    "preprocess/checks.py": "says what can't be done",
    "registry/registry.py": "PLAN's, in PREDICT a path",
}


def imported(path: Path) -> Iterator[Path]:
    """Our modules that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        words = (node.module or "").split(".")
        if not node.level and words[0] != "tilewright":
            continue
        top = path.parents[node.level - 1] if node.level else OURS.parent
        folder = top.joinpath(*words)
        for found in (folder.with_suffix(".py"), *(folder / f"{a.name}.py" for a in node.names)):
            if found.is_file() and found != OURS.with_suffix(".py"):
                yield found


def reached(*names: str) -> set[str]:
    """Modules with a say that these import, one by way of another."""
    found: set[str] = set()
    left = [OURS / n for n in names]
    while left:
        path = left.pop()
        name = path.relative_to(OURS).as_posix()
        if name not in found and name not in NO_NUMBERS:
            found.add(name)
            left += imported(path)
    return found


@pytest.mark.parametrize(
    ("start", "listed"),
    [
        pytest.param("predict/worker.py", TILE_CODE, id="PREDICT"),
        pytest.param("merge/write/stores.py", TILE_CODE + MERGE_CODE, id="MERGE"),
        pytest.param("preprocess/scan.py", SCAN_CODE, id="SCAN"),
    ],
)
def test_a_steps_modules_are_in_its_digest(start: str, listed: tuple[str, ...]) -> None:
    found = reached(start)
    assert len(found) > 5
    assert found - set(listed) == set()


def test_what_scripts_import_is_in_the_recipe() -> None:
    scripts = sorted((ROOT / "bin").glob("run_*.py"))
    found = {p.relative_to(OURS).as_posix() for s in scripts for p in imported(s)}
    assert {"runtime/serve.py", "runtime/tensors.py", "runtime/postprocess.py"} <= found
    assert reached(*found) - set(TILE_CODE) == set()
