"""The measures of the house, on small checkouts whose figures can be counted by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).parents[2] / "tools" / "house.py"
CONTRACT = """
[tool.other]
a = 1

[tool.importlinter]
root_package = "tilewright"

[[tool.importlinter.contracts]]
name = "down"
type = "layers"
containers = ["tilewright"]
layers = [
    "cli",
    "plan | merge",
    "errors",
]
"""
LABELS = '''"""Labels."""

from ..errors import Refused

MOST = 3


def joined(a: Array, b: int, c: int) -> Array:
    """One of two.

    Parameters
    ----------
    a
        (n, 2) pixels.
    """
    # neither this line nor the next one is code

    if b:
        raise Refused(
            "b"
        )
    return a
'''
PLAN = '''"""Plan."""

MOST = 4


def plan(a: dict[str, Any], b: Array, c: int) -> None:
    """Nothing."""
    from tilewright import merge


def _own(a: int, b: int, c: int) -> None:
    raise ValueError
'''
TESTS = """import pytest


@pytest.mark.parametrize("a", [1])
def test_one(a):
    with pytest.raises(ValueError):
        pass
    with pytest.raises(ValueError, match="b"):
        pass
"""
JUNIT = """<testsuites><testsuite>
<testcase classname="tests.merge.test_labels" name="a" time="1.5">
<properties><property name="cpu" value="2.5"/></properties></testcase>
<testcase classname="tests.merge.test_labels.TestMore" name="b" time="0.5"/>
<testcase classname="tests.test_walk" name="c" time="4"/>
</testsuite></testsuites>"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Rooms merge (a package and a module) and plan; errors lies flat. One import runs sideways."""
    files = {
        "pyproject.toml": CONTRACT,
        "main.nf": "a\nb\n",
        "modules/plan/main.nf": "a\n",
        "bin/run_toy.py": "a = 1\n",
        "src/tilewright/__init__.py": "",
        "src/tilewright/errors.py": "class Refused(Exception):\n    pass\n",
        "src/tilewright/merge/__init__.py": "",
        "src/tilewright/merge/labels.py": LABELS,
        "src/tilewright/plan/plan.py": PLAN,
        "tests/plan/test_plan.py": TESTS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def house(*args: object) -> str:
    """What it prints."""
    command = [sys.executable, HOUSE, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_figures_are_those_counted_by_hand(checkout: Path) -> None:
    found: dict[str, Any] = json.loads(house("--checkout", checkout, "--json"))
    wanted = {
        "rooms": {"(flat)": 1, "merge": 1, "plan": 1},
        "contract": 11,
        "layers": {"down": 3},
        "arrows": 2,
        "needed": 3,
        "against": 1,
        "functions": {"median": 2, "p90": 6, "max": 6},
        "main": 2,
        "nextflow": 3,
        "scripts": {"toy": 1},
        "docstrings": {"good": 2, "of": 2},
        "parameters": {"good": 1, "of": 2},
        "raises": {"good": 0, "of": 1},
        "shapes": {"good": 1, "of": 2},
        "names": 1,
        "any": 1,
        "match": {"good": 1, "of": 2},
        "parametrised": {"good": 1, "of": 1},
    }
    assert {key: found[key] for key in wanted} == wanted


LISTS = {
    "parameters": ["src/tilewright/plan/plan.py:6 plan"],
    "raises": ["src/tilewright/merge/labels.py:8 joined"],
    "against": ["src/tilewright/plan/plan.py:8 tilewright.plan.plan imports tilewright.merge"],
    "match": ["tests/plan/test_plan.py:6 pytest.raises(ValueError)"],
    "names": ["MOST", "src/tilewright/merge/labels.py:5 3", "src/tilewright/plan/plan.py:3 4"],
}


@pytest.mark.parametrize("key", LISTS)
def test_a_list_names_the_places_that_are_to_be_mended(checkout: Path, key: str) -> None:
    printed = house("--checkout", checkout, "--list", key).splitlines()
    assert [line.strip() for line in printed] == LISTS[key]


def test_an_import_up_a_floor_is_counted_and_one_down_is_not(checkout: Path) -> None:
    (checkout / "src" / "tilewright" / "cli.py").write_text("from .plan import plan\n")
    errors = checkout / "src" / "tilewright" / "errors.py"
    errors.write_text("from .cli import plan\n" + errors.read_text())
    printed = house("--checkout", checkout, "--list", "against")
    assert "tilewright.errors imports tilewright.cli" in printed
    assert "tilewright.cli imports" not in printed


def test_siblings_that_may_meet_are_no_fault(checkout: Path) -> None:
    contract = CONTRACT.replace("plan | merge", "plan : merge")
    (checkout / "pyproject.toml").write_text(contract)
    assert house("--checkout", checkout, "--list", "against").strip() == ""


def test_times_are_summed_by_folder_of_tests(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    printed = house("--times", tmp_path / "junit.xml").splitlines()
    rows = {"all": ("6.0", "2.5"), "(flat)": ("4.0", ""), "merge": ("2.0", "2.5")}
    assert [row.split("|")[1:4] for row in printed[2:]] == [
        [f" {a} ", f" {b} ", f" {c} "] for a, (b, c) in rows.items()
    ]
