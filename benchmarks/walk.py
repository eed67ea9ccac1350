"""How long a machine takes for docs/adding-a-model.md, step by step.

    ./tilewright bench walk [--page docs/adding-a-model.md]

Does what the page says in a copy of this checkout: writes the files it shows, and runs its commands
by the launcher. Reading and typing are yours. Ends with 1 where a command fails.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".*", "__pycache__", "results", "results-*", "work")
FILE = r"^```\w+ title=(?P<path>\S+)\n(?P<text>.*?)^```"
COMMAND = r"^ {4}\./tilewright (?P<words>(?:[^\n\\]|\\\n)+)"


@dataclass(frozen=True)
class Step:
    """A command of the launcher, or a file and its text."""

    words: tuple[str, ...] = ()
    path: str = ""
    text: str = ""

    def __str__(self) -> str:
        return " ".join(("./tilewright", *self.words)) if self.words else f"write {self.path}"


def steps(page: str) -> Iterator[Step]:
    """What a page says to do: fenced files with a `title=`, and indented commands, in order."""
    for found in re.finditer(f"{FILE}|{COMMAND}", page, re.MULTILINE | re.DOTALL):
        if found["path"]:
            yield Step(path=found["path"], text=found["text"])
        else:
            yield Step(words=tuple(shlex.split(found["words"].replace("\\\n", " "))))


def main() -> int:
    """Walk, and print the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "adding-a-model.md")
    page = parser.parse_args().page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        begun = time.monotonic()
        for step in steps(page):
            started = time.monotonic()
            code = do(step, copy)
            print(f"{time.monotonic() - started:7.1f} s  {step}", flush=True)
            if code:
                print(f"failed with {code}")
                return 1
        print(f"{time.monotonic() - begun:7.1f} s  in all")
    return 0


def do(step: Step, copy: Path) -> int:
    """Carry out one step; its exit code. What a failed command said is shown."""
    if step.path:
        (copy / step.path).write_text(step.text, encoding="utf-8")
        return 0
    words = [sys.executable, str(copy / "tilewright"), *step.words]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
