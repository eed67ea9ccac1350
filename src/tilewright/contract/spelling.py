"""Which known word somebody meant by one that isn't known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

NEAR = 0.75
"""Share of letters that two words have in common, in order, where one is meant by the other."""
SHORTEST = 3  # letters of a word that may be the beginning of the one that is meant


def near(given: str, known: Iterable[str]) -> str | None:
    """The known word that is nearest to what was given; None where none is near.

    Parameters
    ----------
    given
        As somebody wrote it; capitals, ``-`` and ``_`` don't count.
    known
        What it could be.
    """
    word = _plain(given)
    rated = [(_alike(word, _plain(other)), other) for other in known]
    best = max(rated, key=lambda r: r[0], default=(0.0, ""))
    return best[1] if best[0] >= NEAR else None


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_").strip("_ ")


def _alike(one: str, other: str) -> float:
    short, long = sorted((one, other), key=len)
    other_letters = [a + b for a, b in zip(one, other, strict=False) if a != b]
    slip = len(one) == len(other) >= SHORTEST and len(other_letters) == 1
    if sorted(one) == sorted(other):  # letters in another order: GPF
        return NEAR + 0.2
    if slip and other_letters[0].isalpha():  # but a digit tells things apart: CD4 and CD8
        return NEAR + 0.1
    if len(short) >= SHORTEST and long.startswith(short):
        return NEAR + 0.05
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
