"""Is every bad input met by a sentence? Files, arrays, texts, weights, servers and output folders.

    ./tilewright bench attack [--kind thing] [--forked | --runs] [--share 0.1 --seed 3]

Each is made by script and tried by `./tilewright`, under a limit of memory and time, and judged by
one rule: exit code 2, 65 or 69 (70 of a network that opens and then fails), a sentence at the end
that names the file, no traceback, nothing made or changed, nobody asked on the web, no token told.
Prints a table and every miss; the exit code is 1 if there is one. `--forked` tries them in forks of
one process, in ten minutes on two cores; `--runs` tries 40 by chance as whole runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]  # this folder is a package of its own
sys.path[:1] = [str(HERE), str(HERE.parent / "tests")]

from attack.tried import ATTACKS, as_runs, some, tried  # noqa: E402
from attack.ways import by_launcher, forked  # noqa: E402


def main() -> int:
    """Make, try, judge, print."""
    parser = argparse.ArgumentParser(prog="attack", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", action="append", help="all, if not given")
    parser.add_argument("--name", help="those whose name has this in it")
    parser.add_argument("--forked", action="store_true", help="in forks of this process")
    parser.add_argument("--runs", nargs="?", type=int, const=40, help="so many, as whole runs")
    parser.add_argument("--share", type=float, default=1.0, help="of all, by chance")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = [a for a in ATTACKS if not asked.kind or a.kind in asked.kind]
    chosen = [a for a in chosen if (asked.name or "") in a.label]
    if asked.runs:
        chosen = as_runs(chosen, asked.runs, asked.seed)
    chosen = some(chosen, asked.share, asked.seed)
    way = forked if asked.forked else by_launcher
    met, seconds = defaultdict[str, list[bool]](list), defaultdict[str, float](float)
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # some are tried by another user
        for attack in chosen:
            begun = time.monotonic()
            why = tried(attack, Path(scratch), way)
            seconds[attack.kind] += time.monotonic() - begun
            met[attack.kind].append(not why)
            if why:
                print(f"{attack.label}: {why}", flush=True)
    for kind, good in sorted(met.items()):
        print(f"{kind}: {sum(good)} of {len(good)} met, {seconds[kind]:.0f} s (seed {asked.seed})")
    return 0 if all(map(all, met.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
