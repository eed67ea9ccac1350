"""Rules on a model that runs, in the order of their numbers; docs/validate.md has all."""

from __future__ import annotations

from tilewright.registry.checks.table import STATIC
from tilewright.registry.checks.target import ERROR, REGISTRY, Rule, Violation

from . import runtime

Named = tuple[str, Violation]
"""A rule's id, and a violation."""

LOAD = (
    Rule("R1", ERROR, REGISTRY, runtime.loads),
    Rule("R2", ERROR, REGISTRY, runtime.declared, "by what comes out"),
    Rule("R3", ERROR, REGISTRY, runtime.token_count),
)
"""On a model that runs; level 4."""

DRY_RUN = (
    Rule("R4", ERROR, REGISTRY, runtime.shapes),
    Rule("R5", ERROR, REGISTRY, runtime.values, "no object in two pictures is a warning"),
    Rule("R6", ERROR, REGISTRY, runtime.batches, "another result when asked again is a warning"),
    Rule("R7", ERROR, REGISTRY, runtime.channel_order, "the golden's order is R9's"),
    Rule("R8", ERROR, REGISTRY, runtime.normalised),
    Rule("R10", ERROR, REGISTRY, runtime.hard_tiles),
)
"""On sample tiles; level 5."""

GOLDEN = (Rule("R9", ERROR, REGISTRY, runtime.golden, "none is a warning"),)
"""On the golden tile; level 6."""


def docs() -> str:
    """The table of docs/validate.md, in Markdown."""
    running = sorted((*LOAD, *DRY_RUN, *GOLDEN), key=lambda r: int(r.id[1:]))
    rows = [(r.id, r.severity, r.concerns, r.what, r.note) for r in (*STATIC, *running)]
    head = ["| id | severity | concerns | what must hold | note |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
