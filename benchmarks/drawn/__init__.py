"""What benchmarks draw: scenes of any size, any window of them by itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Box = tuple[tuple[int, int], ...]
MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


@dataclass(frozen=True)
class Lattice:
    """Balls about the cells of a lattice whose rows are shifted: many touch, none is hidden.

    Centres and radii are hashes of a cell's number, so a window needs no pixel outside of it.

    Parameters
    ----------
    shape
        Pixels, ``(y, x)`` or ``(z, y, x)``.
    spacing
        Side of a cell, px.
    """

    shape: tuple[int, ...]
    spacing: int = 24

    def draw(self, window: Box, seed: int = 0, wobble: float = 0.0) -> Array:
        """Objects of a window by the number of their cell, int64; 0 is background.

        Parameters
        ----------
        seed, wobble
            How far, as a share, each radius differs from the scene's: another way for each seed.
        """
        out = np.zeros([stop - start for start, stop in window], np.int64)
        for number, centre, radius in self._balls(window, seed, wobble):
            self._paint(out, window, number, centre, radius)
        return out

    def _paint(
        self, out: Array, window: Box, number: int, centre: list[float], radius: float
    ) -> None:
        part, far = [], np.zeros(())
        for c, (start, stop) in zip(centre, window, strict=True):
            first, last = max(int(c - radius), start), min(int(c + radius) + 2, stop)
            part.append(slice(first - start, max(first, last) - start))
            far = np.add.outer(far, (np.arange(first, max(first, last)) - c) ** 2)
        out[tuple(part)][far <= radius * radius] = number

    def _balls(
        self, window: Box, seed: int, wobble: float
    ) -> Iterator[tuple[int, list[float], float]]:
        """Number, centre and radius, px, of each ball that may reach into a window."""
        numbers, corners = self._cells(window)
        jitter = [0.5 + 0.24 * (_hash(numbers, k + 1) - 0.5) for k in range(len(window))]
        centres = corners + self.spacing * np.stack(jitter, axis=-1)
        radii = self.spacing * (0.40 + 0.14 * _hash(numbers, 0))
        radii *= 1 + wobble * (2 * _hash(numbers, 8 + seed) - 1)
        inside = np.all((centres >= 0) & (centres < self.shape), axis=-1)
        yield from zip(
            numbers[inside].tolist(), centres[inside].tolist(), radii[inside].tolist(), strict=True
        )

    def _cells(self, window: Box) -> tuple[Array, Array]:
        """Numbers, from 1 and in row-major order, and first pixels of the cells near a window."""
        ranges = [range(a // self.spacing - 2, b // self.spacing + 3) for a, b in window]
        cells = np.array(list(itertools.product(*ranges)), np.int64)
        numbers, corners = np.zeros(len(cells), np.int64), np.zeros(cells.shape)
        for axis, n in enumerate(self.shape):
            shift = self.spacing * _hash(numbers, 5) if axis else 0.0  # of the row it is in
            corners[:, axis] = cells[:, axis] * self.spacing - shift
            numbers = numbers * (n // self.spacing + 6) + cells[:, axis] + 3
        return numbers, corners


def _hash(numbers: Array, salt: int) -> Array:
    """For each number another one in [0, 1)."""
    mixed = (numbers.astype(np.uint64) + np.uint64(salt + 1)) * np.uint64(MIX[0])
    for factor in MIX[1:]:
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
