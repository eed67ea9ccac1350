"""PLAN: the run's parameters on standard input; plan, recipe, groups and jobs out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tilewright.aiod.planning import plan_run, write_run
from tilewright.plan.plan import check_places

from . import run


def main() -> None:
    """Check everything and write the plan into this folder."""
    context = json.load(sys.stdin)
    check_places(context["params"])
    write_run(plan_run(context["params"], Path(context["launch_dir"])), Path())


if __name__ == "__main__":
    run(main)
