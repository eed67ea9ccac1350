"""How fast models were on which machine: noted after a run, told before the next one.

A small file for each model and machine in `TILEWRIGHT_HOME/speeds`, its entries by recipe and
device: what was measured with one tile size, parameter, environment or code counts for no other.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tilewright.contract.files import atomic
from tilewright.contract.jobs import ModelId
from tilewright.environments.inplace import home, locked
from tilewright.errors import TilewrightError

KEPT = 50
"""Entries of a file, the newest: each release makes recipes of its own."""


@dataclass(frozen=True)
class Speed:
    """What the jobs of a recipe took on one machine's device, added up over its runs.

    Parameters
    ----------
    recipe
        SHA-256 of the recipe.
    host, device
        The machine's name and what computed, e.g. ``cpu`` or ``NVIDIA H100``.
    jobs, tiles, pixels
        Of how many; pixels (of a volume, voxels) as the model saw them, overlaps counted.
    load, seconds
        Seconds of loading the model, and of all else.
    """

    recipe: str
    host: str
    device: str
    jobs: int
    tiles: int
    pixels: int
    load: float
    seconds: float

    @property
    def per_million(self) -> float:
        """Seconds per million pixels, without loading the model."""
        return self.seconds / self.pixels * 1e6

    @property
    def key(self) -> tuple[str, str, str]:
        """What entries must share to be one."""
        return self.recipe, self.host, self.device

    def __add__(self, other: Speed) -> Speed:
        return replace(
            self,
            jobs=self.jobs + other.jobs,
            tiles=self.tiles + other.tiles,
            pixels=self.pixels + other.pixels,
            load=round(self.load + other.load, 3),
            seconds=round(self.seconds + other.seconds, 3),
        )


_FILE = TypeAdapter(list[Speed])


def keep(model: ModelId, measured: Iterable[Speed]) -> None:
    """Add what a run measured to what is known; a cache that can't be written stays as it is.

    Parameters
    ----------
    model
        Whose.
    measured
        Of jobs that this run itself did.
    """
    by_host: dict[str, list[Speed]] = {}
    for speed in measured:
        by_host.setdefault(speed.host, []).append(speed)
    for host, mine in by_host.items():
        path = folder_of(model) / f"{re.sub('[^A-Za-z0-9.-]', '-', host) or 'machine'}.json"
        with contextlib.suppress(OSError, TilewrightError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.with_name(f"{path.name}.lock"), lambda _: None), atomic(path) as part:
                part.write_bytes(_FILE.dump_json(together(_read(path), mine), indent=1))


def together(known: Iterable[Speed], more: Iterable[Speed]) -> list[Speed]:
    """Entries with others added, the latest last; the oldest are dropped where they are many."""
    found = {speed.key: speed for speed in known}
    for speed in more:
        before = found.pop(speed.key, None)
        found[speed.key] = before + speed if before else speed
    return list(found.values())[-KEPT:]


def known(model: ModelId) -> list[Speed]:
    """All that was measured of a model, on whatever machine; of each the latest last."""
    return [s for p in sorted(folder_of(model).glob("*.json")) for s in _read(p)]


def this_machine() -> str:
    """The name that this machine's measurements have."""
    return socket.gethostname()


def folder_of(model: ModelId) -> Path:
    """Where a model's are; each version and task is a model of its own."""
    return home() / "speeds" / f"{model.model_name}-{model.release}-{model.task}"


def fitting(speeds: Sequence[Speed], recipe: str, host: str, *, gpu: bool) -> Speed | None:
    """What says how long a run will take; None where nothing does.

    Parameters
    ----------
    speeds
        What was measured of its model.
    recipe
        SHA-256 of its recipe: of another one nothing counts.
    host
        This machine; what it measured itself comes first, then the machine that did most.
    gpu
        Whether the model would compute on a GPU here.
    """
    same = [s for s in speeds if s.recipe == recipe]
    here = [s for s in same if s.host == host and (s.device != "cpu") == gpu]
    elsewhere = [s for s in same if s.host != host]
    return max(here or elsewhere, key=lambda s: s.pixels, default=None)


def latest(speeds: Sequence[Speed], host: str, *, gpu: bool) -> Speed | None:
    """What a machine measured last of a model, of whatever recipe; None where nothing."""
    return next((s for s in speeds[::-1] if s.host == host and (s.device != "cpu") == gpu), None)


def _read(path: Path) -> list[Speed]:
    """A file's entries that can be told; none of one that isn't there, or is broken."""
    try:
        return [s for s in _FILE.validate_json(path.read_bytes()) if s.pixels > 0 and s.seconds > 0]
    except (OSError, ValidationError):
        return []
