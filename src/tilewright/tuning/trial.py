"""A crop predicted and merged with each combination of values, as a run would; the model stays.

The plan, the jobs, the worker and the merge are a run's own, in this process and without Nextflow,
so that results are those of a run with the same ``--set`` and ``--region``.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tilewright.contract.jobs import Group, Job, Recipe
from tilewright.contract.words import counted
from tilewright.environments import interpreters
from tilewright.environments.gpus import own_gpu
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.merge.write.facts import MergedImage
from tilewright.merge.write.stores import merge_group
from tilewright.plan.plan import Plan, make_plan, write_plan
from tilewright.predict.confinement import Confine
from tilewright.predict.model_process import ModelProcess, process_of
from tilewright.predict.timing import Timing
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import statistics
from tilewright.preprocess.scan import scan
from tilewright.weights.cache import path_of
from tilewright.weights.weights import fetch

from .crop import Region, choose
from .values import as_set

Say = Callable[[str], None]
Given = dict[str, Any]
LOG = "try.log"
"""What the model's script prints goes there, tracebacks too."""


@dataclass(frozen=True)
class Tried:
    """What a combination of values came to.

    Parameters
    ----------
    values
        The combination, as texts.
    plan
        Of the run that it would be.
    seconds
        What prediction took, reading and loading left out.
    image
        What MERGE says of it; None where the model failed.
    store
        Its store; None without a result.
    why
        Why it has none.
    """

    values: dict[str, str]
    plan: Plan
    seconds: float
    image: MergedImage | None
    store: Path | None
    why: str | None = None


@dataclass
class Trial:
    """The crop, and what came of it.

    Parameters
    ----------
    region
        The crop, in level-0 pixels.
    which
        In words, where it wasn't said.
    tried
        Each combination, in order.
    load
        Seconds until the model was there, once.
    """

    region: Region
    which: str
    tried: list[Tried] = field(default_factory=list)
    load: float = 0.0


def planned(
    given: Given, values: Sequence[Mapping[str, str]], here: Path
) -> tuple[Region, str, list[Plan]]:
    """The crop, how it was chosen, and a plan for each combination: all that can be refused early.

    Parameters
    ----------
    given
        Parameters of a run; `region` may be left out.
    values
        The combinations.
    here
        What paths are relative to.

    Raises
    ------
    ProblemsError
        With what is wrong of the parameters, of the image, or of any value.
    """
    first = make_plan(given, here)
    if len(first.images) != 1 or first.bad:
        raise TilewrightError(
            f"--input {given['input']}: there are {len(first.images) + len(first.bad)} images, and "
            "one is tried.",
            fix=f"Name one of them, e.g. --input {first.images[0].ref.path}.",
            code=USAGE,
        )
    if first.recipe.spec.result != "labels":
        raise TilewrightError(
            f"{first.choice.model_name} gives {first.recipe.spec.gives}, and only objects are "
            "compared here.",
            fix="Choose a model that finds objects.",
            code=USAGE,
        )
    (image,) = first.images
    region, which = image.ref.region, ""
    if region is None:
        region, which = choose(image.ref, image.grid, image.planes)
    elif region != first.params.region:
        which = "as far as the image goes"
    plans: list[Plan] = []
    problems: list[TilewrightError] = []
    for each in values:
        with_these = {**given, "region": list(region), "set": as_set(dict(each))}
        try:
            plans.append(make_plan({**with_these, "save_image": True}, here))
        except ProblemsError as error:
            problems += [p for p in error.problems if str(p) not in map(str, problems)]
    if problems:
        raise ProblemsError(problems)
    return region, which, plans


def run_trial(
    given: Given, values: Sequence[dict[str, str]], here: Path, folder: Path, say: Say
) -> Trial:
    """Predict and merge the crop with each combination.

    Parameters
    ----------
    given, values, here
        As of `planned`.
    folder
        An empty one, for banks, stores and `LOG`.
    say
        Takes a line about how far it is.

    Returns
    -------
        What came of each; a combination over which the model fails says why.

    Raises
    ------
    TilewrightError
        As `planned`, or when the environment or the weights can't be had (69).
    """
    region, which, plans = planned(given, values, here)
    trial = Trial(region, which)
    y, x, height, width = region
    part = f"{which}: " if which else ""
    say(f"{part}--region {y},{x},{height},{width}; {counted(len(plans), 'combination')}")
    first = plans[0]
    root = Path(str(first.params.env_root))
    prefix = interpreters.build(first.recipe.environment.name, root, first.params.envs)
    weights_dir = Path(str(first.params.weights_dir))
    weights = first.weights
    if weights is None:
        weights = fetch(first.choice, weights_dir, say, first.config)
    if first.params.gpus == 0:
        os.environ["TILEWRIGHT_GPUS"] = "0"
    timeout = float(first.params.predict_timeout)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG).touch()
    model = Held(prefix, path_of(weights, weights_dir), timeout, folder / LOG, first.params.confine)
    with own_gpu(), model:
        for number, (each, plan) in enumerate(zip(values, plans, strict=True)):
            found = _one(folder / str(number), plan, each, model, weights)
            trial.tried.append(found)
            say(f"  {number + 1}/{len(plans)} {as_set(each)}: {_came_to(found)}")
    trial.load = model.load
    return trial


def _came_to(found: Tried) -> str:
    if found.image is None or found.why:
        return str(found.why)
    return f"{counted(found.image.objects or 0, 'object')}, {found.seconds:.1f} s"


class Held:
    """A model's process that goes from one combination to the next; a context manager.

    Parameters
    ----------
    prefix, file, timeout, log, confine
        As of `process_of`.

    Attributes
    ----------
    load : float
        Seconds until the model was there, all starts together.
    """

    def __init__(
        self,
        prefix: Path,
        file: Path | None,
        timeout: float,
        log: Path,
        confine: Confine = "auto",
    ) -> None:
        self.how = prefix, file, timeout, log, confine
        self.load = 0.0
        self._model: ModelProcess | None = None
        self._key: object = None

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def of(self, recipe: Recipe) -> Iterator[ModelProcess]:
        """The process with a recipe's parameters; another one where the spec is another."""
        begun = time.perf_counter()
        if self._model is not None and self._key == recipe.spec:
            self._model.change(recipe.given)
        else:
            self.stop()
            self._model, self._key = process_of(recipe, *self.how), recipe.spec
            self._model.__enter__()
        try:
            _ = self._model.versions
            self.load += time.perf_counter() - begun
            yield self._model
        except BaseException:
            self.stop()  # whatever it met, the next combination begins anew
            raise

    def stop(self) -> None:
        """End the process, if there is one."""
        model, self._model = self._model, None
        if model is not None:
            model.__exit__(None, None, None)


def _one(folder: Path, plan: Plan, values: dict[str, str], model: Held, weights: str) -> Tried:
    """A combination: its jobs predicted, its group merged."""
    folder.mkdir(parents=True)
    write_plan(plan, folder)
    banks = folder / "banks"
    banks.mkdir()
    timing = Timing()
    try:
        for job in _jobs(folder, plan):
            name = f"{job.job:05d}.bank"
            run_job(
                job, plan.recipe, banks / name, start=lambda: model.of(plan.recipe),
                weights=weights, timing=timing,
            )  # fmt: skip
    except TilewrightError as error:
        return Tried(values, plan, timing.forward, None, None, str(error))
    image, store = _merged(folder, plan, sorted(banks.iterdir()))
    shutil.rmtree(banks)
    return Tried(values, plan, timing.forward, image, store, image.why)


def _jobs(folder: Path, plan: Plan) -> list[Job]:
    """The jobs of the only image; its statistics are found once for all."""
    for asked in sorted((folder / "scans").iterdir()):
        scan(asked, folder / "jobs", folder / "copy.zarr", folder / "found")
    jobs = [Job.load(path) for path in sorted((folder / "jobs").iterdir())]
    (ref,) = jobs[0].images
    if ref.statistics is None:
        ref = replace(ref, statistics=statistics(ref, plan.recipe.spec))
    return [replace(job, images=(ref,)) for job in jobs]


def _merged(folder: Path, plan: Plan, banks: list[Path]) -> tuple[MergedImage, Path | None]:
    """What MERGE makes of the only group, and the store."""
    group = Group.load(next((folder / "groups").iterdir()))
    stores, shown = folder / "stores", folder / "shown"
    merge_group(group, plan.recipe, banks, stores, shown)
    told = json.loads((shown / "merged.json").read_text(encoding="utf-8"))["images"][0]
    image = MergedImage.from_dict(told)
    return image, stores / image.store if image.store else None
