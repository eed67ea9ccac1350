"""How long the plugin's user waits: from the click to the first preview and to the final layer.

    ./tilewright bench plugin [--repeats 3]

A model that takes no time stands in for Cellpose, so that what is measured is all the rest:
Nextflow, reading, previews, merging, export, and the plugin's own looks every 2 s. One image of
2048 x 2048 px, as one tile and as 64.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from plugin import desk, steps_of  # noqa: E402 - of the tests
from running import write_discs  # noqa: E402

SIDE = 2048


def main() -> None:
    """Print a line per case and repeat."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=3)
    repeats = options.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        machine = desk(work, work / "cache")
        image = write_discs(work / "in" / "cells.tif", (SIDE, SIDE))
        steps = steps_of(image)
        for _ in range(repeats):
            for tiles in (1, 8):
                cut = {"tiles": [tiles, tiles, 0], "overwrite": True}
                steps += [("forget", {}), ("settings", cut), ("run", {})]
        for number, facts in enumerate(machine.session(work / "session", *steps)):
            came = f"first preview {facts['first']:.1f} s, final layer {facts['took']:.1f} s"
            print(f"{(1, 64)[number % 2]:>2} tiles: {came} ({facts['ended']})")


if __name__ == "__main__":
    main()
