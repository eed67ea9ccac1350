"""PLAN: the run's parameters on standard input; plan, recipe, groups and jobs out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tilewright.aiod.planning import plan_run, write_run
from tilewright.plan.folders import check_work
from tilewright.plan.places import check_places
from tilewright.report.publish import put

from . import note, results_of, run


def main() -> None:
    """Check everything and write the plan into this folder, and where its user looks."""
    context = json.load(sys.stdin)
    params, here = context["params"], Path(context["launch_dir"])
    check_places(params)
    check_work(results_of(context), here / context["work_dir"])
    write_run(plan_run(params, here), Path())
    put(Path("plan.json"), results_of(context), "plan.json")
    note("PLAN")


if __name__ == "__main__":
    run(main)
