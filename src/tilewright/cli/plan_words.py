"""What a planned run takes of this machine, in words: GPU memory, disk, minutes, weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tilewright.contract.words import counted
from tilewright.environments import gpus
from tilewright.plan.speeds import known, latest, this_machine

if TYPE_CHECKING:
    from tilewright.plan.costs import Estimate
    from tilewright.plan.plan import Plan

Said = Iterator[tuple[str, str]]
"""A word of what it is about, and the line."""
SHORT = 90  # seconds: beyond it they are told in minutes, and those of hours in hours


def takes(made: Plan) -> Said:
    """A line each about GPU, disk, time and weights."""
    yield "GPU", gpu_said(made)
    yield "disk", disk_said(made)
    yield "time", time_said(made)
    if made.weights_from == "first use" and made.weights:
        yield (
            "weights",
            f"{made.weights}, as noted when they were first fetched: the manifest gives no sha256.",
        )


def gpu_said(made: Plan) -> str:
    """What the model wants, and what there is."""
    wanted = made.needs.gpus if made.params.gpus is None else made.params.gpus
    if not wanted:
        return "none is used."
    return f"this model {card_said(made.recipe.spec.min_vram_gb)}."


def card_said(gb: float | None) -> str:
    """What there is here for a model that wants a GPU, with so many GB of memory if it says so."""
    wants = f"wants one ({gb:g} GB)" if gb else "wants one"
    if gpus.device() == "cpu":
        return f"{wants}, none here: runs on the CPU, slowly"
    cards = gpus.cards()
    if not cards:
        return f"{wants}, one is here, its memory isn't known"
    names = ", ".join(f"{name} ({has:.0f} GB)" for name, has in cards)
    small = gb is not None and max(has for _, has in cards) < gb
    return f"{wants}, here: {names}{', too small' if small else ''}"


def disk_said(made: Plan) -> str:
    """How much room results, the work folder and what isn't installed yet need."""
    need = made.disk
    parts = ["what this model's results need isn't known"]
    if need.results is not None and need.work is not None:
        parts = [
            f"at most about {size(need.results)} for results and {size(need.work)} in the work "
            f"folder; {size(shutil.disk_usage(existing(made)).free)} are free there"
        ]
    if need.environment != 0:
        much = f"about {size(need.environment)}" if need.environment else "up to some GB"
        parts.append(f"the model's environment isn't built yet: {much} more")
    if need.weights != 0:
        much = size(need.weights) if need.weights else "their size isn't known"
        parts.append(f"its weights are to be fetched ({much})")
    return "; ".join(parts) + "."


def existing(made: Plan) -> Path:
    """The output folder, or the first above it that is there."""
    outdir = (made.launch_dir / made.params.outdir).absolute()
    return next(folder for folder in (outdir, *outdir.parents) if folder.exists())


def time_said(made: Plan) -> str:
    """How long prediction takes, where the same was measured; else that it isn't known."""
    found = made.estimate
    if found is None:
        return unknown_time(made)
    most = "at most " if any(i.ref.masked for i in made.images) else ""
    beside = ", less where jobs run side by side" if len(made.jobs) > 1 else ""
    return f"{most}about {lasting(found.seconds)} of prediction{beside}, {measured(found)}."


def measured(found: Estimate) -> str:
    """By what a time is told."""
    where = "here" if found.here else f"on {found.host}"
    tiles = counted(found.tiles, "tile")
    return f"by {tiles} of this recipe {where} ({found.device})"


def unknown_time(made: Plan) -> str:
    """What is said where this recipe never ran: how fast the model was otherwise, if it ran."""
    speed = latest(known(made.recipe.model), this_machine(), gpu=made.on_gpu)
    if speed is None:
        return "not known, for this model never ran here; a run on one small image tells."
    return (
        "not known, for with just these settings the model never ran here; its last run took "
        f"{speed.per_million:.3g} s per megapixel that it saw ({speed.device})."
    )


def lasting(seconds: float) -> str:
    """A time in seconds, minutes or hours, to two digits or so."""
    if seconds < SHORT:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < SHORT else f"{minutes / 60:.1f} h"


def size(count: float) -> str:
    """Bytes in MB, GB or TB."""
    for unit, of in (("MB", 1e6), ("GB", 1e9)):
        if count < 1000 * of:
            return f"{count / of:.{1 if count < 10 * of else 0}f} {unit}"
    return f"{count / 1e12:.1f} TB"
