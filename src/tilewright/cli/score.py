"""`score`: how well a run's objects are those of a truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tilewright.contract.words import counted
from tilewright.errors import USAGE, TilewrightError

from .launch import EXIT_CODES

if TYPE_CHECKING:
    from tilewright.scoring.scores_file import Scores


@click.command(epilog="example: tilewright score results --truth masks/  |  " + EXIT_CODES)
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--truth",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder of label images, called as the images: a.tif for the image a.",
)
def score(results: Path, truth: Path) -> None:
    """Compare a run's objects with a truth: F1, AP, PQ; split, merged, lost, added.

    Per image and in all, with intervals; docs/score.md says what each figure means.
    """
    tell(results, truth)


def check_truth(truth: str) -> Path:
    """A folder of truth, before a long run is started.

    Parameters
    ----------
    truth
        As the user says it.

    Raises
    ------
    TilewrightError
        2, when it isn't there.
    """
    folder = Path(truth).expanduser().absolute()
    if not folder.is_dir():
        raise TilewrightError(
            f"--truth {truth}: there is no such folder.",
            fix="Give a folder of label images.",
            code=USAGE,
        )
    return folder


def tell(results: Path, truth: Path) -> None:
    """Score a run, write its files and say what it came to."""
    from tilewright.report.scores_page import write_scores
    from tilewright.scoring.score import score_run

    scores = score_run(results, truth)
    page = write_scores(scores, results)
    for line in scores.remarks:
        click.echo(f"tilewright: note: {line}", err=True)
    click.echo(in_words(scores))
    click.echo(f"  score    {page}\n  figures  {results / 'scores.csv'}")


def in_words(scores: Scores) -> str:
    """A score in a line or two."""
    total, ends = scores.total, scores.intervals.get("f1")
    f1 = "-" if total.f1 is None else f"{total.f1:.3f}"
    about = f" (95 % of {ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
    return (
        f"F1 {f1}{about} at IoU 0.5 in {counted(len(scores.images), 'image')}: "
        f"{total.matched} of {counted(total.true, 'true object')} matched, {total.found} found; "
        f"{total.split} split, {total.merged} merged, {total.lost} lost, {total.added} added"
    )
