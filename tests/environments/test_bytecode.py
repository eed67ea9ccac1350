"""Bytecode is there before the first task, and goes by what is in its source, not by the time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tilewright.environments import bytecode, interpreters

CHECKED = 3  # PEP 552's flags: by hash, and checked
ABOUT = {
    "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
    "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "tiny.py,,\ntiny-1.dist-info/METADATA,,\ntiny-1.dist-info/WHEEL,,\n"
    "tiny-1.dist-info/RECORD,,\n",
}


def compiled(source: Path) -> Path:
    """Where this Python looks for a module's bytecode."""
    return Path(importlib.util.cache_from_source(str(source)))


def flags(source: Path) -> int:
    """How a module's bytecode is checked."""
    return int.from_bytes(compiled(source).read_bytes()[4:8], "little")


def run(source: Path) -> str:
    """What a module prints when it is imported as tasks import."""
    command = [sys.executable, "-c", f"import {source.stem}"]
    env = {**os.environ, "PYTHONPATH": str(source.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def same_time(source: Path, text: str) -> None:
    """Write another text of the same length, last changed when the first was."""
    before = source.stat()
    assert len(text) == before.st_size
    source.write_text(text)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_an_environment_is_built_with_its_bytecode(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "envs").mkdir()
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "print(1)\n")
        for name, text in ABOUT.items():
            file.writestr(f"tiny-1.dist-info/{name}", text)
    wants = f"dependencies: [python>=3.9, pip, pip: ['--no-index', '{wheel}']]\n"
    (tmp_path / "envs" / "toy.yml").write_text(wants)
    (tmp_path / "envs" / "base.yml").touch()
    monkeypatch.setattr(interpreters, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    folder = interpreters.build("toy", tmp_path, tool, say=lambda _: None)
    (module,) = folder.glob("lib/python3*/site-packages/tiny.py")
    assert flags(module) == CHECKED
    same_time(module, "print(2)\n")
    assert run(module) == "2\n"


def test_our_modules_are_compiled_once(tmp_path: Path) -> None:
    source = tmp_path / "room" / "module.py"
    source.parent.mkdir()
    source.write_text("print(1)\n")
    bytecode.compile_below(tmp_path)
    first = compiled(source).stat()
    assert flags(source) == CHECKED
    bytecode.compile_below(tmp_path)
    assert compiled(source).stat() == first


def test_a_task_takes_the_bytecode_that_is_there_and_none_that_is_stale(tmp_path: Path) -> None:
    source, other = tmp_path / "module.py", tmp_path / "other.py"
    source.write_text("print(1)\n")
    other.write_text("print(2)\n")
    bytecode.compile_below(tmp_path)
    head, body = (compiled(p).read_bytes() for p in (source, other))
    compiled(source).write_bytes(head[:16] + body[16:])
    assert run(source) == "2\n", "the bytecode was not taken"
    same_time(source, "print(3)\n")
    assert run(source) == "3\n"


def test_bytecode_that_python_dated_is_replaced(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("print(1)\n")
    subprocess.run(
        [sys.executable, "-c", "import module"],
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    assert flags(source) == 0
    bytecode.compile_below(tmp_path)
    assert flags(source) == CHECKED


def test_a_folder_that_cannot_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    """Also for root, who may write everywhere but below a file."""
    (tmp_path / "module.py").write_text("print(1)\n")
    (tmp_path / "__pycache__").touch()
    bytecode.compile_below(tmp_path)
    assert (tmp_path / "__pycache__").is_file()
    assert run(tmp_path / "module.py") == "1\n"
