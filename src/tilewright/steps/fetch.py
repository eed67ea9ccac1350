"""FETCH: a plan in; its model's weights in the cache, their SHA-256 on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from tilewright.plan import load_choice
from tilewright.weights import fetch

from . import run


def main(plan: str) -> None:
    """Fetch the weights of a plan's model."""
    choice, folder = load_choice(Path(plan))
    sys.stdout.write(fetch(choice, folder) + "\n")


if __name__ == "__main__":
    run(main)
