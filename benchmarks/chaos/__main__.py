"""Disturb runs, go on from there, and compare every byte of the results.

    ./tilewright bench chaos [--kills 50] [--where local slurm] [--mishaps | --no-mishaps]

Each round is one run of `nuclei` over small images, a task each, into a new folder. At random
moments something is killed: a process of a task (`kill -9`), the run (TERM), the run and its
Nextflow (`kill -9`), and on SLURM a job (scancel). The same command is then given again, until it
ends well. `slurm` starts a SLURM of its own and needs root.

On this machine there are mishaps besides, a line each: a disk that is full, bytes that turn in the
work folder, a clock that jumps, a server that breaks off, processes that are stopped. `--mishaps`
are those alone, some five minutes. Exit 1 if a byte differs, or one didn't end as it should.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]  # this folder is a package of its own
TESTS = HERE.parent / "tests"
sys.path[:1] = [str(HERE), str(TESTS), str(TESTS / "slurm")]

from chaos.kills import measure  # noqa: E402
from chaos.mishaps import suffer  # noqa: E402


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--where", nargs="+", choices=["local", "slurm"], default=["local", "slurm"]
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mishaps", action="store_true", help="these alone")
    parser.add_argument("--no-mishaps", action="store_true", help="kills alone")
    parser.add_argument("--only", default="", help="mishaps whose name has this in it")
    asked = parser.parse_args()
    good = True
    for where in [] if asked.mishaps else asked.where:
        with tempfile.TemporaryDirectory() as name:
            good &= measure(where, asked.kills, asked.seed, Path(name))
    if not asked.no_mishaps:
        with tempfile.TemporaryDirectory() as name:
            good &= suffer(Path(name), asked.only)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
