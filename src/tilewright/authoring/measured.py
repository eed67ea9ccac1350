"""What `./tilewright bench zoo` kept of the models, as a table for `docs/models.md`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tilewright import ROOT

FOLDER = ROOT / "benchmarks" / "zoo" / "measured"
Figures = dict[str, Any]
COLUMNS: dict[str, Callable[[Figures, Figures], str]] = {
    "environment, s": lambda env, _: seconds(env),
    "GB": lambda env, _: f"{env['gb']:.1f}, {env['more_gb']:.1f} of its own",
    "objects": lambda _, case: str(case["objects"]),
    "its library's results": lambda _, case: agreement(case["difference"]),
    "AP in tiles": lambda _, case: (
        "-" if case["ap"] is None else score(case["ap"], case.get("own_ap"))
    ),
    "SBE": lambda _, case: (
        "-" if case["sbe"] is None else score(case["sbe"], case.get("whole_sbe"), digits=2)
    ),
    "s per megapixel": lambda _, case: (
        f"{case['seconds_per_million']:g} ({case['cpu_seconds_per_million']:g})"
    ),
}
"""The table's columns after the model's name: of its environment's figures and its own."""
ABOUT = """\
## Measured

These ran in their own environments, with small networks made in their libraries' own format, on
made pictures: this shows that a model runs, not how well the published weights do.

- *environment*: seconds to build it with nothing kept, and again from uv's cache; GB on disk, and
  how many of them no other environment there shared by hard links.
- *its library's results*: on one tile, beside the library called directly: the share of pixels with
  another label, or a map's greatest difference.
- *AP in tiles*: of the objects in tiles against those in one tile, at an IoU over 0.5; in brackets
  the library's own rule for big images, against its own result in one piece.
- *SBE*: the [seam boundary excess](seams.md), 1 where no seam can be seen; in brackets that of the
  result in one piece, on the same lines: what the picture alone comes to.
- *s per megapixel* (of a volume, megavoxel): on two cores of an x86-64, the processor's seconds in
  brackets.
"""


def section(licences: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The section's lines; none where nothing was measured.

    Parameters
    ----------
    licences
        Of the models' weights, by model_name.
    folder
        Of the figures, a JSON file for each base model.
    """
    kept = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
    if not kept:
        return []
    heads = ["model", *COLUMNS, "licence"]
    lines, notes = [line(heads), "|---" * len(heads) + "|"], []
    for model in kept:
        for case in model["cases"].values():
            figures = [tell(model["environment"], case) for tell in COLUMNS.values()]
            shown = name_of(case)
            lines.append(line([shown, *figures, licences.get(case["model_name"], "not said")]))
            notes += textwrap.wrap(f"{shown}: {case['note']}", 110) if "note" in case else []
    return [*ABOUT.splitlines(), "", *lines, *([""] if notes else []), *notes]


def name_of(case: Figures) -> str:
    """A case's model, and its variant where that isn't the usual."""
    return " ".join(f"`{case[k]}`" for k in ("model_name", "variant") if case.get(k))


def seconds(env: Figures) -> str:
    """How long it takes to build an environment, the first time where that is known."""
    first = env["first_seconds"]
    return f"{'-' if first is None else first}, again {env['again_seconds']}"


def agreement(difference: float) -> str:
    """How near to the library's."""
    return "equal" if difference == 0 else f"within {difference:.1g}"


def score(ours: float, other: float | None, digits: int = 3) -> str:
    """Ours, and in brackets what it is to be compared with."""
    return f"{ours:.{digits}f}" + ("" if other is None else f" ({other:.{digits}f})")


def line(values: list[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(values)} |"
