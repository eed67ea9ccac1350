"""Who paints what, over all planes: the ids of every tile's objects, held once and by any process.

Some bytes for each object. Other processes map the same files, so they hold only what they use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from tilewright.contract.grid import Box, Grid
from tilewright.merge.match.components import Components
from tilewright.merge.match.labels import ReadLabels, Resolved
from tilewright.stores.ome_zarr import label_dtype
from tilewright.tile_results.objects import crop, paint_cores

Array = np.ndarray


@dataclass(frozen=True)
class Kept:
    """A plane of classes: each pixel is the tile's whose core it lies in. The policy `keep`."""

    grid: Grid
    count: int

    def compose(self, box: Box, read: ReadLabels) -> Array:
        """Classes of a box, ((z,) y, x); `read` gives those of a tile's core."""

        def own(i: int, part: Box) -> Array:
            return crop(read(i), self.grid.tile(i).core, part)

        return paint_cores(self.grid, box, label_dtype(self.count), own)


@dataclass(frozen=True)
class LabelAssignment:
    """All planes of an image.

    Parameters
    ----------
    count
        The greatest label.
    first
        (planes, tiles + 1) int64: where each tile's objects are in `ids`; none of kept classes.
    ids
        (objects,) the image's ids, 0 where dropped.
    role
        (objects,) uint8, of objects that were matched.
    connectivity
        Of components.
    agreement
        (count + 1,) float32, how far tiles agreed on each label; empty in other processes.
    """

    count: int
    first: Array = field(default_factory=lambda: np.zeros((0, 1), np.int64))
    ids: Array = field(default_factory=lambda: np.zeros(0, np.uint8))
    role: Array | None = None
    connectivity: int = 0
    agreement: Array = field(default_factory=lambda: np.ones(0, np.float32))

    @classmethod
    def of(
        cls, planes: Sequence[Resolved | Components], luts: Sequence[Array] | None
    ) -> LabelAssignment:
        """From its planes; `luts` give the image's id of each of a plane's, else they count on.

        Each of `luts` is (objects + 1,) int64, 0 first.
        """
        starts = np.cumsum([0, *(p.count for p in planes)])
        count = int(starts[-1]) if luts is None else max(int(lut.max()) for lut in luts)
        agreement = np.ones(count + 1, np.float32)
        dtype, found = label_dtype(count), []
        for n, plane in enumerate(planes):
            if isinstance(plane, Resolved) and len(plane.agreement):
                own = np.arange(1, plane.count + 1)
                own = starts[n] + own if luts is None else luts[n][own]
                np.minimum.at(agreement, own, plane.agreement[1:])
            if luts is not None:
                found.append(luts[n].astype(dtype)[plane.ids])
            else:
                ids = plane.ids.astype(dtype)
                ids[ids > 0] += dtype.type(starts[n])
                found.append(ids)
        rows = np.cumsum([0, *(len(p.ids) for p in planes)])
        first = np.stack([p.first + at for p, at in zip(planes, rows, strict=False)])
        one = planes[0]
        if isinstance(one, Components):
            return cls(count, first, np.concatenate(found), None, one.connectivity, agreement)
        role = np.concatenate([p.role for p in planes if isinstance(p, Resolved)])
        agreement[0] = 1
        return cls(count, first, np.concatenate(found), role, agreement=agreement)

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer that holds `count`."""
        return label_dtype(self.count)

    def plane(self, number: int, grid: Grid) -> Components | Kept | Resolved:
        """One of its planes."""
        if not len(self.first):
            return Kept(grid, self.count)
        if self.role is None:
            return Components(grid, self.first[number], self.ids, self.connectivity, self.count)
        return Resolved(grid, self.first[number], self.ids, self.role, self.count)

    def save(self, folder: Path) -> Stored:
        """Write its arrays where other processes can map them."""
        folder.mkdir(parents=True)
        for name in ("first", "ids", "role"):
            if (array := getattr(self, name)) is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
        return Stored(folder, self.count, self.connectivity)


@dataclass(frozen=True)
class Stored:
    """Where a painting's arrays are; may be pickled."""

    folder: Path
    count: int
    connectivity: int


@lru_cache(maxsize=2)
def opened(painting: Stored) -> LabelAssignment:
    """A painting that maps its arrays."""
    arrays = {
        path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
        for path in painting.folder.glob("*.npy")
    }
    return LabelAssignment(painting.count, connectivity=painting.connectivity, **arrays)
