"""REPORT: the plan and what every group came to in; report.html and run.json out.

What its jobs took is noted in Tilewright's cache, for the next plan.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tilewright.plan.speeds import keep
from tilewright.report.publish import publish_report
from tilewright.report.report import write_report
from tilewright.report.timings import speeds

from . import note, results_of
from . import run as run_step


def main(plan: str, recipe: str, merged: str) -> None:
    """Write the report into this folder and the output folder's.

    Of the run, JSON from Nextflow is on standard input.

    Parameters
    ----------
    plan, recipe
        PLAN's JSON files.
    merged
        Folder of all groups' results and the tables of objects.
    """
    context = json.load(sys.stdin)
    run = write_report(Path(plan), Path(recipe), Path(merged), context, Path())
    publish_report(Path(), results_of(context), Path(merged), run.tables)
    note("REPORT")
    keep(run.model, speeds(run.recipe, run.measured))


if __name__ == "__main__":
    run_step(main)
