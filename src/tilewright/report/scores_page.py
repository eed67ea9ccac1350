"""A run's score for people: a page by itself, and a part of the report, by the same template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from tilewright.contract.checksums import rewriting
from tilewright.contract.files import atomic, writing
from tilewright.contract.made import RUN_CHECKSUMS, SCORES_PAGE
from tilewright.contract.reading import read_text
from tilewright.errors import USAGE
from tilewright.scoring.measures import PERCENTS
from tilewright.scoring.scores_file import Score, Scores

from .page import number

BEGIN, END = "<!-- scores -->", "<!-- end of scores -->"
"""What stands around the score in report.html; `score` fills it when the report is there."""
MOST_ROWS = 100  # images in the table, the worst first
LEFT, RIGHT, TOP, BOTTOM = 50, 510, 10, 205  # of the curve's frame, in its own units


@dataclass(frozen=True)
class Curve:
    """F1 over IoU as an SVG's words.

    Parameters
    ----------
    points, band
        Of the line, and of its interval's outline; empty where there is none.
    grid, ticks
        Where numbers stand, and which.
    said
        All of it in words.
    """

    points: str
    band: str
    grid: list[dict[str, Any]]
    ticks: list[dict[str, Any]]
    said: str


def curve(scores: Scores) -> Curve:
    """F1 of all images over the least IoU of a match."""
    values = [value or 0.0 for value in scores.total.f1_by_iou]
    ends = [scores.intervals.get(f"f1_{percent}") for percent in PERCENTS]
    low, high = ([e[i] for e in ends if e] for i in (0, 1))
    whole = len(low) == len(PERCENTS)
    band = [*_points(high), *reversed(_points(low))] if whole else []
    return Curve(
        points=" ".join(_points(values)),
        band=" ".join(band),
        grid=[{"y": _y(v / 4), "text": f"{v / 4:g}"} for v in range(5)],
        ticks=[{"x": _x(i), "text": f"{p / 100:g}"} for i, p in enumerate(PERCENTS)],
        said=", ".join(f"{v:.2f} at {p} %" for v, p in zip(values, PERCENTS, strict=True)),
    )


def _points(values: Sequence[float]) -> list[str]:
    return [f"{_x(i):g},{_y(v):g}" for i, v in enumerate(values)]


def _x(index: int) -> float:
    return round(LEFT + (RIGHT - LEFT - 20) * index / (len(PERCENTS) - 1) + 10, 1)


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)


def render_scores(scores: Scores, template: str) -> str:
    """``scores_page.html.j2``, or its part ``scores.html.j2``; what users wrote is escaped.

    Parameters
    ----------
    scores
        What it tells.
    template
        Which of the two.
    """
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["number"] = number
    return pages.get_template(template).render(**told(scores))


def told(scores: Scores) -> dict[str, Any]:
    """What ``scores.html.j2`` is given: all images together, then the worst ones."""
    ranked = sorted(scores.images, key=lambda i: (_worst(i.score), i.id))
    rows = [("all images", vars(scores.total), True)]
    rows += [(image.id, vars(image.score), False) for image in ranked[:MOST_ROWS]]
    more = max(0, len(ranked) - MOST_ROWS)
    return {"scores": scores, "curve": curve(scores), "rows": rows, "more": more}


def _worst(score: Score) -> float:
    return 2.0 if score.f1 is None else score.f1


def write_scores(scores: Scores, results: Path) -> Path:
    """Write scores.html and, where the report has room for it, the score into report.html.

    Parameters
    ----------
    scores
        What is told.
    results
        The output folder.

    Returns
    -------
        The page.
    """
    with writing(results, "Allow it, or copy the results.", USAGE):
        page = results / SCORES_PAGE
        with atomic(page) as part:
            text = render_scores(scores, "scores_page.html.j2")
            part.write_text(text, encoding="utf-8")
        report = results / "report.html"
        before = read_text(report) if report.is_file() else ""
        after = with_scores(before, render_scores(scores, "scores.html.j2"))
        if after != before:
            sums = results / RUN_CHECKSUMS
            with rewriting(sums, report.name), atomic(report) as part:
                part.write_text(after, encoding="utf-8")
    return page


def with_scores(page: str, shown: str) -> str:
    """A page with its scores, or other ones in their place; as it is, where it has no place.

    Parameters
    ----------
    page
        Text of a report.html.
    shown
        HTML, of `scores.html.j2`.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{shown}\n{end}{after}" if end else page
