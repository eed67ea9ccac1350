"""PUBLISH: what a group's task made in; nothing out, but it lies in the output folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tilewright.environments import inplace
from tilewright.report.publish import publish

from . import results_of, run


def main(made: str, how: str) -> None:
    """Put a folder's files into the output folder, which JSON on standard input names.

    Parameters
    ----------
    made
        Folder of ``<image>/<name>``.
    how
        ``copy`` or ``link``.
    """
    inplace.stop_on_signals()  # a run that ends leaves no half of a copy
    publish(Path(made), results_of(json.load(sys.stdin)), link=how == "link")


if __name__ == "__main__":
    run(main)
