"""Figures as tables in Markdown, and where they are kept: results.json and docs/seams.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from seams.measure import TRUTH, UNTILED, Row
from seams.rules import RULES
from seams.scenes import SCENES

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "seams.md"
TIMED = ("dense", "volume")
MARK = "<!-- {} {} -->"


def tables(rows: list[Row]) -> dict[str, str]:
    """Every table, by its title."""
    return {
        "Rules": _rules(rows),
        "AP": _by_scene(rows, lambda r: _share(r.ap)),
        "PQ": _by_scene(rows, lambda r: _share(r.pq)),
        "Split, merged, lost": _by_scene(rows, lambda r: f"{r.split} / {r.merged} / {r.lost}"),
        "SBE": _by_scene(rows, lambda r: "-" if r.sbe is None else f"{r.sbe:.2f}", first=TRUTH),
        "Time and memory": _costs(rows),
    }


def write(rows: list[Row]) -> None:
    """Keep the figures, beside those of scenes and rules not run now; the page gets the tables."""
    found = {(r.case, r.rule): r for r in (kept() if RESULTS.exists() else [])}
    found.update({(r.case, r.rule): r for r in rows})
    cases = [(scene.name, noise) for scene in SCENES.values() for noise in scene.noises]
    names = [TRUTH, UNTILED, *RULES]
    rows = [found[case, name] for name in names for case in cases if (case, name) in found]
    lines = (json.dumps({k: v for k, v in asdict(r).items() if v not in (None, "")}) for r in rows)
    RESULTS.write_text("[\n " + ",\n ".join(lines) + "\n]\n")
    PAGE.write_text(filled(PAGE.read_text(), rows))


def kept() -> list[Row]:
    """The figures that were kept."""
    return [Row(**row) for row in json.loads(RESULTS.read_text())]


def filled(page: str, rows: list[Row]) -> str:
    """The page with these tables between its marks."""
    for title, table in tables(rows).items():
        begin, end = (re.escape(MARK.format(word, title)) for word in ("begin", "end"))
        pattern = re.compile(f"({begin}\n).*?({end})", re.DOTALL)
        page = pattern.sub(lambda m, t=table: f"{m[1]}\n{t}\n\n{m[2]}", page)
    return page


def _rules(rows: list[Row]) -> str:
    """Whose code each rule is, and what it gets wrong in all."""
    lines = []
    for name in _names(rows):
        mine = [r for r in rows if r.rule == name]
        done = [r for r in mine if not r.error]
        versions = {r.version for r in mine} - {None}
        source = "Tilewright's" if name == "tilewright" else "re-implemented"
        source = f"its own, {RULES[name].package} {versions.pop()}" if versions else source
        totals = [sum(getattr(r, k) for r in done) for k in ("split", "merged", "lost")]
        least = min((r.ap for r in done), default=None)
        cells = [RULES[name].title, source, f"{len(done)} of {len(mine)}", _share(least)]
        lines.append([*cells, *map(str, totals)])
    head = ["rule", "code", "scenes done", "least AP", "split", "merged", "lost"]
    return _table(head, lines)


def _by_scene(rows: list[Row], cell: Callable[[Row], str], first: str | None = None) -> str:
    """A line per scene and noise, a column per rule."""
    names = [*([first] if first else []), UNTILED, *_names(rows)]
    at = {(row.case, row.rule): row for row in rows}
    lines = []
    for case in {row.case: None for row in rows}:
        found = [at.get((case, name)) for name in names]
        words = ["" if r is None else "failed" if r.error else cell(r) for r in found]
        lines.append([", ".join(case), *words])
    return _table(["scene", *names], lines)


def _costs(rows: list[Row]) -> str:
    """Seconds and MB of each rule on some scenes."""
    cases = [case for case in {row.case: None for row in rows} if case[0] in TIMED]
    at = {(row.case, row.rule): row for row in rows}
    lines = []
    for name in _names(rows):
        found = [at.get((case, name)) for case in cases]
        lines.append([name, *(_cost(row) for row in found)])
    return _table(["rule", *(", ".join(case) for case in cases)], lines)


def _cost(row: Row | None) -> str:
    if row is None or row.cpu is None:
        return "" if row is None else "failed"
    return f"{row.cpu:.1f} s, {row.peak_mb:.0f} MB"


def _names(rows: list[Row]) -> list[str]:
    """The rules that were run, as they were asked for."""
    return [n for n in {row.rule: None for row in rows} if n in RULES]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))
