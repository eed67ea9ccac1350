"""Which folders of a run may lie in which."""

from __future__ import annotations

from pathlib import Path

from tilewright.contract.made import RUN_IMAGES, RUN_OBJECTS, SCORES_TABLE, is_zarr
from tilewright.contract.reading import followed
from tilewright.errors import USAGE, TilewrightError


def check_work(results: Path, work: Path) -> None:
    """Refuse results in Nextflow's work folder, which is deleted when there is no more need of it.

    Parameters
    ----------
    results, work
        The output folder and the work folder; neither need be there.

    Raises
    ------
    TilewrightError
        When the one is the other, or lies in it (2).
    """
    inside = followed(results)
    if followed(work) in (inside, *inside.parents):
        raise TilewrightError(
            f"--outdir {results} lies in the work folder {work}, whose files come and go.",
            fix="Choose another --outdir, or another work folder.",
            code=USAGE,
        )


def check_zarr(results: Path) -> None:
    """Refuse results in a Zarr, of whoever it is.

    Parameters
    ----------
    results
        The output folder, which needn't be there.

    Raises
    ------
    TilewrightError
        When it is one, or lies in one (2).
    """
    inside = followed(results)
    found = next(filter(is_zarr, (inside, *inside.parents)), None)
    if found is not None:
        raise TilewrightError(
            f"--outdir {results} lies in {found}, which is a Zarr.",
            fix="Choose another --outdir.",
            code=USAGE,
        )


def check_sheet(sheet: Path, results: Path) -> None:
    """Refuse a sheet where the run would write a table of its own.

    Parameters
    ----------
    sheet
        Which the user wrote.
    results
        The output folder.

    Raises
    ------
    TilewrightError
        When it has the table's name and place (2).
    """
    ours = sheet.name in (RUN_IMAGES, RUN_OBJECTS, SCORES_TABLE)
    if ours and followed(sheet).parent == followed(results):
        raise TilewrightError(
            f"--input {sheet}: with --outdir {results} the run's own {sheet.name} would "
            "replace it.",
            fix="Choose another --outdir, or give the sheet another name.",
            code=USAGE,
        )
