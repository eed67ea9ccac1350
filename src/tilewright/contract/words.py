"""How counts are said."""

from __future__ import annotations


def counted(number: int, word: str) -> str:
    """A number of things: ``1 object``, ``0 objects``, ``1,234 objects``.

    Parameters
    ----------
    number
        How many there are.
    word
        What one of them is called, whose plural ends in ``s``.
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"
