"""What benchmarks draw: scenes of any size, any window of them by itself."""

from __future__ import annotations

import itertools
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

    def draw(self, window: Box) -> Array:
        """Objects of a window by the number of their cell, int64; 0 is background."""
        numbers, centres, radii = self._balls(window)
        return self._painted(window, numbers, centres, radii, np.int64)

    def seen(self, window: Box, seed: int, wobble: float = 0.0) -> tuple[Array, Array]:
        """A window as a model gives it: numbers of its own, int32, and whose each of them is.

        Parameters
        ----------
        seed, wobble
            How far, as a share, each radius differs from the scene's: another way for each seed.

        Returns
        -------
        labels, numbers
            Label k is the object ``numbers[k - 1]``; 0 where nothing of it is seen.
        """
        numbers, centres, radii = self._balls(window)
        radii = radii * (1 + wobble * (2 * _hash(numbers, 8 + seed) - 1))
        ids = np.random.default_rng(seed).permutation(len(numbers)) + 1
        labels = self._painted(window, ids, centres, radii, np.int32)
        owners = np.zeros(len(numbers) + 1, np.int64)
        owners[ids] = numbers
        owners[np.bincount(labels.ravel(), minlength=len(owners)) == 0] = 0
        return labels, owners[1:]

    def _painted(self, window: Box, ids: Array, centres: Array, radii: Array, dtype: type) -> Array:
        out = np.zeros([stop - start for start, stop in window], dtype)
        for ball in zip(ids.tolist(), centres.tolist(), radii.tolist(), strict=True):
            self._paint(out, window, *ball)
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

    def _balls(self, window: Box) -> tuple[Array, Array, Array]:
        """Numbers, centres and radii, px, of the balls that may reach into a window."""
        numbers, corners = self._cells(window)
        jitter = [0.5 + 0.24 * (_hash(numbers, k + 1) - 0.5) for k in range(len(window))]
        centres = corners + self.spacing * np.stack(jitter, axis=-1)
        radii = self.spacing * (0.40 + 0.14 * _hash(numbers, 0))
        inside = np.all((centres >= 0) & (centres < self.shape), axis=-1)
        return numbers[inside], centres[inside], radii[inside]

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
