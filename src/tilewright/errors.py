"""One error a user can act on, with its exit code and the sentence that says what to do."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

USAGE = 2  # a wrong parameter
BAD_DATA = 65  # an input that can't be read or doesn't fit the model
UNAVAILABLE = 69  # weights, an environment or a disk that isn't there
INTERNAL = 70  # a bug of ours


LONG_WORD, LONG_PATH, LONG_LINE = 256, 4096, 4000
"""Characters: no digest or file's name has a longer word, no path is longer, and nobody reads a
longer line."""


SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*:/{1,2})[^/\s@?#'\"]*@", re.IGNORECASE), r"\1…@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*:/{1,2}[^\s?#'\"]*[?#])[^\s'\"]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"\b(hf_|gh[pousr]_|github_pat_|glpat-|xox[abpr]-|sk-)[\w-]{16,}"), r"\1…"),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]*"), "eyJ…"),
    (
        re.compile(
            r"\b((?:hf_|access_|auth_)?token|password|passwd|secret|api_?key|sig(?:nature)?)"
            r"=[^\s'\",&]+",
            re.IGNORECASE,
        ),
        r"\1=…",
    ),
)
"""Passwords and signed parts of addresses, tokens by their form and by their name."""


def without_secrets(text: str) -> str:
    """A text as it may be shown: without passwords, tokens and what signs an address."""
    for pattern, put in SECRETS:
        text = pattern.sub(put, text)
    return text


def short(text: str) -> str:
    """A text to be shown: values of thousands of characters are cut, lines too, and no secrets."""
    text = without_secrets(text)
    cut = re.sub(rf"[^\s/'\"]{{{LONG_WORD + 1},}}", lambda m: _cut(m[0], 60, 0), text)
    cut = re.sub(rf"[^\s'\"]{{{LONG_PATH + 1},}}", lambda m: _cut(m[0], 200, 100), cut)
    return "\n".join(
        line if len(line) <= LONG_LINE else _cut(line, 3000, 500) for line in cut.split("\n")
    )


def _cut(text: str, first: int, last: int) -> str:
    return f"{text[:first]}… ({len(text):,} characters){'… ' + text[-last:] if last else ''}"


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
        what, fix = short(what), short(fix)
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
