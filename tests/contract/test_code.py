"""A room's digest: code counts, words don't, and every room with a say in the numbers is in one."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tilewright import ROOT
from tilewright.contract.code import HOUSE, MERGE, PREDICT, SCAN, code_of, room_digest

NO_NUMBERS = {
    "errors": "says what is wrong",
    "environments": "says where an interpreter is",
    "__init__": "says where the checkout is",
}
SOURCE = b'''"""What it is."""
import os

X = """a

  # no comment
b"""
"""What X is."""


def f():  # why
    """One."""
    return "\xc3\xbc"  # \xc3\xbc
'''
PYTHONS = [p for n in (11, 12, 13, 14) if (p := shutil.which(f"python3.{n}"))]
ASK = "from tilewright.contract.code import *; print(room_digests(PREDICT + MERGE))"


def imported(path: Path) -> set[str]:
    """The rooms that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            first, _, rest = (node.module or "").partition(".")
            if first == "tilewright":
                names.add(rest.split(".")[0] or "__init__")
    return names


def test_words_do_not_count() -> None:
    bare = b'import os\nX = """a\n\n  # no comment\nb"""\ndef f():\n    return "\xc3\xbc"\n'
    assert code_of(SOURCE) == code_of(bare)
    assert code_of(bare).rstrip() == bare.rstrip()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"import os", b"import io", id="a-statement"),
        pytest.param(b"a\n\n", b"a\n", id="a-blank-line-in-a-string"),
        pytest.param(b"  # no", b"  # now no", id="a-hash-in-a-string"),
        pytest.param(b"  # no", b"# no", id="indentation-in-a-string"),
        pytest.param(b'"\xc3\xbc"', b'"\xc3\xbc "', id="a-character"),
    ],
)
def test_code_counts(old: bytes, new: bytes) -> None:
    changed = SOURCE.replace(old, new, 1)
    assert changed != SOURCE
    assert code_of(changed) != code_of(SOURCE)


def test_a_new_module_in_a_room_counts_and_a_comment_does_not(tmp_path: Path) -> None:
    shutil.copytree(HOUSE / "merge", tmp_path / "a" / "merge")
    ours = room_digest("merge")
    assert room_digest("merge", tmp_path / "a") == ours
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with (tmp_path / "b" / "merge" / "match" / "labels.py").open("a") as file:
        file.write("\n# a comment\n")
    assert room_digest("merge", tmp_path / "b") == ours
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "merge" / "measure" / "new.py").write_text("")
    assert room_digest("merge", tmp_path / "c") != ours


def test_a_kept_digest_is_found_again_and_never_another_rooms_state(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "a.py").write_text("A = 1\n")
    made = room_digest.__wrapped__("room", tmp_path)
    (kept,) = (room / "__pycache__").glob("counts-*.txt")
    kept.write_text("0" * 64)  # where one is kept, nothing is counted again
    assert room_digest.__wrapped__("room", tmp_path) == "0" * 64
    kept.write_text("damaged")
    assert room_digest.__wrapped__("room", tmp_path) == made
    (room / "a.py").write_text("A = 2\n")
    assert room_digest.__wrapped__("room", tmp_path) != made
    assert len(list((room / "__pycache__").glob("counts-*.txt"))) == 1


def test_every_python_gives_the_same_digests(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONPYCACHEPREFIX": str(tmp_path)}
    said = {}
    for python in PYTHONS:
        done = subprocess.run(
            [python, "-c", ASK], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode != 127:  # a version manager's name for a Python that it doesn't give
            assert done.returncode == 0, done.stderr
            said[python] = done.stdout
    assert said
    assert len(set(said.values())) == 1


@pytest.mark.parametrize(
    ("rooms", "known"),
    [
        pytest.param(PREDICT, (*PREDICT, "stores"), id="PREDICT"),  # scan writes; SCAN's has it
        pytest.param(MERGE, PREDICT + MERGE, id="MERGE"),
        pytest.param(SCAN, SCAN, id="SCAN"),
    ],
)
def test_a_rooms_imports_are_in_a_digest_too(
    rooms: tuple[str, ...], known: tuple[str, ...]
) -> None:
    files = [path for room in rooms for path in (HOUSE / room).rglob("*.py")]
    found = {name for path in files for name in imported(path)}
    assert "contract" in found
    assert found - NO_NUMBERS.keys() - set(known) == set()


def test_only_the_scan_of_what_prepares_tiles_writes_stores() -> None:
    prepares = [path for room in PREDICT for path in (HOUSE / room).rglob("*.py")]
    assert {p.name for p in prepares if "stores" in imported(p)} == {"scan.py"}


def test_what_scripts_import_is_in_the_recipe() -> None:
    found = {name for path in (ROOT / "bin").glob("run_*.py") for name in imported(path)}
    assert "runtime" in found
    assert found - set(PREDICT) == set()
