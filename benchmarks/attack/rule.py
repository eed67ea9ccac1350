"""The rule by which an answer to a bad input is good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .attack import Attack, entries
from .ways import Answer

CODES = (2, 65, 69)
LONGEST = 700
"""Letters of a sentence, at most."""


def misses(attack: Attack, answer: Answer, before: set[str], folder: Path) -> Iterator[str]:
    """What of an answer isn't as it must be, in words."""
    if answer.code is None:
        yield f"no answer in {answer.seconds:.0f} s"
        return
    harmless = not attack.names and answer.code == 0
    if answer.code not in CODES and not harmless:
        yield f"exit code {answer.code}"
    if "Traceback" in answer.err + answer.out:
        yield "a traceback"
    lines = [line for line in (answer.err or answer.out).splitlines() if line.strip()]
    by_us = lines and lines[-1].startswith(("tilewright: ", "Error: "))
    if not by_us and not harmless and answer.err:  # `validate` has its own form, on stdout
        yield "no sentence at the end"
    if any(len(line) > LONGEST for line in lines):
        yield f"a line of {max(map(len, lines))} letters"
    if "fault of ours" in answer.err or "report this" in answer.err:
        yield "our apology"
    if attack.names not in answer.err + answer.out:
        yield f"doesn't name {attack.names}"
    if made := set(entries(folder)) - before:
        yield f"made {sorted(made)[:3]}"
