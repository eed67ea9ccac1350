"""All bad inputs, and how one is tried and judged."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import arrays, hub, onnx, outdirs, texts, things, torchscript
from .attack import Attack, contents
from .rule import misses
from .ways import Way

KINDS = (things, arrays, texts, onnx, torchscript, hub, outdirs)
RUNNABLE = ("array", "outdir")
"""Kinds that name all they need in parameters of a run."""
ATTACKS: list[Attack] = [attack for kind in KINDS for attack in kind.attacks()]


def tried(attack: Attack, scratch: Path, way: Way) -> str:
    """What of the answer isn't as it must be, and the end of what was said; else nothing."""
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "here"
    folder.parent.chmod(0o755)
    folder.mkdir()
    words = attack.make(folder)
    before = contents(folder)
    answer = way(attack, words, folder)
    why = "; ".join(misses(attack, answer, before, folder))
    shutil.rmtree(folder.parent)
    last = ((answer.err or answer.out).strip().splitlines() or [""])[-2:]
    return f"{why} | {' / '.join(last)[-600:]}" if why else ""


def some(attacks: Sequence[Attack], share: float, seed: int) -> list[Attack]:
    """A share of them by chance, the same for the same seed."""
    chosen = random.Random(seed)  # noqa: S311  # no secret
    return chosen.sample(attacks, max(1, round(share * len(attacks))))


def as_runs(attacks: Sequence[Attack], count: int, seed: int) -> list[Attack]:
    """Some of those that a run can meet, by chance, each as a whole run; as many of each kind."""
    chosen = random.Random(seed)  # noqa: S311  # no secret
    kinds: dict[str, list[Attack]] = {}
    for attack in attacks:
        if attack.steps or attack.kind in RUNNABLE:
            of_it = replace(attack, steps=attack.steps or ("PLAN",))
            kinds.setdefault(attack.kind, []).append(of_it)
    each = max(1, count // max(1, len(kinds)))
    return [a for of in kinds.values() for a in chosen.sample(of, min(each, len(of)))]
