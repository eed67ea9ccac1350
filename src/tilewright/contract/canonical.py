"""JSON between steps: text that depends on the value alone, its digest, and what isn't whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tilewright.errors import UNAVAILABLE, TilewrightError

from .reading import read_text


def canonical(value: object) -> str:
    """JSON text that depends on the value alone, dataclasses in it: sorted keys, no spaces."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_by_field
    )


def _by_field(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it; all that is in it isn't copied, as `asdict` would."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def digest(value: object) -> str:
    """SHA-256 (64 hex digits) of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def save(path: Path, value: object) -> None:
    """Write a recipe, group or scan (or any JSON value) in canonical form."""
    path.write_text(canonical(value) + "\n", encoding="utf-8")


@contextmanager
def told(path: Path) -> Iterator[dict[str, Any]]:
    """What such a file says, to be made a value of inside: whatever it lacks is a sentence.

    Raises
    ------
    TilewrightError
        69, naming the file, when it isn't as a step wrote it.
    OSError
        When it can't be read.
    """
    try:
        yield dict(json.loads(read_text(path)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise TilewrightError(
            f"{path.name}: isn't as a step of this run wrote it ({why}).",
            fix="See to the disk, then run it again with --no_resume: all is done anew.",
            code=UNAVAILABLE,
        ) from error
