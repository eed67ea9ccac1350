"""All bad inputs, and how one is tried and judged."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import arrays, texts, things
from .attack import Attack, entries
from .rule import misses
from .ways import Answer

ATTACKS: list[Attack] = [*things.attacks(), *arrays.attacks(), *texts.attacks()]


def tried(attack: Attack, scratch: Path, way: Callable[[Sequence[str], Path], Answer]) -> str:
    """What of the answer isn't as it must be, and the end of what was said; else nothing."""
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "here"
    folder.mkdir()
    words = attack.make(folder)
    before = set(entries(folder))
    answer = way(words, folder)
    why = "; ".join(misses(attack, answer, before, folder))
    shutil.rmtree(folder.parent)
    last = (answer.err.strip().splitlines() or [""])[-1]
    return f"{why} | {last[:300]}" if why else ""


def some(attacks: Sequence[Attack], share: float, seed: int) -> list[Attack]:
    """A share of them by chance, the same for the same seed."""
    chosen = random.Random(seed)  # noqa: S311  # no secret
    return chosen.sample(attacks, max(1, round(share * len(attacks))))
