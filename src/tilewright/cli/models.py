"""`models`: which there are, what of each is on this machine, and how fast it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from tilewright.authoring.catalogue import sees
from tilewright.contract.jobs import ModelId
from tilewright.environments import gpus
from tilewright.errors import USAGE, TilewrightError
from tilewright.plan.benchmarked import per_million
from tilewright.plan.params import Params
from tilewright.plan.places import with_places
from tilewright.plan.plan import registry
from tilewright.plan.resources import needs
from tilewright.plan.speeds import known, latest, this_machine
from tilewright.registry.missing import BRING, OUT_OF_REACH, WHY
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.weights.weights import OWN, READY, state

from .envs import NOT_BUILT
from .envs import state as environment_state
from .launch import absolute
from .plan_words import card_said

ABOUT = (
    "In each line: a model's name, for --model; its task; its weights; and, where it ran here, "
    "its seconds per megapixel (of a volume, megavoxel), else in brackets those of our benchmark "
    "on two CPU cores."
)
WIDTHS = (24, 10, 9, 0)
EMBED = "embed"
ABOUT_ENCODERS = (
    "Encoders, for --model: those that anyone may fetch, and gated ones, whose owners must let you "
    "in first. µm/px: what it reads at, in brackets others that it was made for; dim: numbers a "
    "tile; GPU: memory that it wants, computed from its parameters."
)
ENCODER_HEADS = ("encoder", "µm/px", "dim", "GPU", "licence", "weights")


@dataclass(frozen=True)
class Part:
    """Whether a thing that a model needs is on this machine, and what there is to say of it."""

    here: bool
    says: str


@dataclass(frozen=True)
class Pace:
    """Seconds per million pixels that a model sees (of a volume, voxels), and what measured it.

    `by` is ``this machine`` or ``benchmark``, which is ours, on two cores of another one.
    """

    seconds_per_million: float
    device: str
    by: str


@dataclass(frozen=True)
class Listed:
    """A model of the list: what it is, and what of it is here."""

    title: str
    short_name: str
    model_name: str
    version: str
    task: str
    takes: str
    gives: str
    license: str
    gated: bool
    mpp: float | None
    """µm per pixel that it reads at; None for an image's own."""
    supported_mpp: tuple[float, ...]
    """Those it was made for; empty for any."""
    embedding_dim: int | None
    min_vram_gb: float | None
    script: Part
    environment: Part
    weights: Part
    gpu: Part | None
    """None for a model that wants none."""
    speed: Pace | None

    @property
    def heading(self) -> str:
        """What is said once of all models that are alike."""
        about = f"takes {self.takes}; gives {self.gives}; {self.license or 'no licence given'}"
        return f"{self.title} (--model {self.short_name}): {about}"

    @property
    def machine(self) -> str:
        """What of it is here, in a line, but for its weights."""
        script = "" if self.script.here else f"{self.script.says}; "
        gpu = "wants no GPU" if self.gpu is None else f"GPU: {self.gpu.says}"
        return f"{script}environment {self.environment.says}; {gpu}"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Its line in the table."""
        return self.model_name, self.task, self.weights.says, self._pace

    @property
    def encoder_row(self) -> tuple[str, ...]:
        """Its line in the table of encoders."""
        others = ", ".join(f"{m:g}" for m in self.supported_mpp if m != self.mpp)
        mpp = "any" if self.mpp is None else f"{self.mpp:g}" + (f" ({others})" if others else "")
        gpu = "-" if self.min_vram_gb is None else f"{self.min_vram_gb:g} GB"
        licence = self.license.removeprefix("LicenseRef-") or "not said"
        dim = str(self.embedding_dim or "-")
        return self.model_name, mpp, dim, gpu, licence, self.weights.says

    @property
    def _pace(self) -> str:
        if self.speed is None:
            return ""
        told = f"{self.speed.seconds_per_million:.3g} s"
        return told if self.speed.by == "this machine" else f"({told})"


@click.command(epilog="example: tilewright models")
@click.option("--manifests", default=None, help="A folder with more manifests.")
@click.option("--task", default=None, help="Only those for a task; of encoders, open ones first.")
@click.option("--json", "as_json", is_flag=True, help="All that is known, for programs.")
def models(manifests: str | None, task: str | None, as_json: bool) -> None:
    """List models, and what of each is here: script, environment, weights, GPU, speed."""
    params = with_places(Params(input=".", **absolute({"manifests": manifests})), Path.cwd())
    found = chosen(registry(params, Path.cwd()), params, task)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif task == EMBED:
        tell_encoders(found)
    else:
        tell(found)


def chosen(registry: Registry, params: Params, task: str | None) -> list[Listed]:
    """What is listed: everything, or the models of a task, gated ones last.

    Raises
    ------
    TilewrightError
        When there is no such task.
    """
    if task is not None and task not in registry.tasks:
        raise TilewrightError(
            f"--task {task}: there is no such task.",
            fix=f"Choose one of {', '.join(registry.tasks)}.",
            code=USAGE,
        )
    found = [listed(c, params) for c in registry if task in (None, c.task_name)]
    return found if task is None else sorted(found, key=lambda one: (one.gated, one.model_name))


def tell_encoders(found: Sequence[Listed]) -> None:
    """Print encoders in one table, those that anyone may fetch above those that are gated."""
    console = Console(markup=False, emoji=False, highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for number, head in enumerate(ENCODER_HEADS):
        table.add_column(head, overflow="fold", no_wrap=number == 0)
    for gated, about in ((False, "open:"), (True, "gated:")):
        group = [one for one in found if one.gated == gated]
        if group:
            table.add_row(about, style="dim")
        for one in group:
            table.add_row(*one.encoder_row)
    console.print(ABOUT_ENCODERS, style="dim")
    console.print(table)


def tell(found: Sequence[Listed]) -> None:
    """Print models, those that are alike under one heading."""
    console = Console(markup=False, emoji=False, highlight=False)
    groups: dict[tuple[str, str], Table] = {}
    for one in found:
        alike = one.heading, one.machine
        if alike not in groups:
            groups[alike] = Table(show_header=False, box=None, padding=(0, 0, 0, 2))
            for number, width in enumerate(WIDTHS):  # a name is copied, so that it isn't cut
                groups[alike].add_column(min_width=width, overflow="fold", no_wrap=number == 0)
        groups[alike].add_row(*one.row)
    console.print(ABOUT, style="dim")
    for (heading, machine), table in groups.items():
        console.print(heading, style="bold")
        console.print(Padding(machine, (0, 0, 0, 2), expand=False))
        console.print(table)
    for short_name in OUT_OF_REACH.keys() - {one.short_name for one in found if one.script.here}:
        name = OUT_OF_REACH[short_name]
        told = f"{name} (--model {short_name}): can't be run, as {WHY}. {BRING}"
        console.print(told, style="dim")


def listed(choice: ResolvedModel, params: Params) -> Listed:
    """What is said of a model; nothing is built, fetched or read for it."""
    spec, manifest = choice.spec(), choice.manifest
    gpu = gpu_of(choice)
    return Listed(
        title=manifest.name,
        short_name=manifest.short_name,
        model_name=choice.model_name,
        version=choice.version_key,
        task=choice.task_name,
        takes=sees(spec),
        gives=spec.gives,
        license=spec.license,
        gated=choice.gated,
        mpp=spec.tile_spec.resolution.target_mpp if spec.tile_spec.resolution else None,
        supported_mpp=spec.supported_mpp or (),
        embedding_dim=spec.embedding_dim,
        min_vram_gb=spec.min_vram_gb,
        script=script_of(choice),
        environment=environment_of(choice, Path(str(params.env_root))),
        weights=weights_of(choice, Path(str(params.weights_dir))),
        gpu=gpu,
        speed=pace_of(choice, gpu=gpu is not None and gpu.here),
    )


def script_of(choice: ResolvedModel) -> Part:
    """Whether something runs it."""
    try:
        return Part(True, f"bin/{choice.script().name}")
    except TilewrightError:
        return Part(False, f"there is no script bin/{choice.manifest.script}, so it can't run")


def environment_of(choice: ResolvedModel, root: Path) -> Part:
    """Whether what it runs in is built."""
    said = environment_state(choice.manifest.environment_name, root)
    later = ": the first run does it" if said == NOT_BUILT else ""
    return Part(said.startswith(READY), said + later)


def weights_of(choice: ResolvedModel, folder: Path) -> Part:
    """Whether its file is here, or it needs none."""
    said = state(choice, folder)
    return Part(said in (READY, OWN), said)


def gpu_of(choice: ResolvedModel) -> Part | None:
    """Whether there is a GPU for it; None of a model that wants none."""
    spec = choice.spec()
    if not needs(spec, choice.manifest.environment_name).gpus:
        return None
    return Part(gpus.device() != "cpu", card_said(spec.min_vram_gb))


def pace_of(choice: ResolvedModel, *, gpu: bool) -> Pace | None:
    """How fast it was in its last run here, or else in our benchmark; None where nothing says."""
    name, task = choice.model_name, choice.task_name
    short_name, version = choice.manifest.short_name, choice.version_key
    model = ModelId(short_name, name, version, choice.release, task)
    found = latest(known(model), this_machine(), gpu=gpu)
    if found:
        return Pace(round(found.per_million, 4), found.device, "this machine")
    measured = per_million(name, task)
    return None if measured is None else Pace(measured, "cpu", "benchmark")
