"""Cases that show every pair of values of any two factors at least once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Case = dict[str, str]
Pair = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Rule:
    """What can't be together: `allows` gets the values of `factors`, in their order."""

    factors: tuple[str, ...]
    allows: Callable[..., bool]


def implied(factor: str, values: Sequence[str], other: str, only: Sequence[str]) -> Rule:
    """Where `factor` has one of `values`, `other` is one of `only`."""
    return Rule((factor, other), lambda a, b: a not in values or b in only)


class Pairs:
    """Cases for factors under rules.

    Parameters
    ----------
    factors
        The values of each, by name; where nothing is gained by another, a case has the first.
    rules
        What every case keeps.

    Attributes
    ----------
    cases : list of dict
        A value for each factor.
    wanted : set
        The pairs that some case can have; each is in one of `cases`.
    """

    def __init__(self, factors: Mapping[str, Sequence[str]], rules: Sequence[Rule]) -> None:
        self._factors, self._rules = factors, rules
        self._random = random.Random(14)  # noqa: S311 - the same cases each time
        self.cases: list[Case] = []
        self.wanted: set[Pair] = set()
        left = dict.fromkeys(
            frozenset([(a, x), (b, y)])
            for a, b in itertools.combinations(factors, 2)
            for x, y in itertools.product(factors[a], factors[b])
        )
        while left:
            pair = next(iter(left))
            case = self.completed(dict(sorted(pair)), left)
            if case is None:
                del left[pair]
                continue
            self.cases.append(case)
            shown = pairs_of(case)
            self.wanted |= shown
            left = {p: None for p in left if p not in shown}

    def _allowed(self, case: Mapping[str, str]) -> bool:
        return all(
            rule.allows(*(case[f] for f in rule.factors))
            for rule in self._rules
            if all(f in case for f in rule.factors)
        )

    def completed(self, case: Case, left: Mapping[Pair, Any]) -> Case | None:
        """A whole case around some values that shows many of the pairs left; None if none is."""
        if not self._allowed(case):
            return None
        open_ = {
            factor: [v for v in values if self._allowed({**case, factor: v})]
            for factor, values in self._factors.items()
            if factor not in case
        }
        if not open_:
            return {f: case[f] for f in self._factors}
        # what has least choice first, so that a dead end shows early
        factor = min(open_, key=lambda f: (len(open_[f]) > 1, self._random.random()))

        def order(value: str) -> tuple[int, float]:
            gain = sum(frozenset([(factor, value), item]) in left for item in case.items())
            return -gain, self._random.random() if value != self._factors[factor][0] else 0

        for value in sorted(open_[factor], key=order):
            found = self.completed({**case, factor: value}, left)
            if found is not None:
                return found
        return None


def pairs_of(case: Mapping[str, str]) -> set[Pair]:
    """Every two values of a case."""
    return {frozenset(two) for two in itertools.combinations(case.items(), 2)}


def label(case: Mapping[str, str]) -> str:
    """A case in one word."""
    return "-".join(value.replace(" ", "_") for value in case.values())
