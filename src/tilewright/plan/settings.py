"""A model's own parameters as the user gives them: in a file, by ``--set``, or both.

``--set`` is one list, ``diameter=30,min_area=50``: Nextflow keeps the last of a repeated option,
so the launcher joins them. Commas inside brackets or quotes part nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewright.errors import USAGE, TilewrightError
from tilewright.registry.documents import plain_value, read_document

FORM = "Write --set NAME=VALUE, several with commas: --set diameter=30,min_area=50."
PIECE = re.compile(r"""((?:\[[^]]*\]|"[^"]*"|'[^']*'|[^,])*),""")
"""What stands in front of a comma; commas in brackets or quotes are in it."""
NAME = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Settings:
    """A model's own parameters, as a user says them.

    Parameters
    ----------
    values
        Those of the file, and over them those of ``--set``.
    by_set
        The names that ``--set`` gives.
    remarks
        A line for each value of the file that ``--set`` replaces.
    """

    values: dict[str, Any]
    by_set: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def settings(file: str | None, said: str | None, here: Path) -> Settings:
    """What the user says of the model's own parameters.

    Parameters
    ----------
    file
        ``--model_config``, relative to `here`.
    said
        ``--set``.
    here
        What paths are relative to.

    Raises
    ------
    TilewrightError
        2, when one of them can't be read as what it should be.
    """
    config = dict(read_document(here / file).data) if file else {}
    over = dict(by_name(said)) if said is not None else {}
    remarks = tuple(
        f"--set {name}={value} wins over {name}: {config[name]} of {Path(str(file)).name}."
        for name, value in over.items()
        if name in config and config[name] != value
    )
    return Settings(config | over, tuple(over), remarks)


def by_name(said: str) -> Iterator[tuple[str, Any]]:
    """The names and values of a ``--set``, each name once.

    Raises
    ------
    TilewrightError
        2, for a piece that isn't NAME=VALUE, or a name that is there twice.
    """
    seen: dict[str, str] = {}
    for name, text in pieces(said):
        if name is None:
            lacks = "value" if NAME.fullmatch(text) else "name"
            raise TilewrightError(
                f"--set {said}: {text!r} has no {lacks}.",
                fix=f"{FORM} A list goes into brackets: NAME=[1,2].",
                code=USAGE,
            )
        if name in seen:
            raise TilewrightError(
                f"--set says {name} twice: {seen[name]} and {text}.",
                fix="Say it once; ./tilewright try compares several values.",
                code=USAGE,
            )
        seen[name] = text
        yield name, value_of(name, text)


def pieces(said: str) -> Iterator[tuple[str | None, str]]:
    """Each piece between commas: its name, or None where it has no ``=``, and its text.

    Raises
    ------
    TilewrightError
        2, when a piece is empty, or something stands in front of a ``=`` that can't be a
        parameter's name.
    """
    for piece in PIECE.findall(f"{said},"):
        if not piece.strip():
            empty = "there is nothing beside one of its commas" if "," in said else "it is empty"
            raise TilewrightError(
                f"--set {said!r}: {empty}.", fix=f"Leave it out. {FORM}", code=USAGE
            )
        name, is_named, text = piece.partition("=")
        if not is_named or piece.lstrip()[:1] in "[\"'":
            yield None, piece.strip()
            continue
        if not NAME.fullmatch(name.strip()):
            raise TilewrightError(
                f"--set {said}: {name.strip()!r} is no parameter's name.", fix=FORM, code=USAGE
            )
        yield name.strip(), text.strip()


def value_of(name: str, text: str) -> Any:
    """A value as YAML has it in a file: ``30``, ``true``, ``[1, 2]``, or a text.

    Parameters
    ----------
    name
        The parameter's, for the sentence.
    text
        What stands behind its ``=``.

    Raises
    ------
    TilewrightError
        2, when it is none.
    """
    if not text:
        raise TilewrightError(
            f"--set {name}=: there is no value behind the =.",
            fix=f"Write {name}=VALUE; null says that there is none, '' is an empty text.",
            code=USAGE,
        )
    try:
        return plain_value(text)
    except ValueError as error:
        raise TilewrightError(
            f"--set {name}={text}: {error}.", fix="Put a text into quotes.", code=USAGE
        ) from None
