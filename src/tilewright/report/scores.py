"""The place of a score in the page: where `./tilewright score` puts what it found, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

SCORES = "scores.json"
SCORES_BEGIN, SCORES_END = "<!-- scores: begin -->", "<!-- scores: end -->"
"""Round the place, which is there without a score, too."""


def read_scores(outdir: Path) -> object:
    """What an output folder's scores.json says; None where there is none that can be read."""
    try:
        found: object = json.loads((outdir / SCORES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def with_scores(page: str, shown: str) -> str:
    """A page with its scores, or other ones in their place; as it is, where it has no place.

    Parameters
    ----------
    page
        Text of a report.html.
    shown
        HTML, of `scores.html.j2`.
    """
    before, begin, rest = page.partition(SCORES_BEGIN)
    _, end, after = rest.partition(SCORES_END)
    return f"{before}{begin}\n{shown}\n{end}{after}" if end else page
