"""A lower level of an Aperio slide, some of whose tiles were never written.

Such a tile is what the next finer level shows there, in the mean; so is one that lies over a tile
of that level that was never written, as those are sometimes damaged: both as OpenSlide has it,
whose pixels there are others by what its scaling is.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Any

import numpy as np

from tilewright.images.source import Array

from .level import TiffLevel


class SparseLevel(TiffLevel):
    """Reads boxes of one level, and what was never written from the next finer one."""

    def over(self, finer: TiffLevel, steps: tuple[float, float]) -> SparseLevel:
        """The same level, which knows the finer one and its pixels per pixel along y and x."""
        self._below, self._steps = finer, steps
        return self

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        """Of each plane's page its number."""
        return {page.index: number for number, page in enumerate(self.series) if page is not None}

    def missing(self, number: int) -> Array:
        """Which tiles of a plane can't be taken from this level, (down, across) bool."""
        return self._missing[number]

    @cached_property
    def _missing(self) -> list[Array]:
        below = self._below.missing if isinstance(self._below, SparseLevel) else None
        found = []
        for number, page in enumerate(self.series):
            finer = self._below.series[number]
            missing = np.nonzero(below(number) if below else unwritten(finer))
            own = unwritten(page)
            for first, last in itertools.product((False, True), repeat=2):
                own[self._over(finer, page, missing, (first, last))] = True
            found.append(own)
        return found

    def _over(
        self, finer: Any, page: Any, tiles: tuple[Array, ...], far: tuple[bool, bool]
    ) -> tuple[Array, ...]:
        """Over which tiles of this level the near or far sides of a finer one's tiles lie."""
        at = []
        sides = [(p.tilelength, p.tilewidth) for p in (finer, page)]
        sizes = (page.imagelength, page.imagewidth)
        axes = zip(tiles, *sides, sizes, self._steps, far, strict=True)
        for numbers, fine, side, size, step, is_far in axes:
            places = ((numbers + is_far) * fine - is_far) // step
            at.append((np.minimum(places, size - 1) // side).astype(int))
        return tuple(at)

    def _decode(self, page: Any, index: int) -> Array:
        """One tile, (planar sample, depth, y, x, sample)."""
        number = self._numbers[page.index]
        missing = self._missing[number]
        if not missing.flat[index]:
            return super()._decode(page, index)
        tile = np.unravel_index(index, missing.shape)
        sides = self._sides(page)[1:]
        lows = [int(i) * n for i, n in zip(tile, sides, strict=True)]
        highs = [
            min(low + n, self._key.shaped[axis])
            for low, n, axis in zip(lows, sides, (2, 3), strict=True)
        ]
        return self._reduced(number, lows, highs)[None, None]

    def _reduced(self, number: int, lows: list[int], highs: list[int]) -> Array:
        """What the finer level shows in rows and columns of this one, (y, x, sample)."""
        windows = []
        for low, high, step, size in zip(
            lows, highs, self._steps, self._below.shape[-3:-1], strict=True
        ):
            start = min(math.floor(low * step), size - 1)
            windows.append(slice(start, max(start + 1, min(size, math.ceil(high * step)))))
        planes = (slice(number, number + 1),) * (len(self._below.shape) - 3)
        samples = slice(0, self._below.shape[-1])
        pixels = self._below.read((*planes, *windows, samples))
        pixels = pixels.reshape(pixels.shape[-3:])
        counts = [high - low for low, high in zip(lows, highs, strict=True)]
        return _means(pixels, counts, self._steps)


def unwritten(page: Any) -> Array:
    """Which tiles of a page have no bytes, (down, across) bool."""
    down = math.ceil(page.imagelength / page.tilelength)
    return np.asarray(np.asarray(page.databytecounts).reshape(down, -1) == 0)


def _means(pixels: Array, counts: list[int], steps: tuple[float, float]) -> Array:
    """Means of blocks, (y, x, sample); at an end the last pixel goes on.

    Parameters
    ----------
    counts
        How many there are to be, along y and x.
    steps
        Pixels of a block along y and x; where that is no whole number, its first pixel counts.
    """
    whole = [round(step) for step in steps]
    if list(steps) != whole:
        y, x = (
            np.minimum(np.arange(n) * step, size - 1).astype(int)
            for n, step, size in zip(counts, steps, pixels.shape, strict=False)
        )
        return np.asarray(pixels[np.ix_(y, x)])
    short = [
        (0, max(0, n * step - size))
        for n, step, size in zip(counts, whole, pixels.shape, strict=False)
    ]
    filled = np.pad(pixels, (*short, (0, 0)), "edge")
    blocks = filled.reshape(counts[0], whole[0], counts[1], whole[1], -1)
    return np.asarray(np.rint(blocks.mean((1, 3))).astype(pixels.dtype))
