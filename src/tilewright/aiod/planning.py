"""A run's plan, whoever's parameters they are: ours, or the plugin's."""

from __future__ import annotations

from pathlib import Path

from tilewright.contract.canonical import save
from tilewright.plan.plan import Plan, make_plan, write_plan

from .adapter import Plugin, recognised
from .files import begin, exports


def plan_run(given: dict[str, object], here: Path) -> Plan:
    """`make_plan` of our parameters or the plugin's; it says what is raised."""
    return make_plan(given, here, recognised(given))


def write_run(plan: Plan, out: Path) -> None:
    """Write the plan's files into `out` and, for the plugin, exports/ and what it looks for."""
    write_plan(plan, out)
    if isinstance(plan.dialect, Plugin):
        for name, export in exports(plan.dialect, plan.groups, plan.recipe.spec).items():
            save(out / "exports" / f"{name}.json", export)
        begin(plan.dialect, plan.images, plan.jobs, plan.recipe.spec)
