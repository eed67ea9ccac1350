"""report.html: what a run came to, for people, in one file by itself.

How the page looks is in `report.html.j2`; the pictures are MERGE's.
"""

from __future__ import annotations

import base64
import math
import shlex
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tilewright.contract.jobs import Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.contract.steps import STEPS
from tilewright.errors import TilewrightError
from tilewright.merge.measure.seam import SBE_TARGET
from tilewright.plan.plan_file import PlanFile
from tilewright.registry.manifest import TASK_NAMES, Publication
from tilewright.registry.registry import Registry

from .run_file import RunFile, RunImage, RunParam
from .run_json import MergeResult

PICTURES = 24  # images shown by a picture; the others are in the table
PICTURE_BYTES = 48 << 20  # of all pictures together, so that a browser opens the page at once
SEAM_ZOOM = 3  # picture pixels per model pixel in MERGE's pictures of seams


@dataclass(frozen=True)
class Bar:
    """A scale bar: how much of a picture's width, and how long that is."""

    percent: float
    text: str


@dataclass(frozen=True)
class Shot:
    """A picture by itself, its (height, width) in model pixels and its scale bar, if it has one."""

    uri: str
    shape: tuple[int, int]
    bar: Bar | None


@dataclass(frozen=True)
class Card:
    """What is shown of an image: its pictures, and where its seam is."""

    image: RunImage
    overview: Shot | None
    seam: Shot | None
    seam_before: Shot | None
    seam_at: Mapping[str, int | str]
    mapped: Shot | None
    tile: Shot | None

    @property
    def size(self) -> int:
        """Characters of all its pictures."""
        shots = (self.overview, self.seam, self.seam_before, self.mapped, self.tile)
        return sum(len(shot.uri) for shot in shots if shot)


@dataclass(frozen=True)
class Sizes:
    """An image's percentiles of sizes, for people: in pixels or voxels and, if known, in µm."""

    px: list[str]
    unit: str
    um: list[str] | None
    um_unit: str


def cards(run: RunFile, results: Mapping[str, MergeResult]) -> list[Card]:
    """What is shown of the first images that have a result: their pictures with scale bars."""
    shown: list[Card] = []
    size = 0
    for image in [i for i in run.images if i.why is None][:PICTURES]:
        shown.append(_card(image, results[image.id], run.params["region"].value))
        size += shown[-1].size
        if len(shown) > 1 and size > PICTURE_BYTES:
            return shown[:-1]
    return shown


def _card(image: RunImage, result: MergeResult, region: object) -> Card:
    um = um_per_model_px(image, region if isinstance(region, list) else None)
    facts = result.facts
    return Card(
        image=image,
        overview=_shot(result, facts.overview, um, 1),
        seam=_shot(result, facts.seam, um, SEAM_ZOOM),
        seam_before=_shot(result, facts.seam_before, um, SEAM_ZOOM),
        seam_at=facts.seam_at or {},
        mapped=_shot(result, facts.mapped, um, 1),
        tile=_shot(result, facts.tile, None, None),
    )


def _shot(result: MergeResult, name: str | None, um: float | None, zoom: int | None) -> Shot | None:
    """A picture; without a `zoom` nobody knows how large its pixels are."""
    if not name or not (result.folder / name).is_file():
        return None
    data = (result.folder / name).read_bytes()
    width, height = (
        n // (zoom or 1) for n in struct.unpack(">II", data[16:24])
    )  # PNG: the IHDR chunk
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    return Shot(uri, (height, width), scale_bar(width, um) if zoom else None)


def um_per_model_px(image: RunImage, region: Sequence[int] | None) -> float | None:
    """µm along x of one pixel of the model's resolution, or None where the image doesn't say."""
    if not (image.mpp and image.axes and image.shape and image.model_shape):
        return None
    read = image.shape[image.axes.index("X")]
    if region:
        read = min(region[3], read - region[1])  # the region, cut to the image
    return float(image.mpp[1] * read / image.model_shape[-1])


def scale_bar(width: int, um: float | None) -> Bar:
    """A bar of 1, 2 or 5 times a power of ten, at most a quarter of a picture's width.

    Parameters
    ----------
    width
        Of the picture, in pixels.
    um
        µm per pixel; None gives a bar in pixels.
    """
    whole = width * (um or 1)
    power = 10.0 ** math.floor(math.log10(whole / 4))
    length = max(n * power for n in (1, 2, 5) if n * power <= whole / 4)
    unit = "µm" if um else "px"
    return Bar(round(100 * length / whole, 2), f"{length:g} {unit}")


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
    known = len(names) == len(channels) and len(channels) > 1
    return [
        (f"{names[n]}: " if known else f"channel {n}: " if len(channels) > 1 else "")
        + f"mean {number(c.mean)}, std {number(c.std)}, from {number(c.min)} to {number(c.max)}, "
        f"99.9 % under {number(c.p999)}"
        for n, c in enumerate(channels)
    ]


def range_said(image: RunImage) -> str:
    """Which pixel values were black and white, and who says so."""
    low, high = image.range or (0, 0)
    return f"{low:.10g} to {high:.10g}, by {image.range_from}"


def publications(plan: PlanFile) -> list[Publication]:
    """What the model's manifest asks to cite; none if it can't be read any more."""
    overlay = plan.params.manifests
    folders = [Path(plan.launch_dir) / overlay] if overlay else []
    try:
        manifest = Registry.load(*folders).manifests[plan.model.short_name]
    except (TilewrightError, KeyError):
        return []
    return manifest.metadata.pubs or []


def command(params: Mapping[str, RunParam]) -> str:
    """The command that gives the same results, with what the user chose."""
    words = ["./tilewright", "run"]
    for name, param in params.items():
        if param.from_ == "user":
            words += [f"--{name}", _word(param.value)]
    return shlex.join(words)


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
    )


def found(image: RunImage) -> str:
    """What an image's map or embeddings are, for people."""
    if image.embeddings:
        made = image.embeddings
        each = f"{number(made.tokens)} tokens of " if made.tokens else ""
        return f"{number(made.rows)} tiles, each {each}{number(made.dim)} numbers"
    if image.map is None:
        return ""
    sides = " \u00d7 ".join(number(n) for n in image.map.shape)
    return f"{image.map.axes.upper()} {sides}, {image.map.dtype}"


def precision(run: RunFile, asked: str) -> str:
    """What the model computed in, for people; with counts of jobs where they differ."""
    names = [(ran.precision or "the model's own", ran.jobs) for ran in run.precision]
    told = ", ".join(f"{name} in {_count(jobs, 'job')}" for name, jobs in names)
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
        "labels": f"{_count(run.counts.objects or 0, 'object')} in ",
        "table": f"{_count(rows, 'tile')} in ",
        "map": "maps of ",
        "classes": "classes of ",
    }
    lost = sum(i.unread.tiles for i in run.images if i.unread)
    told = f", without {_count(lost, 'tile')} that couldn't be read" if lost else ""
    return what[run.result] + _count(good, "image") + told


def lacking(image: RunImage) -> str:
    """What a count of an image lacks, to go behind it; nothing where all was read."""
    if not image.unread or not image.unread.tiles:
        return ""
    return f" (without {number(image.unread.tiles)} of {number(image.unread.of)} tiles)"


def _count(value: int, word: str) -> str:
    return f"{number(value)} {word}{'' if value == 1 else 's'}"


def extent(image: RunImage, deep: bool) -> list[int]:
    """Of level 0, in pixels: rows and columns, and before them slices where they are `deep`."""
    sides = dict(zip(image.axes or "", image.shape or (), strict=True))
    return [sides[axis] for axis in ("ZYX" if deep else "YX")]


def shell_path(path: str) -> str:
    """A relative path as one argument of a command, never an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def render(run: RunFile, recipe: Recipe, shown: Sequence[Card], pubs: Sequence[Publication]) -> str:
    """The page: everything that users wrote is escaped.

    Parameters
    ----------
    run, recipe
        What it tells.
    shown
        The images that have a card, in order.
    pubs
        What to cite.
    """
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "number": number,
        "duration": duration,
        "sizes": sizes,
        "seam_sentence": seam_sentence,
        "extent": extent,
        "lacking": lacking,
        "shell_path": shell_path,
        "found": found,
        "intensity": intensity,
        "seen_figures": seen_figures,
        "range_said": range_said,
        "quoted": repr,
        "word": _word,
    }
    return pages.get_template("report.html.j2").render(
        run=run,
        spec=recipe.spec,
        recipe=recipe,
        cards=shown,
        linked={card.image.id: n for n, card in enumerate(shown, 1)},
        task=TASK_NAMES.get(recipe.model.task, recipe.model.task),
        steps={name: step.does for name, step in STEPS.items()},
        sbe_target=SBE_TARGET,
        headline=headline(run),
        policy=recipe.spec.policy,
        command=command(run.params),
        precision=precision(run, recipe.spec.precision),
        publications=pubs,
    )
