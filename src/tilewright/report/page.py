"""report.html: what a run came to, for people.

How the page looks is in `report.html.j2` and what it includes; the pictures are MERGE's: `cards.py`
takes in those of the first images, `linked.py` links the others.
"""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from tilewright.contract.commands import from_anywhere
from tilewright.contract.jobs import Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.contract.steps import STEPS
from tilewright.contract.words import counted
from tilewright.errors import TilewrightError
from tilewright.merge.measure import heat
from tilewright.merge.measure.seam import SBE_TARGET
from tilewright.merge.write.facts import ChannelFigures
from tilewright.plan.plan_file import PlanFile
from tilewright.registry.manifest import TASK_NAMES, Publication
from tilewright.registry.registry import Registry

from .cards import Card, percents, place_said
from .linked import Linked
from .reasons import Case, Reasons, reasons
from .run_file import RunFile, RunImage


@dataclass(frozen=True)
class Sizes:
    """An image's percentiles of sizes, for people: in pixels or voxels and, if known, in µm."""

    px: list[str]
    unit: str
    um: list[str] | None
    um_unit: str
    um_median: float


def seam_sentence(image: RunImage) -> str:
    """What an image's SBE means."""
    sbe = image.sbe
    if math.prod(image.grid or ()) == 1:
        return "One tile, so there is no seam."
    if sbe is None:
        return "Too few objects touch each other for a score."
    if sbe < 0.5:
        return "Objects meet at seams less often than elsewhere: some may be joined across them."
    if sbe <= SBE_TARGET:
        return "The seams can't be seen."
    if sbe <= 2:
        return "The seams are hard to see."
    if sbe <= 5:
        return "Objects meet at seams a little more often than elsewhere: look at the picture."
    return "Objects are cut at seams: look at the picture, and try a larger tile."


def seen_figures(image: RunImage, spec: ModelSpec) -> list[str]:
    """What the model saw of each channel, for people, a line each."""
    channels = image.seen.channels if image.seen else []
    names = spec.channel_names or ("red", "green", "blue")
    if len(channels) > 1 and all(c == channels[0] for c in channels):
        return [f"each channel: {_figures(channels[0])}"]
    known = len(names) == len(channels) and len(channels) > 1
    return [
        (f"{names[n]}: " if known else f"channel {n}: " if len(channels) > 1 else "") + _figures(c)
        for n, c in enumerate(channels)
    ]


def _figures(c: ChannelFigures) -> str:
    return (
        f"mean {number(c.mean)}, std {number(c.std)}, from {number(c.min)} to {number(c.max)}, "
        f"99.9 % under {number(c.p999)}"
    )


def range_said(image: RunImage) -> str:
    """Which pixel values were black and white, and who says so."""
    low, high = image.range or (0, 0)
    return f"{low:.10g} to {high:.10g}, by {image.range_from}"


def channels_said(image: RunImage) -> str:
    """What was read for each of the model's channels, for people."""
    told = []
    sizes = dict(zip(image.axes or "", image.shape or (), strict=False))
    only = "its only channel" if sizes.get("C", 1) == 1 else "channel 0"
    for line in image.channels or ():
        role, _, what = line.partition(" = ")
        what = f"channel {what}" if what.isdecimal() else what
        *most, last = role.split(", ")
        if not most:
            told.append(f"{role} = {what}")
            continue
        what = only if what == "channel 0" else what
        told.append(f"{what}, as {', '.join(most)} and {last} alike")
    return ", ".join(told)


@dataclass(frozen=True)
class AboutModel:
    """What manifests say of a model: its task for people, and what to cite."""

    task: str
    publications: list[Publication]


def about(plan: PlanFile) -> AboutModel:
    """The same of a run's model; little of it if its manifest can't be read any more."""
    task = plan.model.task
    try:
        registry = Registry.load(*map(Path, plan.manifests))
        pubs = registry.manifests[plan.model.short_name].metadata.pubs
    except (TilewrightError, KeyError):
        return AboutModel(TASK_NAMES.get(task, task), [])
    return AboutModel(registry.tasks.get(task, task), pubs or [])


def command(run: RunFile) -> str:
    """The command that gives the same results, with what the user chose, from any folder."""
    words = ["run"]
    for name, param in run.params.items():
        if param.from_ == "user":
            words += [f"--{name}", _word(param.value)]
    words += ["--profile", run.profile] if run.profile not in (None, "local", "standard") else []
    for file in run.configs:
        words += ["--config", file]
    return from_anywhere(words, run.launch_dir)


def _word(value: object) -> str:
    """A parameter's value as one writes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: float | None) -> str:
    """A number for people: thousands apart, three digits that count; a dash of None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds for people; a dash of None."""
    if seconds is None:
        return "-"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def sizes(image: RunImage) -> Sizes | None:
    """An image's 5th, 50th and 95th percentile of sizes, for people; None where it has none."""
    values = image.volume_px or image.area_px
    if not values:
        return None
    each = (image.mpp[0] * image.mpp[1]) if image.mpp else 0
    if image.volume_px:
        each *= image.z_um or 0
    return Sizes(
        px=[number(a) for a in values],
        unit="voxels" if image.volume_px else "px",
        um=[number(a * each) for a in values] if each else None,
        um_unit="µm³" if image.volume_px else "µm²",
        um_median=float(f"{values[1] * each:.6g}"),
    )


def found(image: RunImage) -> str:
    """What an image's map or embeddings are, for people."""
    if image.embeddings:
        made = image.embeddings
        each = f"{number(made.tokens)} tokens of " if made.tokens else ""
        return f"{counted(made.rows, 'tile')}, each {each}{number(made.dim)} numbers"
    if image.map is None:
        return ""
    sides = " \u00d7 ".join(number(n) for n in image.map.shape)
    return f"{image.map.axes.upper()} {sides}, {image.map.dtype}"


def tiles_said(image: RunImage, *, short: bool = False) -> str:
    """How many of an image's tiles were looked at, for people."""
    seen, total = number(image.predicted), number(image.tiles)
    if short:
        return total if image.predicted == image.tiles else f"{seen} of {total}"
    every = "all " if image.predicted == image.tiles and image.tiles != 1 else ""
    word = "tile" if image.tiles == 1 else "tiles"
    return f"{every}{total} {word}" if every else f"{seen} of {total} {word}"


WITHOUT_FLAG, WITH_FLAG, WITH_NOTE = "without a flag", "with a flag", "with a note"
WITHOUT_RESULT, WITHOUT_OBJECTS = "without a result", "without objects"
FILTER_KINDS = (WITH_FLAG, WITHOUT_FLAG, WITHOUT_OBJECTS, WITH_NOTE, WITHOUT_RESULT)


def kinds_of(image: RunImage) -> list[str]:
    """What the table of images is filtered by."""
    if image.why is not None:
        return [WITHOUT_RESULT]
    of = list(dict.fromkeys(flag.name for flag in image.flags))
    found = [WITH_FLAG, *of] if of else [WITHOUT_FLAG]
    return found + [WITHOUT_OBJECTS] * (image.objects == 0) + [WITH_NOTE] * bool(image.remarks)


def _in_order(kind: str) -> tuple[int, str]:
    """Each flag follows all images that have one."""
    return FILTER_KINDS.index(kind) if kind in FILTER_KINDS else 0, kind


def mask_said(image: RunImage) -> str:
    """Which mask said where to look, for people; nothing where all was looked at."""
    mask = image.mask
    if mask is None:
        return ""
    least = f" with at least {100 * mask.min_tissue:g} %" if mask.min_tissue else ""
    return f"{least} in " + ("the tissue found" if mask.by == "tissue" else f"the mask {mask.file}")


def precision(run: RunFile, asked: str) -> str:
    """What the model computed in, for people; with counts of jobs where they differ."""
    names = [(ran.precision or "the model's own", ran.jobs) for ran in run.precision]
    told = ", ".join(f"{name} in {counted(jobs, 'job')}" for name, jobs in names)
    if len(names) == 1:
        told = names[0][0]
    as_asked = all((ran.precision or "fp32") == asked for ran in run.precision)
    return (told or "not known") + ("" if as_asked else f" (asked for: {asked})")


def intensity(spec: ModelSpec) -> str:
    """What is done to an image's values before the model sees them, for people."""
    told = [f"stains by {spec.stain_normalization}"] if spec.stain_normalization else []
    if spec.input_range:
        told.append(f"scaled to {spec.input_range[0]:g} to {spec.input_range[1]:g}")
    if spec.mean and spec.std:
        mean, std = (", ".join(f"{n:g}" for n in values) for values in (spec.mean, spec.std))
        told.append(f"less mean {mean}, over std {std}")
    if spec.normalization:
        words = vars(spec.normalization)
        unused = ("low", "high") if spec.normalization.method == "zscore" else ()
        named = [f"{k} {words[k]}" for k in sorted(words, reverse=True) if k not in unused]
        told.append(", ".join(named))
    return "; ".join(told) or "as it is in the file"


def headline(run: RunFile) -> str:
    """What a run came to, in a few words."""
    good = run.counts.images - run.counts.failed
    if not good:
        return "no image has a result"
    rows = sum(i.embeddings.rows for i in run.images if i.embeddings)
    what = {
        "labels": f"{counted(run.counts.objects or 0, 'object')} in ",
        "table": f"{counted(rows, 'tile')} in ",
        "map": "maps of ",
        "classes": "classes of ",
    }
    lost = sum(i.unread.tiles for i in run.images if i.unread)
    told = f", without {counted(lost, 'tile')} that couldn't be read" if lost else ""
    return what[run.result] + counted(good, "image") + told


def lacking(image: RunImage) -> str:
    """What a count of an image lacks, to go behind it; nothing where all was read."""
    if not image.unread or not image.unread.tiles:
        return ""
    return f" (without {number(image.unread.tiles)} of {counted(image.unread.of, 'tile')})"


def extent(image: RunImage, deep: bool) -> list[int]:
    """Of level 0, in pixels: rows and columns, and before them slices where they are `deep`."""
    sides = dict(zip(image.axes or "", image.shape or (), strict=True))
    return [sides[axis] for axis in ("ZYX" if deep else "YX")]


def shell_path(path: str) -> str:
    """A relative path as one argument of a command, never an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def cases(images: Iterable[RunImage], name: str) -> Reasons:
    """Why images are as they are, by the sentence that each has under a name."""
    return reasons(Case(i.id, i.path, getattr(i, name)) for i in images)


def unexported(images: Iterable[RunImage]) -> Reasons:
    """Why images aren't in a format."""
    found = [Case(i.id, i.store or i.path, e.why) for i in images for e in i.exports if e.why]
    return reasons(dict.fromkeys(found))  # of several formats, for one reason, once


IN_TEMPLATES: dict[str, Callable[..., object]] = {
    "number": number,
    "duration": duration,
    "sizes": sizes,
    "seam_sentence": seam_sentence,
    "extent": extent,
    "lacking": lacking,
    "shell_path": shell_path,
    "found": found,
    "channels_said": channels_said,
    "percents": percents,
    "place_said": place_said,
    "intensity": intensity,
    "seen_figures": seen_figures,
    "range_said": range_said,
    "mask_said": mask_said,
    "tiles_said": tiles_said,
    "kinds_of": kinds_of,
    "cases": cases,
    "unexported": unexported,
    "quoted": repr,
    "word": _word,
}
"""What templates call by name."""


def templates() -> jinja2.Environment:
    """What makes HTML of the templates beside this file, whatever is in the text."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= IN_TEMPLATES
    return pages


def render(
    run: RunFile,
    recipe: Recipe,
    shown: Sequence[Card],
    known: AboutModel,
    files: Mapping[str, Sequence[Linked]],
) -> str:
    """The page: everything that users wrote is escaped.

    Parameters
    ----------
    run, recipe
        What it tells.
    shown
        The images that have a card, in order.
    known
        What manifests say of its model.
    files
        Pictures that it links, by the ids of images without a card.
    """
    script = (Path(__file__).parent / "report.js").read_text(encoding="utf-8")
    seams = sorted((i for i in run.images if i.sbe is not None), key=lambda i: i.sbe or 0)
    kinds = {kind for image in run.images for kind in kinds_of(image)}
    page = templates().get_template("report.html.j2")
    return page.render(
        run=run,
        counts=run.counts,
        objects=run.result == "labels",
        spec=recipe.spec,
        tile=recipe.spec.tile_spec,
        deep="z" in recipe.spec.tile_spec.axes,
        folder="labels" if run.result == "classes" else "maps",
        recipe=recipe,
        cards=shown,
        linked={card.image.id: n for n, card in enumerate(shown, 1)},
        files=files,
        seams=seams,
        median_sbe=statistics.median([i.sbe or 0 for i in seams] or [0]),
        flagged=[i for i in run.images if i.flags],
        kinds=sorted(kinds, key=_in_order),
        script=Markup(script),  # noqa: S704  # ours, a file beside this one
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        task=known.task,
        steps={name: step.does for name, step in STEPS.items()},
        sbe_target=SBE_TARGET,
        heat_colours=heat.COLOURS,
        headline=headline(run),
        policy=recipe.spec.policy,
        command=command(run),
        precision=precision(run, recipe.spec.precision),
        publications=known.publications,
    )
