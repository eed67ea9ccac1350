"""Every check of the project, one after the other: what ``./tilewright test`` runs.

Options: ``--slow`` adds model environments; ``--slurm`` adds a SLURM of its own; all others go to
pytest. Standard library only. Ends with pytest's own summary and, if anything failed, with its
name and exit 1; exit 2 if a switch has no tests yet, 69 if SLURM can't be had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SWITCHES = ("slow", "slurm")  # pytest's markers that need asking for; pyproject.toml says why
CLUSTER = ROOT / "tests" / "slurm" / "cluster.py"
CODE = ["src", "tests", "tools", "bin", "benchmarks", "docs/img", "tilewright"]


def main(args: list[str]) -> int:
    """Run all checks; the exit code."""
    known = markers()
    for name in SWITCHES:
        if f"--{name}" in args and name not in known:
            print(f"There is no switch --{name} yet: no test is marked so.", file=sys.stderr)
            return 2
    if "--slurm" in args:
        code = subprocess.run([sys.executable, str(CLUSTER), "--install"], check=False).returncode
        if code:
            return code
    rest = [arg for arg in args if arg not in {f"--{name}" for name in SWITCHES}]
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name, command in checks(Path(folder)) if not passes(name, command)]
    left_out = {name: why for name, why in known.items() if f"--{name}" not in args}
    for name, why in left_out.items():
        print(f"left out: {name} ({why}): ./tilewright test --{name}")
    if failed:
        print(f"failed so far: {', '.join(failed)}")
    marks = " and ".join(f"not {name}" for name in left_out)
    only = ["-m", marks] if marks else []
    if not passes("pytest", [sys.executable, "-m", "pytest", *only, *rest]):
        failed.append("pytest")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def markers() -> dict[str, str]:
    """What each switch adds, as pytest's markers say it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = project["tool"]["pytest"]["ini_options"]["markers"]
    known = dict(line.split(": ", 1) for line in lines)
    return {name: known[name] for name in SWITCHES if name in known}


def checks(folder: Path) -> list[tuple[str, list[str]]]:
    """Name and command line of each check but the tests; an empty folder is filled for them."""
    python = [sys.executable, "-P"]
    code = [path for path in CODE if (ROOT / path).exists()]
    imports = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    return [
        ("ruff check", [*python, "-m", "ruff", "check", *code]),
        ("ruff format", [*python, "-m", "ruff", "format", "--check", *code]),
        ("mypy", [*python, "-m", "mypy"]),
        ("imports", [*python, "-c", imports]),
        ("generated files", [*python, "-m", "tilewright.cli", "generate", "--check"]),
        ("nextflow lint", [shutil.which("nextflow") or "nextflow", "lint", *pipeline(folder)]),
    ]


def pipeline(folder: Path) -> list[str]:
    """Nextflow's files and folders; a profile as a copy, since lint reads no `.conf` files."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    for path in (ROOT / "profiles").glob("*.conf"):
        copy = folder / "profiles" / f"{path.stem}.config"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return ["main.nf", "nextflow.config", "modules", "conf", str(folder / "profiles")]


def passes(name: str, command: list[str]) -> bool:
    """Run one check from the repository's root, and say how it went."""
    print(f"== {name}", flush=True)
    begun = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    try:
        status = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    except OSError as error:
        print(error)
        status = 127
    if name != "pytest":  # its own summary is the last word
        print(f"{'ok' if status == 0 else 'FAILED'}: {name}, {time.monotonic() - begun:.1f} s")
    return status == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
