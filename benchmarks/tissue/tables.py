"""Figures as a table in Markdown, and the bars."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tissue.kinds import EMPTY
from tissue.measure import OURS, Row

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PICTURE = DOCS / "tissue.md", DOCS / "img" / "tissue.png"
LEAST_IOU, MOST_LOST, MOST_LOST_OF_A_KIND = 0.90, 0.02, 0.10
MOST_ADDED = 0.005
"""Of a slide without tissue but with dyed fibres, glue, smears and bubbles; of others nothing."""


def table(rows: list[Row]) -> str:
    """A line for each kind, and the means of kinds that have tissue."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    heads = ["kind", *(f"{r}: IoU, lost, added" for r in rules)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    kinds = dict.fromkeys(row.kind for row in rows)
    lines += [_line(kind, [_of(rows, rule, kind) for rule in rules]) for kind in kinds]
    stained = [row for row in rows if row.kind not in EMPTY]
    if stained:
        lines.append(_line("mean of all that have tissue", [_of(stained, r) for r in rules]))
    spent = [f"{1e3 * np.median([r.seconds for r in _of(rows, rule)]):.0f} ms" for rule in rules]
    return "\n".join([*lines, "| a slide takes, of a core | " + " | ".join(spent) + " |"])


def write(rows: list[Row]) -> None:
    """Put the table between the page's marks."""
    text = PAGE.read_text(encoding="utf-8")
    marks = re.compile("(<!-- begin table -->\n).*?(<!-- end table -->)", re.DOTALL)
    PAGE.write_text(marks.sub(lambda m: f"{m[1]}\n{table(rows)}\n\n{m[2]}", text), encoding="utf-8")


def _of(rows: list[Row], rule: str, kind: str | None = None) -> list[Row]:
    return [row for row in rows if row.rule == rule and kind in (None, row.kind)]


def _line(name: str, groups: list[list[Row]]) -> str:
    cells = [
        f"{_mean(g, 'iou'):.3f}, {_mean(g, 'lost'):.1%}, {_mean(g, 'added'):.1%}" for g in groups
    ]
    return "| " + " | ".join([name, *cells]) + " |"


def _mean(rows: list[Row], name: str) -> float:
    return float(np.mean([getattr(row, name) for row in rows]))


def misses(rows: list[Row]) -> list[str]:
    """The bars that aren't reached, in words."""
    ours = [row for row in _of(rows, OURS) if row.kind not in EMPTY]
    found = []
    for kind in dict.fromkeys(row.kind for row in _of(rows, OURS)):
        group = _of(rows, OURS, kind)
        most = MOST_ADDED if kind == "empty with dirt" else 0
        if kind in EMPTY and (added := _mean(group, "added")) > most:
            found.append(f"{kind}: {added:.2%} of the slide is called tissue")
        if kind not in EMPTY and (lost := _mean(group, "lost")) > MOST_LOST_OF_A_KIND:
            found.append(f"{kind}: {lost:.1%} lost")
    if ours and (iou := _mean(ours, "iou")) < LEAST_IOU:
        found.append(f"mean IoU {iou:.3f}")
    if ours and (lost := _mean(ours, "lost")) > MOST_LOST:
        found.append(f"{lost:.1%} lost in the mean")
    for rule in dict.fromkeys(row.rule for row in rows if row.rule != OURS):
        peer = [row for row in _of(rows, rule) if row.kind not in EMPTY]
        if ours and peer and _mean(peer, "iou") >= _mean(ours, "iou"):
            found.append(f"{rule} has a mean IoU of {_mean(peer, 'iou'):.3f}")
    return found
