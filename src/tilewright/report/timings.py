"""What jobs were measured to take: collected into run.json, and suggested by `plan`.

A suggestion is all: nothing measured changes jobs by itself, for other jobs are other tasks.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from tilewright.predict.timing import NAME

from .trace import DONE, Task

Facts = dict[str, Any]
ENOUGH = 60  # seconds of jobs: of fewer, waiting says nothing
WORTH = 0.25  # share of waiting that is worth a line


def collect(tasks: list[Task]) -> Facts | None:
    """What the PREDICT tasks of a run say of their time; None where none says anything.

    Returns
    -------
    dict
        ``seconds_per_tile``: median over jobs, without loading the model; ``jobs``: each job's
        name, whether it ran now, and its `Timing`.
    """
    jobs = [_job(t) for t in tasks if t.step == "PREDICT" and t.status in DONE]
    known = sorted((j for j in jobs if j), key=lambda j: str(j["job"]))
    rates = [(j["seconds"] - j["load"]) / j["tiles"] for j in known if j["tiles"]]
    if not known:
        return None
    return {
        "seconds_per_tile": round(statistics.median(rates), 6) if rates else None,
        "jobs": known,
    }


def _job(task: Task) -> Facts | None:
    try:
        timing = json.loads((Path(task.workdir) / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {"job": task.tag, "cached": task.status == "CACHED", **timing}


def waiting(measured: Facts | None) -> str:
    """What to say of a run whose models waited for tiles for long; nothing of another."""
    jobs = [j for j in (measured or {}).get("jobs", ()) if not j["cached"]]
    seconds = sum(j["seconds"] - j["load"] for j in jobs)
    waited = sum(j["read_wait"] for j in jobs)
    if seconds < ENOUGH or waited < WORTH * seconds:
        return ""
    return (
        f"the model waited for tiles {100 * waited / seconds:.0f} % of the time: "
        "the disk or the CPUs are the limit"
    )


def suggestion(outdir: Path, model: dict[str, str], minutes: float = 10) -> str:
    """What an earlier run of the same model into a folder measured, and how to use it."""
    try:
        run = json.loads((outdir / "run.json").read_text(encoding="utf-8"))
        seconds = float(run["measured"]["seconds_per_tile"])
        jobs, there = run["measured"]["jobs"], run["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if there != model or seconds <= 0:
        return ""
    devices = ", ".join(sorted({str(job["device"]) for job in jobs}))
    return (
        f"An earlier run took {seconds:.3g} s per tile on {devices} (median of {len(jobs)} jobs). "
        f"For jobs of {minutes:g} minutes, {max(1, int(60 * minutes / seconds))} tiles each: "
        f"--job_minutes {minutes:g} --seconds_per_tile {seconds:.3g}"
    )
