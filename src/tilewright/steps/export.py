"""EXPORT: a group's stores in; files of other formats, and what came of each, out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tilewright.contract.canonical import save
from tilewright.contract.checksums import ENDING, write_checksums
from tilewright.contract.exports import Export
from tilewright.contract.faults import last_try
from tilewright.errors import TilewrightError
from tilewright.export.export import export_group, link_weights
from tilewright.weights.cache import path_of

from . import run


def main(asked: str, weights: str, stores: str, out: str, shown: str) -> None:
    """Export one group's images.

    Parameters
    ----------
    asked
        JSON of `Export`.
    weights
        Their SHA-256; empty of a model that brings its own.
    stores
        Folder that the group's stores are in.
    out
        Folder to make, with a folder for each image.
    shown
        Folder to make, for exported.json.
    """
    how = Export(**json.loads(Path(asked).read_text()))
    made = export_group(how, Path(stores), Path(out), forgive=last_try())
    Path(shown).mkdir()
    told = Path(shown) / "exported.json"
    save(told, {"exports": made})
    write_checksums(told.with_suffix(ENDING), {told.name: told})
    if how.links:
        try:
            file = path_of(weights, Path(os.environ["TILEWRIGHT_WEIGHTS"]))
            if file:
                link_weights(file, Path(how.links))
        except TilewrightError as error:  # the masks are there all the same
            print(f"The weights aren't shown to the plugin. {error}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    run(main)
