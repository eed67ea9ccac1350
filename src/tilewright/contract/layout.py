"""An image's geometry as a model's tiles see it: shape, tiles, planes and place; no pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tilewright.errors import USAGE, TilewrightError

from .grid import Grid, Interval, grid
from .jobs import ImageRef
from .spec import ModelSpec


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
    read
        Rows and columns of the level that are read.
    origin
        Where, in level-0 pixels ``(y, x)``, the first pixel of the level that is read begins.
    scale
        Model pixels per level-0 pixel, ``(y, x)``.
    """

    shape: tuple[int, ...]
    grid: Grid
    iterated: Mapping[str, int]
    channels: int
    dtype: np.dtype
    read: tuple[Interval, Interval]
    origin: tuple[float, float]
    scale: tuple[float, float]

    @classmethod
    def of(cls, ref: ImageRef, spec: ModelSpec, level: Mapping[str, int]) -> Layout:
        """What a spec makes of an image.

        Parameters
        ----------
        level
            Pixels along each axis of the level that is read.

        Raises
        ------
        TilewrightError
            The region has nothing of the image.
        """
        whole = dict(zip(ref.axes, ref.shape, strict=True))
        y, x = (level[a] / whole[a] for a in "YX")
        read = _region(ref, level, (y, x))
        deep = "z" in spec.tile_spec.axes
        plane = (extent(hi - lo, f) for (lo, hi), f in zip(read, ref.factor, strict=True))
        shape = (*([level.get("Z", 1)] if deep else []), *plane)
        return cls(
            shape=shape,
            grid=grid(spec.tile_spec, shape),
            iterated={a: level[a] for a in "TZ" if a in ref.axes and not (a == "Z" and deep)},
            channels=whole.get("C", 1),
            dtype=np.dtype(ref.dtype),
            read=read,
            origin=(read[0][0] / y, read[1][0] / x),
            scale=(y * ref.factor[0], x * ref.factor[1]),
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


def extent(n: int, factor: float) -> int:
    """Pixels at the model's resolution that `n` pixels make: rounded up, and at least one."""
    return max(1, math.ceil(n * factor - 1e-6))  # 15162.0000001 is 15162


def _region(
    ref: ImageRef, level: Mapping[str, int], scale: tuple[float, float]
) -> tuple[Interval, Interval]:
    """Rows and columns of the level that are read."""
    whole = dict(zip(ref.axes, ref.shape, strict=True))
    y, x, height, width = ref.region or (0, 0, whole["Y"], whole["X"])
    found = []
    for axis, start, length, s in zip("YX", (y, x), (height, width), scale, strict=True):
        lo = max(0, math.floor(start * s))
        hi = min(level[axis], math.ceil((start + length) * s))
        if lo >= hi:
            raise TilewrightError(
                f"{ref.path}: the region {ref.region} (y, x, height, width in level-0 pixels) "
                f"has nothing of its {whole['Y']} x {whole['X']} pixels.",
                fix="Choose a --region inside the image.",
                code=USAGE,
            )
        found.append((lo, hi))
    return found[0], found[1]
