"""A run is ended: its Nextflow, all that this started here, and its jobs in SLURM.

A Nextflow that waits for a disk doesn't end by itself, and one that is killed leaves its tasks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from tilewright.environments.inplace import STOPS
from tilewright.errors import TilewrightError

from . import slurm_jobs

GRACE = 8.0  # seconds for Nextflow to end its tasks and itself
LINGER = 3.0  # seconds for its tasks to end after it
ANSWER = 6.0  # seconds for each of SLURM's two commands: all of it takes less than 30


def end(process: subprocess.Popen[bytes], launch: Path) -> None:
    """End a Nextflow and all that it started; further signals don't keep us from it.

    Parameters
    ----------
    process
        Nextflow, our child.
    launch
        The folder it was launched in.
    """
    with _undisturbed():
        _end(process)
        _cancel(launch)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    started = family([process.pid]) - {process.pid}
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    started |= family([process.pid]) - {process.pid}
    process.kill()
    process.wait()
    until = time.monotonic() + LINGER
    while (left := family(started)) and time.monotonic() < until:
        time.sleep(0.1)
    while left:  # what one of them starts meanwhile, too
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        left = family(left) if time.monotonic() < until + LINGER else set()


def family(pids: Iterable[int]) -> set[int]:
    """Those processes of some that live, and all that they and theirs started.

    Without a `ps`, which Nextflow's tasks need as well, there are none.
    """
    words = ("ps", "-A", "-o", "pid=,ppid=,stat=")
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    parts = [line.split() for line in said.splitlines()]
    parent = {int(p[0]): int(p[1]) for p in parts if len(p) == 3 and not p[2].startswith("Z")}
    wanted = set(pids)
    found, more = set[int](), wanted
    while more:
        found |= more
        more = {pid for pid, above in parent.items() if above in more} - found
    return found & set(parent)


def _cancel(launch: Path) -> None:
    """Cancel what it sent to SLURM; say it when that can't be known."""
    try:
        slurm_jobs.stop(launch, ANSWER)
    except TilewrightError as error:
        click.echo(f"tilewright: {error}", err=True)
