"""Commands that people are told: as they work where they are pasted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tilewright import ROOT

AGAIN = "Run the same command again (with plain nextflow run, add -resume)"
"""What makes what is lacking, and nothing else again; the launcher resumes by itself."""


def from_anywhere(words: Sequence[str], folder: str | Path) -> str:
    """A command line of this Tilewright that works in any folder.

    Parameters
    ----------
    words
        What follows ``tilewright``.
    folder
        What relative paths in them are relative to, absolute.
    """
    command = shlex.join([str(ROOT / "tilewright"), *words])
    return f"cd {shlex.quote(str(folder))} && {command}"
