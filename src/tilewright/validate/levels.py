"""Levels 2 to 7 of the validator: locations, environment, the model running, the whole pipeline.

A level yields violations under a rule's id or its own (``L2``); what it measures goes into notes.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tilewright import ROOT
from tilewright.environments import hashed, installers, interpreters
from tilewright.environments.gpus import device
from tilewright.environments.interpreters import child_env
from tilewright.errors import ProblemsError, TilewrightError
from tilewright.registry.checks.target import ERROR, WARNING, Case, Target, Violation
from tilewright.registry.documents import Where
from tilewright.registry.locations import NotTaken, shown, source
from tilewright.registry.manifest import ENCODER_RUNNERS, Location
from tilewright.registry.registry import local_path
from tilewright.validate.rules.runtime import TOKENS, Run
from tilewright.validate.rules.table import DRY_RUN, GOLDEN, LOAD, Named
from tilewright.weights.cache import default_folder, path_of
from tilewright.weights.config_files import config_values
from tilewright.weights.download import Download, NoAccess
from tilewright.weights.weights import fetch, find, look

from . import exactness, network, samples, weights_file
from . import golden as goldens
from .trial_run import TrialRun

PINNED_LINE = re.compile(r"[A-Za-z0-9._-]+(\[[^\]]*\])?\s*={1,2}\s*[\w.+!*-]+.*")
IMPORT = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='probed')"
IMPORT_LIMIT = 300  # s to import a script and its libraries
RUN_LIMIT = 900  # s for one run of the pipeline
GONE = "there is no such file"
ALWAYS = ("PLAN", "PUBLISH", "REPORT")  # steps that look again each time


@dataclass
class Climb:
    """One manifest on its way up the levels.

    Parameters
    ----------
    target
        The manifest.
    level
        The last level that is wanted.
    offline, full, write_golden
        As the command line's options.
    notes
        Lines on what was measured.
    """

    target: Target
    level: int
    offline: bool = False
    full: bool = False
    write_golden: bool = False
    notes: list[str] = field(default_factory=list)


def local_files(work: Climb) -> Iterator[Named]:
    """Level 1: files that are here are of the size and digest, and take the tiles, that they say.

    One that isn't here is level 2's business: a path may be another machine's.
    """
    for case in work.target.plain():
        for where, location in case.locations():
            local = local_path(location)
            if local is None or not os.path.exists(local):  # noqa: PTH110  # never raises
                if local and _is_own(local, work.target) and work.level < 2:
                    yield "L2", _not_had(where, location, NotTaken(GONE), WARNING)
                continue
            try:
                look(location, default_folder(), work.target.manifest.weights_form)
            except NotTaken as error:
                yield "L2", _not_had(where, location, error)
                continue
            yield from (("L2", fault) for fault in weights_file.faults(local, case, where))


def _is_own(path: Path, target: Target) -> bool:
    """Whether a path lies in the checkout or beside the manifest: elsewhere it may be a site's."""
    return path.is_relative_to(ROOT) or path.is_relative_to(target.folder)


def _not_had(
    where: Where, location: Location, error: NotTaken, severity: str | None = None
) -> Violation:
    message = f"{shown(location.location)} can't be had from here: {error}"
    return Violation(where, message, "mend it, or take it out", severity)


def locations(work: Climb) -> Iterator[Named]:
    """Level 2: each location can be reached from here, and is of the size and digest it says."""
    skipped = 0
    for case in work.target.plain():
        for where, location in case.locations():
            local = local_path(location)
            if local is None and work.offline:
                skipped += 1
                continue
            try:
                if local is None and work.full:
                    _fetch(location)
                else:
                    look(location, default_folder(), work.target.manifest.weights_form)
            except NotTaken as error:
                gated = isinstance(error, NoAccess) and case.choice.gated
                elsewhere = local is not None and not _is_own(local, work.target)
                severity = WARNING if elsewhere or gated else ERROR
                yield "L2", _not_had(where, location, error, severity)
    if skipped:
        work.notes.append(f"{skipped} locations on the web weren't looked at (--offline)")


def _fetch(location: Location) -> None:
    """Bring a file from the web, whole, and forget it."""
    there = source(location.location, location.revision)
    with TemporaryDirectory() as folder:
        Download(there, Path(folder) / "part", location.sha256, location.bytes).run()


def environment(work: Climb) -> Iterator[Named]:
    """Level 3: the environment's file is pinned, it can be built, and the script imports there."""
    target = work.target
    name = target.manifest.environment_name
    where = ("environment",) if target.manifest.environment else ("short_name",)
    own = name in interpreters.OUR_ENVIRONMENTS
    if not own:
        yield from _definition(name, where, target.public)
    try:
        if not own:
            installers.check_list(interpreters.definition(name))
        python = interpreter(name)
    except TilewrightError as error:
        yield "L3", Violation(where, error.what.rstrip("."), error.fix.rstrip("."))
        return
    command = [str(python), "-c", IMPORT, str(target.script)]
    env = child_env(python.parents[1])
    problem = _failure(command, env)
    if problem:
        message = f"bin/{target.script.name} can't be imported in {name}: {problem}"
        yield "L3", Violation(where, message, f"add what it needs to envs/{name}.yml")


def _definition(name: str, where: Where, public: bool) -> Iterator[Named]:
    """What an environment's file doesn't pin, or that it has no list of hashes."""
    path = interpreters.definition(name)
    loose = list(_loose(path))
    for entry in loose:
        message = f"envs/{name}.yml doesn't pin {entry!r}, so it will be another one some day"
        yield "L3", Violation(where, message, "write name==version")
    if public and not loose and not path.with_suffix(".txt").is_file():
        message = f"envs/{name}.yml has no list of hashes beside it, envs/{name}.txt"
        yield "L3", Violation(where, message, f"write it: {hashed.WRITES} {name}", WARNING)


def _failure(command: list[str], env: dict[str, str]) -> str:
    """Run a command that should end well; what went wrong, or ``""``."""
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=IMPORT_LIMIT
        )
    except subprocess.TimeoutExpired:
        return f"it didn't end in {IMPORT_LIMIT} s"
    last = (done.stderr.strip().splitlines() or ["it can't be started"])[-1]
    return last if done.returncode else ""


def interpreter(name: str) -> Path:
    """An environment's Python, built first if need be; `base` is the one this runs in."""
    if name == "base":
        return Path(sys.prefix) / "bin" / "python"
    return interpreters.build(name) / "bin" / "python"


def _loose(path: Path) -> Iterator[str]:
    """Entries of an environment's file without an exact version; pip itself aside."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entry in data.get("dependencies", []):
        for one in entry.get("pip", []) if isinstance(entry, dict) else [entry]:
            if one != "pip" and not (
                PINNED_LINE.fullmatch(one) or "://" in one or one.startswith("-")
            ):
                yield one


def networks(work: Climb) -> Iterator[Named]:
    """Level 4, without weights: an encoder's network has the tokens and lengths it says."""
    manifest = work.target.manifest
    if manifest.runner not in ENCODER_RUNNERS:
        return
    cases = [(case, _values(case)) for case in work.target.cases]
    asked = [(case, values) for case, values in cases if isinstance(values, dict)]
    python = interpreter(manifest.environment_name)
    built = network.networks([(c.spec, v) for c, v in asked], python, work.target.script)
    for (case, _), one in zip(asked, built, strict=True):
        problem = one.misfit(case.spec)
        if problem and TOKENS.search(problem):
            where = case.at("num_prefix_tokens")
            yield "R3", Violation(where, f"the model {problem}", "count CLS, registers and patches")
        elif problem:
            yield "R2", Violation(case.at("architecture"), problem, "declare what it is")
        elif case.variant is None:
            tokens = f"{one.tokens} tokens" if one.tokens else f"a vector of {one.shape[-1]}"
            count = f"{one.parameters / 1e6:.1f} M parameters"
            work.notes.append(f"{_name(case)}: {tokens} and {count}, built without its weights")


def models(work: Climb) -> Iterator[Named]:
    """Levels 4 to 6: each version, task and variant runs on sample tiles."""
    fetched: dict[tuple[str, str], str | TilewrightError] = {}
    for case in work.target.cases:
        key = (case.choice.version_key, case.choice.task_name)
        if key not in fetched:
            fetched[key] = _weights(case)
        sha = fetched[key]
        if isinstance(sha, TilewrightError):
            severity = WARNING if work.offline or case.choice.gated else ERROR
            message = f"not run, for want of its weights: {sha.what.rstrip('.')}"
            fix = "let them be reached from here, or give a place that can be"
            yield "L4", Violation((*case.task, "locations"), message, fix, severity)
            continue
        values = _values(case)
        if isinstance(values, TilewrightError):
            message = f"not run, for want of its parameters: {values.what.rstrip('.')}"
            yield "L4", Violation(case.said("config"), message, values.fix.rstrip("."))
            continue
        yield from _model(work, case, sha, values)


def _values(case: Case) -> dict[str, Any] | TilewrightError:
    """Its parameters' defaults, with those of its config file; as in a run that is downloaded."""
    try:
        address = find(case.choice, default_folder()).config
        return case.choice.values({}, config_values(address, default_folder()), address)
    except TilewrightError as error:
        return error.problems[0] if isinstance(error, ProblemsError) else error


def _weights(case: Case) -> str | TilewrightError:
    try:
        return fetch(case.choice, default_folder())
    except TilewrightError as error:
        return error


def _model(work: Climb, case: Case, sha: str, values: dict[str, Any]) -> Iterator[Named]:
    path = path_of(sha, default_folder())
    python = interpreter(work.target.manifest.environment_name)
    script = work.target.script
    with TrialRun(case.spec, values, python, script, str(path or ""), device()) as trial:
        run, wrong = Run(case, trial), False
        for level, rules in ((4, LOAD), (5, DRY_RUN), (6, GOLDEN)):
            if wrong or level > work.level:
                break
            if level == 6 and work.write_golden:
                made = goldens.write(trial, run.goldens, case.choice.task_name, case.variant, sha)
                work.notes.append(f"wrote {made}")
            for rule in rules:
                for violation in _judged(rule, run):
                    wrong |= (violation.severity or rule.severity) == ERROR
                    yield rule.id, violation
        if work.level >= 5 and not wrong:
            work.notes.append(_measured(trial, case))
        if work.level >= 6 and not wrong and case.spec.equivalence == "exact":
            yield from _exact(work, run)


def _judged(rule: Any, run: Run) -> Iterator[Violation]:
    try:
        yield from rule.check(run)
    except TilewrightError as error:
        yield Violation(run.case.task, error.what.rstrip("."), error.fix.rstrip("."))


def _measured(trial: TrialRun, case: Case) -> str:
    """What a tile costs."""
    seconds = trial.seconds()
    size = " x ".join(map(str, trial.tiles["a"].shape))
    peak = trial.memory_mb()
    return (
        f"{_name(case)}: {seconds * 1e3:.0f} ms for a tile of {size} on {trial.device}, "
        f"at most {peak:.0f} MB"
    )


def _name(case: Case) -> str:
    return "/".join(n for n in (case.choice.model_name, case.choice.task_name, case.variant) if n)


def _exact(work: Climb, run: Run) -> Iterator[Named]:
    """Level 6 of a model that says it is exact: tiled equals untiled, and how far it looks."""
    case = run.case
    problem, note = exactness.tiled_and_whole(run.trial)
    work.notes.append(f"{_name(case)}: {note}")
    if problem:
        message = f"equivalence is exact, and tiled isn't untiled: {problem}"
        yield "L6", Violation(case.at("equivalence"), message, "give more context, or write approx")
    measured = exactness.receptive_field(run.trial)
    if measured is None:
        return
    reach, how = measured
    declared = case.spec.receptive_field or 0
    work.notes.append(f"{_name(case)}: receptive field {reach} px {how}, declared {declared}")
    if reach > declared:
        message = f"a pixel changes what is {reach} px away, and receptive_field is {declared}"
        yield (
            "L6",
            Violation(case.at("receptive_field"), message, f"write {reach}, and context for it"),
        )


def end_to_end(work: Climb) -> Iterator[Named]:
    """Level 7: the pipeline finishes on a small picture, and a second run does nothing again."""
    if shutil.which("nextflow") is None:
        violation = Violation(("short_name",), "there is no nextflow", "start through ./tilewright")
        yield "L7", violation
        return
    for case in work.target.plain():
        with TemporaryDirectory() as folder:
            begun = time.perf_counter()
            for number in (1, 2):
                problem = _run_pipeline(work, case, Path(folder))
                again = _done_again(Path(folder) / "out") if number == 2 else []
                if not problem and again:
                    problem = f"a second run does {', '.join(again)} again"
                if problem:
                    yield "L7", Violation(case.task, f"in the pipeline: {problem}", "see its words")
                    break
            else:
                seconds = time.perf_counter() - begun
                note = f"the pipeline takes {seconds:.0f} s, with a second run that finds all done"
                work.notes.append(f"{_name(case)}: {note}")


def _run_pipeline(work: Climb, case: Case, folder: Path) -> str:
    """Run a case on a picture that comes along; what went wrong, or ``""``."""
    spec, choice = case.spec, case.choice
    words = ["--input", samples.for_a_run(spec, folder), "--outdir", folder / "out"]
    words += ["--model", choice.model_name, "--task", choice.task_name]
    words += ["--weights_dir", default_folder()]
    if work.target.document.path.parent != ROOT / "manifests":
        words += ["--manifests", work.target.document.path.parent]
    if spec.tile_spec.variable_input:
        words += ["--tile_size", int(samples.reading(spec).tile_spec.size["y"])]
    resolution = spec.tile_spec.resolution
    if resolution and resolution.target_mpp:
        words += ["--mpp", resolution.target_mpp]
    command = [sys.executable, "-m", "tilewright.cli.main", "run", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return f"it didn't end in {RUN_LIMIT} s"
    lines = [line for line in done.stderr.splitlines() if line.startswith("tilewright: ")]
    last = (lines or done.stderr.strip().splitlines() or ["no word"])[-1]
    return f"exit {done.returncode}: {last}" if done.returncode else ""


def _done_again(out: Path) -> list[str]:
    """Steps of the last run that were done though nothing had changed."""
    with (out / "trace.txt").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = {r["name"].partition(" ")[0] for r in rows if r["status"] != "CACHED"}
    return sorted(names - set(ALWAYS))
