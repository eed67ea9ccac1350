"""`run --again run.json`: the same run once more, or what has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tilewright.aiod.planning import plan_run
from tilewright.contract.jobs import Recipe
from tilewright.contract.reading import read_bytes
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.plan.plan import Plan

from .launch import absolute

Facts = dict[str, Any]


class Open(BaseModel):
    """A part of run.json, of which there is more than is looked at."""

    model_config = ConfigDict(extra="allow")


class Given(Open):
    """A parameter, and who said it."""

    value: Any
    who: str = Field(alias="from")


class Seen(Open):
    """An image, as far as it is compared."""

    id: str
    path: str
    fingerprint: str | None
    mask: dict[str, Any] | None = None


class OfModel(Open):
    """Which release the model was of."""

    release: str


class Repeatable(Open):
    """What a run.json must say to be repeated."""

    params: dict[str, Given]
    made_by: dict[str, Any]
    images: list[Seen]
    model: OfModel
    weights: str | None
    profile: str | None
    configs: list[str]
    launch_dir: str


CHOSEN_ANEW = ("outdir", "env_root", "weights_dir")
"""Parameters that may be given beside ``--again``: they change no number."""


def repeated(file: Path, over: Facts) -> tuple[Facts, str | None, tuple[str, ...]]:
    """What a run was given, its profile and its config files.

    Parameters
    ----------
    file
        Its run.json.
    over
        What the user gives beside it.

    Raises
    ------
    TilewrightError
        When it can't be read or `over` has what it says itself (2), or naming all that has changed
        since: images, and what makes the numbers (65).
    """
    wrong = sorted(name for name in over if name not in CHOSEN_ANEW)
    if wrong:
        raise TilewrightError(
            f"--again takes --{', --'.join(wrong)} from {file}.",
            fix="Beside it there may be --" + ", --".join(CHOSEN_ANEW) + " and where it runs.",
            code=USAGE,
        )
    run = read(file)
    params = {k: p["value"] for k, p in run["params"].items() if p["from"] == "user"}
    if "input" not in params:
        raise TilewrightError(
            f"{file}: that run wasn't given parameters of ours, but a plugin's.",
            fix="Start it from the plugin again.",
            code=USAGE,
        )
    given = absolute(params, Path(run["launch_dir"])) | absolute(over)
    given.setdefault("outdir", str(file.absolute().parent))
    try:
        problems = list(changes(run, plan_run(given, Path(run["launch_dir"]))))
    except TilewrightError as error:
        problems = error.problems if isinstance(error, ProblemsError) else [error]
    if problems:
        raise ProblemsError([_of(file, problem) for problem in problems])
    return given, run["profile"], tuple(run["configs"])


def read(file: Path) -> Facts:
    """A run.json that says enough to be repeated.

    Raises
    ------
    TilewrightError
        When it can't be read, or is another release's (2).
    """
    try:
        run = Repeatable.model_validate_json(read_bytes(file))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it isn't a run.json of this release"
        raise TilewrightError(
            f"{file}: can't be repeated ({why}).", fix="Give a finished run's run.json.", code=USAGE
        ) from None
    return run.model_dump(by_alias=True)


def changes(run: Facts, plan: Plan) -> Iterator[TilewrightError]:
    """What isn't as it was: each image by name, then what makes the numbers."""
    now = {i.ref.id: i.ref.fingerprint for i in plan.images}
    then = {i["id"]: i["fingerprint"] for i in run["images"] if i["fingerprint"]}
    paths = {i["id"]: i["path"] for i in run["images"]}
    for name, fingerprint in then.items():
        if name not in now:
            yield _changed(f"{paths[name]} (image {name}) isn't there any more, or can't be used.")
        elif now[name] != fingerprint:
            yield _changed(f"{paths[name]} (image {name}) has changed.")
    yield from _other_masks(run, plan)
    said = {i["id"]: i.get("columns") for i in run["images"]}
    for image in plan.images:
        if said.get(image.ref.id) not in (None, dict(image.columns)):
            yield _changed(f"The sheet says something else of the image {image.ref.id}.")
    for name in sorted(set(now) - set(then)):
        yield _changed(f"The image {name} wasn't there, or couldn't be used.")
    made_by = _of_release(plan.recipe, run["model"]["release"]).made_by
    for what in sorted(set(made_by) | set(run["made_by"])):
        if made_by.get(what) != run["made_by"].get(what):
            yield _changed(f"{what}: it is another one now, {_short(made_by.get(what))}.")
    if not plan.weights or not run["weights"] or plan.weights == run["weights"]:
        return
    yield _changed(f"weights: they are others now, {_short(plan.weights)}.")


def _of_release(recipe: Recipe, then: str) -> Recipe:
    """A recipe whose release has another run's own weights: those are told by themselves."""
    now = recipe.model.release
    if now.partition("+")[0] != then.partition("+")[0]:
        return recipe
    model, spec = replace(recipe.model, release=then), replace(recipe.spec, version=then)
    return replace(recipe, model=model, spec=spec)


def _other_masks(run: Facts, plan: Plan) -> Iterator[TilewrightError]:
    """Images whose mask is another one, by its digest, or by the rule by which tissue is found."""
    then = {i["id"]: i.get("mask") or {} for i in run["images"] if i["fingerprint"]}
    for image in plan.images:
        name, mask = image.ref.id, image.ref.masked
        now = asdict(mask) if mask else {}
        found = {"digest": None} if now.get("by") == "tissue" else {}
        if name in then and then[name] | found != now:
            yield _changed(f"The mask of the image {name} is another one now.")


def _of(file: Path, problem: TilewrightError) -> TilewrightError:
    return TilewrightError(f"{file}: {problem.what}", fix=problem.fix, code=problem.code)


def _short(value: Any) -> str:
    return str(value)[:12]


def _changed(what: str) -> TilewrightError:
    return TilewrightError(what, fix="Put it back as it was, or run it anew.")
