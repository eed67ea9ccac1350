"""An image's labels, put together by the policy of its model: painted, counted and measured once.

`labels` says how objects are matched, `components` how pixels of a class hang together; classes
that are kept need nothing but their cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np

from tilewright.preprocess import TileReader
from tilewright.store import Placement, StoreWriter, label_dtype
from tilewright.tiling import Box, Grid

from .banked import Banked, is_deep, plane_box, stack_axes
from .components import link_components
from .labels import link
from .objects import crop, paint_cores
from .seam import SeamMeter, grown
from .slices import link_slices
from .tables import Measure

Array = np.ndarray[Any, Any]
KEPT = 16  # tiles: those that meet a shard, and its neighbour's


class Plane(Protocol):
    """One plane's labels, of any box."""

    @property
    def count(self) -> int:
        """The greatest label."""

    def compose(self, box: Box, read: Callable[[int], Array]) -> Array:
        """Labels of a box; `read` gives a tile's own."""


@dataclass(frozen=True)
class Kept:
    """A plane of classes: each pixel is the tile's whose core it lies in. The policy `keep`."""

    grid: Grid
    count: int

    def compose(self, box: Box, read: Callable[[int], Array]) -> Array:
        """Classes of a box; `read` gives those of a tile's core."""
        return paint_cores(self.grid, box, label_dtype(self.count), read)


class Merged:
    """An image's labels over all its planes.

    Parameters
    ----------
    reader, banked
        The image and its tiles.
    merge
        The policy and its options.
    """

    def __init__(self, reader: TileReader, banked: Banked, merge: dict[str, Any]) -> None:
        self.reader = reader
        self.grid = reader.grid
        self.banked = banked
        self._keeps_valid = merge["policy"] == "match"
        read = banked.labels if self._keeps_valid else banked.classes
        self._read = lru_cache(maxsize=KEPT)(read)  # boxes share tiles
        self.planes = [self._plane(p, merge) for p in range(len(reader.planes))]
        counts = [p.count for p in self.planes]
        keeps = merge["policy"] == "keep"
        linked = self._link_slices(merge) if merge.get("link_z") == "iou" else None
        self.count = max(counts) if keeps else sum(counts)
        if linked is not None:
            self.count = max(int(ids.max()) for ids in linked)
        self.offsets = [0 if keeps else sum(counts[:i]) for i in range(len(counts))]
        self.dtype = label_dtype(self.count)
        self._volumes = linked and [ids.astype(self.dtype) for ids in linked]
        self.meter = SeamMeter(self.grid)
        self.measure = None if keeps else self._measure()

    def _plane(self, plane: int, merge: dict[str, Any]) -> Plane:
        read = partial(self._read, plane)
        if merge["policy"] == "keep":
            return Kept(self.grid, self.banked.most)
        if merge["policy"] == "components":
            return link_components(self.grid, read, merge.get("connectivity", 1))
        tables = [self.banked.objects(plane, t) for t in range(len(self.grid))]
        return link(self.grid, read, tables, merge["min_iou"])

    def _measure(self) -> Measure:
        channels, dtype = self.reader.channels, self.reader.dtype
        volumes = self._volumes is not None or is_deep(self.reader)
        return Measure(self.count, channels=channels, dtype=dtype, volumes=volumes)

    def _link_slices(self, merge: dict[str, Any]) -> list[Array]:
        """For each plane, the image's id of each of its labels; a time point after the other."""
        slices = self.reader.looped.get("Z", 1)
        boxes = [tile.core for tile in self.grid]
        found: list[Array] = []
        last = 0
        for first in range(0, len(self.planes), slices):
            counts = [p.count for p in self.planes[first : first + slices]]

            def read(z: int, box: Box, first: int = first) -> Array:
                return self._compose(first + z, box)

            linked = link_slices(counts, boxes, read, merge["min_iou"])
            found += [np.where(ids > 0, ids + last, 0) for ids in linked]
            last = max(int(ids.max()) for ids in found)
        return found

    def _compose(self, plane: int, box: Box) -> Array:
        """Labels of a box, each object's own in its plane."""
        return self.planes[plane].compose(box, partial(self._read, plane))

    def labels(self, plane: int, box: Box) -> Array:
        """Labels of a box of a plane, each object's own in the whole image."""
        if self._volumes is not None:
            return self._volumes[plane][self._compose(plane, box)]
        labels = self._compose(plane, box).astype(self.dtype)
        labels[labels > 0] += self.dtype.type(self.offsets[plane])
        return labels

    def by_tile(self, plane: int, box: Box) -> Array:
        """What each tile found in its core by itself, as if nothing were matched: for a picture."""

        def own(i: int) -> Array:
            tile, found = self.grid.tile(i), self._read(plane, i).astype(np.int64)
            found = crop(found, tile.valid, tile.core) if self._keeps_valid else found
            return np.where(found > 0, found + (i << 32), 0)

        return paint_cores(self.grid, box, np.dtype(np.int64), own)

    def write(self, store: StoreWriter, where: str, place: Placement) -> tuple[str, list[int]]:
        """Write the label pyramid, of which axes and shape come back.

        The seam meter and the measurements see every box once.
        """
        axes, shape = stack_axes(self.reader)
        pyramid = store.pyramid(
            where,
            shape,
            self.dtype,
            axes=axes,
            method="nearest",
            placement=place,
            deep=is_deep(self.reader),
        )
        for slices in pyramid.blocks():
            plane, position, box = plane_box(self.reader, axes, slices)
            wide = self.labels(plane, grown(box, self.grid))
            self.meter.add(box, wide)
            mine = wide[tuple(slice(b - a) for a, b in box)]
            if self.measure is not None:
                pixels = self.reader.raw(plane, box)
                self.measure.add(mine, pixels, [start for start, _ in box], plane=position)
            pyramid.write(slices, mine.reshape([s.stop - s.start for s in slices]))
        pyramid.build()
        return axes, shape

    def facts(self) -> dict[str, Any]:
        """What the report and the store say of the merge."""
        sbe = self.meter.value()
        return {"sbe": None if sbe is None else round(sbe, 4)}
