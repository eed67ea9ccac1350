"""try.html: a crop with each combination of values side by side, in one file by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from tilewright.contract.commands import from_anywhere
from tilewright.contract.words import counted

from .pictures import fullest, outlines, picture
from .trial import Given, Trial, Tried
from .values import as_set

LEFT_OUT = ("region", "outdir", "set", "predict_timeout", "env_root", "weights_dir", "envs")
"""Parameters of a trial that aren't the whole run's."""


@dataclass(frozen=True)
class Card:
    """A combination on the page.

    Parameters
    ----------
    title
        Its values: ``min_area=50``.
    usual
        Whether each is what the model has unless something else is said.
    objects
        How many were found, or None.
    area
        5th, 50th and 95th percentile of their areas (of a volume, volumes), in words.
    seconds
        What prediction took.
    command
        Runs the whole image with these values.
    overlay
        Outlines as a data URI.
    why
        Why there is no result.
    """

    title: str
    usual: bool
    objects: int | None
    area: str
    seconds: float
    command: str
    overlay: str | None
    why: str | None


def render(trial: Trial, given: Given, here: Path) -> str:
    """The page; what users wrote is escaped.

    Parameters
    ----------
    trial
        What came of each combination.
    given
        The parameters of the trial, as the user gave them.
    here
        What paths in them are relative to.
    """
    good = [one for one in trial.tried if one.store]
    at, shot, size = {}, None, (0, 0)
    if good and good[0].store:
        at = fullest(_labels(good[0]))
        shot, size = picture(good[0].store, at)
    plan = trial.tried[0].plan
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["counted"] = counted
    return pages.get_template("try.html.j2").render(
        trial=trial,
        image=plan.images[0].ref,
        model=plan.choice.model_name,
        release=plan.choice.release,
        at=at,
        shot=shot,
        size=size,
        cards=[_card(one, given, here, at) for one in trial.tried],
        device="GPU" if plan.on_gpu else "CPU",
    )


def _labels(one: Tried) -> Path:
    return Path(str(one.store)) / "labels" / one.plan.choice.task_name


def _card(one: Tried, given: Given, here: Path, at: Mapping[str, Any]) -> Card:
    params = {p.arg_name: p.start for p in one.plan.choice.params}
    said = one.plan.recipe.params
    image = one.image
    return Card(
        title=as_set(one.values).replace(",", ", "),
        usual=all(params.get(name) == said.get(name) for name in one.values),
        objects=image.objects if image else None,
        area=_sizes(one),
        seconds=one.seconds,
        command=command(given, one.values, here),
        overlay=outlines(_labels(one), dict(at)) if one.store else None,
        why=one.why,
    )


def _sizes(one: Tried) -> str:
    """Percentiles of objects' sizes, for people; with µm where pixels have a size."""
    image = one.image
    found = (image.volume_px or image.area_px) if image else None
    if not found or image is None:
        return "-"
    ref = one.plan.images[0].ref
    unit, each, um = ("voxels", ref.z_um, "µm³") if image.volume_px else ("px", 1.0, "µm²")
    low, middle, high = (f"{n:,.0f}" for n in found)
    told = f"{middle} {unit} ({low} to {high})"
    if ref.mpp and each:
        told += f"; {found[1] * each * ref.mpp[0] * ref.mpp[1]:,.3g} {um}"
    return told


def command(given: Given, values: dict[str, str], here: Path) -> str:
    """What runs the whole image with some values, from any folder.

    Parameters
    ----------
    given
        The trial's parameters.
    values
        The combination.
    here
        What paths in the parameters are relative to.
    """
    words = ["run"]
    for name, value in given.items():
        if name not in LEFT_OUT and value is not None:
            words += [f"--{name}", str(value)]
    return from_anywhere([*words, "--set", as_set(values)], here)
