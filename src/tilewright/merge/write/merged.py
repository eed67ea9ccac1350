"""An image's labels, put together by the policy of its model: painted, counted and measured once.

`labels` says how objects are matched, `components` how pixels of a class hang together; classes
that are kept need nothing but their cores. Rows of tiles are compared by any process, this one
joins them, and blocks of the store are composed and written by any process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tilewright.contract.grid import Box, Grid
from tilewright.merge.match.components import Components, Touch, join, row_touches
from tilewright.merge.match.groups import Edges
from tilewright.merge.match.labels import Pair, Resolved, resolve, row_pairs
from tilewright.merge.match.slices import StackCounts, batches, count_stack, join_slices
from tilewright.merge.measure.seam import SeamCounts, SeamMeter, grown
from tilewright.merge.measure.tables import BoxMeasures, Measure
from tilewright.stores.ome_zarr import Placement, Slices, StoreWriter
from tilewright.stores.pyramid import Handle, Pyramid
from tilewright.tile_results.objects import BOX, crop, paint_cores, row, rows

from .assignment import LabelAssignment, Stored, opened
from .bank_reader import plane_box, stack_axes
from .context import MergeContext, halves
from .pool import ProcessPool

Array = np.ndarray
REGION = 1 << 24  # pixels of a slice that are compared with the next one's at once


class Merged:
    """An image's labels over all its planes.

    Parameters
    ----------
    context
        This process's view of the image.
    pool
        The processes that work on it.
    scratch
        A folder for what other processes need; it may be there when they are used.
    """

    def __init__(
        self, context: MergeContext, pool: ProcessPool[MergeContext], scratch: Path
    ) -> None:
        self._context, self._pool, self._scratch = context, pool, scratch
        self.image, self.grid = context, context.grid
        self._painting = self._linked()
        self.count, self.agreement = self._painting.count, self._painting.agreement
        self.dtype = self._painting.dtype
        self.meter = SeamMeter(context.grid)
        keeps = context.merge.policy == "keep"
        self.measure = None if keeps else measure_of(context, self.count)
        self.pyramid: Pyramid | None = None

    def _linked(self) -> LabelAssignment:
        context = self._context
        policy = context.merge.policy
        if policy == "keep":
            return LabelAssignment(context.banked.most)
        items = (
            (p, r) for p in range(len(context.layout.planes)) for r in range(rows(context.grid))
        )
        found: list[Resolved | Components]
        if policy == "components":
            found = list(self._components(self._pool.map(touches_of, items)))
        else:
            found = list(self._resolved(self._pool.map(matches_of, items)))
        if context.merge.link_z != "iou":
            return LabelAssignment.of(found, None)
        counts = [p.count for p in found]
        own = LabelAssignment.of(found, [np.arange(n + 1) for n in counts])
        return LabelAssignment.of(found, self._link_slices(counts, own))

    def _resolved(self, found: Iterator[tuple[list[Array], list[Pair]]]) -> Iterator[Resolved]:
        """Each plane, from its rows of tiles."""
        for _ in self._context.layout.planes:
            tables: list[Array] = []
            matches: list[Pair] = []
            for some, pairs in islice(found, rows(self.grid)):
                tables += some
                matches += pairs
            yield resolve(self.grid, tables, Edges.of(matches, tables))

    def _components(self, found: Iterator[tuple[Array, list[Touch]]]) -> Iterator[Components]:
        for _ in self._context.layout.planes:
            each = islice(found, rows(self.grid))
            yield join(self.grid, each, self._context.merge.connectivity or 1)

    def _link_slices(self, counts: Sequence[int], painting: LabelAssignment) -> list[Array]:
        """For each plane, the image's id of each of its labels; a time point after the other."""
        slices = self._context.layout.iterated.get("Z", 1)
        regions = list(regions_of(self.grid))
        shown = self._shown(painting, "planes")
        found: list[Array] = []
        last = 0
        for start in range(0, len(counts), slices):
            own = tuple(counts[start : start + slices])
            parts = (
                Batch(shown, start + some.start, own[some], region)
                for some in batches(own)
                for region in regions
            )
            counted = self._pool.map(count_batch, parts)
            of_each = (islice(counted, len(regions)) for _ in batches(own))
            linked = join_slices(own, of_each, self._context.merge.min_iou)
            found += [np.where(ids > 0, ids + last, 0) for ids in linked]
            last = max(last, *(int(ids.max()) for ids in found[start:]))
        return found

    def _shown(self, painting: LabelAssignment, name: str) -> LabelAssignment | Stored:
        """A painting as the pool can have it."""
        return painting if self._pool.processes == 1 else painting.save(self._scratch / name)

    def labels(self, plane: int, box: Box) -> Array:
        """Labels of a box of a plane, ((z,) y, x), each object's own in the whole image."""
        return composed(self._context, self._painting, plane, box)

    def by_tile(self, plane: int, box: Box) -> Array:
        """What each tile found in its core by itself, as if nothing were matched: for a picture.

        ((z,) y, x) int64, 0 the background.
        """
        read = self._context.read(plane)

        def own(i: int, part: Box) -> Array:
            tile = self.grid.tile(i)
            whole = tile.valid if self._context.merge.policy == "match" else tile.core
            found = crop(read(i), whole, part).astype(np.int64)
            return np.where(found > 0, found + (i << 32), 0)

        return paint_cores(self.grid, box, np.dtype(np.int64), own)

    def write(self, store: StoreWriter, where: str, place: Placement) -> tuple[str, list[int]]:
        """Write the label pyramid, of which axes and shape come back.

        The seam meter and the measurements see every piece once, in the order of the blocks.

        Parameters
        ----------
        store
            Where it is written.
        where
            Its group in the store: ``labels/<task>``.
        place
            Where model pixels lie on the image.
        """
        axes, shape = stack_axes(self._context.layout)
        pyramid = store.pyramid(
            where,
            shape,
            self.dtype,
            axes=axes,
            method="nearest",
            placement=place,
            deep=self._context.layout.deep,
        )
        shown = self._shown(self._painting, "image")
        blocks = (LabelBlock(shown, pyramid.handle(), axes, s) for s in pyramid.blocks())
        for counted, measured in self._pool.map(write_block, blocks):
            self.meter.include(counted)
            for part in measured:
                if self.measure is not None:
                    self.measure.include(part)
        pyramid.build(self._pool.each)
        self.pyramid = pyramid
        return axes, shape

    def sbe(self) -> float | None:
        """Seam boundary excess, where it is defined."""
        found = self.meter.value()
        return None if found is None else round(found, 4)


def matches_of(context: MergeContext, at: tuple[int, int]) -> tuple[list[Array], list[Pair]]:
    """A plane's row of tiles: its object tables, (objects, columns) uint32, and what matches.

    `at` is the plane's number and the row's.
    """
    plane, number = at
    tables: dict[int, Array] = {}

    def table(tile: int) -> Array:
        if tile not in tables:
            tables[tile] = context.banked.objects(plane, tile)[:, :BOX].astype(np.uint32)
        return tables[tile]

    matches = row_pairs(context.grid, number, context.read(plane), table, context.merge.min_iou)
    found = list(matches)
    return [table(i) for i in row(context.grid, number)], found


def touches_of(context: MergeContext, at: tuple[int, int]) -> tuple[Array, list[Touch]]:
    """A plane's row of tiles: its pieces, (tiles,) int64, and what they touch.

    `at` is the plane's number and the row's.
    """
    plane, number = at
    return row_touches(context.grid, number, context.read(plane), context.merge.connectivity or 1)


@dataclass(frozen=True)
class Batch:
    """A region of some of a time point's slices, `start` the first; `counts` are their objects."""

    painting: LabelAssignment | Stored
    start: int
    counts: tuple[int, ...]
    region: Box


def regions_of(grid: Grid, most: int = REGION) -> Iterator[Box]:
    """Boxes of at most so many pixels; they cover a slice."""
    return halves(tuple((0, n) for n in grid.shape), most)


def count_batch(context: MergeContext, batch: Batch) -> StackCounts:
    """What `slices` counts of a region: each tile of a slice is read about once."""
    painting = _open(batch.painting)
    pieces = list(halves(batch.region))
    return count_stack(
        batch.counts, pieces, lambda z, box: composed(context, painting, batch.start + z, box)
    )


@dataclass(frozen=True)
class LabelBlock:
    """What one process composes and writes."""

    painting: LabelAssignment | Stored
    handle: Handle
    axes: str
    slices: Slices


def write_block(context: MergeContext, block: LabelBlock) -> tuple[SeamCounts, list[BoxMeasures]]:
    """Compose and write a block of the store; what was counted and measured comes back."""
    plane, position, box = plane_box(context.layout, block.axes, block.slices)
    measure = None if context.merge.policy == "keep" else measure_of(context, 0)
    next_to, rim = grown(box, context.grid), measure.rim if measure else 0
    around = _rimmed(box, rim, context.grid) if rim else next_to
    canvas = composed(context, _open(block.painting), plane, around)
    counted = SeamMeter(context.grid).count(box, crop(canvas, around, next_to), plane)
    measured: list[BoxMeasures] = []
    if measure is not None:
        for piece in halves(box):
            mine, pixels = crop(canvas, around, piece), context.raw(plane, piece)
            wide = _rimmed(piece, rim, context.grid)
            inner = [slice(a - b, c - b) for (a, c), (b, _) in zip(piece, wide, strict=True)]
            corner, with_rim = [a for a, _ in piece], (crop(canvas, around, wide), inner)
            measured.append(measure.part(mine, pixels, corner, position, with_rim))
    mine = crop(canvas, around, box)
    block.handle.write(block.slices, mine.reshape([s.stop - s.start for s in block.slices]))
    return counted, measured


def _rimmed(box: Box, rim: int, grid: Grid) -> Box:
    """A box and so many pixels around it, as far as the image goes."""
    sides = zip(box, grid.shape, strict=True)
    return tuple((max(0, start - rim), min(n, stop + rim)) for (start, stop), n in sides)


def composed(context: MergeContext, painting: LabelAssignment, plane: int, box: Box) -> Array:
    """Labels of a box of a plane, ((z,) y, x) of the painting's dtype.

    Parameters
    ----------
    context
        Where the tiles are.
    painting
        Who paints what.
    plane
        Its number over time points and slices.
    box
        In pixels of the plane, inside it.
    """
    found = painting.plane(plane, context.grid)
    if isinstance(found, Components):
        return found.paint(box, context.pieces(plane))
    return found.compose(box, context.read(plane))


def measure_of(context: MergeContext, count: int) -> Measure:
    """What measures an image of so many objects."""
    at = context.layout
    volumes = context.merge.link_z == "iou" or at.deep
    side = max(*at.shape, *at.iterated.values())
    kinds = {"volumes": volumes, "shapes": context.merge.features != "basic"}
    return Measure(count, channels=at.channels, dtype=at.dtype, side=side, **kinds)


def _open(painting: LabelAssignment | Stored) -> LabelAssignment:
    return opened(painting) if isinstance(painting, Stored) else painting
