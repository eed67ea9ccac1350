"""Why images have no result, or aren't exported: those that share a reason stand together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SHARED = 4  # images, at least, whose reason is said once
SHOWN = 10  # images with a reason of their own; the others are folded
GAP = "…"
"""In place of what is an image's own in a sentence."""


@dataclass(frozen=True)
class Case:
    """An image, where it is, and why it isn't as it should be."""

    id: str
    path: str
    why: str


@dataclass(frozen=True)
class Reason:
    """A reason that several images share, and they."""

    said: str
    cases: list[Case]


@dataclass(frozen=True)
class Reasons:
    """All reasons: shared ones, the most frequent first, and the images that have their own."""

    shared: list[Reason]
    shown: list[Case]
    folded: list[Case]


def reasons(cases: Iterable[Case]) -> Reasons:
    """Cases by their reasons, which are their sentences without the image's own path."""
    by_reason: dict[str, list[Case]] = {}
    for case in cases:
        by_reason.setdefault(_without(case), []).append(case)
    shared = [Reason(said, some) for said, some in by_reason.items() if len(some) >= SHARED]
    own = [case for some in by_reason.values() if len(some) < SHARED for case in some]
    shared.sort(key=lambda reason: -len(reason.cases))
    return Reasons(shared, own[:SHOWN], own[SHOWN:])


def _without(case: Case) -> str:
    own = "|".join(
        rf"[^\s'\"]*{re.escape(name)}" for name in (case.path, Path(case.path).name) if name
    )
    said = re.sub(own, GAP, case.why) if own else case.why
    return said.removeprefix(f"{GAP}: ")
