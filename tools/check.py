"""Every check of the project and its tests: what ``./tilewright test`` runs.

    ./tilewright test                   # all checks, then all tests but those that need asking for
    ./tilewright test merge stores      # all checks, and the tests of these rooms
    ./tilewright test -k grid -x      # words that aren't rooms go to pytest
    ./tilewright test --no-checks ...   # tests alone
    ./tilewright test --slow            # model environments as well
    ./tilewright test --slurm           # a SLURM of its own as well
    ./tilewright test -n 0              # one test after the other, as --pdb and -s need it

Standard library only. Ends with pytest's own summary and, if a check failed, with its name and
exit 1; exit 2 if a switch or a room isn't there, 69 if SLURM can't be had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
SWITCHES = ("slow", "slurm")  # pytest's markers that need asking for; pyproject.toml says why
CLUSTER = TESTS / "slurm" / "cluster.py"
CODE = ["src", "tests", "tools", "bin", "benchmarks", "docs/img", "tilewright"]
VALUED = ("-k", "-m", "-n", "-p", "-o", "-c", "-W", "-r")  # pytest's, and the next word is theirs
ALONE = ("-s", "--pdb", "--trace", "--capture=no", "--collect-only", "--co")  # not side by side


class Check(NamedTuple):
    """A check's name and command line, how it ended, what it said and its seconds."""

    name: str
    command: list[str]
    status: int = 0
    said: str = ""
    took: float = 0


def main(args: list[str]) -> int:
    """Run what is asked for; the exit code."""
    known = markers()
    ours = {"--no-checks", *(f"--{name}" for name in SWITCHES)}
    words = list(pytest_words([arg for arg in args if arg not in ours]))
    problem = wrong(args, words, known)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    if "--slurm" in args:
        code = subprocess.run([sys.executable, str(CLUSTER), "--install"], check=False).returncode
        if code:
            return code
    failed = [] if "--no-checks" in args else failing_checks()
    left_out = {name: why for name, why in known.items() if f"--{name}" not in args}
    for name, why in left_out.items():
        print(f"left out: {name} ({why}): ./tilewright test --{name}")
    if failed:
        print(f"failed so far: {', '.join(failed)}")
    marks = ["-m", " and ".join(f"not {name}" for name in left_out)] if left_out else []
    if not passes([*marks, *(word for word, _ in words)]):
        failed.append("pytest")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def wrong(args: list[str], words: list[tuple[str, bool]], known: dict[str, str]) -> str:
    """The sentence about a switch or a room that isn't there, or nothing."""
    for name in SWITCHES:
        if f"--{name}" in args and name not in known:
            return f"There is no switch --{name} yet: no test is marked so."
    for word, is_there in words:
        if not is_there:
            return f"There is no room {word!r}; there is {', '.join(rooms())}."
    return ""


def markers() -> dict[str, str]:
    """What each switch adds, as pytest's markers say it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = project["tool"]["pytest"]["ini_options"]["markers"]
    known = dict(line.split(": ", 1) for line in lines)
    return {name: known[name] for name in SWITCHES if name in known}


def rooms() -> list[str]:
    """The folders of tests."""
    return sorted({path.parent.name for path in TESTS.glob("*/test_*.py")})


def pytest_words(words: list[str]) -> Iterator[tuple[str, bool]]:
    """Words for pytest, rooms as their folders, and whether each can be what it seems to be."""
    there = rooms()
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("-") or before in VALUED:
            yield word, True
        elif word in there:
            yield f"tests/{word}", True
        else:  # a path, or the value of a long option
            yield word, before.startswith("-") or (ROOT / word.partition("::")[0]).exists()


def checks(folder: Path) -> list[Check]:
    """All checks but the tests, those that take long first; an empty folder is filled for them."""
    python = [sys.executable, "-P"]
    code = [path for path in CODE if (ROOT / path).exists()]
    imports = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    return [
        Check("mypy", [*python, "-m", "mypy"]),
        Check("nextflow lint", [shutil.which("nextflow") or "nextflow", "lint", *pipeline(folder)]),
        Check("generated files", [*python, "-m", "tilewright.cli.main", "generate", "--check"]),
        Check("imports", [*python, "-c", imports]),
        Check("ruff check", [*python, "-m", "ruff", "check", *code]),
        Check("ruff format", [*python, "-m", "ruff", "format", "--check", *code]),
    ]


def pipeline(folder: Path) -> list[str]:
    """Nextflow's files and folders; a profile as a copy, since lint reads no `.conf` files."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    for path in (ROOT / "profiles").glob("*.conf"):
        copy = folder / "profiles" / f"{path.stem}.config"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return ["main.nf", "nextflow.config", "modules", "conf", str(folder / "profiles")]


def failing_checks() -> list[str]:
    """Run all checks, two at a time, and say how each went; the names of those that failed."""
    failed = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        all_of_them = checks(Path(folder))
        print(f"== {', '.join(check.name for check in all_of_them)}", flush=True)
        for check in as_completed([pool.submit(ended, check) for check in all_of_them]):
            name, _, status, said, took = check.result()
            if status:
                failed.append(name)
                print(said.rstrip())
            print(f"{'FAILED' if status else 'ok'}: {name}, {took:.1f} s", flush=True)
    return failed


def ended(check: Check) -> Check:
    """Run a check from the repository's root."""
    begun = time.monotonic()
    try:
        done = subprocess.run(
            check.command, cwd=ROOT, env=surroundings(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
        status, said = done.returncode, done.stdout
    except OSError as error:
        status, said = 127, str(error)
    return check._replace(status=status, said=said, took=time.monotonic() - begun)


def passes(words: list[str]) -> bool:
    """Run the tests, side by side where nothing speaks against it."""
    print("== pytest", flush=True)
    together = [] if any(w.startswith("-n") or w in ALONE for w in words) else ["-n", workers()]
    command = [sys.executable, "-m", "pytest", *together, *words]
    return subprocess.run(command, cwd=ROOT, env=surroundings(), check=False).returncode == 0


def workers() -> str:
    """How many tests run at a time: one for each core; a test of the pipeline fills one, about."""
    return str(min(os.cpu_count() or 1, 8))


def surroundings() -> dict[str, str]:
    """The environment variables of everything that is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
