"""How well do rules join tiles? Tilewright's and its peers', on scenes with known truth.

    ./tilewright bench seams [--scene dense --scene volume] [--rule tilewright --rule ngio]

An oracle plays the model: every rule gets the same labels of the same tiles, perfect ones and
ones with the errors that models make. Peers' own code runs, from PyPI, in an environment that is
built at the first run (1.5 GB; no torch). Prints tables in Markdown and says which of
`targets.py`'s targets are missed; the exit code is 1 if one is. All takes about 15 minutes on two
cores. `--write` keeps the figures in results.json, and the tables in docs/seams.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder is a package of its own

from seams.measure import measure  # noqa: E402
from seams.rules import RULES  # noqa: E402
from seams.scenes import SCENES  # noqa: E402
from seams.tables import tables, write  # noqa: E402
from seams.targets import misses  # noqa: E402


def main() -> int:
    """Measure, print, and compare with the targets."""
    parser = argparse.ArgumentParser(prog="seams", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scene", action="append", choices=list(SCENES), help="all, if not given")
    parser.add_argument("--rule", action="append", choices=list(RULES), help="all, if not given")
    parser.add_argument("--seconds", type=float, default=180, help="per rule and scene, at most")
    parser.add_argument("--write", action="store_true", help="keep figures and tables")
    asked = parser.parse_args()
    rows = measure(asked.scene or SCENES, asked.rule or list(RULES), asked.seconds)
    print("\n\n".join(f"### {title}\n\n{text}" for title, text in tables(rows).items()))
    if asked.write:
        write(rows)
    missed = misses(rows) if any(row.rule == "tilewright" for row in rows) else []
    print("\n".join(["", *(f"missed: {text}" for text in missed)]) if missed else "\nAll reached.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
