"""The stores of a folder of results: those that its run.json tells, else all that lie there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewright.contract.commands import AGAIN
from tilewright.contract.made import check_version
from tilewright.contract.reading import followed, read_text
from tilewright.errors import USAGE, TilewrightError

from .store import Result

METADATA = ("zarr.json", ".zattrs")


@dataclass(frozen=True)
class Found:
    """Stores to be exported, and those that can't be.

    Parameters
    ----------
    stores
        Each with the folder of its image, as a path below the output folder; "" where what was
        given is that folder, or the store.
    bad
        What is wrong with others, a problem each.
    """

    stores: list[tuple[Path, str]]
    bad: list[TilewrightError]


def find(path: Path) -> Found:
    """The stores of a folder of results, or a store itself.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    TilewrightError
        When there is none, or a later Tilewright wrote the results.
    """
    if not path.is_dir():
        raise TilewrightError(
            f"{path}: there is no such folder.", fix="Give a run's --outdir.", code=USAGE
        )
    if any((path / name).is_file() for name in METADATA):
        Result(path)
        return Found([(path, "")], [])
    run = path / "run.json"
    names = _told(run) if run.is_file() else _lying(path)
    found = Found([], [])
    for name in names:
        try:
            Result(path / name)
            found.stores.append((path / name, "/".join(Path(name).parts[:-1])))
        except TilewrightError as error:
            found.bad.append(_lost(path / name) if not (path / name).exists() else error)
    if not names:
        raise TilewrightError(
            f"{path}: there are no results in it.",
            fix="Give the --outdir of a run that has come to its end.",
        )
    return found


def _told(run: Path) -> list[str]:
    """The stores that run.json tells of, below its folder."""
    try:
        said: Any = json.loads(read_text(run))
        stores = [image["store"] for image in said["images"] if image["store"]]
        version = str(said["tilewright"])
    except (OSError, ValueError, KeyError, TypeError):
        raise TilewrightError(
            f"{run}: this isn't what a run of Tilewright writes.",
            fix="Run the pipeline again, or move this file away: then all stores are exported.",
        ) from None
    check_version(run, version)
    inside = followed(run.parent)
    return [s for s in stores if followed(inside / s).is_relative_to(inside)]


def _lying(path: Path) -> list[str]:
    """The stores of ours that lie in a folder, or in folders of it."""
    found = []
    for store in sorted([*path.glob("*.zarr"), *path.glob("*/*.zarr")]):
        for name in METADATA:
            about = store / name
            if about.is_file() and '"tilewright"' in read_text(about, errors="replace"):
                found.append(store.relative_to(path).as_posix())
    return found


def _lost(store: Path) -> TilewrightError:
    return TilewrightError(
        f"{store}: run.json tells of this store, and it isn't there.",
        fix=f"{AGAIN}, or copy it here.",
    )
