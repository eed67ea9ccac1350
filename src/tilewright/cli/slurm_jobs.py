"""Jobs in SLURM that a killed Nextflow left behind: nobody will use what they do.

A job's folder (squeue's `%Z`) holds the script that Nextflow wrote for it, and that says in which
folder Nextflow was launched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tilewright.errors import UNAVAILABLE, TilewrightError

LAUNCHED_IN = re.compile(
    r'^ *export TILEWRIGHT_LAUNCH="(.*)"$', re.MULTILINE
)  # conf/base.config puts it into every task's script
PATIENCE = 60  # seconds for SLURM to answer, and for cancelled jobs to end


@dataclass(frozen=True)
class Orphan:
    """A job that nobody waits for.

    Parameters
    ----------
    job
        Its number, or what squeue calls a part of an array.
    state, name
        As squeue has them.
    folder
        Where it works.
    """

    job: str
    state: str
    name: str
    folder: Path

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.job}  {self.state.lower()}  {self.name}  {self.folder}"


def is_running(launch: Path) -> bool:
    """Whether a Nextflow that was launched in a folder still runs: it holds its cache's lock."""
    for path in (launch / ".nextflow" / "cache").glob("*/db/LOCK"):
        try:
            with path.open("r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            continue  # no lock to be had: not ours, or a file system without locks
    return False


def find(launch: Path, patience: float = PATIENCE) -> list[Orphan]:
    """The jobs of this user that a Nextflow launched in a folder sent, and that haven't ended.

    Without SLURM there are none.

    Parameters
    ----------
    launch
        The folder.
    patience
        Seconds for SLURM to answer.

    Raises
    ------
    TilewrightError
        When SLURM doesn't answer (69).
    """
    if shutil.which("squeue") is None:
        return []
    words = ("-h", "-u", str(os.getuid()), "-o", "%i|%T|%j|%Z")
    said = _slurm("squeue", *words, patience=patience)
    parts = [line.split("|", 3) for line in said.splitlines()]
    jobs = [Orphan(p[0], p[1], p[2], Path(p[3])) for p in parts if len(p) == 4]
    return [job for job in jobs if launched_in(job.folder) == launch.absolute()]


def launched_in(folder: Path) -> Path | None:
    """The folder that a task's Nextflow was launched in; None if this isn't a task of ours."""
    try:
        text = (folder / ".command.run").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = LAUNCHED_IN.search(text)
    return Path(re.sub(r"\\(.)", r"\1", found[1])) if found else None


def cancel(jobs: list[Orphan]) -> None:
    """Cancel jobs, and wait until they are gone.

    Raises
    ------
    TilewrightError
        When SLURM doesn't answer, or they don't end (69).
    """
    if not jobs:
        return
    _slurm("scancel", *(j.job for j in jobs))
    numbers = {j.job.partition("_")[0] for j in jobs}
    end = time.monotonic() + PATIENCE
    while numbers & set(_slurm("squeue", "-h", "-u", str(os.getuid()), "-o", "%A").split()):
        if time.monotonic() > end:
            raise TilewrightError(
                f"SLURM's jobs {', '.join(sorted(numbers))} are cancelled, but don't end.",
                fix="See `squeue --me`; then try again.",
                code=UNAVAILABLE,
            )
        time.sleep(0.5)


def stop(launch: Path, patience: float) -> None:
    """Cancel the jobs of a run that is stopped, and don't wait for their end.

    Parameters
    ----------
    launch
        The folder that its Nextflow was launched in.
    patience
        Seconds for SLURM to answer, twice.

    Raises
    ------
    TilewrightError
        When it doesn't (69).
    """
    jobs = find(launch, patience)
    if jobs:
        _slurm("scancel", *(j.job for j in jobs), patience=patience)


def clear(launch: Path) -> list[Orphan]:
    """Cancel what an earlier run in a folder left behind; which jobs that were.

    Raises
    ------
    TilewrightError
        When that run still goes on (69).
    """
    refuse_running(launch)
    if not has_sent_jobs(launch):
        return []
    found = find(launch)
    cancel(found)
    return found


def has_sent_jobs(launch: Path) -> bool:
    """Whether the last Nextflow that was launched in a folder sent jobs to SLURM, by its log."""
    for name in ("nextflow.log", ".nextflow.log"):
        try:
            with (launch / name).open(encoding="utf-8", errors="replace") as lines:
                if any("[SLURM] submitted" in line for line in lines):
                    return True
        except OSError:
            continue  # nothing was launched here
    return False


def refuse_running(launch: Path) -> None:
    """Refuse to disturb a run.

    Raises
    ------
    TilewrightError
        When a Nextflow that was launched in this folder still runs (69).
    """
    if is_running(launch):
        raise still_goes_on(launch)


def still_goes_on(launch: Path) -> TilewrightError:
    """What is said of a run that another one would disturb."""
    return TilewrightError(
        f"Another run that was started in {launch} still goes on.",
        fix="Wait for its end, or stop it; or choose another --outdir.",
        code=UNAVAILABLE,
    )


def _slurm(*words: str, patience: float = PATIENCE) -> str:
    """What one of SLURM's commands says."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=patience, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        why = str(getattr(error, "stderr", "") or error).strip()
        raise TilewrightError(
            f"`{words[0]}` doesn't answer, so nobody knows which jobs a run left: {why}.",
            fix="Try again when SLURM is back.",
            code=UNAVAILABLE,
        ) from None
    return done.stdout
