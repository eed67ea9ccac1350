"""What Tilewright makes: the files beside its stores, and how a Zarr, and one of ours, is known."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tilewright import __version__
from tilewright.errors import TilewrightError

from .reading import read_text

REPORT_PAGE, REPORT_PICTURES = "report.html", "report"
"""The report, and the folder of pictures that it links, which an image's own may be, too."""
RUN_IMAGES, RUN_OBJECTS = "images.csv", "objects.csv"
"""A row per image; a row per object, in several files where the user wants them short."""
RUN_CHECKSUMS = "run.sha256"
"""Digests of a run's tables, its report with the pictures, and run.json."""
SCORES, SCORES_TABLE, SCORES_PAGE = "scores.json", "scores.csv", "scores.html"
"""A run's score: for programs, for spreadsheets and to look at."""
BESIDE_STORES = (
    REPORT_PAGE,
    RUN_IMAGES,
    RUN_OBJECTS,
    RUN_CHECKSUMS,
    SCORES,
    SCORES_TABLE,
    SCORES_PAGE,
    "run.json",
    "plan.json",
    "trace.txt",
    ".tilewright",
    ".tilewright-lock",
)
"""What lies in an output folder beside the images' own folders."""
ZARR_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def holds_pictures(folder: Path) -> bool:
    """Whether a folder has the pictures that a report beside it links."""
    return folder.name == REPORT_PICTURES and (folder.parent / REPORT_PAGE).is_file()


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any(os.path.isfile(folder / name) for name in ZARR_METADATA)  # noqa: PTH113  # never raises


def store_recipe(store: Path) -> str | None:
    """SHA-256 of the recipe that made a store of ours; None of any other folder."""
    for name in ("zarr.json", ".zattrs"):
        try:
            said = json.loads(read_text(store / name))
            return str(said.get("attributes", said)["tilewright"]["recipe_digest"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return None


def check_version(path: Path, version: str) -> None:
    """Refuse what a later Tilewright wrote: its files may mean something else.

    Raises
    ------
    TilewrightError
        65, naming both versions.
    """
    if _numbers(version) > _numbers(__version__):
        raise TilewrightError(
            f"{path}: Tilewright {version} wrote it, and this is {__version__}.",
            fix=f"Use Tilewright {version} or later.",
        )


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version.partition("+")[0])[:3]]
