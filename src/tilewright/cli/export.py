"""`export`: results in the formats of other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tilewright.contract.exports import FORMATS, Format, wanted
from tilewright.contract.faults import mark
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError
from tilewright.export.export import check, export
from tilewright.export.results import find
from tilewright.export.store import Result

from .launch import EXIT_CODES


@click.command(
    name="export", epilog="example: tilewright export results --to geojson,csv  |  " + EXIT_CODES
)
@click.argument("results", metavar="RESULTS")
@click.option("--to", required=True, metavar="FORMAT[,…]", help=f"Of {', '.join(FORMATS)}.")
@click.option("--outdir", metavar="DIR", help="Where to  [beside each result]")
@click.option("--env_root", metavar="DIR", help="Folder of environments  [in Tilewright's cache]")
def export_command(results: str, to: str, outdir: str | None, env_root: str | None) -> None:
    """Write results in the formats of other programs.

    RESULTS is a run's --outdir, or an image's folder or a store in it.
    """
    formats = wanted(to, "--to")
    if env_root:
        os.environ["TILEWRIGHT_ENVS"] = str(Path(env_root).absolute())
    code = 0
    for error in exported(Path(results), formats, Path(outdir) if outdir else None):
        click.echo(f"tilewright: {error}", err=True)
        code = max(code, error.code)
    sys.exit(code)


def exported(
    results: Path, formats: tuple[Format, ...], outdir: Path | None
) -> Iterator[TilewrightError]:
    """Export all stores, telling each file that is made; what couldn't be comes out.

    Parameters
    ----------
    results
        A folder of results, or a store.
    formats
        In which.
    outdir
        Where to; None is beside each store.

    Raises
    ------
    TilewrightError
        What isn't one store's alone.
    """
    found = find(results)
    yield from found.bad
    pairs = []
    for store, folder in found.stores:
        for made in formats:
            try:
                check(Result(store), made)
                pairs.append((store, folder, made))
            except TilewrightError as error:
                yield error
    for name in sorted({made.environment for *_, made in pairs} - {"base"}):
        interpreters.build(name, None, "auto", lambda line: click.echo(line, err=True))
    for store, folder, made in pairs:
        place = store.parent if outdir is None else outdir / (folder or Result(store).image_id)
        path = place / f"{store.stem}{made.ending}"
        try:
            export(store, made, path)
            click.echo(path)
        except Exception as error:  # noqa: BLE001  # raised again, unless it is this store's
            yield mark(error, forgive=True)
