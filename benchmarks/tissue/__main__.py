"""How well is tissue found? On slides of real H&E with known tissue, beside CLAM's rule.

    ./tilewright bench tissue --data DIR [--kind fat] [--seeds judged|tuned] [--sheet FOLDER]

DIR holds BBBC038's stained pictures he_*.tif, of which slides of every kind are made at 8 µm a
pixel, with pens, dust, bubbles and borders. The rule's numbers were chosen on the seeds `tuned`
alone, and are judged on others. Prints a table, the means, and which bar is missed; the exit code
is 1 if one is. `--write` keeps table and picture in docs/. A quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder is a package of its own

from tissue.kinds import KINDS  # noqa: E402
from tissue.measure import JUDGED, RULES, TUNED, measure  # noqa: E402
from tissue.pictures import page, sheet  # noqa: E402
from tissue.tables import PICTURE, misses, table, write  # noqa: E402


def main() -> int:
    """Draw, find, compare, print."""
    parser = argparse.ArgumentParser(prog="tissue", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with he_*.tif")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="all, if not given")
    parser.add_argument("--rule", action="append", choices=list(RULES), help="all, if not given")
    parser.add_argument("--seeds", choices=("judged", "tuned"), default="judged")
    parser.add_argument("--sheet", type=Path, help="a folder for a picture of every kind")
    parser.add_argument("--write", action="store_true", help="keep the docs' table and picture")
    asked = parser.parse_args()
    kinds = asked.kind or list(KINDS)
    seeds = JUDGED if asked.seeds == "judged" else TUNED
    if asked.sheet:
        asked.sheet.mkdir(parents=True, exist_ok=True)
        sheet(asked.data, kinds, seeds[0]).save(asked.sheet / f"tissue-{asked.seeds}.png")
    rows = list(measure(asked.data, kinds, seeds, asked.rule or list(RULES)))
    print(table(rows))
    if asked.write:
        write(rows)
        page(asked.data, seeds[0]).save(PICTURE, optimize=True)
    missed = misses(rows)
    print("\n".join(["", *(f"missed: {text}" for text in missed)]) if missed else "\nAll reached.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
