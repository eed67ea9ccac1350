"""Level 0: what keeps a manifest from being one, under the rule's id where a rule says so."""

from __future__ import annotations

import re

from pydantic import ValidationError

from tilewright.registry.diagnostics import faults, spec_blocks
from tilewright.registry.documents import Document, FaultError
from tilewright.registry.fields import model_spec
from tilewright.registry.manifest import Manifest
from tilewright.registry.registry import ResolvedModel

from .target import Case

LEVEL_0 = "L0"
RULE_BY_WORDS = (
    (r"there is no field", "S31"),
    (r"unknown task", "S29"),
    (r"\S*model_name: ", "S1"),
    (r"\S*sha256: ", "S3"),
    (r"\S*params\b\S*: ", "S28"),
    (r"\S*\.precision: ", "S24"),
    (r"\S*\.interpolation: ", "S15"),
    (r"\S*\.resolution\S*: ", "S10"),
    (r"\S*\.on_failure: |\S*\.stain_normalization: ", "S18"),
    (r"\S*\.location: .*leads out", "S5"),
)
"""The rule that a sentence tells of, by how it reads; the first that fits."""


def rule_of(fault: FaultError) -> str:
    """The id of the rule that a violation breaks."""
    return next((name for words, name in RULE_BY_WORDS if re.search(words, fault.why)), LEVEL_0)


def cases(document: Document, manifest: Manifest) -> tuple[list[Case], list[FaultError]]:
    """Each version, task and variant with its spec; and what keeps some from having one."""
    good: list[Case] = []
    bad: dict[str, FaultError] = {}
    for name, version in manifest.versions.items():
        for task in version.tasks:
            choice = ResolvedModel(manifest, name, task)
            for variant in (None, *(choice.fields().get("variants") or {})):
                fields = choice.fields(variant)
                try:
                    good.append(Case(model_spec(fields), fields, document, choice, variant))
                except ValidationError as error:
                    blocks = spec_blocks(document, name, task)
                    inner = [(*block, "variants", variant) for block in blocks if variant]
                    bad |= {str(f): f for f in faults(error, document, [*inner, *blocks])}
    return good, list(bad.values())
