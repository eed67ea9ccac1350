"""Each tile's labels in the plugin's mask folder while a run lasts: a log for its viewer, not data.

A preview is written in the folder `.tiles-<hash>` and renamed out of it when it is whole. PLAN
makes the folder and the run's end removes it: then no late task can add one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tilewright.contract.grid import Box, Grid
from tilewright.contract.jobs import ImageRef, Job
from tilewright.contract.spec import ModelSpec
from tilewright.export import rle
from tilewright.tile_results.banker import Work
from tilewright.tile_results.objects import crop

Array = np.ndarray
FOLDER = ".tiles-"  # and the run's hash
PLACE = "masks"  # a file in it that names the folder of masks
MASKS_MARK = "_masks_"  # stands between an image's name and the run's hash


@dataclass(frozen=True)
class Piece:
    """One preview: its box ``(z, y, x)`` and the tiles it is made of, by number."""

    box: Box
    tiles: tuple[int, ...]

    def name(self, stem: str) -> str:
        """Its file's name, as the plugin reads places from it."""
        z, y, x = self.box
        return f"{stem}_x{x[0]}-{x[1]}_y{y[0]}-{y[1]}_z{z[0]}-{z[1]}.rle"


def pieces(grid: Grid, slices: int, start: int, stop: int) -> Iterator[Piece]:
    """The previews of tiles `start` to `stop` of an image: their cores, which lie side by side.

    The plugin can't place a single slice in a volume, so a 2D model's tiles of two slices make one
    (the last may have three); where a job has only one slice of a place, the preview has one.

    Parameters
    ----------
    slices
        Of a volume whose slices are looped; else 1. Later timepoints have no previews.
    """
    size = len(grid)
    for index in range(size):
        core = grid.tile(index).core
        mine = [z for z in range(slices) if start <= z * size + index < stop]
        if len(core) == 3:
            yield from (Piece(core, (index,)) for _ in mine)
            continue
        cuts = [*range(0, max(len(mine) - 1, 1), 2), len(mine)]
        for first, last in pairwise(cuts):
            if some := mine[first:last]:
                depth = (some[0], some[-1] + 1)
                yield Piece((depth, *core), tuple(z * size + index for z in some))


def iterated(ref: ImageRef, spec: ModelSpec) -> int:
    """Slices of an image that are predicted one by one; 1 where a model takes them all."""
    sizes = dict(zip(ref.axes, ref.shape, strict=True))
    return 1 if "z" in spec.tile_spec.axes else sizes.get("Z", 1)


class Previews:
    """Writes the previews of a job's tiles, as they are predicted.

    Parameters
    ----------
    folder
        `.tiles-<hash>`; without it nothing is written.
    """

    def __init__(self, folder: Path, job: Job, spec: ModelSpec) -> None:
        self._folder = folder
        self._masks = place(folder)
        self._stem = MASKS_MARK + folder.name.removeprefix(FOLDER)
        self._refs = {ref.key: ref for ref in job.images}
        self._parts = {key: (start, stop) for key, start, stop in job.parts}
        self._spec = spec
        self._pieces: dict[str, dict[int, Piece]] = {}
        self._held: dict[tuple[str, int], list[list[rle.Entry]]] = {}

    def __call__(self, work: Work, result: Array) -> None:
        """Take one tile's labels."""
        number = work.plane * len(work.grid) + work.tile.index
        piece = self._of(work).get(number)
        if piece is None:
            return
        labels = crop(result, work.tile.window, work.tile.core).astype(np.int64)
        # its canvas is uint16
        wrapped = np.where(labels > 0, (labels - 1) % rle.MOST_LABELS + 1, 0)
        planes = wrapped if wrapped.ndim == 3 else wrapped[None]
        self._held[work.image, number] = [rle.encoded(plane) for plane in planes]
        if all((work.image, n) in self._held for n in piece.tiles):
            slices = [s for n in piece.tiles for s in self._held.pop((work.image, n))]
            self._write(piece.name(self._refs[work.image].id + self._stem), slices)

    def _of(self, work: Work) -> dict[int, Piece]:
        """The image's pieces, by each of their tiles."""
        key = work.image
        if key not in self._pieces:
            slices = iterated(self._refs[key], self._spec)
            found = pieces(work.grid, slices, *self._parts[key])
            self._pieces[key] = {n: piece for piece in found for n in piece.tiles}
        return self._pieces[key]

    def _write(self, name: str, slices: list[list[rle.Entry]]) -> None:
        """Put it in its place; without the folder the run is over, and a full disk isn't ours."""
        with contextlib.suppress(OSError):
            rle.write(self._folder / name, slices, "instance")
            (self._folder / name).replace(self._masks / name)


def place(folder: Path) -> Path:
    """The folder of masks that a run's previews go to; any, if the run is over."""
    try:
        return Path((folder / PLACE).read_text(encoding="utf-8"))
    except OSError:
        return folder


def make(folder: Path, masks: Path) -> None:
    """Make a run's folder, so that its tasks write previews."""
    masks.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder / PLACE).write_text(str(masks), encoding="utf-8")


def clear(folder: Path, masks: Path) -> None:
    """Remove a run's folder and its previews, also those of a run that crashed."""
    shutil.rmtree(folder, ignore_errors=True)
    mark = MASKS_MARK + folder.name.removeprefix(FOLDER) + "_x"
    for path in masks.iterdir() if masks.is_dir() else ():
        if mark in path.name and path.suffix == ".rle":
            path.unlink(missing_ok=True)
