"""An image's geometry as a model's tiles see it: shape, tiles, planes and place; no pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tilewright.errors import USAGE, TilewrightError

from .grid import Grid, Interval, grid
from .jobs import ImageRef
from .spec import ModelSpec

ROUNDING = 1e-6
"""Of a pixel: 15162.0000001 of them are 15162."""
SAVE_PIXELS = 1 << 28
"""Of an image's planes at the model's resolution: up to so many it is put beside its result."""


@dataclass(frozen=True)
class Layout:
    """One image, or the region of it that is read, at a model's resolution.

    Parameters
    ----------
    shape
        (z,) y, x at the model's resolution; rounded up.
    grid
        Its tiles.
    looped
        How many there are of each axis that the model takes none of, T and then Z:
        ``{"T": 5, "Z": 12}``.
    channels, dtype
        Of the source.
    start
        Row and column of the whole image's grid of such pixels that the first one is.
    origin
        Where, in level-0 pixels ``(y, x)``, that begins.
    scale
        Model pixels per level-0 pixel, ``(y, x)``.
    um
        Of these pixels, along (z,) y and x; None for what isn't known.
    """

    shape: tuple[int, ...]
    grid: Grid
    iterated: Mapping[str, int]
    channels: int
    dtype: np.dtype
    start: tuple[int, int]
    origin: tuple[float, float]
    scale: tuple[float, float]
    um: tuple[float | None, ...]

    @classmethod
    def of(
        cls,
        ref: ImageRef,
        spec: ModelSpec,
        level: Mapping[str, int],
        step: tuple[float, float] | None = None,
    ) -> Layout:
        """What a spec makes of an image.

        Parameters
        ----------
        level
            Pixels along each axis of the level that is read.
        step
            Level-0 pixels per pixel of it, ``(y, x)``; None is as their sizes are.

        Raises
        ------
        TilewrightError
            The region has nothing of the image.
        """
        whole = dict(zip(ref.axes, ref.shape, strict=True))
        y, x = step or tuple(whole[a] / level[a] for a in "YX")
        scale = ref.factor[0] / y, ref.factor[1] / x
        rows, columns = _region(ref, level, scale)
        deep = "z" in spec.tile_spec.axes
        plane = (stop - start for start, stop in (rows, columns))
        shape = (*([level.get("Z", 1)] if deep else []), *plane)
        return cls(
            shape=shape,
            grid=grid(spec.tile_spec, shape),
            iterated={a: level[a] for a in "TZ" if a in ref.axes and not (a == "Z" and deep)},
            channels=whole.get("C", 1),
            dtype=np.dtype(ref.dtype),
            start=(rows[0], columns[0]),
            origin=(rows[0] * y / ref.factor[0], columns[0] * x / ref.factor[1]),
            scale=scale,
            um=(*([ref.z_um] if deep else []), *_um(ref, scale)),
        )

    @cached_property
    def planes(self) -> tuple[dict[str, int], ...]:
        """What is looped, T and then Z: ``{"T": 0, "Z": 3}``."""
        positions = itertools.product(*map(range, self.iterated.values()))
        return tuple(dict(zip(self.iterated, at, strict=True)) for at in positions)

    @property
    def deep(self) -> bool:
        """Whether tiles have slices."""
        return len(self.shape) == 3

    @property
    def pixels(self) -> int:
        """Of the grid, over all planes."""
        return math.prod(self.iterated.values()) * math.prod(self.shape)


def _um(ref: ImageRef, scale: tuple[float, float]) -> Iterator[float | None]:
    for mpp, factor in zip(ref.mpp or (None, None), scale, strict=True):
        yield None if mpp is None else mpp / factor


def extent(n: int, factor: float) -> int:
    """Pixels at the model's resolution that `n` pixels make: rounded up, and at least one."""
    return max(1, math.ceil(n * factor - ROUNDING))


def _region(
    ref: ImageRef, level: Mapping[str, int], scale: tuple[float, float]
) -> tuple[Interval, Interval]:
    """Rows and columns of the model's pixels that are read: those that the region meets.

    They are the whole image's, so that a region has the pixels that all of it has there.
    """
    whole = dict(zip(ref.axes, ref.shape, strict=True))
    ends = [extent(level[a], f) for a, f in zip("YX", ref.factor, strict=True)]
    if ref.region is None:
        return (0, ends[0]), (0, ends[1])
    found = []
    starts, lengths = ref.region[:2], ref.region[2:]
    for axis, start, length, end, s in zip("YX", starts, lengths, ends, scale, strict=True):
        if start >= whole[axis]:
            raise TilewrightError(
                f"{ref.path}: the region {ref.region} (y, x, height, width in level-0 pixels) "
                f"has nothing of its {whole['Y']} x {whole['X']} pixels.",
                fix="Choose a --region inside the image.",
                code=USAGE,
            )
        lo = min(end - 1, math.floor(start * s + ROUNDING))  # a coarse level may end before
        hi = min(end, math.ceil((start + length) * s - ROUNDING))
        found.append((lo, max(lo + 1, hi)))
    return found[0], found[1]
