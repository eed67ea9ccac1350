"""Which values are tried: ``--set a=1,2,3 --set b=x,y`` as a ``--set`` for each combination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from tilewright.errors import USAGE, TilewrightError
from tilewright.plan.settings import pieces, value_of

MOST = 24
"""Combinations that are tried at most: more than that nobody compares."""


def combinations(said: Sequence[str]) -> list[dict[str, str]]:
    """Each combination of the values, as texts by the names of the parameters.

    Parameters
    ----------
    said
        Each ``--set``; a piece without ``=`` is a further value of the name before it.

    Raises
    ------
    TilewrightError
        2, when a value has no name, is none or is there twice, or there are no values or more
        than `MOST`.
    """
    values: dict[str, list[str]] = {}
    for one in said:
        last = None
        for name, text in pieces(one):
            last = name or last
            if last is None:
                raise TilewrightError(
                    f"--set {one}: {text!r} has no name in front of it.",
                    fix="Write --set NAME=VALUE,VALUE,…: --set min_area=20,50,100.",
                    code=USAGE,
                )
            known = values.setdefault(last, [])
            if text in known:
                raise TilewrightError(
                    f"--set gives {last} the value {text} twice.", fix="Say it once.", code=USAGE
                )
            value_of(last, text)
            known.append(text)
    if not values:
        raise TilewrightError(
            "There is nothing to try.",
            fix="Say which values of which parameter: --set min_area=20,50,100.",
            code=USAGE,
        )
    number = math.prod(map(len, values.values()))
    if number > MOST:
        each = " x ".join(str(len(v)) for v in values.values())
        raise TilewrightError(
            f"{each} values are {number} combinations, and at most {MOST} are tried at once.",
            fix="Leave some out, or try one parameter after the other.",
            code=USAGE,
        )
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def as_set(combination: dict[str, str]) -> str:
    """A combination as ``--set`` has it."""
    return ",".join(f"{name}={text}" for name, text in combination.items())
