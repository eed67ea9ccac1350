"""One error a user can act on, with its exit code and the sentence that says what to do."""

from __future__ import annotations

from functools import partial
from typing import Any

USAGE = 2  # a wrong parameter
BAD_DATA = 65  # an input that can't be read or doesn't fit the model
UNAVAILABLE = 69  # weights, an environment or a disk that isn't there
INTERNAL = 70  # a bug of ours


class TilewrightError(Exception):
    """A problem a user can act on; anything else is a bug and exits with 70.

    Parameters
    ----------
    what
        Where it is, what was found and what was wanted; units on every number.
    fix
        What to do about it, as a sentence.
    code
        The process's exit code: 2 usage, 65 bad input data, 69 something unavailable.
    """

    def __init__(self, what: str, *, fix: str, code: int = BAD_DATA) -> None:
        super().__init__(f"{what} {fix}".rstrip())
        self.what = what
        self.fix = fix
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes whole from another process."""
        return partial(TilewrightError, fix=self.fix, code=self.code), (self.what,)


class ProblemsError(TilewrightError):
    """Several problems found in one look, one a line, each once."""

    def __init__(self, problems: list[TilewrightError]) -> None:
        super().__init__(
            "\n".join(dict.fromkeys(map(str, problems))), fix="", code=max(p.code for p in problems)
        )
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes whole from another process."""
        return ProblemsError, (self.problems,)
