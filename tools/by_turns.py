"""Which models' environments a commit's tests build: some that it touches, and one more by turns.

    TILEWRIGHT_TEST_ENVIRONMENTS="$(python3 tools/by_turns.py)" ./tilewright test --slow

Environments of gigabytes are too many for every commit. One is touched where a changed file has
its name: `envs/sam.yml`, `bin/run_sam.py`, `tests/models/test_sam.py`. Which come first is chosen
by the commit's digest, so that a run of the same commit tests the same; those that come after
`MOST` minutes are left to other commits. Prints the names, and on standard error why. Standard
library only.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_MODELS = ("base",)
MOST = 8  # minutes of models' tests in a run that must end within 45
MINUTES = {"cellpose": 8, "cellposesam": 5, "empanada": 10, "panseg": 6, "sam": 4, "sam2": 5}
"""About, of building an environment and of its slow tests, on two cores; others' are 3."""


def models(root: Path = ROOT) -> list[str]:
    """Names of the models' environments."""
    return sorted(p.stem for p in (root / "envs").glob("*.yml") if p.stem not in NO_MODELS)


def touched(names: list[str], files: list[str]) -> list[str]:
    """The environments whose name is a word of a changed file's path; docs don't count."""
    code = [file for file in files if not file.endswith(".md")]
    return [n for n in names if any(re.search(rf"(?<![a-z0-9]){n}(?![a-z0-9])", f) for f in code)]


def in_turn(names: list[str], commit: str) -> list[str]:
    """The names in an order that the commit's digest gives."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{commit} {name}".encode()).digest())


def within(names: list[str], most: float) -> list[str]:
    """The first name, and those after it that fit into so many minutes."""
    chosen: list[str] = []
    for name in names:
        if not chosen or sum(map(minutes, [*chosen, name])) <= most:
            chosen.append(name)
    return chosen


def minutes(name: str) -> float:
    """How long an environment's tests take."""
    return MINUTES.get(name, 3)


def changed(root: Path = ROOT) -> list[str] | None:
    """Files that differ from where the commit's branch began, or None where that isn't known."""
    for base in ("origin/main...HEAD", "main...HEAD", "HEAD^1..HEAD"):
        found = git(root, "diff", "--name-only", base)
        if found:
            return found.splitlines()
    return None


def git(root: Path, *words: str) -> str | None:
    """What git answers, or None where it can't."""
    command = ["git", *words]
    try:
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if ran.returncode else ran.stdout.strip()


def main(root: Path = ROOT) -> str:
    """The chosen names; all where there is no commit to choose by."""
    names, commit, files = models(root), git(root, "rev-parse", "HEAD"), changed(root)
    if commit is None:
        print("no commit is known: all environments", file=sys.stderr)
        return " ".join(names)
    turn = in_turn(names, commit)
    mine = touched(turn, files or [])
    more = [name for name in turn if name not in mine][:1]
    chosen = within([*mine, *more], MOST)
    why = "what changed isn't known" if files is None else f"changed: {', '.join(mine) or 'none'}"
    left = [name for name in [*mine, *more] if name not in chosen]
    said = f"environments: {why}; by turns: {', '.join(n for n in more if n in chosen) or 'none'}"
    print(f"{said}; left to other commits: {', '.join(left) or 'none'}", file=sys.stderr)
    return " ".join(chosen)


if __name__ == "__main__":
    print(main())
