"""What a check looks at, and what it says: a manifest, each model it makes, and violations in it.

A check is a function that yields a `Violation` for each thing that is wrong: of one model's spec (a
`Case`), or of a whole manifest (a `Target`). It never raises for what people write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tilewright import ROOT
from tilewright.contract.spec import ModelSpec
from tilewright.errors import short
from tilewright.registry.documents import Document, Where
from tilewright.registry.manifest import Location, Manifest
from tilewright.registry.overlays import block
from tilewright.registry.registry import ResolvedModel

ERROR, WARNING = "error", "warning"
RUN, REGISTRY = "run", "registry"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong.

    Parameters
    ----------
    where
        The keys that lead to it: in the spec, from a check of a `Case`; else in the file.
    message
        What was found and what was wanted.
    fix
        What to do, as it follows a semicolon.
    severity, concerns
        Where they aren't the rule's own.
    """

    where: Where
    message: str
    fix: str
    severity: str | None = None
    concerns: str | None = None


@dataclass(frozen=True)
class Diagnostic:
    """A violation, with whose it is: what the report lists."""

    id: str
    severity: str
    message: str
    fix: str
    file: str
    line: int
    level: int

    def __str__(self) -> str:
        said = f"{self.message}; {self.fix}"  # maybe with a library's words, of any length
        return f"{self.file}:{self.line}: {self.severity} {self.id}: {short(said)}"


@dataclass(frozen=True)
class SpecCase:
    """One spec to be checked, whatever manifest it is of, if any.

    Parameters
    ----------
    spec
        What it comes to.
    fields
        The same as people wrote it, after inheritance; empty for a spec without a manifest.
    """

    spec: ModelSpec
    fields: Mapping[str, Any]

    @property
    def tile(self) -> Mapping[str, Any]:
        """The `tile_spec` as it was written."""
        return self.fields.get("tile_spec") or {}


@dataclass(frozen=True)
class Case(SpecCase):
    """One model, task and variant of a manifest: what the pipeline would run."""

    document: Document
    choice: ResolvedModel
    variant: str | None = None

    @property
    def task(self) -> Where:
        """What leads to the task's block."""
        tasks = block(self.document.data, "versions", self.choice.version_key, "tasks")
        name = next((t for t in tasks if t.lower() == self.choice.task_name), "")
        return ("versions", self.choice.version_key, "tasks", name)

    def at(self, *names: str) -> Where:
        """What leads to a field of the spec, in the deepest block that sets it."""
        version: Where = ("versions", self.choice.version_key)
        blocks: list[Where] = [(*self.task, "spec"), (*version, "spec"), ("spec",)]
        if self.variant is not None:
            blocks = [(*b, "variants", self.variant) for b in blocks] + blocks
        for inside in blocks:
            if (*inside, *names) in self.document.lines:
                return (*inside, *names)
        return self.at(*names[:-1]) if len(names) > 1 else self.task

    def said(self, *names: str) -> Where:
        """What leads to a key that the version has, or else the root."""
        own: Where = ("versions", self.choice.version_key, *names)
        return own if own in self.document.lines else names

    def locations(self) -> Iterator[tuple[Where, Location]]:
        """The task's locations, and what leads to each."""
        block: Where = (*self.task, "locations")
        for number, location in enumerate(self.choice.task.locations):
            one = (*block, number)
            yield (one if one in self.document.lines else block), location


@dataclass(frozen=True)
class Rule:
    """A check by its number; its function's docstring says what must hold.

    Parameters
    ----------
    id, severity
        ``S12``; ``error`` or ``warning``.
    concerns
        ``run``: PLAN refuses a model with such an error. ``registry``: it matters to whoever
        publishes the manifest (licence, pins, unique names), and `validate` alone tells it.
    check
        Takes a `SpecCase` if it concerns the run, else a `Target`; of a model that runs, a
        `rules.runtime.Run`. Gives violations.
    note
        What else there is to know, or ``""``.
    """

    id: str
    severity: str
    concerns: str
    check: Callable[[Any], Iterator[Violation]]
    note: str = ""

    @property
    def what(self) -> str:
        """What must hold, in one line."""
        return (self.check.__doc__ or "").strip().splitlines()[0]

    def of_case(self, case: SpecCase) -> Iterator[Violation]:
        """The violations of one model's spec, each with what this rule leaves open."""
        for violation in self.check(case):
            yield replace(
                violation,
                severity=violation.severity or self.severity,
                concerns=violation.concerns or self.concerns,
            )

    def of_target(self, target: Target) -> Iterator[Violation]:
        """The violations of a manifest, by their places in its file."""
        if self.concerns == REGISTRY:
            yield from self.check(target)
            return
        for case in target.cases:
            for violation in self.of_case(case):
                yield replace(violation, where=case.at(*map(str, violation.where)))


@dataclass(frozen=True)
class Target:
    """A manifest, and what its rules compare it with.

    Parameters
    ----------
    document
        The file.
    manifest
        What it comes to, merged over what it extends.
    public
        It is one of ours; not a site's, whose paths are its own.
    names
        Of every manifest that is known: per model_name, the versions that have it, and their
        short_name.
    published
        The contracts of the branch this one is to be merged into, by model_name, release and
        task; None where there is nothing to compare with.
    scripts
        The folder of model scripts.
    """

    document: Document
    manifest: Manifest
    public: bool = True
    names: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    published: dict[tuple[str, str, str], dict[str, Any]] | None = None
    scripts: Path = ROOT / "bin"
    cases: tuple[Case, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the manifest lies."""
        return self.document.path.absolute().parent

    @cached_property
    def script(self) -> Path:
        """The script its models run."""
        return self.scripts / self.manifest.script

    def plain(self) -> Iterator[Case]:
        """A case for each version and task, without its variants."""
        return (case for case in self.cases if case.variant is None)
