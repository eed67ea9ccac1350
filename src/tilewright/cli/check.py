"""`check`: whether results are as they were written."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tilewright.contract.checksums import ENDING, compared
from tilewright.contract.commands import AGAIN
from tilewright.contract.made import is_zarr
from tilewright.contract.words import counted
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.export.results import find

from .launch import EXIT_CODES


@click.command(epilog="example: tilewright check results  |  " + EXIT_CODES)
@click.argument("results", metavar="RESULTS")
def check(results: str) -> None:
    """Read every file of RESULTS, and name those that aren't as they were written.

    RESULTS is a run's --outdir, or an image's folder or a store in it. What a run wrote there is
    compared with the digests that it noted beside it, in files whose names end in .sha256: stores,
    their pictures, exports, tables and the report.
    """
    files, problems = 0, list[str]()
    quiet = not sys.stderr.isatty()
    with click.progressbar(_lists(Path(results)), file=sys.stderr, hidden=quiet) as lists:
        for listing in lists:
            for name, what in compared(listing):
                files += 1
                if what:
                    problems.append(f"{listing.parent / name}: it {what} since it was written.")
    try:
        found = find(Path(results))
        problems += map(str, found.bad)
        bare = [store for store, _ in found.stores if not store.with_suffix(ENDING).is_file()]
    except TilewrightError as error:
        if not files:
            raise
        bare = []
        problems.append(str(error))
    for problem in problems:
        click.echo(f"tilewright: {problem}", err=True)
    for store in bare:
        click.echo(f"{store}: not checked, there is no list of its digests.")
    if problems:
        click.echo(f"{counted(files, 'file')} read, {len(problems):,} not as written. {AGAIN}.")
        sys.exit(BAD_DATA)
    click.echo(f"{counted(files, 'file')} read, all as they were written.")


def _lists(results: Path) -> list[Path]:
    """The lists of digests of an output folder, an image's folder or a store."""
    beside = [results.with_suffix(ENDING)] if is_zarr(results) else []
    found = [*beside, *results.glob(f"*{ENDING}"), *results.glob(f"*/*{ENDING}")]
    return sorted(path for path in found if path.is_file())
