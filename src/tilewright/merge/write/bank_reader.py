"""One image's banked tiles, wherever they are among a group's banks, and the planes they are of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from tilewright.contract.grid import Box, Grid, shape_of, shared
from tilewright.contract.layout import Layout
from tilewright.errors import INTERNAL, TilewrightError
from tilewright.stores.ome_zarr import Slices
from tilewright.tile_results.bank import (
    Bank,
    MapHeader,
    check_shape,
    rows_start,
    strip_name,
    tile_name,
)
from tilewright.tile_results.objects import crop, empty_table
from tilewright.tile_results.strips import strip_shape

Array = np.ndarray


class BankReader:
    """One image's tiles, wherever they are among a group's banks.

    Parameters
    ----------
    key
        The image's key in its group.
    grid
        The tiles of each of its planes.
    banks
        All of the group's.

    Attributes
    ----------
    unread : dict
        By their numbers over all planes the tiles that couldn't be read, and why.
    """

    def __init__(self, key: str, grid: Grid, banks: Sequence[Bank]) -> None:
        self._key, self._grid = key, grid
        self._banks = banks
        parts = [(a, b, bank) for bank in banks for k, a, b in bank.header["parts"] if k == key]
        self._parts = sorted(parts, key=lambda part: part[:2])  # of tiles a to b
        own = [b.header.get("unread", {}).get(key, {}) for b in banks]
        self.unread = {int(n): why for some in own for n, why in some.items()}
        skipped = {n for b in banks for n in b.header["skipped"].get(key, [])}
        self._skipped = skipped | set(self.unread)

    @property
    def skipped(self) -> int:
        """Tiles that weren't predicted."""
        return len(self._skipped)

    @property
    def predicted(self) -> int:
        """Tiles that were predicted, over all planes."""
        return sum(stop - start for start, stop, _ in self._parts) - self.skipped

    @property
    def numbers(self) -> Array:
        """The numbers, over all planes, of the tiles that were predicted; (n,) int64, ascending."""
        found = [np.arange(start, stop) for start, stop, _ in self._parts]
        return np.setdiff1d(np.concatenate([np.zeros(0, np.int64), *found]), list(self._skipped))

    @property
    def map(self) -> MapHeader | None:
        """A map's channels, stride and dtype; None where no tile was predicted.

        Raises
        ------
        TilewrightError
            When tasks' maps differ in them; exit code 65.
        """
        found = [made for b in self._banks if (made := b.header.get("map"))]
        if any(other != found[0] for other in found):
            raise TilewrightError(
                f"The model gives maps of {found[0]} in one task and of others in another.",
                fix="Give every tile the same channels, stride and dtype.",
            )
        return found[0] if found else None

    @cached_property
    def vector_shape(self) -> tuple[int, ...] | None:
        """Of one tile's vector, (D,), or its tokens, (T, D); None where none was predicted."""
        for bank in self._banks:
            for name in bank.names(rows_start(self._key)):
                if name.endswith("/vectors"):
                    return tuple(bank.get(name).shape[1:])
        return None

    def lost(self, plane: int, box: Box) -> Array:
        """Which pixels of a box of a plane are of tiles that couldn't be read: ((z,) y, x) bool."""
        found = np.zeros(shape_of(box), bool)
        for index in self._grid.intersecting(box) if self.unread else ():
            part = shared(self._grid.tile(index).core, box)
            if part is not None and plane * len(self._grid) + index in self.unread:
                crop(found, box, part)[...] = True
        return found

    def labels(self, plane: int, tile: int, strip: int) -> Array:
        """A strip of a tile's labels on its valid region, ((z,) y, x); zeros outside the mask.

        Parameters
        ----------
        plane, tile, strip
            Numbers from 0: of the image, of the plane, of the tile.
        """
        return self._strip(plane, tile, "labels", self._grid.tile(tile).valid, strip)

    def objects(self, plane: int, tile: int) -> Array:
        """A tile's object table, (objects, columns) integers; empty outside the mask."""
        found = self._get(plane, tile, "objects")
        return empty_table(len(self._grid.shape)) if found is None else found

    def classes(self, plane: int, tile: int, strip: int) -> Array:
        """A strip of a tile's classes on its core, ((z,) y, x); zeros outside the mask.

        Parameters
        ----------
        plane, tile, strip
            Numbers from 0: of the image, of the plane, of the tile.
        """
        return self._strip(plane, tile, "classes", self._grid.tile(tile).core, strip)

    @property
    def most(self) -> int:
        """The image's greatest class."""
        return max(int(b.header["classes"].get(self._key, 0)) for b in self._banks)

    def map_of(self, plane: int, tile: int) -> Array | None:
        """A tile's map on its valid region, (C, (z,) y, x); None where it was outside the mask."""
        return self._get(plane, tile, "map")

    def vectors(self) -> Iterator[Array]:
        """All vectors, (some, D), or tokens, (some, T, D), in the order of `numbers`.

        Raises
        ------
        TilewrightError
            When a tile's is in no bank, or in two; exit code 70.
        """
        wanted, seen = self.numbers, 0
        for bank in self._banks:
            for name in bank.names(rows_start(self._key)):
                where, _, what = name.rpartition("/")
                if what == "numbers":
                    numbers = bank.get(name)
                    if not np.array_equal(numbers, wanted[seen : seen + len(numbers)]):
                        raise self._lost(int(numbers[0]))
                    seen += len(numbers)
                    found = bank.get(f"{where}/vectors")
                    check_shape(found.shape[1:], self.vector_shape)
                    yield found
        if seen != len(wanted):
            raise self._lost(int(wanted[seen]))

    def _strip(self, plane: int, tile: int, what: str, box: Box, strip: int) -> Array:
        found = self._get(plane, tile, strip_name(what, strip))
        return np.zeros(strip_shape(shape_of(box), strip), np.uint8) if found is None else found

    def _get(self, plane: int, tile: int, what: str) -> Array | None:
        number = plane * len(self._grid) + tile
        if number in self._skipped:
            return None
        at = bisect_right(self._parts, number, key=lambda part: part[0]) - 1
        if at < 0 or number >= self._parts[at][1]:
            raise self._lost(number)
        return self._parts[at][2].get(tile_name(self._key, plane, tile, what))

    def _lost(self, number: int) -> TilewrightError:
        plane, tile = divmod(number, len(self._grid))
        return TilewrightError(
            f"Tile {tile} of plane {plane} is in no bank.", fix="Run again.", code=INTERNAL
        )


def stack_axes(layout: Layout, *, channels: bool = False) -> tuple[str, list[int]]:
    """Axes and shape of a result: looped axes, channels if asked for, then the grid's own."""
    sizes = layout.iterated
    if channels and layout.channels > 1:
        sizes = {**sizes, "C": layout.channels}
    return stacked(sizes, layout.shape)


def stacked(sizes: Mapping[str, int], plane: tuple[int, ...]) -> tuple[str, list[int]]:
    """Axes, in OME-Zarr's order, and shape of planes (y, x) or volumes (z, y, x)."""
    axes = "".join(a for a in "TCZ" if a in sizes)
    return axes.lower() + "zyx"[-len(plane) :], [*(sizes[a] for a in axes), *plane]


def plane_box(layout: Layout, axes: str, slices: Slices) -> tuple[int, tuple[int, int], Box]:
    """The one plane or volume that a shard is of: its number, its (t, z) and the box in it.

    Of a volume z is 0: its slices are in the box.

    Parameters
    ----------
    layout
        The image's.
    axes
        The result's, one lower-case letter for each of `slices`: ``tzyx``.
    slices
        The shard's place in the result, in pixels.
    """
    at = {a: s.start for a, s in zip(axes, slices, strict=True)}
    t, z = (at[a.lower()] if a in layout.iterated else 0 for a in "TZ")
    box = tuple((s.start, s.stop) for s in slices[-len(layout.shape) :])
    return t * layout.iterated.get("Z", 1) + z, (t, z), box
