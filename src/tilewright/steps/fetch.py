"""FETCH: a plan in; its model's weights in the cache, their SHA-256 on standard output."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tilewright.environments.inplace import say
from tilewright.plan.plan import load_choice
from tilewright.weights.weights import fetch

from . import note, run


def main(plan: str) -> None:
    """Fetch the weights of a plan's model."""
    choice, folder, config = load_choice(Path(plan))
    sys.stdout.write(fetch(choice, folder, _tell, config) + "\n")


def _tell(line: str) -> None:
    """Say how far it is in the log, and to who watches the run."""
    say(line)
    with contextlib.suppress(OSError):
        note("FETCH", line)


if __name__ == "__main__":
    run(main)
