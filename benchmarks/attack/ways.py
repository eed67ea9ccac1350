"""How a bad input is tried: by the launcher, or in a fork of this process, under limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 3 << 30
"""Bytes that a try may take beyond those that a process has before it."""
SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What a try came to.

    Parameters
    ----------
    code
        The exit code; None where its time was over.
    out, err
        What it printed.
    seconds
        How long it took.
    """

    code: int | None
    out: str
    err: str
    seconds: float


def by_launcher(words: Sequence[str], folder: Path) -> Answer:
    """``./tilewright`` with these words."""
    return _limited([str(ROOT / "tilewright"), *words], folder)


def _limited(command: Sequence[str], folder: Path) -> Answer:
    begun = time.monotonic()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + (1 << 32), MEMORY + (1 << 32)))

    try:
        ran = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=SECONDS, preexec_fn=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(None, "", "", time.monotonic() - begun)
    return Answer(ran.returncode, ran.stdout, ran.stderr, time.monotonic() - begun)


def forked(words: Sequence[str], folder: Path) -> Answer:
    """The command line in a fork of this process, which has it imported."""
    from tilewright.cli import main  # noqa: F401  # imported once, ahead of all forks

    begun = time.monotonic()
    said = folder.parent / f"{folder.name}.said"
    said.mkdir()
    child = os.fork()
    if not child:
        _become(words, folder, said)
    code = _waited(child, begun + SECONDS)
    out, err = ((said / name).read_text(errors="replace") for name in ("out", "err"))
    return Answer(code, out, err, time.monotonic() - begun)


def _become(words: Sequence[str], folder: Path, said: Path) -> None:
    """In the child: run the command line, and end."""
    from tilewright.cli.main import entry

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, pages + MEMORY))
    os.chdir(folder)
    sys.argv = ["tilewright", *words]
    code = 1
    try:
        entry()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _waited(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
