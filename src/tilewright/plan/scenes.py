"""Scenes that are asked for by name, and all of a file's: a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilewright.errors import TilewrightError
from tilewright.images.image import list_scenes
from tilewright.images.scenes import ALL, all_of, chosen

from .inputs import Row, check_ids, left_out, scene_id

Unread = list[tuple[Row, TilewrightError]]
"""Rows whose file can't be looked into, or has no such scene, and why."""


def with_scenes(found: Sequence[Row]) -> tuple[list[Row], Unread]:
    """Rows that have their scene's number, in the order of their ids, and those that can't.

    Files are opened only where a row has a name or `all`.

    Raises
    ------
    ProblemsError
        When two scenes have one id, or one can't name a folder.
    Exception
        What is no image's fault; before the last try what is a fault of ours, too.
    """
    if not any(isinstance(row.scene, str) for row in found):
        return list(found), []
    good: list[Row] = []
    bad: Unread = []
    for row in found:
        try:
            good += _looked_up(row)
        except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
            bad.append((row, left_out(row, error)))
    check_ids([*good, *(row for row, _ in bad)])
    return sorted(good, key=lambda r: r.id), bad


def _looked_up(row: Row) -> list[Row]:
    """A row for each scene that it means."""
    if not isinstance(row.scene, str):
        return [row]
    scenes = list_scenes(row.path)
    if row.scene.strip().lower() != ALL:
        number = chosen(row.path, row.scene, scenes)
        name = row.id if row.named else scene_id(row.id, number)
        return [replace(row, scene=number, id=name)]
    numbers, remarks = all_of(scenes)
    return [
        replace(row, scene=n, id=scene_id(row.id, n), remarks=remarks)
        for n in (numbers if len(scenes) > 1 else [0])
    ]
