"""Which models' environments a commit's tests build: those it touches, and one more by turns.

    TILEWRIGHT_TEST_ENVIRONMENTS="$(python3 tools/by_turns.py)" ./tilewright test --slow

Environments of gigabytes are too many for every commit. One is touched where a changed file has its
name: `envs/sam.yml`, `bin/run_sam.py`, `tests/models/test_sam.py`. The one more is chosen by the
commit's digest, so that a run of the same commit tests the same. Prints the names, and on standard
error why. Standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_MODELS = ("base",)


def models(root: Path = ROOT) -> list[str]:
    """Names of the models' environments."""
    return sorted(p.stem for p in (root / "envs").glob("*.yml") if p.stem not in NO_MODELS)


def touched(names: list[str], files: list[str]) -> list[str]:
    """The environments whose name is a word of a changed file's path; docs don't count."""
    code = [file for file in files if not file.endswith(".md")]
    return [n for n in names if any(re.search(rf"(?<![a-z0-9]){n}(?![a-z0-9])", f) for f in code)]


def by_turn(names: list[str], commit: str) -> list[str]:
    """One of the names, by the commit's digest; none of none."""
    return [names[int(commit[:12], 16) % len(names)]] if names else []


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
    mine = touched(names, files or [])
    more = by_turn([name for name in names if name not in mine], commit)
    why = "what changed isn't known" if files is None else f"changed: {', '.join(mine) or 'none'}"
    print(f"environments: {why}; by turns: {', '.join(more) or 'none'}", file=sys.stderr)
    return " ".join([*mine, *more])


if __name__ == "__main__":
    print(main())
