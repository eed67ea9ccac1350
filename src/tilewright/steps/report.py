"""REPORT: the plan and what every group came to in; report.html and run.json out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tilewright.report.report import write_report

from . import run


def main(plan: str, recipe: str, merged: str) -> None:
    """Write the report into this folder; of the run, JSON from Nextflow is on standard input.

    Parameters
    ----------
    plan, recipe
        PLAN's JSON files.
    merged
        Folder of all groups' results.
    """
    write_report(Path(plan), Path(recipe), Path(merged), json.load(sys.stdin), Path())


if __name__ == "__main__":
    run(main)
