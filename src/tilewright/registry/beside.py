"""Paths in a site's manifest are relative to it: here they become absolute.

Those of our own manifests stay as they are, relative to the checkout, which may be moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .documents import Document
from .locations import is_remote


def beside(document: Document, *, if_there: bool = False) -> Document:
    """A manifest whose relative paths are absolute ones; its values are changed in place.

    They are those of locations, of config files and of the images of stain targets. One that leads
    out of the folder stays, and is refused as ours would be.

    Parameters
    ----------
    if_there
        Only those at which there is something.
    """
    folder = document.path.absolute().parent
    for block, key in _paths(document.data):
        said = block[key]
        if isinstance(said, str) and said and not is_remote(said) and "\0" not in said:
            path = Path(os.path.normpath(folder / said))
            if path.is_relative_to(folder) and (not if_there or os.path.exists(path)):  # noqa: PTH110  # never raises
                block[key] = str(path)
    return document


def _paths(data: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each place that may hold a path, as a mapping or list and the key in it."""
    yield from _of(data, "config")
    yield from _of_spec(data)
    for version in _blocks(data.get("versions")):
        yield from _of_spec(version)
        for task in _blocks(version.get("tasks")):
            yield from _of_spec(task)
            yield from _of_locations(task)


def _of_locations(task: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    listed = task.get("locations")
    if isinstance(listed, str):
        yield task, "locations"
    for number, where in enumerate(listed if isinstance(listed, list) else [listed]):
        if isinstance(where, dict):
            yield from _of(where, "location")
            yield from _of(where, "config_path")
        elif isinstance(listed, list):
            yield listed, number


def _of_spec(block: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    spec = block.get("spec")
    if isinstance(spec, dict):
        for each in (spec, *_blocks(spec.get("variants"))):
            if isinstance(target := each.get("stain_target"), dict):
                yield from _of(target, "image")


def _of(block: dict[str, Any], key: str) -> Iterator[tuple[Any, Any]]:
    if key in block:
        yield block, key


def _blocks(data: object) -> list[dict[str, Any]]:
    """The mappings in a mapping of unchecked data."""
    return [b for b in data.values() if isinstance(b, dict)] if isinstance(data, dict) else []
