"""What a rule is given: tiles' labels in a folder, and where each tile lies. Needs numpy only.

The same files go to Tilewright and to every peer, whichever Python it runs in:

    job.json           the image's shape, the tiles' size, band and context, each tile's boxes
    tiles/<i>.npy      what tile i saw: integers on its valid region, 0 is background
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Box = tuple[tuple[int, int], ...]
"""Half-open intervals in pixels of the image, one per axis."""


@dataclass(frozen=True)
class Tile:
    """One tile's boxes: what the model saw, what was kept, what only this tile owns."""

    position: tuple[int, ...]
    window: Box
    valid: Box
    core: Box


@dataclass(frozen=True)
class Job:
    """Tiles in row-major order; sizes are along each axis, in pixels."""

    folder: Path
    shape: tuple[int, ...]
    size: tuple[int, ...]
    band: tuple[int, ...]
    context: tuple[int, ...]
    tiles: tuple[Tile, ...]
    notes: list[str] = field(default_factory=list)  # what a rule's reader must know

    @classmethod
    def write(cls, folder: Path, grid: Any, labels: Iterable[Array]) -> Job:
        """Write a job: a `tilewright.contract.grid.Grid`, and each tile's labels."""
        (folder / "tiles").mkdir(parents=True)
        tiles = tuple(Tile(t.position, t.window, t.valid, t.core) for t in grid)
        sides = {k: tuple(getattr(a, k) for a in grid.axes) for k in ("size", "band", "context")}
        job = cls(folder, tuple(grid.shape), **sides, tiles=tiles)
        for i, seen in enumerate(labels):
            np.save(job._path(i), seen.astype(np.uint32))
        told = {k: v for k, v in asdict(job).items() if k not in ("folder", "notes")}
        (folder / "job.json").write_text(json.dumps(told))
        return job

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Open a job that was written."""
        told = json.loads((folder / "job.json").read_text())
        told["tiles"] = tuple(Tile(**{k: _deep(v) for k, v in t.items()}) for t in told["tiles"])
        sides = {k: tuple(told[k]) for k in ("shape", "size", "band", "context")}
        return cls(folder, tiles=told["tiles"], **sides)

    def valid(self, i: int) -> Array:
        """What tile i saw on its valid region, uint32."""
        return np.load(self._path(i))

    def core(self, i: int) -> Array:
        """What tile i saw on its core, uint32."""
        tile = self.tiles[i]
        return crop(self.valid(i), tile.valid, tile.core)

    def _path(self, i: int) -> Path:
        return self.folder / "tiles" / f"{i}.npy"


def crop(array: Array, box: Box, part: Box) -> Array:
    """The pixels of `part` out of an array that covers `box`; a view."""
    return array[tuple(slice(p - o, q - o) for (o, _), (p, q) in zip(box, part, strict=True))]


def slices(box: Box) -> tuple[slice, ...]:
    """A box as an index."""
    return tuple(slice(*interval) for interval in box)


def shared(a: Box, b: Box) -> Box | None:
    """The intersection of two boxes, or None when they don't meet."""
    both = tuple((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True))
    return both if all(lo < hi for lo, hi in both) else None


def _deep(value: Any) -> Any:
    """Lists of JSON as tuples."""
    return tuple(_deep(v) for v in value) if isinstance(value, list) else value
