"""Windows, valid regions and cores: which pixels each tile reads, keeps and owns.

Integers only, in pixels at the model's resolution; `images` reads, `merge` decides.
The rule is `docs/how-it-works.md`'s: tile i along an axis is the window
``[i*stride, i*stride + size)``; on a side with a neighbour `context` is cut for the valid region
and `band` more for the core; at the image's edge nothing is cut. Cores partition the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .spec import TileSpec

Interval = tuple[int, int]
"""Half-open, in pixels at the model's resolution."""
Box = tuple[Interval, ...]
"""One interval per spatial axis, in the order (z,) y, x."""


@dataclass(frozen=True)
class TileAxis:
    """One axis of a tile, in pixels."""

    size: int
    band: int = 0
    context: int = 0

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(
                f"a tile of {self.size} px has no core: band {self.band} px and context "
                f"{self.context} px on both sides leave {self.stride} px"
            )

    @property
    def margin(self) -> int:
        """Band and context on one side."""
        return self.band + self.context

    @property
    def stride(self) -> int:
        """Distance between two tiles' origins."""
        return self.size - 2 * self.margin

    def count(self, extent: int) -> int:
        """Tiles that cover `extent` pixels."""
        return max(1, -(-(extent - self.size) // self.stride) + 1)

    def window(self, i: int, extent: int) -> Interval:
        """What tile `i` reads, clipped to the image."""
        return i * self.stride, min(i * self.stride + self.size, extent)

    def valid(self, i: int, extent: int) -> Interval:
        """What tile `i` keeps: its window less the context on inner sides."""
        return self._cut(i, extent, self.context)

    def core(self, i: int, extent: int) -> Interval:
        """What only tile `i` owns: its valid region less the band on inner sides."""
        return self._cut(i, extent, self.margin)

    def _cut(self, i: int, extent: int, margin: int) -> Interval:
        start, stop = self.window(i, extent)
        last = i == self.count(extent) - 1
        return start + (margin if i else 0), stop if last else stop - margin


@dataclass(frozen=True)
class Tile:
    """One tile of a plane or volume: its row-major number, grid position and three boxes."""

    index: int
    position: tuple[int, ...]
    window: Box
    valid: Box
    core: Box


@dataclass(frozen=True)
class Grid:
    """All tiles of one plane or volume of `shape` pixels, in row-major order."""

    axes: tuple[TileAxis, ...]
    shape: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(a.count(n) for a, n in zip(self.axes, self.shape, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Tile]:
        return (self.tile(i) for i in range(len(self)))

    def tile(self, index: int) -> Tile:
        """Tile number `index`."""
        position = []
        rest = index
        for n in reversed(self.counts):
            rest, p = divmod(rest, n)
            position.append(p)
        position.reverse()
        sides = list(zip(self.axes, position, self.shape, strict=True))
        return Tile(
            index=index,
            position=tuple(position),
            window=tuple(a.window(p, n) for a, p, n in sides),
            valid=tuple(a.valid(p, n) for a, p, n in sides),
            core=tuple(a.core(p, n) for a, p, n in sides),
        )

    def index(self, position: tuple[int, ...]) -> int:
        """Row-major number of the tile at a grid position."""
        number = 0
        for p, n in zip(position, self.counts, strict=True):
            number = number * n + p
        return number

    def intersecting(self, box: Box) -> list[int]:
        """Numbers of the tiles whose valid regions meet `box`, in row-major order."""
        ranges = []
        for axis, n, (start, stop) in zip(self.axes, self.shape, box, strict=True):
            last = axis.count(n) - 1
            first = max(0, (start - axis.size) // axis.stride)
            ranges.append(
                [
                    i
                    for i in range(first, min(last, stop // axis.stride) + 1)
                    if axis.valid(i, n)[0] < stop and axis.valid(i, n)[1] > start
                ]
            )
        positions: list[tuple[int, ...]] = [()]
        for choices in ranges:
            positions = [(*p, i) for p in positions for i in choices]
        return [self.index(p) for p in positions]


def grid(spec: TileSpec, shape: tuple[int, ...]) -> Grid:
    """The tiles `spec` cuts a plane or volume of `shape` (its axes in the order z, y, x) into."""
    axes = tuple(
        TileAxis(spec.pixels(spec.size, a), spec.pixels(spec.band, a), spec.pixels(spec.context, a))
        for a in spec.axes
    )
    return Grid(axes, tuple(shape))


def cells(box: Box, stride: int, shape: tuple[int, ...]) -> Box:
    """The map pixels, each of `stride` pixels along every axis, that lie in `box`.

    Parameters
    ----------
    box
        In px of the plane or volume.
    stride
        Px of it per map pixel.
    shape
        Of the plane or volume, in px; at its end a map pixel may stand for fewer.

    Returns
    -------
        In map pixels.
    """
    return tuple(
        (-(-start // stride), -(-stop // stride) if stop == n else stop // stride)
        for (start, stop), n in zip(box, shape, strict=True)
    )


def shared(a: Box, b: Box) -> Box | None:
    """The intersection of two boxes, or None when they don't meet."""
    both = tuple((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True))
    return both if all(lo < hi for lo, hi in both) else None


def shape_of(box: Box) -> tuple[int, ...]:
    """Pixels of a box along each axis."""
    return tuple(stop - start for start, stop in box)


def slices(part: Box, box: Box) -> tuple[slice, ...]:
    """Where a part of a box is in an array of the box's pixels."""
    return tuple(slice(p - o, q - o) for (p, q), (o, _) in zip(part, box, strict=True))
