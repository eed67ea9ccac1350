"""Which tasks there are beyond ours: those that a folder of manifests names in its `tasks.yml`.

It is a mapping of keys, as manifests have them, to what people read: ``spines: Dendritic Spines``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tilewright.errors import TilewrightError

from .documents import Document, FaultError, read_document
from .manifest import TASK_NAMES

FILE = "tasks.yml"
KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,49}")
"""It is a part of a result's name."""
LONGEST = 100  # characters of a display name


def read_tasks(*folders: Path) -> tuple[dict[str, str], list[TilewrightError]]:
    """The tasks that folders add to TASK_NAMES, and what is wrong with their files.

    Parameters
    ----------
    folders
        Of manifests; the same task in two has the last one's display name.
    """
    tasks: dict[str, str] = {}
    problems: list[TilewrightError] = []
    for file in (folder / FILE for folder in folders if os.path.lexists(folder / FILE)):
        try:
            document = read_document(file)
        except TilewrightError as problem:
            problems.append(problem)
            continue
        faults = list(_faults(document))
        problems += faults
        if not faults:
            tasks |= {key: str(name) for key, name in document.data.items()}
    return tasks, problems


def _faults(document: Document) -> Iterator[FaultError]:
    for key, name in document.data.items():
        place = document.place((key,))
        if not KEY.fullmatch(key):
            fix = "Take up to 50 lower-case letters, digits and _, a letter or digit first."
            yield FaultError(place, f"{key!r} can't be a task's name", fix=fix)
        elif TASK_NAMES.get(key, name) != name:
            fix = "Take another name for yours."
            yield FaultError(place, f"{key} is ours already, {TASK_NAMES[key]!r}", fix=fix)
        elif not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST:
            fix = f"Write {key}: and what people read, up to {LONGEST} characters."
            yield FaultError(place, f"{key} has no display name", fix=fix)
