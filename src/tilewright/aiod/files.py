"""What PLAN puts down for the plugin: how many previews come, where, and what is exported."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tilewright.contract.exports import Export
from tilewright.contract.files import atomic, unwritable
from tilewright.contract.jobs import Group, Job
from tilewright.contract.spec import ModelSpec
from tilewright.errors import USAGE
from tilewright.plan.fit import Planned

from .adapter import SPLITS, Plugin, named, prep_hash
from .previews import clear, iterated, make, pieces


def begin(plugin: Plugin, images: Sequence[Planned], jobs: Iterable[Job], spec: ModelSpec) -> None:
    """Clear what a crashed run left, and say how many previews this one will have.

    The list comes before the folder, without which there are no previews: the plugin reads it once,
    when it sees the first of them.

    Parameters
    ----------
    plugin
        What was asked for, and its folders.
    images, jobs
        Every image of the run, and what is predicted of which.
    spec
        The model's.

    Raises
    ------
    TilewrightError
        When the plugin's folder can't be written; exit code 2.
    """
    splits = plugin.cache / "splits" / f"substacks_{plugin.asked.param_hash}.csv"
    try:
        clear(plugin.previews, plugin.masks)
        write_table(splits, list(split_rows(plugin, images, jobs, spec)))
        make(plugin.previews, plugin.masks)
    except OSError as error:
        fix = "Choose another base directory in the plugin, or allow it."
        raise unwritable(error.filename or plugin.masks, error, fix, USAGE) from error


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """Write a CSV at one stroke."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SPLITS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def split_rows(
    plugin: Plugin, images: Sequence[Planned], jobs: Iterable[Job], spec: ModelSpec
) -> Iterator[dict[str, object]]:
    """A row for every preview of the run: its image, and its box in pixels of the mask.

    Parameters
    ----------
    plugin, images, jobs, spec
        As of `begin`.

    Yields
    ------
    dict
        By the CSV's columns; ``start_`` and ``end_`` are half-open, of depth, height and width.
    """
    planned = {image.ref.id: image for image in images}
    lines = {
        named(image.path, steps): {**image.line, "prep_hash": prep_hash(steps)}
        for image in plugin.images
        for steps in plugin.sets
    }
    for job in jobs:
        ids = {ref.key: ref.id for ref in job.images}
        for key, start, stop in job.parts:
            image = planned[ids[key]]
            found = pieces(image.grid, iterated(image.ref, spec), start, stop)
            for number, piece in enumerate(found):
                (z0, z1), (y0, y1), (x0, x1) = piece.box
                yield lines[ids[key]] | {
                    "image_id": ids[key].removesuffix(f"_{lines[ids[key]]['prep_hash']}"),
                    "stack_idx": number,
                    "start_h": y0, "end_h": y1, "start_w": x0, "end_w": x1,
                    "start_d": z0, "end_d": z1,
                }  # fmt: skip


def exports(plugin: Plugin, groups: Iterable[Group], spec: ModelSpec) -> dict[str, Export]:
    """What of each group is exported, by its name.

    Parameters
    ----------
    plugin
        What was asked for: the format, and whether masks are binary.
    groups
        Of the run.
    spec
        The model's; where the plugin left it open, masks of one class are binary.
    """
    kind = plugin.asked.output_mask_type
    one_class = spec.policy == "keep" and len(spec.classes or ()) <= 2  # the other is background
    return {
        group.group: Export(
            formats=(f"aiod-{plugin.asked.output_format}",),
            folder=str(plugin.masks),
            ending=f"{plugin.stem}_all",
            binary=kind == "binary" or (kind == "auto" and one_class),
            links=str(plugin.masks.parent / "checkpoints"),
            asked=uuid.uuid4().hex,  # its files are elsewhere, and may be gone
        )
        for group in groups
    }
