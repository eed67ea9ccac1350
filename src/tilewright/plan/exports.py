"""Which formats of other programs a run exports its results in, and what that takes."""

from __future__ import annotations

from pathlib import Path

from tilewright.contract.canonical import digest
from tilewright.contract.code import EXPORT, room_digests
from tilewright.contract.exports import Export, unfit, wanted
from tilewright.contract.spec import ModelSpec
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError

OPTION = "--export"


def problems(words: str | None, spec: ModelSpec) -> list[TilewrightError]:
    """What is wrong with the formats that a run asks for, a problem each.

    Parameters
    ----------
    words
        Their names with commas, or None.
    spec
        Of the model, whose results they must hold.

    Raises
    ------
    ProblemsError
        Naming each that there isn't (2).
    """
    if words is None:
        return []
    return unfit(wanted(words, OPTION), spec.result, OPTION, classes=spec.policy == "keep")


def to_build(words: str | None, env_root: Path) -> list[str]:
    """The environments of exporters that aren't here yet.

    Parameters
    ----------
    words
        As of `problems`.
    env_root
        Folder of environments.
    """
    names = {made.environment for made in wanted(words, OPTION)} if words else set()
    return sorted(n for n in names - {"base"} if not interpreters.ready(n, env_root))


def export_of(words: str) -> Export:
    """What EXPORT is asked for.

    Parameters
    ----------
    words
        As of `problems`.
    """
    formats = wanted(words, OPTION)
    names = {made.environment for made in formats} - {"base"}
    made_by = {**room_digests(EXPORT), **{n: interpreters.digest(n) for n in sorted(names)}}
    return Export(formats=tuple(made.name for made in formats), code=digest(made_by))
