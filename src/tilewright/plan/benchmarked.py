"""What `./tilewright bench zoo` measured of our models, on two cores of another machine."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tilewright import ROOT

FOLDER = ROOT / "benchmarks" / "zoo" / "measured"
GB = 1e9


@functools.cache
def kept(folder: Path = FOLDER) -> tuple[dict[str, Any], ...]:
    """The figures of every base model that was measured, as their files have them."""
    files = sorted(folder.glob("*.json"))
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in files)


def per_million(model_name: str, task: str) -> float | None:
    """Seconds per million pixels of a model; None where it wasn't measured."""
    cases = (case for model in kept() for case in model["cases"].values())
    found = (c for c in cases if (c["model_name"], c["task"]) == (model_name, task))
    return next((float(case["seconds_per_million"]) for case in found), None)


def environment_bytes(name: str) -> int | None:
    """Bytes of an environment on disk; None where it wasn't measured."""
    found = (m["environment"]["gb"] for m in kept() if m["environment"]["name"] == name)
    return next((round(gb * GB) for gb in found), None)
