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
    counts
        What of it says, while it goes on, how far the run is: its ``tiles``, or its ``groups``.
    """

    does: str
    doing: str
    for_all: bool = False
    counts: str = ""


STEPS = {
    "PLAN": Step("checks parameters and image headers, cuts jobs", "planning"),
    "ENV": Step(
        "builds the model's environment",
        "building the model's environment (the first time takes minutes)",
        for_all=True,
    ),
    "FETCH": Step("downloads the model's weights", "fetching the weights", for_all=True),
    "SCAN": Step("finds tissue, reads a big image's statistics", "scanning images"),
    "PREDICT": Step("runs the model on tiles", "predicting", counts="tiles"),
    "MERGE": Step("joins tiles, measures objects, writes stores", "merging", counts="groups"),
    "EXPORT": Step("writes them in other formats", "exporting"),
    "PUBLISH": Step("puts results into the output folder", "publishing"),
    "TABLES": Step("joins all images' objects in one table", "joining tables"),
    "REPORT": Step("writes the report", "writing the report"),
}
"""By their names in `main.nf`."""
