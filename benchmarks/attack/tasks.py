"""A run's tasks without Nextflow: PLAN and those behind it, each as its process starts it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CONTEXT = {"trace": "none", "nextflow": "none", "command": "", "profile": "local", "configs": [],
           "started": None}  # fmt: skip
"""What else the workflow says of a run."""
STALL, PAUSE, SILENT = 0.5, 0.02, "5"
"""Seconds: without a byte of a download, between its tries, and of a model without a word."""


def through(words: Sequence[str], steps: Sequence[str], work: Path) -> None:
    """PLAN in a folder of its own, then more tasks; ends the process where one fails.

    Parameters
    ----------
    words
        ``plan --name value …``.
    steps
        Of ``FETCH``, ``PREDICT``, ``PUBLISH``, ``REPORT``.
    work
        Where the tasks work; their weights' folder is beside it.
    """
    from tilewright.cli.launch import absolute
    from tilewright.steps import fetch, plan, predict, report, run
    from tilewright.weights import download

    download.STALL_SECONDS, download.PAUSE = STALL, PAUSE
    params = absolute(dict(zip((w[2:] for w in words[1::2]), words[2::2], strict=True)))
    context = json.dumps(
        {"params": params, "launch_dir": str(Path.cwd()), "work_dir": str(work), **CONTEXT}
    )
    os.chdir(work)
    _environment(work, params)
    _call(run, plan.main, context)
    digest = json.loads(Path("plan.json").read_text())["weights"]
    if "FETCH" in steps:
        _call(run, fetch.main, context, "plan.json")
    if "PREDICT" in steps:
        for job in sorted(Path("jobs").glob("*.json")):
            _call(run, predict.main, context, str(job), "recipe.json", digest, f"{job.stem}.bank")
    if "PUBLISH" in steps:
        _publish(context)
    if "REPORT" in steps:
        Path("merged").mkdir()
        _call(run, report.main, context, "plan.json", "recipe.json", "merged")


def _environment(work: Path, params: dict[str, str]) -> None:
    """What configuration tells tasks; the environment `base` is the one that this runs in."""
    (work / "envs").mkdir()
    (work / "envs" / "base").symlink_to(sys.prefix)
    os.environ["TILEWRIGHT_ENVS"] = str(work / "envs")
    os.environ["TILEWRIGHT_PREDICT_TIMEOUT"] = SILENT
    if "weights_dir" in params:
        os.environ["TILEWRIGHT_WEIGHTS"] = params["weights_dir"]


def _publish(context: str) -> None:
    """Put a store where results go."""
    from tilewright.steps import publish, run

    store = Path("made", "good", "nuclei-1.0.0-nuclei.zarr")
    store.mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    _call(run, publish.main, context, "made", "copy")


def _call(run: object, main: object, context: str, *words: str) -> None:
    """One task, its run's context on its standard input."""
    sys.stdin, sys.argv = io.StringIO(context), ["task", *words]
    run(main)  # type: ignore[operator]
