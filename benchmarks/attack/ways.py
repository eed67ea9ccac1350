"""How a bad input is tried: by the launcher, or in a fork of this process, under limits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from . import tasks, web
from .attack import Attack

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 3 << 30
"""Bytes that a try may take beyond those that a process has before it."""
SECONDS, TASKS_SECONDS, RUN_SECONDS = 10.0, 60.0, 300.0
"""That a command may take, some tasks of a run, and a whole run."""
MEMORY_OF_A_RUN = 1 << 36
"""Bytes of addresses, of which a Java takes many that it never uses."""
TOKEN = "Tk3-never-to-be-shown"  # noqa: S105  # in no form that our sentences cut out
"""The user's token for the hub in every try."""
Way = Callable[[Attack, Sequence[str], Path], "Answer"]
"""Tries words in a folder."""


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
    asked
        What was asked of the web, by tries that need none of it.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    asked: tuple[str, ...] = ()


def heard(way: Way) -> Way:
    """A way that tells, too, what of the web was asked where nothing should be."""

    def tried(attack: Attack, words: Sequence[str], folder: Path) -> Answer:
        before = len(web.asked())
        answer = way(attack, words, folder)
        asked = web.asked()[before:]
        wrong = [line for line in asked if "FETCH" not in attack.steps or web.is_leak(line, TOKEN)]
        return replace(answer, asked=tuple(wrong))

    return tried


@heard
def by_launcher(attack: Attack, words: Sequence[str], folder: Path) -> Answer:
    """``./tilewright`` with these words; where tasks are to meet it, a whole run."""
    if "\0" in "".join(words):
        return forked(attack, words, folder)  # no shell can say it
    launcher, user = str(ROOT / "tilewright"), None if os.getuid() else attack.user
    if attack.steps or words[0] == "run":
        return _limited([launcher, "run", *words[1:]], folder, MEMORY_OF_A_RUN, RUN_SECONDS, user)
    return _limited([launcher, *words], folder, MEMORY + (1 << 32), SECONDS, user)


def _limited(
    command: Sequence[str], folder: Path, memory: int, seconds: float, user: int | None
) -> Answer:
    begun = time.monotonic()
    ran = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **surroundings(folder.parent)}, text=True,
        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)), user=user,  # noqa: PLW1509
    )  # fmt: skip
    try:
        out, err = ran.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        ran.terminate()  # of a run, Nextflow and its tasks as well
        ran.communicate()
        return Answer(None, "", "", time.monotonic() - begun)
    return Answer(ran.returncode, out, err, time.monotonic() - begun)


def surroundings(scratch: Path) -> dict[str, str]:
    """Variables of every try: a token, a hub on this machine, a home and weights of its own."""
    return {
        "HOME": str(scratch / "here"),  # so that what a library writes there is seen
        "XDG_CACHE_HOME": "",
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": web.url(),
        "TILEWRIGHT_WEIGHTS": str(scratch / "weights"),
    }


@heard
def forked(attack: Attack, words: Sequence[str], folder: Path) -> Answer:
    """The command line, or tasks of a run, in a fork of this process, which has it imported."""
    from tilewright.cli.main import entry  # imported once, ahead of all forks

    begun = time.monotonic()
    said = folder.parent / f"{folder.name}.said"
    said.mkdir()
    what = partial(tasks.through, words, attack.steps, said) if attack.steps else entry
    child = os.fork()
    if not child:
        _become(what, words, folder, said, attack.user)
    is_long = attack.steps or words[0] == "run"
    code = _waited(child, begun + (TASKS_SECONDS if is_long else SECONDS))
    out, err = ((said / name).read_text(errors="replace") for name in ("out", "err"))
    return Answer(code, out, err, time.monotonic() - begun)


def _become(
    what: Callable[[], None], words: Sequence[str], folder: Path, said: Path, user: int | None
) -> None:
    """In the child: run it, and end."""
    os.setpgid(0, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", errors="backslashreplace")
    is_run = words[0] == "run"
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = MEMORY_OF_A_RUN if is_run else pages + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    os.environ.update(surroundings(folder.parent))
    os.chdir(folder)
    if user is not None and not os.getuid():
        os.setuid(user)
    sys.argv = ["tilewright", *words]
    code = 1
    try:
        what()
        code = 0
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
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
