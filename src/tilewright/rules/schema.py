"""Level 0: what pydantic says of a manifest, as faults with the rule's id and the nearest key."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from tilewright.documents import Document, Where
from tilewright.fields import model_spec
from tilewright.manifest import (
    Author,
    Location,
    Manifest,
    Metadata,
    Param,
    Publication,
    Task,
    Version,
)
from tilewright.registry import Choice
from tilewright.spec import ModelSpec, Resolution, TileSpec

from .subject import Case, Fault

BLOCKS: dict[str, tuple[str, ...]] = {
    "": tuple(Manifest.model_fields),
    "metadata": tuple(Metadata.model_fields),
    "pubs": tuple(Publication.model_fields),
    "authors": tuple(Author.model_fields),
    "params": tuple(Param.model_fields),
    "versions": tuple(Version.model_fields),
    "tasks": tuple(Task.model_fields),
    "locations": tuple(Location.model_fields),
    "spec": tuple(f.name for f in dataclasses.fields(ModelSpec)),
    "tile_spec": (*(f.name for f in dataclasses.fields(TileSpec)), "stride"),
    "resolution": tuple(f.name for f in dataclasses.fields(Resolution)),
}
"""The keys of each block, by the name that leads to it."""
LEVEL_0 = "L0"
RULES = {"params": "S28", "tasks": "S29", "model_name": "S1", "sha256": "S3", "precision": "S24",
         "location": "S5"}  # fmt: skip
"""The rule that a wrong value breaks, by the last of these keys on the way to it."""

Named = tuple[str, Fault]
"""A rule's id, and the fault."""


def manifest_faults(error: ValidationError) -> Iterator[Named]:
    """What is wrong with a manifest's own blocks."""
    for one in error.errors():
        yield _named(tuple(one["loc"]), one)


def spec_faults(case: Case, error: ValidationError) -> Iterator[Named]:
    """What is wrong with a merged spec's fields."""
    for one in error.errors():
        names = [str(part) for part in one["loc"] if isinstance(part, str)]
        rule, fault = _named(("spec", *one["loc"]), one)
        yield rule, dataclasses.replace(fault, where=case.at(*names))


def cases(document: Document, manifest: Manifest) -> tuple[list[Case], list[Named]]:
    """Each version, task and variant with its spec; and what keeps some from having one."""
    good: list[Case] = []
    faults: list[Named] = []
    for name, version in manifest.versions.items():
        for task in version.tasks:
            choice = Choice(manifest, name, task)
            variants = choice.fields().get("variants") or {}
            for variant in (None, *(variants if isinstance(variants, dict) else ())):
                case = Case(document, choice, variant, NO_SPEC, choice.fields(variant))
                try:
                    spec = model_spec(case.fields)
                    good.append(dataclasses.replace(case, spec=spec))
                except ValidationError as error:
                    faults += spec_faults(case, error)
    return good, faults


NO_SPEC = ModelSpec("", "", TileSpec({}))


def _named(where: Where, error: Any) -> Named:
    key = str(where[-1]) if where else ""
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "S31", Fault(where, f"there is no key {key!r}", _nearest(where))
    if error["type"] == "missing":
        fix = "docs/manifest.md lists every field"
        return LEVEL_0, Fault(where[:-1], f"the key {key!r} is missing", fix)
    rule = next((RULES[str(k)] for k in reversed(where) if str(k) in RULES), LEVEL_0)
    if (where and where[-1] == "tasks") or "unknown task" in message:
        rule = "S29"
    shown = f"{'.'.join(str(k) for k in where) or 'it'}: {message[0].lower()}{message[1:]}"
    return rule, Fault(where, shown, "docs/manifest.md lists every field")


def _nearest(where: Where) -> str:
    block = next((str(k) for k in reversed(where[:-1]) if str(k) in BLOCKS), "")
    found = difflib.get_close_matches(str(where[-1]), BLOCKS[block], 1)
    if found:
        return f"did you mean {found[0]}?"
    there = next((name for name, keys in BLOCKS.items() if where[-1] in keys), None)
    if there is None:
        return "docs/manifest.md lists every key"
    return f"it belongs to {there or 'the root'}"
