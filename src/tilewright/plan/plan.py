"""What a run will do: every parameter and image header checked, then jobs, groups and a recipe.

Reads headers only. All problems are listed at once; a wrong parameter stops the run, a bad image
is named and left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from tilewright.contract.canonical import digest, save
from tilewright.contract.code import MERGE, room_digests
from tilewright.contract.jobs import Group, Job, MergeOptions, Recipe, Scan
from tilewright.contract.names import job_name
from tilewright.contract.reading import followed
from tilewright.contract.spec import LINKS, ModelSpec
from tilewright.environments import gpus, interpreters
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.registry.checks.run import run_spec
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.weights import weights
from tilewright.weights.config_files import config_values
from tilewright.weights.weights import Origin

from . import exports
from .benchmarked import environment_bytes
from .channels import pick_channels
from .costs import Disk, Estimate, estimate, room, seen_pixels
from .cut import (
    DECODE_LIMIT,
    check_count,
    group_name,
    jobs_of,
    needs_scan,
    packs,
    scanned,
    sized,
    tiles_per_job,
)
from .earlier import Earlier, compared, earlier_plan
from .fit import Planned
from .header_cache import Headers
from .inputs import Inputs, Row, check_results, find_inputs, left_out
from .masks import check_edited, scan_code, unused, with_masks
from .params import Params, check_params
from .pixel_size import needs_size
from .places import no_folders, with_places, writable
from .plan_file import BadImage, EnvironmentPlan, ImagePlan, JobPlan, PlanFile, PreviewPlan
from .remarks import read_again, unmeasured, unringed
from .resources import Needs, contradictions, needs
from .scenes import Unread, with_scenes
from .settings import Settings, settings
from .unsized import problems as problems_of
from .unsized import unsized


class Adapter(Protocol):
    """Another program's way to say what a run is, e.g. that of napari's AI OnDemand plugin."""

    @property
    def manifests(self) -> tuple[Path, ...]:
        """Folders of its manifests, over ours and below the user's."""

    def params(self, given: dict[str, object]) -> dict[str, Any]:
        """Its parameters as ours."""

    def rows(self) -> list[Row]:
        """Its images."""

    def spec(self, spec: ModelSpec) -> ModelSpec:
        """The model's spec, with what it asks of it."""

    def previews_made(self) -> PreviewPlan:
        """Where its previews are."""


@dataclass(frozen=True)
class Plan:
    """Everything PLAN found out."""

    params: Params
    choice: ResolvedModel
    recipe: Recipe
    images: list[Planned]
    bad: list[tuple[Row, TilewrightError]]
    groups: list[Group]
    jobs: list[Job]
    scans: Mapping[str, int]
    """By the names of groups that are scanned, how many tiles a job of theirs may predict."""
    weights: str | None
    config: str | None
    manifests: tuple[Path, ...]
    """Folders over our own manifests, in their order."""
    environment_ready: bool
    launch_dir: Path
    dialect: Adapter | None = None
    found: tuple[str, ...] = ()
    """What a user should know of how images were found."""

    @property
    def tiles(self) -> int:
        """Tiles of the whole run."""
        return sum(i.tiles for i in self.images)

    @property
    def warnings(self) -> list[str]:
        """What needn't stop a run, one line each."""
        return [*self.found, *weights.warnings(self.choice), *self._gpu_warnings()]

    def _gpu_warnings(self) -> list[str]:
        """A line where a model gets no GPU that wants one, on this machine, or the reverse."""
        if self.params.gpus and self.recipe.spec.device == "cpu":
            return [f"--gpus 1: {self.recipe.model.model_name} uses the CPU alone all the same."]
        wanted = self.needs.gpus if self.params.gpus is None else self.params.gpus
        if not wanted or not gpus.shared() or gpus.visible():
            return []
        return [f"There is no GPU here: {self.recipe.model.model_name} runs on the CPU, slowly."]

    @property
    def needs(self) -> Needs:
        """What a PREDICT task asks a scheduler for."""
        return needs(self.recipe.spec, self.recipe.environment.name)

    @property
    def to_build(self) -> list[str]:
        """Environments that aren't here yet."""
        model = self.recipe.environment.name
        others = exports.to_build(self.params.export, Path(str(self.params.env_root)))
        return [*([] if self.environment_ready else [model]), *others]

    @property
    def weights_from(self) -> Origin | None:
        """Who says which file of weights is the right one."""
        return weights.origin(self.choice, self.weights, Path(str(self.params.weights_dir)))

    @property
    def on_gpu(self) -> bool:
        """Whether the model would compute on a GPU of this machine."""
        wanted = self.needs.gpus if self.params.gpus is None else self.params.gpus
        return bool(wanted) and gpus.device() != "cpu"

    @property
    def disk(self) -> Disk:
        """Room that the run needs."""
        results, work = room(self.images, self.recipe.spec, self.params) or (None, None)
        environment = self.recipe.environment.name
        return Disk(
            results=results,
            work=work,
            environment=0 if self.environment_ready else environment_bytes(environment),
            weights=0 if self.weights is not None else weights.size(self.choice),
        )

    @property
    def estimate(self) -> Estimate | None:
        """How long prediction takes; None where this recipe never ran."""
        pixels = seen_pixels(self.images, self.recipe.spec)
        return estimate(self.recipe, pixels, len(self.jobs), gpu=self.on_gpu)

    @property
    def file(self) -> PlanFile:
        """plan.json: for people, for the report and for the workflow."""
        group_of = {i.id: j.group for j in self.jobs for i in j.images}
        environment = self.recipe.environment
        return PlanFile(
            model=self.recipe.model,
            recipe=self.recipe.digest,
            store=self.choice.store(self.params.variant),
            params=self.params,
            launch_dir=str(self.launch_dir),
            environment=EnvironmentPlan(**vars(environment), ready=self.environment_ready),
            to_build=self.to_build,
            weights=self.weights,
            weights_from=self.weights_from,
            weights_file=self.choice.own.path.name if self.choice.own else None,
            config=self.config,
            manifests=[str(folder) for folder in self.manifests],
            min_vram_gb=self.recipe.spec.min_vram_gb,
            needs=self.needs,
            warnings=self.warnings,
            disk=self.disk,
            estimate=self.estimate,
            tiles=self.tiles,
            jobs=[JobPlan(j.group, j.job, sum(b - a for _, a, b in j.parts)) for j in self.jobs],
            scans=sorted(self.scans),
            previews=self.dialect.previews_made() if self.dialect else None,
            images=[_described(i, group_of[i.ref.id]) for i in self.images],
            bad=[
                BadImage(row.id, str(row.path), str(e), dict(row.columns), e.code)
                for row, e in self.bad
            ],
            unsized=unsized(self.bad),
        )


def _described(image: Planned, group: str) -> ImagePlan:
    ref, grid = image.ref, image.grid
    return ImagePlan(
        id=ref.id,
        path=ref.path,
        fingerprint=ref.fingerprint,
        group=group,
        axes=ref.axes,
        shape=ref.shape,
        dtype=ref.dtype,
        mpp=ref.mpp,
        mpp_from=ref.mpp_from,
        z_um=ref.z_um,
        model_shape=grid.shape,
        planes=image.planes,
        tiles=image.tiles,
        mask=ref.masked,
        grid=grid.counts,
        read_factor=round(image.read_factor, 3),
        channels=image.channels,
        remarks=image.remarks,
        range=(image.range.low, image.range.high) if image.range else None,
        range_from=image.range.by if image.range else None,
        columns=dict(image.columns),
        changed=image.changed,
    )


def make_plan(given: dict[str, object], here: Path, dialect: Adapter | None = None) -> Plan:
    """Check a run's parameters and images and cut it into jobs.

    Parameters
    ----------
    given
        The parameters as the user gave them.
    here
        What relative paths are relative to.
    dialect
        Whose parameters these are, if they aren't ours.

    Raises
    ------
    ProblemsError
        Every wrong parameter; or every bad image, with ``--strict`` or when no good one is left.
    """
    params, problems = check_params(dialect.params(given) if dialect else given)
    if params is None:
        raise ProblemsError(problems)
    params = with_places(params, here)
    found = Inputs([])
    unread: Unread = []
    try:
        folders = manifest_folders(params, here, dialect)
        known = Registry.load(*folders)
        asked = settings(params.model_config_file, params.set_, here)
        params, choice, spec, values, found_weights = resolve(params, here, known, asked)
        spec = dialect.spec(spec) if dialect else spec
        sized(spec, params)
        params, values = pick_channels(params, choice, spec, values)
        recipe = choice.recipe(spec, values)
        problems += contradictions(params, needs(spec, recipe.environment.name))
        problems += exports.problems(params.export, spec)
    except TilewrightError as error:
        problems.append(error)
    try:
        found, unread = _inputs(params, here, dialect)
    except TilewrightError as error:
        problems.append(error)
    problems += no_folders(params) + writable(here / params.outdir)
    if problems:
        raise ProblemsError(problems)
    images, bad = plan_images(found.rows, params, spec, earlier_plan(here / params.outdir))
    bad = sorted([*bad, *unread], key=lambda each: each[0].id)
    if bad and (params.strict or not images):
        raise ProblemsError(problems_of(bad, needs_size(spec)))
    check_edited((i.ref for i in images), here / params.outdir)
    groups, jobs, scans = cut(images, params, choice, spec)
    return Plan(
        params=params,
        choice=choice,
        recipe=recipe,
        images=images,
        bad=bad,
        groups=groups,
        jobs=jobs,
        scans=scans,
        weights=found_weights.sha256,
        config=found_weights.config,
        manifests=folders,
        environment_ready=interpreters.ready(recipe.environment.name, Path(str(params.env_root))),
        launch_dir=here,
        dialect=dialect,
        found=(
            *found.remarks,
            *asked.remarks,
            *unused(params, [i.ref for i in images]),
            *unmeasured(spec, params.features),
            *unringed(params.ring_px, params.features),
            *read_again([(i.ref.id, i.one_of) for i in images]),
        ),
    )


def _inputs(params: Params, here: Path, dialect: Adapter | None) -> tuple[Inputs, Unread]:
    """The run's images, a row for each scene, and those that can't be looked into."""
    found = Inputs(dialect.rows()) if dialect else find_inputs(params, here)
    rows, unread = with_scenes(found.rows)
    results = followed(here / params.outdir)
    rows, unmasked, remarks = with_masks(rows, results)
    check_results(rows, results)
    return Inputs(rows, found.remarks + remarks), [*unread, *unmasked]


def manifest_folders(
    params: Params, here: Path, dialect: Adapter | None = None
) -> tuple[Path, ...]:
    """The folders over our own manifests: those of another program, then the user's."""
    theirs = dialect.manifests if dialect else ()
    return (*theirs, here / params.manifests) if params.manifests else theirs


def registry(params: Params, here: Path) -> Registry:
    """Our manifests and, over them, the user's."""
    return Registry.load(*manifest_folders(params, here))


def resolve(
    params: Params, here: Path, known: Registry, asked: Settings
) -> tuple[Params, ResolvedModel, ModelSpec, dict[str, Any], weights.Found]:
    """The run's parameters with their variant; the model, its spec, parameters and weights."""
    choice = known.choose(params.model, params.model_type, params.task)
    choice.script()  # without one, all else is beside the point
    folder = Path(str(params.weights_dir))
    choice = weights.used(choice, params.weights, here, folder)
    found = weights.find(choice, folder)
    own = config_values(found.config, folder)
    values = choice.values(asked.values, own, found.config, asked.by_set)
    params = params.model_copy(update={"variant": choice.variant_of(values, params.variant)})
    spec = run_spec(known, choice, params.tile_size, params.variant)
    linked(spec, params.link_z)
    return params, choice, spec, values, found


def linked(spec: ModelSpec, asked: str | None) -> Literal["none", "iou"]:
    """How slices are linked: as the user says, else as the manifest does.

    Raises
    ------
    TilewrightError
        2, when the user asks for what there isn't, or the model can't have.
    """
    if asked is not None and (asked not in LINKS or (asked != "none" and not spec.links_slices)):
        raise TilewrightError(
            f"--link_z {asked}: {spec.model_name} can't have it; `iou` is for objects of a 2D "
            "model that are matched.",
            fix="Leave it out, or say none.",
            code=USAGE,
        )
    said = asked or (spec.merge or {}).get("link_z")
    return "iou" if said == "iou" else "none"


def plan_images(
    found: list[Row], params: Params, spec: ModelSpec, earlier: Earlier | None = None
) -> tuple[list[Planned], list[tuple[Row, TilewrightError]]]:
    """The good images, and the bad ones with their sentences.

    Parameters
    ----------
    found
        The images asked for.
    params, spec
        What they must fit.
    earlier
        What the last plan said of them.

    Raises
    ------
    Exception
        What is no image's fault; before the last try what is a fault of ours, too.
    """
    good, bad = [], []
    headers = Headers(params, spec)
    for row in found:
        try:
            good.append(compared(headers.plan(row), earlier or {}))
        except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
            bad.append((row, left_out(row, error)))
    headers.save()
    return good, bad


def cut(
    images: list[Planned], params: Params, choice: ResolvedModel, spec: ModelSpec
) -> tuple[list[Group], list[Job], dict[str, int]]:
    """Groups and jobs: small images in packs, a big one by itself; and groups to scan.

    Parameters
    ----------
    images
        In the order of their ids.
    params
        The run's.
    choice
        Names the store and the task.
    spec
        The model's, before `sized`.

    Raises
    ------
    TilewrightError
        2, when slices can't be linked as the user says, or there are too many jobs.
    """
    code, link_z = digest(room_digests(MERGE)), linked(spec, params.link_z)
    asked: Any = {"link_z": link_z, "code": code, "features": params.features}
    asked |= {"ring_px": params.ring_px} if params.features == "all" else {}
    merge = MergeOptions.of(spec, params.match_iou, **asked)
    store = choice.store(params.variant)
    spec = sized(spec, params)
    check_count(images, spec)
    groups, jobs, scans = [], [], {}
    for members in packs(images, params.pack, spec):
        name = group_name(members[0].ref.id)
        keyed = [replace(p, ref=replace(p.ref, key=f"i{i:03d}")) for i, p in enumerate(members)]
        mine = list(jobs_of(name, keyed, spec))
        scanned = needs_scan(keyed[0], spec)
        groups.append(
            Group(
                name,
                None if scanned else len(mine),
                merge,
                store,
                choice.task_name,
                save_image=params.save_image,
                ome_zarr=params.ome_zarr,
                columns={p.ref.id: p.columns for p in members if p.columns},
                weights_file=choice.own.path.name if choice.own else None,
            )
        )
        jobs += mine
        if scanned:
            scans[name] = tiles_per_job(spec, keyed[0])
    return groups, jobs, scans


def write_plan(plan: Plan, out: Path) -> None:
    """Write plan.json, recipe.json, groups/, jobs/, scans/ and exports/ into `out`.

    A job's file is ``<group>_<jobs of the group>_<job>.json``, so that the workflow needs nothing
    else to gather a group.
    """
    for folder in ("groups", "jobs", "scans", "exports"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    counts = Counter(job.group for job in plan.jobs)
    images = {i.ref.id: i for i in plan.images}
    code = scan_code()
    for group in plan.groups:
        save(out / "groups" / f"{group.group}.json", group)
        if group.group in plan.scans:
            (ref,) = next(j for j in plan.jobs if j.group == group.group).images
            image, most = images[ref.id], plan.scans[group.group]
            copy = image.decode_factor > DECODE_LIMIT
            scan = Scan(ref, image.tiles, most, scanned(plan.recipe.spec), copy, code)
            save(out / "scans" / f"{group.group}.json", scan)
        if plan.params.export:
            asked = exports.export_of(plan.params.export)
            save(out / "exports" / f"{group.group}.json", asked)
    for job in plan.jobs:
        if job.group not in plan.scans:
            job.save(out / "jobs" / f"{job_name(job.group, counts[job.group], job.job)}.json")
    save(out / "recipe.json", plan.recipe)
    text = json.dumps(plan.file.to_dict(), ensure_ascii=False)  # a sheet's columns in its order
    (out / "plan.json").write_text(f"{text}\n", encoding="utf-8")


def load_choice(path: Path) -> tuple[ResolvedModel, Path, str | None]:
    """The model a plan.json is of, the folder its weights go into, and the config file it read."""
    plan = PlanFile.load(path)
    params, model = plan.params, plan.model
    manifests = Registry.load(*map(Path, plan.manifests))
    choice = manifests.choose(model.model_name, model.variant, model.task)
    return choice, Path(str(params.weights_dir)), plan.config
