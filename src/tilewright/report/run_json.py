"""run.json: what a run came to, for programs."""

from __future__ import annotations

import json
import platform
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from tilewright import ROOT, __version__
from tilewright.contract.exports import wanted
from tilewright.contract.jobs import Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.contract.words import counted
from tilewright.environments.interpreters import home
from tilewright.errors import INTERNAL, without_secrets
from tilewright.merge.write.facts import MergedImage
from tilewright.plan.earlier import stale
from tilewright.plan.params import Params
from tilewright.plan.plan_file import BadImage, ImagePlan, PlanFile
from tilewright.plan.remarks import grouped
from tilewright.plan.value_range import ValueRange
from tilewright.stores.csv_parts import Joined
from tilewright.stores.csv_rows import too_long

from .guard import Doubt, doubts, lines, told
from .run_file import Counts, Precision, PrecisionRan, RunExport, RunFile, RunImage, RunParam
from .tasks import log_of, times, why_missing
from .timings import collect, unconfined
from .trace import TracedTask, read_trace


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


# What every group came to


NO_TABLE = Joined([], 0)


@dataclass(frozen=True)
class MergeResult:
    """What MERGE says of one image, and the folder its pictures are in."""

    facts: MergedImage
    folder: Path


@dataclass(frozen=True)
class Results:
    """What MERGE says of all images, by their ids, and in how many jobs their model ran in what.

    And which files the table of their objects is in, and what they were exported as.
    """

    images: dict[str, MergeResult]
    precision: list[PrecisionRan]
    table: Joined = NO_TABLE
    exports: Mapping[str, list[RunExport]] = field(default_factory=dict)

    @property
    def weights(self) -> str | None:
        """The digest of the weights, by the images that were made with them."""
        return _first(*(r.facts.weights for r in self.images.values()))


def read_merged(folder: Path) -> Results:
    """Every merged image, and what it was exported as."""
    found: dict[str, MergeResult] = {}
    ran: Counter[Precision] = Counter()
    exports: dict[str, list[RunExport]] = {}
    for path in sorted(folder.glob("*/merged.json")):
        group = json.loads(path.read_text(encoding="utf-8"))
        ran.update(group["precision"])
        for facts in group["images"]:
            found[facts["id"]] = MergeResult(MergedImage.from_dict(facts), path.parent)
    for path in sorted(folder.glob("*/exported.json")):
        for made in json.loads(path.read_text(encoding="utf-8"))["exports"]:
            exports.setdefault(made.pop("id"), []).append(RunExport(**made))
    jobs = sorted(ran.items(), key=lambda item: (-item[1], str(item[0])))
    told = folder / "tables.json"
    table = Joined(**json.loads(told.read_text())) if told.exists() else NO_TABLE
    return Results(found, [PrecisionRan(name, count) for name, count in jobs], table, exports)


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
    measured = collect(tasks)
    doubtful = doubts_of(plan, results.images, recipe.spec)
    images = describe_images(plan, results.images, doubtful, tasks, here / context["work_dir"])
    doubted = lines(doubtful.items())
    unread = [f"{i.id}: {i.unread.sentence}" for i in images if i.unread]
    stores = {i.id: Path(plan.launch_dir, plan.params.outdir, i.id, plan.store) for i in images}
    left = {i.id: [] if i.store else stale(stores[i.id], recipe.digest) for i in images}
    exported = exports_of(plan, results, tasks, here / context["work_dir"])
    images = [
        replace(
            with_nothing(i),
            stale=f"{i.id}/{plan.store}" if left[i.id] else None,
            exports=exported.get(i.id, []),
        )
        for i in images
    ]
    result = "classes" if recipe.spec.policy == "keep" else recipe.spec.result
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
        weights_from=plan.weights_from,
        weights_file=plan.weights_file,
        environment=recipe.environment,
        precision=results.precision,
        unconfined=unconfined(measured),
        launch_dir=str(here),
        params=describe_params(plan.params, context["params"]),
        model_params=recipe.params,
        result=result,
        counts=_counted(images, plan.tiles, has_objects=result == "labels"),
        failed=[_line(f"{i.id}: {i.why}") for i in images if i.why],
        unexported=[_line(f"{i.id}: {e.why}") for i in images for e in i.exports if e.why],
        remarks=plan.remarks
        + unread
        + doubted
        + grouped([(i.id, nothing(i)) for i in images])
        + grouped(list(left.items()))
        + too_long(results.table.rows, plan.params.table_rows),
        doubts=doubted,
        unread=unread,
        images=images,
        tables=results.table.files,
        pictures=[],
        times=times(tasks),
        measured=measured,
    )


def _counted(images: list[RunImage], tiles: int, *, has_objects: bool) -> Counts:
    return Counts(
        images=len(images),
        failed=sum(bool(i.why) for i in images),
        unexported=sum(any(e.why for e in i.exports) for i in images),
        objects=sum(i.objects or 0 for i in images) if has_objects else None,
        tiles=tiles,
        predicted=sum(i.predicted or 0 for i in images),
    )


def exports_of(
    plan: PlanFile, results: Results, tasks: list[TracedTask], work_dir: Path
) -> dict[str, list[RunExport]]:
    """What each image that has a store was exported as, by its id; if not, why.

    Parameters
    ----------
    plan, results
        Which formats were asked for, and what EXPORT says of them.
    tasks, work_dir
        Of Nextflow's trace, for a task that said nothing, and where the tasks' messages are.
    """
    found: dict[str, list[RunExport]] = {}
    asked = wanted(plan.params.export, "--export") if plan.params.export else ()
    for image in plan.images:
        result = results.images.get(image.id)
        if result is None or result.facts.store is None:
            continue
        told = list(results.exports.get(image.id, ()))
        if asked and not told:
            why = why_missing(image.group, tasks, work_dir)
            told = [RunExport(made.name, None, why) for made in asked]
        found[image.id] = [_logged(each, image.group, tasks, work_dir) for each in told]
    return found


def _logged(export: RunExport, group: str, tasks: list[TracedTask], work_dir: Path) -> RunExport:
    """An export, and of one that met a fault of ours, where the log of it is."""
    logs = log_of("EXPORT", group, tasks, work_dir) if export.code == INTERNAL else None
    return replace(export, why=f"{export.why} Its log: {logs}.") if logs else export


def _started(context: Context) -> tuple[str | None, str | None, list[str]]:
    """Command, profile and config files; the launcher's words where it was used."""
    said = json.loads(context.get("started") or "null")
    if said:
        return without_secrets(said["command"]), said["profile"], said["configs"]
    files = [f for f in context.get("configs", ()) if Path(f) != ROOT / "nextflow.config"]
    command = context.get("command")
    return command and without_secrets(command), context.get("profile"), files


def _first(*known: str | None) -> str | None:
    """The first that is known; of weights, "" says that there are none."""
    return next((one for one in known if one is not None), None)


def describe_params(params: Params, given: Mapping[str, object]) -> dict[str, RunParam]:
    """Each parameter's value, and whether it is the user's or the default.

    Nextflow hands over its defaults among what the user gave, so a stated default is a default.
    """
    defaults = {f.alias or name: f.get_default() for name, f in Params.model_fields.items()}
    defaults |= {"env_root": str(home() / "envs"), "weights_dir": str(home() / "weights")}
    said = params.model_dump(mode="json", by_alias=True)
    by_user = {n for n, v in said.items() if given.get(n) is not None and v != defaults.get(n)}
    return {
        name: RunParam(
            without_secrets(value) if isinstance(value, str) else value,
            "user" if name in by_user else "default",
        )
        for name, value in said.items()
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
        taken = ValueRange(*image.range, str(image.range_from)) if image.range else None
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
        images.append(_image(_with_log(merged, group, tasks, work_dir), planned, said))
    for bad in plan.bad:
        failed = _failed(bad, bad.why, code=bad.code, step="PLAN")
        images.append(_image(_with_log(failed, "", tasks, work_dir), bad))
    return images


def _failed(image: ImagePlan | BadImage, why: str, **more: Any) -> MergedImage:
    return MergedImage(image.id, image.path, why=why, **more)


def _with_log(
    image: MergedImage, group: str, tasks: list[TracedTask], work_dir: Path
) -> MergedImage:
    """An image, and of one that met a fault of ours, where the log of it is."""
    if image.code != INTERNAL or image.step is None:
        return image
    logs = log_of(image.step, group, tasks, work_dir)
    return replace(image, why=f"{image.why} Its log: {logs}.") if logs else image


def _image(
    merged: MergedImage, planned: ImagePlan | BadImage, doubted: Sequence[str] = ()
) -> RunImage:
    from_merge = ("code", "step", "note", "store", "objects", "sbe", "map", "embeddings", "seen",
                  "predicted", "flags")  # fmt: skip
    from_plan = ("fingerprint", "axes", "shape", "dtype", "mpp", "z_um", "model_shape", "planes")
    values: dict[str, Any] = {name: getattr(merged, name) for name in from_merge}
    for name in (*from_plan, "tiles", "grid", "channels", "range", "range_from", "mpp_from"):
        values[name] = getattr(planned, name, None)
    lacking = [merged.unread.sentence] if merged.unread else []
    if merged.too_wide:
        lacking.append(
            f"{counted(merged.too_wide, 'object')} wider than 4,096 px: no solidity, and of "
            "intensities means alone."
        )
    return RunImage(
        id=merged.id,
        path=planned.path,
        why=None if merged.why is None else _line(merged.why),
        area_px=merged.area_px or None,
        volume_px=merged.volume_px or None,
        remarks=[*getattr(planned, "remarks", ()), *lacking, *doubted],
        columns=planned.columns,
        stale=None,
        exports=[],
        doubts=list(doubted),
        mask=merged.mask or getattr(planned, "mask", None),
        unread=merged.unread,
        **values,
    )


def nothing(image: RunImage) -> list[str]:
    """A sentence about an image of which no tile was predicted, since nothing lies in its mask."""
    if image.predicted != 0 or image.mask is None or image.note:
        return []
    found, fix = "Its mask has nothing inside", ""
    if image.mask.by == "tissue":
        found, fix = (
            "No tissue was found",
            " If it has some, draw it, or say --mask none.",
        )
    of = "its only tile wasn't" if image.tiles == 1 else f"none of its {image.tiles:,} tiles was"
    return [f"{found}: {of} predicted, and its result is empty.{fix}"]


def with_nothing(image: RunImage) -> RunImage:
    """An image, with that sentence among its remarks."""
    return replace(image, remarks=[*image.remarks, *nothing(image)])


def _line(text: str) -> str:
    """Text on one line, whatever is in a file's name."""
    return " ".join(text.split())
