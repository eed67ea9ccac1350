"""`clean`: what needn't be kept, shown before it is deleted."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from tilewright.contract.made import is_zarr
from tilewright.contract.reading import read_text
from tilewright.contract.words import counted
from tilewright.environments import inplace, interpreters
from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

from . import slurm_jobs
from .launch import EXIT_CODES, alone

CACHES = {
    "compiled": "what models' libraries compiled",
    "headers": "headers of images",
    **dict.fromkeys(("maven", "pip", "uv"), "downloads of installers"),
}
BUILT = re.compile(r".+-[0-9a-f]{12}")  # an environment of ours: its name and its file's digest


@dataclass(frozen=True)
class Rest:
    """Something that may be deleted.

    Parameters
    ----------
    path, what
        A folder, and in a few words what it is and what is lost with it.
    """

    path: Path
    what: str

    def size(self) -> tuple[int, int]:
        """Its bytes on the disk and its files, links counted once."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                about = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - very many of them
                found[about.st_ino] = about.st_blocks * 512
        return sum(found.values()), len(found)


@click.command(epilog="example: tilewright clean results  |  " + EXIT_CODES)
@click.argument("outdirs", metavar="[OUTDIR]...", nargs=-1)
@click.option("--env_root", metavar="DIR", help="Folder of environments  [in Tilewright's cache]")
@click.option("--orphans", "jobs", is_flag=True,
              help="Cancel jobs that killed runs left in SLURM instead; OUTDIR may be the folder "
              "that a plain Nextflow was started in.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Don't ask.")
def clean(outdirs: tuple[str, ...], env_root: str | None, jobs: bool, yes: bool) -> None:
    """Show, then delete, what needn't be kept.

    Work folders of finished runs into OUTDIR, environments that were never finished, and the caches
    of downloads. Results, weights and environments stay.
    """
    folders = [_there(Path(name).absolute()) for name in outdirs]
    if jobs:
        cancel(folders, yes)
        return
    root = Path(env_root).absolute() if env_root else interpreters.default_root()
    with ExitStack() as held:  # so that no run begins while the user thinks
        for folder in folders:
            if launched(folder) != folder:
                held.enter_context(alone(folder))
        _clean(folders, root, yes)


def _clean(folders: list[Path], root: Path, yes: bool) -> None:
    """Show, ask and delete."""
    rests = [*works(folders), *half_built(root), *caches(root)]
    if not rests:
        click.echo("There is nothing to delete.")
        return
    total = 0
    for rest in rests:
        size, files = rest.size()
        total += size
        click.echo(
            f"{size / 1e6:10.1f} MB {counted(files, 'file'):>14}  {rest.path}  ({rest.what})"
        )
    _agreed(f"Delete them, {total / 1e6:.1f} MB in all?", yes)
    failed = [rest.path for rest in rests if not _delete(rest.path)]
    if failed:
        raise TilewrightError(
            f"{', '.join(map(str, failed))}: can't be deleted, or not all of it.",
            fix="Ask the owner, or whoever uses it now.",
            code=UNAVAILABLE,
        )


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise TilewrightError(
            f"{folder}: there is no such folder.", fix="Name a run's output folder.", code=USAGE
        )
    return folder


def launched(folder: Path) -> Path:
    """Where Nextflow was launched for the results in a folder."""
    inside = folder / ".tilewright"
    return inside if inside.is_dir() else folder


def _agreed(question: str, yes: bool) -> None:
    """Go on if the user says so; without a terminal only ``--yes`` does.

    Raises
    ------
    TilewrightError
        When nobody can be asked (2).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise TilewrightError(
            "Nothing was done: nobody is there to ask.", fix="Say --yes.", code=USAGE
        )
    click.confirm(question, abort=True)


def _delete(folder: Path) -> bool:
    """Delete a folder: first its name, so that nobody finds half of it."""
    aside = folder.with_name(f".{folder.name}.deleted")
    try:
        folder.rename(aside)
    except OSError:
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return not aside.exists()


def is_ours(folder: Path) -> bool:
    """Whether it is a folder, and no link: what a link leads to is its owner's to delete."""
    return folder.is_dir() and not folder.is_symlink()


# Work folders


def works(folders: Iterable[Path]) -> Iterator[Rest]:
    """Nextflow's work folders and caches of runs that have all their results."""
    for folder in folders:
        inside = launched(folder)
        slurm_jobs.refuse_running(inside)
        why = unfinished(folder)
        if why:
            click.echo(f"{folder}: its work folder is kept, {why}.")
            continue
        for name in ("work", ".nextflow"):
            if is_ours(inside / name):
                yield Rest(inside / name, "of a finished run; the next does everything again")


def unfinished(folder: Path) -> str:
    """Why a run's work folder is still needed, or nothing."""
    if launched(folder) == folder:
        return "for plain Nextflow made it: `nextflow clean` knows which runs it is of"
    try:
        run = json.loads(read_text(folder / "run.json"))
        notes = launched(folder) / "progress"  # of the last run
        is_old = (notes / "PLAN").exists() and not (notes / "REPORT").exists()
        stores = [image["store"] for image in run["images"] if image["store"]]
        failed = len(run["failed"])
    except (OSError, ValueError, LookupError, TypeError):
        return "for the run isn't finished, and the same command goes on from it"
    if is_old:
        return "for a later run isn't finished, and the same command goes on from it"
    if failed:
        return f"for {failed} image(s) have no result yet"
    if not all(is_zarr(folder / store) for store in stores):
        return "for not all results are there"
    return ""


# The cache


def half_built(root: Path) -> Iterator[Rest]:
    """Environments whose build stopped half-way, less those that are being built."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        lock = folder.with_name(f"{folder.name}.lock")
        if is_ours(folder) and BUILT.fullmatch(folder.name) and not inplace.is_ready(folder):
            if inplace.is_held(lock):
                click.echo(f"{folder}: is being built.")
            else:
                yield Rest(folder, "an environment that was never finished")


def caches(root: Path) -> Iterator[Rest]:
    """Downloads of installers and what headers said, unless something is being built."""
    if root.is_dir() and any(map(inplace.is_held, root.glob("*.lock"))):
        click.echo(f"{inplace.home() / 'cache'}: is kept while an environment is being built.")
        return
    for name, what in CACHES.items():
        folder = inplace.home() / "cache" / name
        if is_ours(folder):
            yield Rest(folder, what)


# Jobs


def cancel(folders: list[Path], yes: bool) -> None:
    """Show jobs that killed runs left in SLURM's queue, and cancel them.

    Raises
    ------
    TilewrightError
        When no folder is named (2), a run there still goes on or SLURM doesn't answer (69).
    """
    if not folders:
        raise TilewrightError(
            "--orphans needs to know of which run.",
            fix="Name its output folder: ./tilewright clean --orphans OUTDIR.",
            code=USAGE,
        )
    for folder in folders:
        slurm_jobs.refuse_running(launched(folder))
    found = [job for folder in folders for job in slurm_jobs.find(launched(folder))]
    for job in found:
        click.echo(str(job))
    if not found:
        click.echo("No run left jobs behind.")
        return
    _agreed("Cancel them?", yes)
    slurm_jobs.cancel(found)
