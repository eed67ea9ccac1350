"""Which folders of a run may lie in which."""

from __future__ import annotations

from pathlib import Path

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
    inside = results.resolve()
    if work.resolve() in (inside, *inside.parents):
        raise TilewrightError(
            f"--outdir {results} lies in the work folder {work}, whose files come and go.",
            fix="Choose another --outdir, or another work folder.",
            code=USAGE,
        )
