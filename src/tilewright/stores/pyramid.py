"""A multiscale image being written: where its pixels lie, how it is cut, how levels are made.

`store` says where in a store it is and what else is there. A volume that is tiled in z is *deep*:
chunked, sharded and, where its slices aren't coarser than its pixels, halved in z too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from tilewright.contract import files

Array = np.ndarray
Slices = tuple[slice, ...]
"""One slice per axis of the array, in pixels of its level."""
Method = Literal["nearest", "mean"]
Each = Callable[[Callable[[Slices], None], Iterable[Slices]], Iterable[None]]
"""Calls a function with each box, as `map` does; a pool's `imap` does so in its processes."""

CHUNK = 512  # a viewer's request: 1 MiB of uint32
SHARD = 2048  # 16 MiB of uint32: a file worth a cluster's inode, a task's unit of memory
DEEP_CHUNK = {"z": 32, "y": 128, "x": 128}  # 2 MiB of uint32
DEEP_SHARD = {"z": 32, "y": 512, "x": 512}  # 32 MiB of uint32
SHARD_BYTES = 1 << 26  # many channels in one shard make it smaller
BLOCK_BYTES = 1 << 26  # what is held to write a shard of level 1
DEEP_BLOCK_BYTES = 1 << 25  # of a volume: more tiles meet there
LEAST = 64  # side of a shard of thousands of channels
COARSEST = 512  # levels until the longer side is at most one chunk
DEEP_COARSEST = 256**3  # or, of a volume, until a level holds no more pixels
CHANNEL_COLOURS = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00", "FFFFFF")
RGB = ("FF0000", "00FF00", "0000FF")
writing = partial(files.writing, fix=files.MORE_ROOM)


@dataclass(frozen=True)
class Placement:
    """Where an array's pixels lie on the image it came from.

    Parameters
    ----------
    origin
        Level-0 pixel ``(y, x)`` or ``(z, y, x)`` where the array's first pixel begins: a region's
        corner.
    factor
        Array pixels per level-0 pixel, ``(y, x)`` or ``(z, y, x)``.
    mpp
        µm per level-0 pixel, ``(y, x)``, or None: then scales are `steps`, without a unit.
    z_um
        µm per slice, or None.
    position
        Where the centre of the image's first level-0 pixel lies, ``(t, z, y, x)``, in µm or
        `steps`' unit.
    steps
        Length of a time step and of a level-0 pixel ``(t, z, y, x)`` where its µm aren't known.
    t_unit
        Unit of time of these, or None.
    """

    origin: tuple[float, ...] = (0.0, 0.0)
    factor: tuple[float, ...] = (1.0, 1.0)
    mpp: tuple[float, float] | None = None
    z_um: float | None = None
    position: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    steps: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    t_unit: str | None = None

    def units(self, axes: str) -> dict[str, float]:
        """µm per level-0 pixel of each axis whose size is known."""
        known = dict(zip("yx", self.mpp, strict=True)) if self.mpp else {}
        if self.z_um:
            known["z"] = self.z_um
        return {a: known[a] for a in axes if a in known}

    def transform(
        self, axes: str, shrunk: Mapping[str, int] | None = None
    ) -> tuple[list[float], list[float]]:
        """Scale and translation of a pyramid level, per axis, in µm or the image's own unit.

        Positions are of pixel centres. A pixel of a level stands for the box of `shrunk` array
        pixels it was made from, so its centre lies half their width further: labels and image line
        up.
        """
        origins, places = _spatial(self.origin), _spatial(self.position)
        lengths = _spatial(self.steps) | self.units(axes)
        scale, translation = [], []
        for a in axes:
            step, length = self._step(a) * (shrunk or {}).get(a, 1), lengths.get(a, 1.0)
            scale.append(step * length)
            inside = (origins.get(a, 0.0) + (step - 1) / 2) * length
            translation.append(places.get(a, 0.0) + inside)
        return scale, translation

    def level0(self, at: Array) -> Array:
        """Positions ``(n, 2)`` (y, x) or ``(n, 3)`` (z, y, x) as positions of level-0 pixels."""
        axes = "zyx"[-at.shape[1] :]
        factor = np.array([1 / self._step(a) for a in axes])
        origin = np.array([_spatial(self.origin).get(a, 0.0) for a in axes])
        return np.asarray(origin + (at + 0.5) / factor - 0.5)

    def sides(self) -> dict[str, float]:
        """How long a pixel is along z, y and x; all alike where one of them isn't known."""
        um = self.units("zyx")
        return {a: self._step(a) * um[a] if len(um) == 3 else 1.0 for a in "zyx"}

    def _step(self, axis: str) -> float:
        """Level-0 pixels per array pixel."""
        return 1 / _spatial(self.factor).get(axis, 1.0)


def _spatial(values: tuple[float, ...]) -> dict[str, float]:
    return dict(zip("tzyx"[-len(values) :], values, strict=True))


@dataclass(frozen=True)
class LevelCut:
    """One level's cut, per axis, in its pixels; `shrunk` are level-0 pixels per pixel."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    shrunk: tuple[int, ...]

    def boxes(self, steps: Sequence[int]) -> Iterator[Slices]:
        """Boxes of `steps` pixels, clipped to the level, in row-major order."""
        starts = [range(0, n, s) for n, s in zip(self.shape, steps, strict=True)]
        for corner in itertools.product(*starts):
            yield tuple(
                slice(a, min(a + s, n)) for a, s, n in zip(corner, steps, self.shape, strict=True)
            )


def levels_for(shape: Sequence[int]) -> int:
    """How many levels halve the longer of the last two axes to at most 512 pixels."""
    return 1 + max(0, math.ceil(math.log2(max(*shape[-2:], 1) / COARSEST)))


def plan_levels(
    axes: str,
    shape: Sequence[int],
    itemsize: int,
    *,
    placement: Placement,
    deep: bool = False,
    together: bool = False,
    count: int | None = None,
) -> tuple[LevelCut, ...]:
    """How a pyramid is cut.

    Parameters
    ----------
    axes, shape, itemsize
        Of level 0; bytes per pixel.
    deep
        Cut z like y and x, and halve it at a level whose slices aren't coarser than its pixels.
    together
        Put all channels into one chunk, as who reads colours wants them.
    count
        Levels; None is `levels_for` the shape or, of a deep one, until a level of one channel and
        time point holds at most 256³ pixels.
    """
    sizes, shrunk = dict(zip(axes, shape, strict=True)), dict.fromkeys(axes, 1)
    sides = placement.sides()
    if count is None and not deep:
        count = levels_for(shape)
    levels: list[LevelCut] = []
    while True:
        level = _level(sizes, shrunk, itemsize, deep=deep, together=together, above=bool(levels))
        levels.append(level)
        volume = sizes.get("z", 1) * sizes["y"] * sizes["x"]
        if volume <= DEEP_COARSEST if count is None else len(levels) == count:
            return tuple(levels)
        for a in _halved(sizes, {a: sides[a] * shrunk[a] for a in "zyx" if a in axes}, deep):
            sizes[a], shrunk[a] = -(-sizes[a] // 2), 2 * shrunk[a]


def _halved(sizes: Mapping[str, int], sides: Mapping[str, float], deep: bool) -> str:
    """Axes that the next level halves."""
    if not deep or sizes["z"] == 1:
        return "yx"
    return "zyx" if sides["z"] <= 1.01 * min(sides["y"], sides["x"]) else "yx"


def _level(
    sizes: Mapping[str, int],
    shrunk: Mapping[str, int],
    itemsize: int,
    *,
    deep: bool,
    together: bool,
    above: bool,
) -> LevelCut:
    """One level: a chunk is a piece of one channel or, `together`, of all; a shard holds all."""
    nominal = _nominal(sizes.get("c", 1) * itemsize, deep, above)
    chunk, shard = dict.fromkeys(sizes, 1), dict.fromkeys(sizes, 1)
    for a, side in nominal.items():
        chunk[a] = min(DEEP_CHUNK[a] if deep else CHUNK, side, sizes[a])
        shard[a] = -(-min(side, sizes[a]) // chunk[a]) * chunk[a]
    shard["c"] = sizes.get("c", 1)
    chunk["c"] = shard["c"] if together else 1
    cut = (sizes, *({a: sides[a] for a in sizes} for sides in (chunk, shard)), shrunk)
    return LevelCut(*(tuple(d.values()) for d in cut))


def _nominal(pixel: int, deep: bool, above: bool) -> dict[str, int]:
    """A shard's sides, where `pixel` is the bytes of all channels of one.

    Where what makes a shard of level 1 would be too much to hold, those above level 0 are half as
    wide: one shard makes one.
    """
    side = dict(DEEP_SHARD) if deep else {"y": SHARD, "x": SHARD}
    while side["x"] > LEAST and math.prod(side.values()) * pixel > SHARD_BYTES:
        side["y"], side["x"] = side["y"] // 2, side["x"] // 2
    most = DEEP_BLOCK_BYTES if deep else BLOCK_BYTES
    if above and math.prod(2 * n for n in side.values()) * pixel > most:
        return {a: n // 2 for a, n in side.items()}
    return side


@dataclass(frozen=True)
class Handle:
    """Writes a pyramid's pixels from any process; may be pickled.

    Parameters
    ----------
    path
        The folder of the multiscale image; level k is the array ``<path>/<k>``.
    """

    path: Path
    levels: tuple[LevelCut, ...]
    dtype: np.dtype
    method: Method

    def blocks(self) -> Iterator[Slices]:
        """Boxes of whole shards of level 0 that make whole shards of level 1, in row-major order.

        Each is one writer's: together they cover the image, and no two share a shard.
        """
        return self.levels[0].boxes(self._block())

    def write(self, box: Slices, array: Array) -> None:
        """Write a whole block's pixels and, made from them, those of level 1.

        Parameters
        ----------
        box
            One of `blocks`.
        array
            Its pixels; shape, axes and dtype are level 0's.

        Raises
        ------
        ValueError
            When the box is no block, or the array's shape or dtype doesn't fit it.
        """
        wanted = tuple(s.stop - s.start for s in box), self.dtype
        if wanted != (array.shape, array.dtype.newbyteorder("=")):
            raise ValueError(f"a block of {wanted} was given {array.shape}, {array.dtype}")
        if any(s.start % n for s, n in zip(box, self._block(), strict=True)):
            raise ValueError(f"{box} is no block: two writers could share a shard")
        self._put(0, box, array)
        if len(self.levels) > 1:
            self._put(1, self._above(1, box), halve(array, self.method, self._axes(1)))

    def make(self, level: int, box: Slices) -> None:
        """Make one shard of a level from the level below."""
        below, here = self.levels[level - 1], self.levels[level]
        source = self._open(level - 1)
        steps = [
            s if s >= n else s // (2 if h else 1)
            for s, n, h in zip(below.shard, below.shape, self._axes(level), strict=True)
        ]
        made = np.empty([s.stop - s.start for s in box], self.dtype)
        part = LevelCut(made.shape, here.chunk, here.shard, here.shrunk)
        for piece in part.boxes(steps):
            wanted = tuple(
                slice(s.start + p.start, s.start + p.stop) for s, p in zip(box, piece, strict=True)
            )
            pixels = np.asarray(source[self._below(level, wanted)])
            made[piece] = halve(pixels, self.method, self._axes(level))
        self._put(level, box, made)

    def _block(self) -> tuple[int, ...]:
        """A block's sides: those of a shard, or of what makes a shard of level 1."""
        first = self.levels[0]
        if len(self.levels) == 1:
            return first.shard
        above = self.levels[1]
        return tuple(
            n if s >= m else max(t, s * (1 + h))
            for n, t, m, s, h in zip(
                first.shape, first.shard, above.shape, above.shard, self._axes(1), strict=True
            )
        )

    def _axes(self, level: int) -> tuple[bool, ...]:
        """Which axes are half as long as at the level below."""
        here, below = self.levels[level].shrunk, self.levels[level - 1].shrunk
        return tuple(a != b for a, b in zip(here, below, strict=True))

    def _above(self, level: int, box: Slices) -> Slices:
        """What of a level a box of the level below makes."""
        return tuple(
            slice(s.start // 2, -(-s.stop // 2)) if h else s
            for s, h in zip(box, self._axes(level), strict=True)
        )

    def _below(self, level: int, box: Slices) -> Slices:
        """What of the level below makes a box of a level."""
        shape = self.levels[level - 1].shape
        return tuple(
            slice(2 * s.start, min(2 * s.stop, n)) if h else s
            for s, n, h in zip(box, shape, self._axes(level), strict=True)
        )

    def _open(self, level: int) -> zarr.Array[Any]:
        return zarr.open_array(self.path / str(level), mode="r+")

    def _put(self, level: int, box: Slices, array: Array) -> None:
        """Write whole shards, one after the other: zarr holds each twice while it packs it."""
        here = self.levels[level]
        with writing(self.path / str(level)):
            opened = self._open(level)
            pieces = LevelCut(array.shape, here.chunk, here.shard, here.shrunk)
            for piece in pieces.boxes(here.shard):
                at = zip(box, piece, strict=True)
                opened[tuple(slice(b.start + p.start, b.start + p.stop) for b, p in at)] = array[
                    piece
                ]


class Pyramid:
    """One multiscale image being written, block by block, then the levels above.

    Made by `StoreWriter.pyramid`.
    """

    def __init__(
        self, handle: Handle, levels: Sequence[zarr.Array[Any]], axes: str, metadata: dict[str, Any]
    ) -> None:
        self.levels = levels
        self.axes = axes
        self.metadata = metadata
        self.channels: Sequence[str] = ()
        self._handle = handle

    def handle(self) -> Handle:
        """What another process needs to write its blocks."""
        return self._handle

    def blocks(self) -> Iterator[Slices]:
        """As `Handle.blocks`."""
        return self._handle.blocks()

    def shards(self, level: int = 0) -> Iterator[Slices]:
        """The boxes of a level's shards, clipped to it, in row-major order."""
        return self._handle.levels[level].boxes(self._handle.levels[level].shard)

    def write(self, box: Slices, array: Array) -> None:
        """As `Handle.write`: a block, its shape and dtype level 0's."""
        self._handle.write(box, array)

    def build(self, each: Each = map) -> None:
        """Make levels 2 and up, each from the one below, when all blocks are written.

        Parameters
        ----------
        each
            Makes the shards of one level: `map`, or a process pool's.
        """
        for level in range(2, len(self.levels)):
            for _ in each(partial(self._handle.make, level), self.shards(level)):
                pass

    def omero(self, names: Sequence[str], rgb: bool) -> dict[str, Any]:
        """Rendering settings: a name, a colour and the range of values of each channel.

        The range is the coarsest level's; a colour picture keeps the dtype's, or its colours
        would shift.
        """
        colours: Sequence[str] = (
            RGB if rgb else CHANNEL_COLOURS if len(names) > 1 else CHANNEL_COLOURS[-1:]
        )
        windows = [_window(a, rgb) for a in self._channels()]
        return {
            "channels": [
                {"label": n, "color": c, "active": True, "window": w}
                for n, c, w in zip(names, itertools.cycle(colours), windows, strict=False)
            ]
        }

    def _channels(self) -> Iterator[Array]:
        """The coarsest level, one channel at a time."""
        top = self.levels[-1]
        at = self.axes.find("c")
        for c in range(top.shape[at] if at >= 0 else 1):
            pick = (slice(None),) * at + (slice(c, c + 1),) if at >= 0 else ()
            yield np.asarray(top[pick])


def halve(array: Array, method: Method, axes: Sequence[bool]) -> Array:
    """Half the chosen axes; the odd last row or column stands for itself.

    Parameters
    ----------
    array
        Of any shape; its dtype stays.
    method
        ``nearest``: the first pixel of each box; ``mean``: their mean, integers rounded half up.
    axes
        Per axis, whether it is halved.
    """
    if method == "nearest":
        return array[tuple(slice(None, None, 2 if a else 1) for a in axes)]
    odd = [(0, n % 2 if a else 0) for n, a in zip(array.shape, axes, strict=True)]
    padded = np.pad(array, odd, mode="edge") if np.any(odd) else array
    wide = _wide(array.dtype)
    starts = list(itertools.product(*((0, 1) if a else (0,) for a in axes)))
    steps = [
        tuple(slice(s, None, 2 if a else 1) for s, a in zip(at, axes, strict=True)) for at in starts
    ]
    n = len(starts)
    if (
        array.dtype.kind in "iu" and array.dtype.itemsize == 8
    ):  # their sum may be too much for 64 bits
        whole, rest = (sum(f(padded[at], n) for at in steps) for f in (np.floor_divide, np.mod))
        return np.asarray(whole + (rest + n // 2) // n).astype(array.dtype)
    total = sum((padded[at].astype(wide) for at in steps), start=np.zeros((), wide))
    mean = total / n if wide.kind == "f" else (total + n // 2) // n
    return np.asarray(mean).astype(array.dtype)


def _wide(dtype: np.dtype) -> np.dtype:
    """A type that holds the sum of eight."""
    if dtype.kind == "f":
        return np.promote_types(dtype, np.float32)
    if dtype.itemsize <= 2:
        return np.promote_types(dtype, np.int32)
    return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)  # numpy's own choice is a float


def _window(values: Array, rgb: bool) -> dict[str, float]:
    """An omero window: the dtype's (or data's) range, and the part of it to show."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    limits = (low, high)
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        limits = (float(info.min), float(info.max))
    start, end = limits if rgb else (low, max(high, low + 1e-6))
    return {"min": limits[0], "max": limits[1], "start": start, "end": end}
