"""What pydantic found wrong in a document, in sentences with file, line and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tilewright.contract.spelling import near

from .documents import Document, FaultError, Where
from .fields import ResolutionFields, SpecFields, Strict, TileFields
from .manifest import (
    Author,
    Location,
    Manifest,
    Metadata,
    Param,
    Publication,
    Task,
    UnknownTaskError,
    Version,
)

MANIFEST_BLOCKS: dict[str, type[Strict]] = {
    "versions": Version,
    "tasks": Task,
    "locations": Location,
    "params": Param,
    "metadata": Metadata,
    "pubs": Publication,
    "authors": Author,
    "spec": SpecFields,
    "tile_spec": TileFields,
    "resolution": ResolutionFields,
}
"""What a block of a manifest is, by the key it stands under."""
WORDS = {
    "a valid dictionary.*": "a mapping of names to values",
    "a valid string": "a text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean.*": "true or false",
    "a valid (list|tuple)": "a list",
    r"match pattern '\^\[0-9a-f\]\{64\}.*": "be 64 digits, 0 to 9 and a to f",
    r"match pattern '\^\[TCZYX\].*": "be of the letters T, C, Z, Y and X",
    r"match pattern '\^\[a-z0-9\]\[a-z0-9(\S*)\]\*.*": r"have lower-case letters, digits, \1 only",
    r"match pattern '\^\[A-Za-z0-9\]\[A-Za-z0-9(\S*)\]\*.*": r"have letters, digits and \1 only",
}
"""Pydantic's words (and our patterns), and ours."""
LONGEST = 80  # characters of a value that is shown: all of a digest
MANUAL = "docs/manifest.md lists every field."


def faults(
    error: ValidationError, document: Document, blocks: Sequence[Where] = ((),)
) -> list[FaultError]:
    """Every fault once, in the order of the document's lines.

    Parameters
    ----------
    error
        Found in values that `document` holds.
    blocks
        What leads to the values: ``[()]`` for the whole document. Of several blocks that were
        merged, the last one first; the first that has a faulty value is named.
    """
    grouped: dict[Where, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        grouped.setdefault(_where(detail, document, blocks), []).append(detail)
    found = [_fault(where, details, document) for where, details in grouped.items()]
    return sorted(found, key=lambda fault: (str(fault.path), fault.line))


def spec_blocks(document: Document, version: str, task: str) -> list[Where]:
    """The blocks that a choice's spec is merged from, the last one first.

    Parameters
    ----------
    version, task
        Keys of the document's `versions`, and of that version's `tasks`.
    """
    inside: Where = ("versions", version)
    return [(*inside, "tasks", task, "spec"), (*inside, "spec"), ("spec",), inside]


def nearest(given: str, known: Sequence[str]) -> str:
    """A sentence that names the nearest known word, or all of them."""
    meant = near(given, known)
    return f"Did you mean {meant!r}?" if meant else f"Known: {', '.join(known) or 'none'}."


def _where(detail: ErrorDetails, document: Document, blocks: Sequence[Where]) -> Where:
    """What leads to a fault: as far as the document has it, or one further if it is missing."""
    loc = detail["loc"] or _named(detail, document, blocks)
    for length in range(len(loc), 0, -1):
        for block in blocks:
            if (where := (*block, *loc[:length])) in document.lines:
                lacks = detail["type"] == "missing" and length == len(loc) - 1
                return (*block, *loc) if lacks else where
    block = next((b for b in blocks if b in document.lines), blocks[-1])
    return (*block, *loc) if detail["type"] == "missing" else block


def _named(detail: ErrorDetails, document: Document, blocks: Sequence[Where]) -> Where:
    """The field of the blocks that a message about several fields names first."""
    words = re.findall(r"[a-z_]+", detail["msg"])
    named: list[Where] = [path for w in words for path in ((w,), ("tile_spec", w))]
    return next((n for n in named for b in blocks if (*b, *n) in document.lines), ())


def _fault(where: Where, details: list[ErrorDetails], document: Document) -> FaultError:
    first = details[0]
    kind, given = first["type"], first["input"]
    fix = MANUAL
    if kind == "extra_forbidden":
        known = _known(where)
        fix = nearest(str(where[-1]), known)
        where, why = where[:-1], f"there is no field {where[-1]!r}"
        place = document.place((*where, first["loc"][-1]))
        return FaultError(place, _sentence(where, why), fix=fix)
    if kind == "missing":
        why = "is missing"
    elif kind == "value_error":
        why = first["msg"].removeprefix("Value error, ")
    else:
        why = f"{_short(given)} {_wanted(details)}"
    if kind == "string_type" and isinstance(given, int | float):
        word = document.words.get(where, str(given))
        why, fix = f"{word} {_wanted(details)}", f'Put it in quotes: "{word}".'
    unknown = first.get("ctx", {}).get("error")
    if isinstance(unknown, UnknownTaskError):
        fix = nearest(str(given).lower(), unknown.known)
        fix += "" if fix.startswith("Did") else " A line of the folder's tasks.yml adds another."
    return FaultError(document.place(where), _sentence(where, why), fix=fix)


def _wanted(details: list[ErrorDetails]) -> str:
    """What pydantic wanted instead, in our words: of a union, each member's wish."""
    wishes = [d["msg"].partition(", unable")[0] for d in details]
    wishes = [re.sub("^(Input|String|List|Dictionary|Tuple) should ", "", w) for w in wishes]
    for theirs, ours in WORDS.items():
        wishes = [re.sub(theirs, ours, wish) for wish in wishes]
    return "should " + " or ".join(dict.fromkeys(wishes))


def _known(where: Where) -> list[str]:
    """The fields of the block that holds `where`."""
    block: type[Strict] = Manifest
    for key in where[:-1]:
        if key in MANIFEST_BLOCKS and key in block.model_fields:
            block = MANIFEST_BLOCKS[str(key)]
    return list(block.model_fields)


def _sentence(where: Where, why: str) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)
    return f"{path.lstrip('.') or 'the manifest'}: {why}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}…"
