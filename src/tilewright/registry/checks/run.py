"""What a run refuses of a model: each error of the table that concerns the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tilewright.contract.spec import ModelSpec
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.registry.documents import FaultError
from tilewright.registry.registry import Registry, ResolvedModel

from .table import STATIC
from .target import ERROR, RUN, Case, SpecCase, Violation


def run_spec(
    registry: Registry,
    choice: ResolvedModel,
    tile_size: int | None = None,
    variant: str | None = None,
) -> ModelSpec:
    """The spec that a run of a choice has, when it can be run.

    Parameters
    ----------
    registry
        Where the choice is from: it knows the file and its lines.
    tile_size, variant
        As `ResolvedModel.spec` has them.

    Raises
    ------
    TilewrightError
        As `ResolvedModel.spec`; or naming every error, with file and line.
    """
    spec, fields = choice.spec(variant=variant), choice.fields(variant)
    document = registry.documents.get(choice.manifest.short_name)
    if document is None:
        check_spec(spec)
    else:
        case = Case(spec, fields, document, choice, variant)
        problems = [
            FaultError(
                document.place(case.at(*map(str, violation.where))),
                f"{choice.model_name}: {violation.message}",
                fix=_sentence(violation),
            )
            for violation in refused(case)
        ]
        _raise(problems)
    if tile_size is None:
        return spec
    sized = choice.spec(tile_size, variant)
    _raise(_told(sized, f"--tile_size {tile_size}"))
    return sized


def check_spec(spec: ModelSpec) -> None:
    """Refuse a spec that can't be run, whoever made it.

    Raises
    ------
    TilewrightError
        2, naming every field that is wrong.
    """
    _raise(_told(spec, spec.model_name))


def refused(case: SpecCase) -> Iterator[Violation]:
    """What is wrong with a spec, as far as it concerns the run."""
    for rule in STATIC:
        if rule.concerns == RUN:
            violations = rule.of_case(case)
            yield from (f for f in violations if (f.severity, f.concerns) == (ERROR, RUN))


def _told(spec: ModelSpec, who: str) -> list[TilewrightError]:
    return [
        TilewrightError(f"{who}: {violation.message}.", fix=_sentence(violation), code=USAGE)
        for violation in refused(SpecCase(spec, {}))
    ]


def _sentence(violation: Violation) -> str:
    return f"{violation.fix[:1].upper()}{violation.fix[1:]}."


def _raise(problems: Sequence[TilewrightError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ProblemsError(list(problems))
