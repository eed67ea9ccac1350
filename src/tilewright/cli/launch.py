"""Start Nextflow for a run and say how it ended."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from tilewright import ROOT
from tilewright.contract.files import atomic, writing
from tilewright.contract.reading import read_text
from tilewright.errors import (
    BAD_DATA,
    INTERNAL,
    UNAVAILABLE,
    USAGE,
    ProblemsError,
    TilewrightError,
    without_secrets,
)
from tilewright.plan.folders import check_work, check_zarr
from tilewright.plan.params import MASK_WORDS, PATHS, check_site
from tilewright.plan.places import writable

from . import slurm_jobs
from .progress import Watch, explain, failures, run_nextflow, summary

EXIT_CODES = "exit codes: 0 ok, 2 usage, 65 bad input data, 69 something unavailable, 70 internal"
RUN_LEFT = ("trace.txt", ".tilewright-lock")
"""What Nextflow and `modules/run.nf` make in an output folder before anything is planned."""
LOCK_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
"""A pipe isn't waited for, and a link to somebody's file not followed."""


def pipeline(
    given: dict[str, Any],
    *,
    profile: str | None,
    work_dir: str | None = None,
    resume: bool = True,
    configs: tuple[str, ...] = (),
) -> None:
    """Run the workflow and say where its results are; a failure exits with its code.

    Nextflow is launched in ``OUTDIR/.tilewright``, so that its cache belongs to these results.

    Parameters
    ----------
    given
        Parameters of a run by name; None is one that wasn't given.
    profile
        A profile of ours or of `configs`; None is `local`, or with `configs` none.
    work_dir
        Nextflow's; in ``OUTDIR/.tilewright`` if not given.
    resume
        Whether tasks done before are kept.
    configs
        A site's own files of Nextflow configuration, the last one winning.

    Raises
    ------
    SystemExit
        When the run fails: 2, 65, 69 or 70.
    TilewrightError
        When it can't start: a folder or parameter (2), another run or no Nextflow (69).
    """
    stated = absolute(given)
    check_site(stated)
    started = {
        "command": without_secrets(shlex.join(["./tilewright", *sys.argv[1:]])),
        "profile": profile or (None if configs else "local"),
        "configs": [str(Path(path).absolute()) for path in configs],
    }
    profile, extra = where(profile, configs)
    outdir = Path(stated.setdefault("outdir", str(Path("results").absolute())))
    inside = outdir / ".tilewright"
    work = Path(work_dir).absolute() if work_dir else inside / "work"
    for folder in (inside, work):
        check_folder(folder)
    check_work(outdir, work)
    check_zarr(outdir)  # before anything is made there
    if problems := writable(work, "--work_dir"):
        raise ProblemsError(problems)
    new = [path for path in (outdir, *outdir.parents) if not path.exists()]
    notes, log = inside / "progress", inside / "nextflow.out"
    command = [nextflow(), "-log", str(inside / "nextflow.log"), "run", str(ROOT)]
    command += ["-ansi-log", "false", "-params-file", str(inside / "params.json")]
    command += ["-work-dir", str(work), *extra]
    command += ["-profile", profile] if profile else []
    command += ["-resume"] if resume else []
    os.environ["TILEWRIGHT_STARTED"] = json.dumps(started)  # for run.json
    with alone(outdir) as inside:
        for orphan in slurm_jobs.clear(inside):
            click.echo(f"tilewright: cancelled a job that an earlier run left: {orphan}", err=True)
        with _writing(outdir):
            shutil.rmtree(notes, ignore_errors=True)
            notes.mkdir()
            (outdir / "trace.txt").unlink(missing_ok=True)  # or an earlier run's is taken for ours
            log.unlink(missing_ok=True)  # or a pipe there would be waited for
            with atomic(inside / "params.json") as part:
                part.write_text(json.dumps(stated, ensure_ascii=False))
        watch = Watch(outdir, notes)
        code = run_nextflow(command, here=inside, watch=watch, log=log, work=work)
        finish(code, watch, log, new)


@contextmanager
def alone(outdir: Path) -> Iterator[Path]:
    """The folder that Nextflow is launched in, while no other run is started there.

    Nextflow's own lock is of a session, and comes seconds later: two new runs wouldn't see it.

    Raises
    ------
    TilewrightError
        When it can't be written (2), or another run is at it (69).
    """
    inside = outdir / ".tilewright"
    with _writing(outdir):
        inside.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(inside / "lock", LOCK_FLAGS, 0o666), "a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise slurm_jobs.still_goes_on(inside) from None
        except OSError:
            pass  # a file system without locks
        yield inside


def _writing(outdir: Path) -> AbstractContextManager[None]:
    return writing(f"--outdir {outdir}", "Choose another folder.", USAGE)


def check_folder(folder: Path) -> None:
    """Refuse a folder that Nextflow can't work in: of a path, it leaves ``$`` and new lines bare.

    Raises
    ------
    TilewrightError
        Naming it (2).
    """
    if re.search(r"\n|\$\w", str(folder)):
        raise TilewrightError(
            f"Nextflow can't work in the folder {str(folder)!r}.",
            fix="Choose a path without a new line, and without $ before a letter or digit.",
            code=USAGE,
        )


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made, a folder before its parent, as far as nothing is in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def take_back(outdir: Path, new: Sequence[Path]) -> None:
    """Remove what a run made that wasn't planned: nothing of it says anything.

    Parameters
    ----------
    outdir
        Its output folder.
    new
        The folders that it made, `outdir` first and then its parents.
    """
    shutil.rmtree(outdir / ".tilewright", ignore_errors=True)
    for name in RUN_LEFT:
        (outdir / name).unlink(missing_ok=True)
    remove_empty(new)


def where(profile: str | None, configs: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """The profile and the config files that Nextflow gets, these as its words.

    Nextflow refuses a profile that one of its config files lacks. So with files of a site, a
    profile of ours becomes one of them, the first; and unless it is asked for, `local` isn't used.

    Raises
    ------
    TilewrightError
        As `configuration`.
    """
    profile = profile or (None if configs else "local")
    files = [configuration(Path(path).absolute()) for path in configs]
    ours = ROOT / "profiles" / f"{profile}.conf"
    if files and ours.is_file():
        profile, files = None, [ours, *files]
    return profile, [word for file in files for word in ("-c", str(file))]


def configuration(path: Path) -> Path:
    """A config file, which Nextflow reads; it would wait for a pipe, or read a device on and on.

    Raises
    ------
    TilewrightError
        When it isn't there, isn't a file, or no text (2).
    """
    try:
        read_text(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it isn't text"
        raise TilewrightError(
            f"--config {path}: can't be read ({why}).",
            fix="Give a file of Nextflow's configuration.",
            code=USAGE,
        ) from error
    return path


def absolute(given: dict[str, Any], here: Path | None = None) -> dict[str, Any]:
    """What the user gave, its paths absolute: Nextflow is launched in a folder of its own.

    Parameters
    ----------
    here
        What paths are relative to; this folder if not given.

    Raises
    ------
    TilewrightError
        2, when one is an address.
    """
    stated = {k: v for k, v in given.items() if v is not None}
    for name in PATHS:
        said = stated.get(name)
        if not said or not isinstance(said, str):  # what is wrong is said by PLAN
            continue
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", said) and not os.path.lexists(said):
            what = f"--{name} {said}: it is an address, and a path is wanted."
            raise TilewrightError(what, fix="Copy it here, and give its path.", code=USAGE)
        if not (name == "mask" and said.lower() in MASK_WORDS):
            path = os.path.expanduser(said)  # noqa: PTH111  # pathlib's raises
            stated[name] = str((here or Path()).absolute() / path)
    return stated


def nextflow() -> str:
    """The Nextflow that the launcher put on the PATH.

    Raises
    ------
    TilewrightError
        When there is none, or it can't take our own folder's name: it finds no module under a
        name that isn't ASCII, and puts `bin/` on each task's PATH without escaping it.
    """
    if not str(ROOT).isascii() or set('"`$\\:\n') & set(str(ROOT)):
        raise TilewrightError(
            f"Nextflow can't run Tilewright from the folder {str(ROOT)!r}.",
            fix='Move it to a path of plain letters, without " ` $ \\ or a colon.',
            code=UNAVAILABLE,
        )
    found = shutil.which("nextflow")
    if found is None:
        raise TilewrightError(
            "There is no nextflow on the PATH.",
            fix="Start through ./tilewright, which brings it.",
            code=UNAVAILABLE,
        )
    return found


def finish(code: int, watch: Watch, log: Path, new: Sequence[Path] = ()) -> None:
    """Tell how it ended: where things are, or what went wrong; then exit.

    Parameters
    ----------
    code
        Nextflow's exit code.
    log
        What it printed.
    new
        The folders that it made, the output folder first: they go where it wasn't planned.

    Raises
    ------
    SystemExit
        2, 65, 69 or 70; nothing is raised after a run without a fault.
    """
    result = watch.result()
    for line in result["remarks"] if result else (watch.plan() or {}).get("warnings", ()):
        click.echo(f"tilewright: note: {line}", err=True)
    if result is not None:
        for line in summary(result, watch.outdir):
            click.echo(line)
    if code == 0 and result is not None:
        return
    reasons = why_failed(result) if result is not None else []
    if result is not None and reasons:
        for line in reasons:
            click.echo(f"tilewright: {line}", err=True)
        parts = [p for image in result["images"] for p in (image, *image["exports"])]
        codes = [part["code"] for part in parts if part["code"]]
        sys.exit(max([failures(watch)[1] or BAD_DATA, *codes]))
    lines, found = explain(watch, log)
    if (watch.outdir / "run.json").is_file() and result is None:
        lines = [*lines, f"tilewright: What lies in {watch.outdir} is an earlier run's."]
    give_up(lines, found, watch, log, new)


def give_up(lines: Sequence[str], found: int, watch: Watch, log: Path, new: Sequence[Path]) -> None:
    """Say why a run has no report, and exit with `found`; what wasn't planned leaves nothing.

    Parameters
    ----------
    lines
        What is said.
    log, new
        As of `finish`.
    """
    for line in lines:
        click.echo(line, err=True)
    if new and found != INTERNAL and watch.plan() is None:
        take_back(watch.outdir, new)
    else:
        click.echo(f"Nextflow's own words are in {log}", err=True)
    sys.exit(found)


def why_failed(result: dict[str, Any]) -> list[str]:
    """Why a run with a report failed, as its run.json tells it; nothing where that doesn't.

    Parameters
    ----------
    result
        Its run.json.
    """
    doubts = [f"--strict: {line}" for line in result["unread"] + result["doubts"]]
    if doubts:
        doubts.append("To take such results as they are, leave --strict out.")
    return [
        *result["failed"],
        *(f"not exported: {line}" for line in result["unexported"]),
    ] or doubts
