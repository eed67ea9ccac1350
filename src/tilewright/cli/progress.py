"""How far a run is: Nextflow started, watched and explained to whoever waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tilewright.contract.made import RUN_IMAGES
from tilewright.contract.names import group_of, job_name, note_name
from tilewright.contract.reading import read_text
from tilewright.contract.steps import STEPS
from tilewright.contract.words import counted
from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, USAGE, TilewrightError
from tilewright.report.timings import waiting
from tilewright.report.trace import DONE, FAILED, TracedTask, read_trace, sentence

from . import stopping
from .room import Room, refused

LOOK_EVERY = 0.3  # seconds
SAY_EVERY = 30.0  # seconds between plain lines


@dataclass
class Watch:
    """What can be seen of a running pipeline: its trace, plan and progress files.

    Parameters
    ----------
    outdir
        Where trace.txt and plan.json appear.
    notes
        Folder, empty when the run begins, in which each PREDICT task writes how many tiles it has
        done, and PLAN and REPORT that their files are there: no clock says whose those are.
    """

    outdir: Path
    notes: Path

    def tasks(self) -> list[TracedTask]:
        """The tasks of this run that ended; empty while there is no trace of it."""
        return read_trace(self.outdir / "trace.txt")

    def plan(self) -> dict[str, Any] | None:
        """The plan of this run, once PLAN has published it."""
        return self._said("PLAN", "plan.json")

    def result(self) -> dict[str, Any] | None:
        """What run.json of this run says, if it got that far."""
        return self._said("REPORT", "run.json")

    def _said(self, step: str, name: str) -> dict[str, Any] | None:
        try:
            there = (self.notes / step).exists()
            return dict(json.loads(read_text(self.outdir / name))) if there else None
        except (OSError, ValueError):
            return None

    def tiles_done(self, plan: dict[str, Any], tasks: list[TracedTask]) -> tuple[int, int]:
        """Tiles that are done, and how many of them were so before this run."""
        cut: dict[str, list[int]] = {}
        for job in plan["jobs"]:
            cut.setdefault(job["group"], []).append(job["tiles"])
        ended = {t.tag: t.status for t in tasks if t.step == "PREDICT" and t.status in DONE}
        for tag in ended:  # SCAN cuts a group by its mask: then into fewer jobs than were planned
            group, count = group_of(tag), int(tag.split("_")[1])
            if group in cut and len(cut[group]) != count:
                cut[group] = _shares(sum(cut[group]), count)
        done = cached = 0
        for group, sizes in cut.items():
            for number, tiles in enumerate(sizes):
                status = ended.get(job_name(group, len(sizes), number))
                done += tiles if status else self._noted(note_name(group, number))
                cached += tiles if status == "CACHED" else 0
        return done, cached

    def fetching(self) -> str:
        """What FETCH said last."""
        try:
            return (self.notes / "FETCH").read_text()
        except (OSError, ValueError):
            return ""

    def _noted(self, name: str) -> int:
        try:
            return int((self.notes / name).read_text())
        except (OSError, ValueError):
            return 0


def _shares(tiles: int, jobs: int) -> list[int]:
    """A group's tiles in so many jobs, about as many in each."""
    return [tiles * (n + 1) // jobs - tiles * n // jobs for n in range(jobs)]


def run_nextflow(
    command: list[str], *, here: Path, watch: Watch, log: Path, work: Path | None = None
) -> int:
    """Run Nextflow to its end, showing percent of tiles and time left.

    Parameters
    ----------
    command
        Nextflow and its arguments.
    here
        The folder it is launched in.
    watch
        What to look at meanwhile.
    log
        Where its own output goes.
    work
        The folder its tasks work in; `here` if not given.

    Returns
    -------
    Its exit code.

    Raises
    ------
    TilewrightError
        When the user stops it (128 and the signal's number), or when there is no room for a while
        (69): all that it started has been ended too.
    """
    environment = os.environ | {"TILEWRIGHT_PROGRESS": str(watch.notes)}
    if environment.get("LC_ALL") in ("C", "POSIX"):
        environment["LC_ALL"] = "C.UTF-8"  # or Java can't write names that aren't ASCII
    room = Room({here, work or here})
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            show = _bar if sys.stderr.isatty() else _lines
            with show() as tell:
                while process.poll() is None:
                    _look(watch, tell)
                    room.look()
                    time.sleep(LOOK_EVERY)
                _look(watch, tell)
        except BaseException as why:
            stopping.end(process, here)
            if isinstance(why, (KeyboardInterrupt, SystemExit)):
                code = int(why.code or 0) if isinstance(why, SystemExit) else 130
                raise TilewrightError("Stopped;", fix="run it again to go on.", code=code) from None
            raise
    return process.returncode


def _look(watch: Watch, tell: Any) -> None:
    tasks = watch.tasks()
    plan = watch.plan()
    if plan is None:
        tell(STEPS["PLAN"].doing, 0, 0, 0)
        return
    done, cached = watch.tiles_done(plan, tasks)
    step = step_now(plan, tasks, done)
    said = f": {watch.fetching()}" if step == "FETCH" and watch.fetching() else ""
    if STEPS[step].counts == "tiles":
        tell(STEPS[step].doing, done, plan["tiles"], cached)
    elif STEPS[step].counts == "groups":
        tell(STEPS[step].doing, *groups_merged(plan, tasks), unit="groups")
    else:
        tell(STEPS[step].doing + said, 0, 0, 0)


def groups_merged(plan: dict[str, Any], tasks: list[TracedTask]) -> tuple[int, int, int]:
    """Groups that are merged, how many there are (0 of a single one), and those merged before."""
    groups = {job["group"] for job in plan["jobs"]}
    merged = {t.tag: t.status for t in tasks if t.step == "MERGE" and t.status in DONE}
    cached = sum(status == "CACHED" for status in merged.values())
    return len(groups & set(merged)), len(groups) if len(groups) > 1 else 0, cached


def step_now(plan: dict[str, Any], tasks: list[TracedTask], done: int) -> str:
    """The step that the others wait for.

    Parameters
    ----------
    plan
        What plan.json says.
    tasks
        Those that ended.
    done
        Tiles that are predicted.
    """
    ended = {(t.step, t.tag) for t in tasks if t.status in DONE}
    steps = {step for step, _ in ended}
    waiting = {
        "ENV": bool(plan["to_build"]) and "ENV" not in steps,
        "FETCH": plan["weights"] is None and "FETCH" not in steps,
        "SCAN": done == 0 and any(("SCAN", group) not in ended for group in plan["scans"]),
        "PREDICT": done < plan["tiles"],
        "MERGE": any(("MERGE", job["group"]) not in ended for job in plan["jobs"]),
        "PUBLISH": any(("PUBLISH", job["group"]) not in ended for job in plan["jobs"]),
    }
    return next((step for step, waits in waiting.items() if waits), "REPORT")


@contextmanager
def _bar() -> Iterator[Any]:
    """A bar for a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[tiles]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("planning", total=None, tiles="")

        def tell(step: str, done: int, total: int, cached: int, unit: str = "tiles") -> None:
            tiles = f"{100 * done // total:3} %  {done}/{total} {unit}" if total else ""
            progress.update(
                task, description=step, total=total or None, completed=done, tiles=tiles
            )

        yield tell


@contextmanager
def _lines() -> Iterator[Any]:
    """Plain lines: at every new step and tenth of it, else twice a minute what has changed."""
    state: dict[str, Any] = {"key": "", "line": "", "at": 0.0, "start": None, "step": ""}

    def tell(step: str, done: int, total: int, cached: int, unit: str = "tiles") -> None:
        percent = 100 * done // total if total else 0
        now = time.monotonic()
        key = f"{step} {percent // 10}"
        if key == state["key"] and now - state["at"] < SAY_EVERY:
            return
        state["key"], state["at"] = key, now
        left = _left(state, step, done - cached, total - done, now)
        line = f"{step}: {percent} % ({done} of {total} {unit}){left}" if total else step
        if line != state["line"]:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
        state["line"] = line

    yield tell


def _left(state: dict[str, Any], step: str, done: int, rest: int, now: float) -> str:
    """Time left of a step, from what this run did of it."""
    if state["step"] != step:
        state.update(step=step, start=None)
    if state["start"] is None and done:
        state["start"] = (now, done)
    if not state["start"] or done <= state["start"][1] or not rest:
        return ""
    since, first = state["start"]
    seconds = rest * (now - since) / (done - first)
    return (
        f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"
    )


def explain(watch: Watch, log: Path) -> tuple[list[str], int]:
    """Why a run failed, as lines for the user, and the exit code that says so.

    The lines are the failed tasks' own sentences; without any, the end of Nextflow's log.
    """
    sentences, code = failures(watch)
    said = [f"tilewright: {line}" for text in sentences for line in text.splitlines()]
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    wrong = next((line for line in lines if line.startswith("Unknown configuration profile")), "")
    if wrong:
        fix = "Leave --profile out, or give the file that has it as --config."
        return [f"tilewright: {wrong.strip()}. {fix}"], USAGE
    busy = next((line for line in lines if line.startswith("Another run into ")), "")
    if busy:
        return [f"tilewright: {busy.strip()}"], UNAVAILABLE
    turned = [line.strip() for line in lines if line.strip().startswith("sbatch: error: ")]
    if not said and turned:
        fix = "Look at --slurm_queue, --slurm_account and the like, then run it again."
        return [f"tilewright: SLURM takes no job of this run ({turned[-1]}). {fix}"], UNAVAILABLE
    if not said and any("No space left on device" in line for line in lines):
        fix = "Make room, then run it again to go on."
        return [f"tilewright: The work folder's disk is full. {fix}"], UNAVAILABLE
    unwritten = None if said else refused(log.parent)  # then Nextflow couldn't say it, either
    if unwritten:
        return [f"tilewright: {unwritten}"], unwritten.code
    return said or [line for line in lines if line.strip()][-15:], code or INTERNAL


def failures(watch: Watch) -> tuple[list[str], int]:
    """What each task said that failed for good, and the first one's exit code, or 0."""
    # a task's last try; of a group PUBLISH has several tasks, and none is tried again
    last = {(t.step, t.workdir if t.step == "PUBLISH" else t.tag): t for t in watch.tasks()}
    failed = [t for t in last.values() if t.status in FAILED and t.exit.isdigit()]
    said = [sentence(Path(t.workdir)) for t in failed]
    codes = [int(t.exit) for t in failed]
    code = next((c if c in (USAGE, BAD_DATA, UNAVAILABLE) else INTERNAL for c in codes), 0)
    return list(dict.fromkeys(filter(None, said))), code


def summary(result: dict[str, Any], outdir: Path) -> list[str]:
    """What a run came to and where it is, from its run.json: one line each."""
    good = [i for i in result["images"] if i.get("store")]
    rows = sum((i["embeddings"] or {}).get("rows", 0) for i in good)
    what = {
        "labels": counted(result["counts"]["objects"] or 0, "object"),
        "table": f"{counted(rows, 'tile')} embedded",
        "map": counted(len(good), "map"),
        "classes": "each pixel's class",
    }
    lost = sum((i["unread"] or {}).get("tiles", 0) for i in good)
    lacking = f", without {counted(lost, 'tile')} that couldn't be read" if lost else ""
    images = counted(len(result["images"]), "image")
    lines = [f"{len(good)} of {images}, {what[result['result']]}{lacking}"]
    if any(image.get("mask") for image in good):
        counts = result["counts"]
        were = "was" if counts["tiles"] == 1 else "were"
        lines[0] += (
            f"; {counts['predicted']:,} of {counted(counts['tiles'], 'tile')} {were} predicted"
        )
    for image in good[:5]:
        store = outdir / image["store"]
        lines += [f"  Zarr     {store}", f"  picture  {store.with_suffix('.png')}"]
    if len(good) > 5:
        lines.append(f"  … and {len(good) - 5} more")
    told = waiting(result.get("measured"))
    lines += [f"  note     {told}"] if told else []
    for made in (*result["tables"], RUN_IMAGES):
        lines.append(f"  table    {outdir / made}")
    return [*lines, f"  report   {outdir / 'report.html'}"]
