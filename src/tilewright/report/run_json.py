"""run.json: what a run came to, for programs."""

from __future__ import annotations

import json
import platform
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field, TypeAdapter

from tilewright import ROOT, __version__
from tilewright.contract.jobs import EnvironmentId, ModelId, Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.environments.interpreters import home
from tilewright.merge.write.facts import EmbeddingFacts, MapFacts, MergedImage, SeenFacts
from tilewright.plan.earlier import stale
from tilewright.plan.params import Params
from tilewright.plan.plan_file import BadImage, ImagePlan, PlanFile
from tilewright.plan.remarks import grouped

from .guard import Doubt, Taken, doubts, lines, told
from .tasks import StepTimes, times, why_missing
from .timings import Measured, collect
from .trace import TracedTask, read_trace

Precision = Literal["fp32", "fp16", "bf16"] | None
"""None where a script asked for none."""


class Context(TypedDict, total=False):
    """What the workflow says of a run: `context()` of main.nf."""

    params: dict[str, object]
    launch_dir: str
    work_dir: str
    trace: str
    nextflow: str
    command: str | None
    profile: str | None
    configs: list[str]
    started: str | None


@dataclass(frozen=True)
class PrecisionRan:
    """In how many jobs a model computed in what.

    Parameters
    ----------
    precision
        ``fp32``, ``fp16`` or ``bf16``; null where its script asked for none, so it is its own.
    jobs
        Of those that were merged.
    """

    precision: Precision
    jobs: int


@dataclass(frozen=True)
class RunParam:
    """A parameter of the run.

    Parameters
    ----------
    value
        What it is.
    from_
        Whether the user said it.
    """

    value: object
    from_: Annotated[Literal["user", "default"], Field(alias="from")]


@dataclass(frozen=True)
class Counts:
    """How much there is of what.

    Parameters
    ----------
    images, failed
        In all, and without a result.
    objects
        Of labels; null of other results.
    tiles
        That were planned.
    """

    images: int
    failed: int
    objects: int | None
    tiles: int


@dataclass(frozen=True)
class RunImage:
    """What an image came to.

    Parameters
    ----------
    id
        Its name for people and in the output folder.
    path, fingerprint
        The file or folder, and the digest of its size, times and ends; null if it couldn't be read.
    why
        Why it has no result; null if all is well.
    note
        Why the model left it out, which is no failure.
    store
        Its store, below the output folder.
    objects
        How many there are, of labels.
    area_px, volume_px
        5th, 50th and 95th percentile of the objects' areas in level-0 pixels, or volumes in voxels.
    sbe
        Seam boundary excess: about 1 where seams can't be seen; null where it isn't defined.
    map, embeddings
        What there is in place of objects.
    axes, shape, dtype
        Of the whole scene at level 0, in the file's own order.
    mpp
        µm per level-0 pixel (y, x), or null.
    z_um
        µm per slice, or null.
    model_shape
        (z,) y, x at the model's resolution, in pixels, of the region where there is one.
    planes
        How many are looped: time points, and slices where the model takes none.
    tiles
        Of all its planes.
    grid
        Tiles along (z,) y and x.
    channels
        What was read of the image for each of the model's channels: ``nucleus = DAPI (1)``.
    remarks
        What a user should know of how it was read, and of what the model saw, a sentence each.
    range
        The pixel values that were black and white, or null where the model needs none.
    range_from
        Who says so: ``--range``, the file's own words, e.g. ``SignificantBits 12``, or the dtype.
    seen
        What reached the model, in its own values, or null where nothing did.
    doubts
        Why that can't be what the model was made for, a sentence each; they are among the remarks.
    columns
        What the sheet says of it besides, by the names of its columns.
    stale
        Of an image without a result, the store of an earlier run that still lies in its place,
        below the output folder; else null.
    """

    id: str
    path: str
    fingerprint: str | None
    why: str | None
    note: str | None
    store: str | None
    objects: int | None
    area_px: list[float] | None
    volume_px: list[float] | None
    sbe: float | None
    map: MapFacts | None
    embeddings: EmbeddingFacts | None
    axes: str | None
    shape: tuple[int, ...] | None
    dtype: str | None
    mpp: tuple[float, float] | None
    z_um: float | None
    model_shape: tuple[int, ...] | None
    planes: int | None
    tiles: int | None
    grid: tuple[int, ...] | None
    channels: tuple[str, ...] | None
    remarks: list[str]
    range: tuple[float, float] | None
    range_from: str | None
    seen: SeenFacts | None
    doubts: list[str]
    columns: dict[str, str]
    stale: str | None


@dataclass(frozen=True)
class RunFile:
    """What a run came to.

    Parameters
    ----------
    tilewright
        Our version.
    nextflow
        Nextflow's version.
    command
        The command line that started it.
    profile
        Nextflow's, or null.
    configs
        Config files of a site.
    host
        Name of the machine that REPORT ran on.
    python
        Version of the steps' Python.
    model
        Which model.
    recipe
        SHA-256 of the recipe.
    made_by
        The digest of each thing that the numbers depend on, besides pixels and weights.
    weights
        SHA-256 of the weights that were loaded; "" for a model that brings its own, null if they
        had to be fetched and no image has a result.
    environment
        Which environment the model ran in.
    precision
        What the model computed in, most jobs first; it may be less than the spec asks for.
    launch_dir
        The folder that relative paths were relative to.
    params
        Every parameter of the run.
    model_params
        What the script got.
    result
        What the model gives; ``classes`` are labels by the policy `keep`.
    counts
        How much there is of what.
    failed
        One line per image without a result, and why.
    remarks
        What a user should know of the run and its images, a line each.
    doubts
        Those of them that `--strict` fails a run for: what the model saw can't be right.
    images
        Every image of the run.
    times
        What each step took.
    measured
        What PREDICT's jobs took; null if nothing says.
    """

    tilewright: str
    nextflow: str
    command: str | None
    profile: str | None
    configs: list[str]
    host: str
    python: str
    model: ModelId
    recipe: str
    made_by: dict[str, str]
    weights: str | None
    environment: EnvironmentId
    precision: list[PrecisionRan]
    launch_dir: str
    params: dict[str, RunParam]
    model_params: dict[str, object]
    result: Literal["labels", "map", "table", "classes"]
    counts: Counts
    failed: list[str]
    remarks: list[str]
    doubts: list[str]
    images: list[RunImage]
    times: dict[str, StepTimes]
    measured: Measured | None

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        values: dict[str, Any] = RUN_FILE.dump_python(self, mode="json", by_alias=True)
        return values


RUN_FILE = TypeAdapter(RunFile)


# What every group came to


@dataclass(frozen=True)
class MergeResult:
    """What MERGE says of one image, and the folder its pictures are in."""

    facts: MergedImage
    folder: Path


@dataclass(frozen=True)
class Results:
    """What MERGE says of all images, by their ids, and in how many jobs their model ran in what."""

    images: dict[str, MergeResult]
    precision: list[PrecisionRan]

    @property
    def weights(self) -> str | None:
        """The digest of the weights, by the images that were made with them."""
        return _first(*(r.facts.weights for r in self.images.values()))


def read_merged(folder: Path) -> Results:
    """Every merged image; one that couldn't be exported says why."""
    found: dict[str, MergeResult] = {}
    ran: Counter[Precision] = Counter()
    for path in sorted(folder.glob("*/merged.json")):
        group = json.loads(path.read_text(encoding="utf-8"))
        ran.update(group["precision"])
        for facts in group["images"]:
            found[facts["id"]] = MergeResult(MergedImage.from_dict(facts), path.parent)
    for path in sorted(folder.glob("*/exported.json")):
        for failed in json.loads(path.read_text(encoding="utf-8"))["failed"]:
            result = found[failed["id"]]
            found[failed["id"]] = replace(result, facts=replace(result.facts, why=failed["why"]))
    jobs = sorted(ran.items(), key=lambda item: (-item[1], str(item[0])))
    return Results(found, [PrecisionRan(name, count) for name, count in jobs])


# All of it


def describe(plan: PlanFile, recipe: Recipe, results: Results, context: Context) -> RunFile:
    """Everything run.json says.

    Parameters
    ----------
    plan, recipe
        What was planned.
    results
        What MERGE wrote.
    context
        What the workflow says of the run; its paths are relative to its `launch_dir`.
    """
    here = Path(context["launch_dir"])
    tasks = read_trace(here / context["trace"])
    command, profile, configs = _started(context)
    doubtful = doubts_of(plan, results.images, recipe.spec)
    images = describe_images(plan, results.images, doubtful, tasks, here / context["work_dir"])
    doubted = lines(doubtful.items())
    stores = {i.id: Path(plan.launch_dir, plan.params.outdir, i.id, plan.store) for i in images}
    left = {i.id: [] if i.store else stale(stores[i.id], recipe.digest) for i in images}
    images = [replace(i, stale=f"{i.id}/{plan.store}" if left[i.id] else None) for i in images]
    failed = [_line(f"{i.id}: {i.why}") for i in images if i.why]
    result = "classes" if recipe.spec.policy == "keep" else recipe.spec.result
    objects = sum(i.objects or 0 for i in images) if result == "labels" else None
    return RunFile(
        tilewright=__version__,
        nextflow=context["nextflow"],
        command=command,
        profile=profile,
        configs=configs,
        host=socket.gethostname(),
        python=platform.python_version(),
        model=recipe.model,
        recipe=recipe.digest,
        made_by=recipe.made_by,
        weights=_first(results.weights, plan.weights),
        environment=recipe.environment,
        precision=results.precision,
        launch_dir=str(here),
        params=describe_params(plan.params, context["params"]),
        model_params=recipe.params,
        result=result,
        counts=Counts(len(images), len(failed), objects, plan.tiles),
        failed=failed,
        remarks=plan.remarks + doubted + grouped(list(left.items())),
        doubts=doubted,
        images=images,
        times=times(tasks),
        measured=collect(tasks),
    )


def _started(context: Context) -> tuple[str | None, str | None, list[str]]:
    """Command, profile and config files; the launcher's words where it was used."""
    said = json.loads(context.get("started") or "null")
    if said:
        return said["command"], said["profile"], said["configs"]
    files = [f for f in context.get("configs", ()) if Path(f) != ROOT / "nextflow.config"]
    return context.get("command"), context.get("profile"), files


def _first(*known: str | None) -> str | None:
    """The first that is known; of weights, "" says that there are none."""
    return next((one for one in known if one is not None), None)


def describe_params(params: Params, given: Mapping[str, object]) -> dict[str, RunParam]:
    """Each parameter's value, and whether it is the user's or the default.

    Nextflow hands over its defaults among what the user gave, so a stated default is a default.
    """
    defaults = {f.alias or name: f.get_default() for name, f in Params.model_fields.items()}
    defaults |= {"env_root": str(home() / "envs"), "weights_dir": str(home() / "weights")}
    return {
        name: RunParam(
            value, "default" if given.get(name) is None or value == defaults.get(name) else "user"
        )
        for name, value in params.model_dump(mode="json", by_alias=True).items()
    }


def doubts_of(
    plan: PlanFile, results: Mapping[str, MergeResult], spec: ModelSpec
) -> dict[str, list[Doubt]]:
    """What can't be right of what the model saw of each image that has a result, by its id.

    Parameters
    ----------
    plan, results
        Each image's range, and its figures.
    spec
        The model's.
    """
    found = {}
    for image in plan.images:
        result = results.get(image.id)
        taken = Taken(*image.range, str(image.range_from)) if image.range else None
        good = result is not None and result.facts.why is None
        found[image.id] = doubts(result.facts.seen, taken, spec) if result and good else []
    return found


def describe_images(
    plan: PlanFile,
    results: Mapping[str, MergeResult],
    doubtful: Mapping[str, list[Doubt]],
    tasks: list[TracedTask],
    work_dir: Path,
) -> list[RunImage]:
    """Every image of the run: those in the plan, then those that PLAN left out.

    Parameters
    ----------
    plan
        All images.
    results
        By image id; one without a result gets the reason of its group.
    doubtful
        By image id.
    tasks
        Of Nextflow's trace, in its order.
    work_dir
        Where the tasks' messages are.
    """
    images = []
    reasons: dict[str, str] = {}  # one look per group: a pack's images share its tasks
    for planned in plan.images:
        result, group = results.get(planned.id), planned.group
        if result is None and group not in reasons:
            reasons[group] = why_missing(group, tasks, work_dir)
        merged = result.facts if result else _failed(planned, reasons[group])
        said = [told([doubt]) for doubt in doubtful[planned.id]]
        images.append(_image(merged, planned, said))
    return images + [_image(_failed(bad, bad.why), bad) for bad in plan.bad]


def _failed(image: ImagePlan | BadImage, why: str) -> MergedImage:
    return MergedImage(image.id, image.path, why=why)


def _image(
    merged: MergedImage, planned: ImagePlan | BadImage, doubted: Sequence[str] = ()
) -> RunImage:
    from_merge = ("note", "store", "objects", "sbe", "map", "embeddings", "seen")
    from_plan = ("fingerprint", "axes", "shape", "dtype", "mpp", "z_um", "model_shape", "planes")
    values: dict[str, Any] = {name: getattr(merged, name) for name in from_merge}
    for name in (*from_plan, "tiles", "grid", "channels", "range", "range_from"):
        values[name] = getattr(planned, name, None)
    return RunImage(
        id=merged.id,
        path=planned.path,
        why=None if merged.why is None else _line(merged.why),
        area_px=merged.area_px or None,
        volume_px=merged.volume_px or None,
        remarks=[*getattr(planned, "remarks", ()), *doubted],
        columns=planned.columns,
        stale=None,
        doubts=list(doubted),
        **values,
    )


def _line(text: str) -> str:
    """Text on one line, whatever is in a file's name."""
    return " ".join(text.split())
