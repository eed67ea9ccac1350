"""The steps of a run, in their order: what each does, for the report and for who waits."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One process of `main.nf`.

    Parameters
    ----------
    does
        What it does, for the report.
    doing
        What is being done, for who watches.
    for_all
        No image has a result when it fails.
    counts_tiles
        While it goes on, the tiles done say how far the run is.
    """

    does: str
    doing: str
    for_all: bool = False
    counts_tiles: bool = False


STEPS = {
    "PLAN": Step("checks parameters and image headers, cuts jobs", "planning"),
    "ENV": Step(
        "builds the model's environment",
        "building the model's environment (the first time takes minutes)",
        for_all=True,
    ),
    "FETCH": Step("downloads the model's weights", "fetching the weights", for_all=True),
    "SCAN": Step("finds tissue, reads a big image's statistics", "scanning images"),
    "PREDICT": Step("runs the model on tiles", "predicting", counts_tiles=True),
    "MERGE": Step("joins tiles, measures objects, writes stores", "merging", counts_tiles=True),
    "EXPORT": Step("writes them in other formats", "exporting"),
    "REPORT": Step("writes the report", "writing the report", counts_tiles=True),
}
"""By their names in `main.nf`."""
