"""Is every bad input met by a sentence? Things that aren't files, absurd arrays, odd texts.

    ./tilewright bench attack [--kind thing] [--forked] [--share 0.1 --seed 3]

Each is made by script and tried by `./tilewright`, under a limit of memory and time, and judged by
one rule: exit code 2, 65 or 69, a sentence at the end that names the file, no traceback, nothing
made. Prints a table and every miss; the exit code is 1 if there is one. Half an hour on two cores;
`--forked` tries them in forks of one process, in a minute or two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder is a package of its own

from attack.tried import ATTACKS, some, tried  # noqa: E402
from attack.ways import by_launcher, forked  # noqa: E402


def main() -> int:
    """Make, try, judge, print."""
    parser = argparse.ArgumentParser(prog="attack", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", action="append", help="all, if not given")
    parser.add_argument("--name", help="those whose name has this in it")
    parser.add_argument("--forked", action="store_true", help="in forks of this process")
    parser.add_argument("--share", type=float, default=1.0, help="of all, by chance")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = [a for a in ATTACKS if not asked.kind or a.kind in asked.kind]
    chosen = [a for a in chosen if (asked.name or "") in a.label]
    chosen = some(chosen, asked.share, asked.seed)
    count, missed = Counter(a.kind for a in chosen), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        for attack in chosen:
            why = tried(attack, Path(scratch), forked if asked.forked else by_launcher)
            missed[attack.kind] += bool(why)
            if why:
                print(f"{attack.label}: {why}", flush=True)
    for kind in sorted(count):
        print(f"{kind}: {count[kind] - missed[kind]} of {count[kind]} met (seed {asked.seed})")
    return 1 if missed.total() else 0


if __name__ == "__main__":
    sys.exit(main())
