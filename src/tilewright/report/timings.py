"""What jobs were measured to take: collected into run.json, and suggested by `plan`.

A suggestion is all: nothing measured changes jobs by itself, for other jobs are other tasks.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewright.contract.jobs import ModelId
from tilewright.contract.reading import read_text
from tilewright.contract.words import counted
from tilewright.plan.speeds import Speed, together
from tilewright.predict.timing import NAME, Timing

from .trace import DONE, TracedTask

ENOUGH = 60  # seconds of jobs: of fewer, waiting says nothing
WORTH = 0.25  # share of waiting that is worth a line


@dataclass
class _OfTask:
    job: str
    cached: bool


@dataclass
class JobTiming(Timing, _OfTask):  # its fields come after a task's: keys have an order
    """What a PREDICT task took.

    Parameters
    ----------
    job
        The task's name.
    cached
        Whether it is of an earlier run.
    """


@dataclass(frozen=True)
class Measured:
    """What a run's PREDICT tasks took.

    Parameters
    ----------
    seconds_per_tile
        The median over jobs, without loading the model; null where none had a tile.
    jobs
        Each job's own, by name.
    """

    seconds_per_tile: float | None
    jobs: list[JobTiming]


def collect(tasks: list[TracedTask]) -> Measured | None:
    """What the PREDICT tasks of a run say of their time; None where none says anything."""
    jobs = [_job(t) for t in tasks if t.step == "PREDICT" and t.status in DONE]
    known = sorted((j for j in jobs if j), key=lambda j: j.job)
    rates = [(j.seconds - j.load) / j.tiles for j in known if j.tiles]
    if not known:
        return None
    return Measured(round(statistics.median(rates), 6) if rates else None, known)


def _job(task: TracedTask) -> JobTiming | None:
    try:
        timing = json.loads((Path(task.workdir) / NAME).read_text(encoding="utf-8"))
        return JobTiming(task.tag, task.status == "CACHED", **timing)
    except (OSError, ValueError, TypeError):
        return None


def unconfined(measured: Measured | None) -> list[str]:
    """Why models' processes weren't confined, a sentence for each reason."""
    reasons = {job.unconfined for job in (measured.jobs if measured else ())}
    return [f"not confined, because {why}" for why in sorted(reasons - {""})]


def speeds(recipe: str, measured: Measured | None) -> list[Speed]:
    """What a run's own jobs came to, by machine and device; those of an earlier run are left out.

    Parameters
    ----------
    recipe
        SHA-256 of the run's.
    """
    jobs = [j for j in (measured.jobs if measured else ()) if j.pixels and not j.cached]
    return together(
        [],
        [
            Speed(recipe, j.host, j.device, 1, j.tiles, j.pixels, j.load, j.seconds - j.load)
            for j in jobs
        ],
    )


def waiting(measured: Mapping[str, Any] | None) -> str:
    """What to say of a run whose models waited for tiles for long; nothing of another.

    Parameters
    ----------
    measured
        As run.json has it.
    """
    jobs = [j for j in (measured or {}).get("jobs", ()) if not j["cached"]]
    seconds = sum(j["seconds"] - j["load"] for j in jobs)
    waited = sum(j["read_wait"] for j in jobs)
    if seconds < ENOUGH or waited < WORTH * seconds:
        return ""
    return (
        f"the model waited for tiles {100 * waited / seconds:.0f} % of the time: "
        "the disk or the CPUs are the limit"
    )


def suggestion(outdir: Path, model: ModelId, minutes: float = 10) -> str:
    """What an earlier run of the same model into a folder measured, and how to use it.

    Parameters
    ----------
    outdir
        Where that run's run.json is.
    model
        The one that is planned; of another nothing is said.
    minutes
        Of a suggested job.

    Returns
    -------
    str
        Text for the user, in s per tile; empty where nothing is known.
    """
    try:
        run = json.loads(read_text(outdir / "run.json"))
        seconds = float(run["measured"]["seconds_per_tile"])
        jobs, there = run["measured"]["jobs"], ModelId(**run["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if there != model or seconds <= 0:
        return ""
    devices = ", ".join(sorted({str(job["device"]) for job in jobs}))
    tiles = counted(max(1, int(60 * minutes / seconds)), "tile")
    return (
        f"An earlier run took {seconds:.3g} s per tile on {devices} (median of "
        f"{counted(len(jobs), 'job')}). For jobs of {minutes:g} min, {tiles} each: "
        f"--job_minutes {minutes:g} --seconds_per_tile {seconds:.3g}"
    )
