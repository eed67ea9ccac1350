"""What this machine has, lacks or has wrong, and how to mend it.

Standard library only, and no newer than Python 3.7: it runs where nothing else does.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Callable, NamedTuple  # noqa: UP035 - Python 3.7

from tilewright.errors import UNAVAILABLE, TilewrightError

from . import inplace, installers, interpreters, nextflow

OK, LATER, ABSENT, WRONG = "ok", "later", "absent", "WRONG"
ROOM_GB = 2.0  # GB: base, Java, Nextflow and a model's environment without torch


class Diagnosis(NamedTuple):
    """One thing looked at: `state` is ok, later (fetched when needed), absent or WRONG."""

    what: str
    state: str
    found: str
    fix: str = ""


def check_python() -> Diagnosis:
    """The Python that runs this, or another on the PATH that will."""
    here = ".".join(map(str, sys.version_info[:3])) + f" ({sys.executable})"
    if installers.fits(tuple(sys.version_info[:2]), installers.PYTHON):
        return Diagnosis("Python", OK, here)
    other = installers.python_for(installers.PYTHON)
    if other:
        return Diagnosis("Python", OK, other)
    fix = (
        "Install Python 3.11 to 3.14, with its venv module; it needs no root: see docs/install.md."
    )
    return Diagnosis("Python", WRONG, here, fix)


def check_venv() -> Diagnosis:
    """Whether an environment can be made: by uv, or by Python's own venv."""
    uv = installers.find_tool("uv")
    if uv:
        return Diagnosis("uv", OK, uv)
    try:
        installers.require_venv(installers.python_for(installers.PYTHON) or sys.executable)
    except TilewrightError as error:
        return Diagnosis("uv", WRONG, f"no uv, and {error.what}", error.fix)
    return Diagnosis("uv", LATER, "installed when needed, by Python's venv")


def check_home() -> Diagnosis:
    """Whether the cache folder can be written and has room."""
    folder = interpreters.home()
    try:
        inplace.writable(folder)
    except TilewrightError as error:
        if _all_there():
            return Diagnosis(
                "TILEWRIGHT_HOME", OK, f"{folder} (read-only; all that's needed is there)"
            )
        return Diagnosis("TILEWRIGHT_HOME", WRONG, error.what, error.fix)
    free = shutil.disk_usage(str(folder)).free / 1e9
    found = f"{folder} ({free:.1f} GB free)"
    if free < ROOM_GB and not _all_there():
        fix = f"Make {ROOM_GB:.0f} GB of room, or set TILEWRIGHT_HOME to a folder that has it."
        return Diagnosis("TILEWRIGHT_HOME", WRONG, found, fix)
    return Diagnosis("TILEWRIGHT_HOME", OK, found)


def _all_there() -> bool:
    return interpreters.ready("base") and nextflow.is_ready()


def check_base() -> Diagnosis:
    """The environment that Tilewright's own code runs in."""
    folder = interpreters.prefix("base")
    if not interpreters.ready("base"):
        return Diagnosis("base", LATER, "built by the first command")
    if installers.output_of([str(folder / "bin" / "python"), "-c", "import zarr; print(1)"]):
        return Diagnosis("base", OK, str(folder))
    fix = f"Remove {folder}; the next command builds it again."
    return Diagnosis("base", WRONG, f"{folder} doesn't run", fix)


def check_java() -> Diagnosis:
    """A Java that Nextflow runs on."""
    own = nextflow.installed_java(nextflow.own_folder())
    java = nextflow.find_java() or own
    if java:
        return Diagnosis("Java", OK, f"{nextflow.java_version(java)} ({java})")
    other = shutil.which("java")
    note = f"{other} is not 17 to 24; " if other else ""
    return Diagnosis("Java", LATER, f"{note}fetched from PyPI when needed")


def check_nextflow() -> Diagnosis:
    """A Nextflow that is new enough."""
    found = nextflow.on_path()
    if found:
        return Diagnosis("Nextflow", OK, f"{nextflow.version_on_path(found)} ({found})")
    own = nextflow.own_folder()
    if inplace.is_ready(own):
        return Diagnosis("Nextflow", OK, f"{nextflow.VERSION} ({own / 'bin' / 'nextflow'})")
    other = shutil.which("nextflow")
    note = f"{other} is older than 25.04 or doesn't run; " if other else ""
    return Diagnosis("Nextflow", LATER, f"{note}fetched from Maven Central when needed")


def check_git() -> Diagnosis:
    """Git, which only contributors and updates need."""
    version = installers.output_of(["git", "--version"]).strip()
    return Diagnosis("git", OK if version else ABSENT, version or "only updates need it")


def check_gpu() -> Diagnosis:
    """A GPU, which big models want."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    cards = installers.output_of(query, timeout=20).strip().splitlines()
    return Diagnosis("GPU", OK if cards else ABSENT, "; ".join(cards) or "models run on the CPU")


def check_slurm() -> Diagnosis:
    """SLURM, which a cluster has."""
    version = installers.output_of(["sinfo", "--version"], timeout=20).strip()
    return Diagnosis("SLURM", OK if version else ABSENT, version or "only a cluster needs it")


MACHINE_CHECKS: tuple[Callable[[], Diagnosis], ...] = (
    check_python, check_venv, check_home, check_base, check_java, check_nextflow,
    check_git, check_gpu, check_slurm,
)  # fmt: skip


def look(check: Callable[[], Diagnosis]) -> Diagnosis:
    """A check's finding; one that can't be made is a finding, too."""
    try:
        return check()
    except TilewrightError as error:
        return Diagnosis(check.__name__[6:], WRONG, error.what, error.fix)


def show(finding: Diagnosis) -> None:
    """Print what was found, and how to mend it."""
    print(f"{finding.state:<7} {finding.what:<16} {finding.found}", flush=True)  # noqa: T201 - the answer
    if finding.fix:
        print(f"{'':<24} -> {finding.fix}", flush=True)  # noqa: T201 - the answer


def main(more: tuple[Callable[[], Diagnosis], ...] = ()) -> int:
    """Print what was found, by these checks and `more`; 0 if Tilewright can work here, else 69."""
    findings = [look(check) for check in (*MACHINE_CHECKS, *more)]
    for finding in findings:
        show(finding)
    bad = [finding.what for finding in findings if finding.state == WRONG]
    checkout = Path(interpreters.ROOT)
    print(f"Tilewright in {checkout}: " + (f"mend {', '.join(bad)}" if bad else "ready to run"))  # noqa: T201
    return UNAVAILABLE if bad else os.EX_OK
