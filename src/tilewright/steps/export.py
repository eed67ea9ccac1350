"""EXPORT: a group's stores in; files of another format, where PLAN says, and what failed out."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tilewright.export import Export, export_group, link_weights
from tilewright.jobs import save
from tilewright.kept import path_of

from . import run


def main(asked: str, weights: str, stores: str, shown: str) -> None:
    """Export one group's images."""
    how = Export(**json.loads(Path(asked).read_text()))
    file = path_of(weights, Path(os.environ["TILEWRIGHT_WEIGHTS"]))
    if how.links and file:
        link_weights(file, Path(how.links))
    failed = export_group(how, Path(stores))
    Path(shown).mkdir()
    save(Path(shown) / "exported.json", {"failed": failed})


if __name__ == "__main__":
    run(main)
