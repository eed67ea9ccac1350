"""What one process has open of an image: its pixels, its banked tiles, tiles read lately."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from tilewright.contract.cache import Cache
from tilewright.contract.closing import Closing
from tilewright.contract.grid import Box, Interval, shape_of
from tilewright.contract.jobs import ImageRef, MergeOptions
from tilewright.contract.layout import ROUNDING
from tilewright.contract.spec import ModelSpec
from tilewright.merge.match.components import pieces
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.thumbnail import thumbnail
from tilewright.tile_results.bank import Bank, open_banks
from tilewright.tile_results.strips import Strips

from .bank_reader import BankReader
from .maps import ROOM, MergedMap

Array = np.ndarray
PIECE = 1 << 22  # pixels that are measured, or compared with the next slice's, at once
STRIPS = 1 << 25  # bytes of tiles' strips that are kept for what is done next
KEPT = 1 << 26  # bytes of decoded pixels that each of several processes keeps


@dataclass(frozen=True)
class MergeSource:
    """Where an image and its banks are, and how it is merged; may be pickled."""

    ref: ImageRef
    spec: ModelSpec
    banks: tuple[Path, ...]
    merge: MergeOptions


class MergeContext(Closing):
    """One process's own view of an image.

    Parameters
    ----------
    source
        What to open.
    banks
        The group's, where this process has opened them already.
    kept
        Bytes of decoded pixels that are kept; None is all that one process may.
    """

    def __init__(
        self, source: MergeSource, banks: Sequence[Bank] | None = None, kept: int | None = None
    ) -> None:
        self.source, self.merge = source, source.merge
        self._reader = TileReader(source.ref, source.spec, kept)
        self.layout, self.grid = self._reader.layout, self._reader.grid
        opened = open_banks(source.banks) if banks is None else banks
        self.banked = BankReader(source.ref.key, self.grid, opened)
        self._matches = self.merge.policy == "match"
        self._strips: Cache[tuple[int, int, int], Array] = Cache(STRIPS)
        self._pieces: Cache[tuple[int, int], Array] = Cache(ROOM)

    def raw(self, plane: int, window: Box) -> Array:
        """The image's own pixels in a window, (C, (z,) y, x), at the model's resolution.

        What can't be read of a damaged file is 0, and counted in `unread`.
        """
        return self._reader.raw(plane, window)

    def small(self, plane: int, z: int, sides: tuple[int, int]) -> Array:
        """All of a plane, or of a volume's slice, made small; see `thumbnail`.

        Parameters
        ----------
        plane, z
            Their numbers; z counts where the model takes slices.
        sides
            Of the small picture, (y, x), at most the file's own pixels.

        Returns
        -------
            (C, y, x) float64.
        """
        at = {"T": 0, "Z": z, **self.layout.planes[plane]}
        return thumbnail(self._reader.image, at, self.window, sides)

    @property
    def window(self) -> tuple[Interval, Interval]:
        """Rows and columns of level 0 that are read."""
        image, layout = self._reader.image, self.layout
        y, x = (
            (math.floor(o + ROUNDING), min(image.size(k), math.ceil(o + n / s - ROUNDING)))
            for k, o, n, s in zip("YX", layout.origin, layout.shape[-2:], layout.scale, strict=True)
        )
        return y, x

    @property
    def unread(self) -> int:
        """Values that `raw` gave as 0 since they can't be read, so far."""
        return self._reader.lost

    def lost(self, plane: int, box: Box) -> Array:
        """Which pixels of a box are of tiles that couldn't be read: ((z,) y, x) bool."""
        return self.banked.lost(plane, box)

    def read(self, plane: int) -> Callable[[int], Strips]:
        """What gives a plane's tiles: labels on the valid region, or classes on the core."""
        return partial(self._tile, plane)

    def pieces(self, plane: int) -> Callable[[int], Array]:
        """What gives the components of a plane's cores, each by itself: ((z,) y, x), 1..n."""
        return partial(self._core, plane)

    @cached_property
    def map(self) -> MergedMap:
        """Its tiles as a map."""
        return MergedMap(self.layout, self.banked, self.source.spec, self.merge.policy)

    def _core(self, plane: int, tile: int) -> Array:
        return self._pieces.get((plane, tile), partial(self._piece, plane, tile))

    def _piece(self, plane: int, tile: int) -> Array:
        core, connectivity = self.grid.tile(tile).core, self.merge.connectivity or 1
        return pieces(core, self._tile(plane, tile), connectivity).labels

    def _tile(self, plane: int, tile: int) -> Strips:
        at = self.grid.tile(tile)
        shape = shape_of(at.valid if self._matches else at.core)
        return Strips(shape, partial(self._strip, plane, tile))

    def _strip(self, plane: int, tile: int, number: int) -> Array:
        read = self.banked.labels if self._matches else self.banked.classes
        return self._strips.get((plane, tile, number), partial(read, plane, tile, number))

    def close(self) -> None:
        """Close the image."""
        self._reader.close()


def another(source: MergeSource) -> MergeContext:
    """Another process's context."""
    return MergeContext(source, kept=KEPT)


def halves(box: Box, most: int = PIECE) -> Iterator[Box]:
    """A box in pieces of at most so many pixels, in row-major order of what is cut."""
    sides = shape_of(box)
    if math.prod(sides) <= most:
        yield box
        return
    k = sides.index(max(sides))
    start, stop = box[k]
    middle = (start + stop + 1) // 2
    for part in ((start, middle), (middle, stop)):
        yield from halves((*box[:k], part, *box[k + 1 :]), most)
