"""What a run's tasks came to: what each step took, and why a group has no result."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from tilewright.contract.steps import STEPS

from .trace import DONE, FAILED, TracedTask, sentence


@dataclass(frozen=True)
class StepTimes:
    """What a step's tasks took.

    Parameters
    ----------
    tasks, cached, failed
        In all, taken from an earlier run, and failed.
    seconds_total, seconds_median
        Of those that ran now, in all and per task; null if none did.
    """

    tasks: int
    cached: int
    failed: int
    seconds_total: float
    seconds_median: float | None


def times(tasks: list[TracedTask]) -> dict[str, StepTimes]:
    """What each step's tasks took, in the order that steps run in."""
    known = list(STEPS)
    order = sorted({t.step for t in tasks}, key=lambda s: (known.index(s) if s in known else 99, s))
    return {step: _step_times([t for t in tasks if t.step == step]) for step in order}


def _step_times(tasks: list[TracedTask]) -> StepTimes:
    ran = [t.seconds for t in tasks if t.status != "CACHED" and t.seconds is not None]
    return StepTimes(
        tasks=len(tasks),
        cached=sum(t.status == "CACHED" for t in tasks),
        failed=sum(t.status in FAILED for t in tasks),
        seconds_total=round(sum(ran, 0.0), 3),
        seconds_median=round(statistics.median(ran), 3) if ran else None,
    )


def why_missing(group: str, tasks: list[TracedTask], work_dir: Path) -> str:
    """Why a group has no result: the last sentence of its failed task, or where to look.

    Parameters
    ----------
    group
        Its name, with which its tasks' tags begin.
    tasks
        All of the trace, in its order: of several tries the last counts.
    work_dir
        Nextflow's, where a trace without work folders leaves them to be found by hash.
    """
    for_all = [name for name, step in STEPS.items() if step.for_all]
    last = {(t.step, t.tag): t for t in tasks if t.group == group or t.step in for_all}
    failed = [t for t in last.values() if t.status in FAILED]
    if not failed:
        return "its tasks failed; the trace doesn't say which, see Nextflow's log"
    folders = [_folder(t, work_dir) for t in failed]
    sentences = [s.splitlines()[0] for f in folders if (s := sentence(f))]
    task = failed[0]
    return (
        sentences[0]
        if sentences
        else f"its tasks failed; see {folders[0]} ({task.step}, exit code {task.exit})"
    )


def log_of(step: str, group: str, tasks: list[TracedTask], work_dir: Path) -> Path | None:
    """What the one task of a step and a group printed, by the trace; None where that has none.

    Parameters
    ----------
    step, group
        A process, and what it worked on; "" is any.
    tasks
        All of the trace, in its order: of several tries the last counts.
    work_dir
        Nextflow's.
    """
    folders = _folders(step, group, tasks, work_dir)
    return folders[-1] / ".command.err" if folders else None


def forget(step: str, group: str, tasks: list[TracedTask], work_dir: Path) -> None:
    """Take away what a group's tasks of a step gave, so that a run that is resumed does them again.

    A task that marked an image as a fault of ours ended well: it would be taken from the cache.

    Parameters
    ----------
    step, group, tasks, work_dir
        As of `log_of`.
    """
    for folder in _folders(step, group, tasks, work_dir):
        for bank in folder.glob("*.bank") if step == "PREDICT" else ():
            bank.unlink()
        if step == "MERGE":
            shutil.rmtree(folder / f"merged-{group}", ignore_errors=True)


def _folders(step: str, group: str, tasks: list[TracedTask], work_dir: Path) -> list[Path]:
    """The work folders of a group's tasks of a step that ended well."""
    mine = [t for t in tasks if t.step == step and group in (t.group, "") and t.status in DONE]
    return [_folder(t, work_dir) for t in mine]


def _folder(task: TracedTask, work_dir: Path) -> Path:
    """A task's work folder."""
    if task.workdir:
        return Path(task.workdir)
    found = sorted(work_dir.glob(f"{task.hash}*")) if task.hash else []
    return found[0] if found else work_dir / task.hash
