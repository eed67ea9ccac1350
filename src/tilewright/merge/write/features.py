"""`--features all`: every object is read back from the store, with the image's pixels around it.

Objects are whole there, whatever the seams. Those that lie in one part of the image are read
together; what is held of them goes through a file of the scratch folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tilewright.merge.measure.light import figures, names, solidity
from tilewright.merge.measure.tables import Measure, ObjectBoxes
from tilewright.stores.anndata import Rows, Table
from tilewright.stores.columns import OBJECT_COLUMNS
from tilewright.stores.pyramid import Handle

from .context import MergeContext
from .pool import ProcessPool

Array = np.ndarray
WIDEST = 4096
"""Pixels along a side: of wider objects nothing is measured here."""
MOST = 1 << 24  # pixels of a bounding box, which a volume of that width might have many more of
APART = {2: (1024, 1024), 3: (32, 256, 256)}  # objects that begin in such a box are read together
SMALL = {2: (512, 512), 3: (32, 128, 128)}  # others alone


@dataclass(frozen=True)
class Asked:
    """Some objects that one process measures.

    Parameters
    ----------
    path, axes
        Level 0 of their labels in the store, and its axes.
    boxes
        The objects; all of one plane.
    ring
        How wide the ring is, in pixels.
    sides
        How far pixels are apart along each axis, in pixels.
    """

    path: Path
    axes: str
    boxes: ObjectBoxes
    ring: int
    sides: tuple[float, ...]


class Beside:
    """Columns of numbers beside others.

    Parameters
    ----------
    parts
        Each (n, some).
    """

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = parts
        self.shape = (parts[0].shape[0], sum(part.shape[1] for part in parts))
        self.dtype = parts[0].dtype

    def __getitem__(self, rows: slice) -> Array:
        return np.concatenate([np.asarray(part[rows]) for part in self._parts], axis=1)


def with_light(
    table: Table,
    measure: Measure,
    pool: ProcessPool[MergeContext],
    handle: Handle,
    axes: str,
    scratch: Path,
    sides: tuple[float, ...],
) -> tuple[Table, int]:
    """A table with what `--features all` adds, and how many objects are too wide for it.

    Parameters
    ----------
    table, measure
        What there is of the objects.
    pool
        Whose processes measure.
    handle, axes
        The written labels, and their axes.
    scratch
        Where the numbers lie until the table is written.
    sides
        How far pixels are apart along each of an object's axes, in pixels.
    """
    found = measure.boxes()
    channels = [name.removeprefix("mean_") for name in table.var]
    columns = names(channels)
    scratch.mkdir(parents=True, exist_ok=True)
    held = np.lib.format.open_memmap(
        scratch / "light.npy", "w+", np.float32, (len(found.ids), len(columns) + 1)
    )
    held[...] = np.nan
    extent = found.stop - found.first
    wide = (extent.max(axis=1, initial=0) > WIDEST) | (extent.prod(axis=1) > MOST)
    ring = pool.here.merge.ring_px
    parts = list(_parts(found, np.flatnonzero(~wide)))
    asked = (Asked(handle.path / "0", axes, found.only(rows), ring, sides) for rows in parts)
    for rows, values in zip(parts, pool.map(measured, asked), strict=True):
        held[rows] = values
    held.flush()
    more = replace(
        table,
        obs={**table.obs, "solidity": _Column(held)},
        x=Beside([table.x, _Columns(held)]),
        var=(*table.var, *columns),
        columns={
            **table.columns,
            "solidity": OBJECT_COLUMNS["solidity"],
            "X": f"{table.columns['X']}; standard deviation, percentiles and median of an object's "
            f"pixels, and the same with the mean of a ring of {ring} px around it",
        },
    )
    return more, int(wide.sum())


class _Column:
    """The first column of numbers in a file."""

    def __init__(self, held: Array) -> None:
        self._held, self.shape, self.dtype = held, held.shape[:1], held.dtype

    def __getitem__(self, rows: slice) -> Array:
        return np.asarray(self._held[rows, 0])


class _Columns:
    """All others."""

    def __init__(self, held: Array) -> None:
        self._held, self.dtype = held, held.dtype
        self.shape = (held.shape[0], held.shape[1] - 1)

    def __getitem__(self, rows: slice) -> Array:
        return np.asarray(self._held[rows, 1:])


def _parts(found: ObjectBoxes, rows: Array) -> Iterator[Array]:
    """Rows of objects that are read together; one that isn't small, alone."""
    axes = found.first.shape[1]
    small = (found.stop[rows] - found.first[rows] <= SMALL[axes]).all(axis=1)
    yield from rows[~small][:, None]
    rows = rows[small]
    where = [found.planes[rows], found.first[rows] // APART[axes]]
    keys = np.concatenate(where, axis=1)
    order = np.lexsort(keys.T[::-1])
    if len(order):
        new = np.any(np.diff(keys[order], axis=0) != 0, axis=1)
        yield from np.split(rows[order], np.flatnonzero(new) + 1)


def measured(context: MergeContext, asked: Asked) -> Array:
    """Solidity and `light.figures` of some objects, (n, columns) float32."""
    boxes, ring = asked.boxes, asked.ring
    array = zarr.open_array(asked.path, mode="r")
    t, z = (int(n) for n in boxes.planes[0])
    shape = [array.shape[asked.axes.index(a)] for a in "zyx"[-boxes.first.shape[1] :]]
    rim = np.ceil(ring / np.array(asked.sides)).astype(int)
    starts = np.maximum(0, boxes.first - rim)
    stops = np.minimum(shape, boxes.stop + rim)
    low, high = starts.min(axis=0), stops.max(axis=0)
    window = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
    labels = _labels(array, asked.axes, window, t, z)
    pixels = _pixels(context, window, t, z)
    rows = []
    for label, start, stop, first, last in zip(
        boxes.ids, starts, stops, boxes.first, boxes.stop, strict=True
    ):
        around, own = (
            tuple(slice(int(a - c), int(b - c)) for a, b, c in zip(*edges, low, strict=True))
            for edges in ((start, stop), (first, last))
        )
        light = figures(labels[around], label, pixels[:, *around], ring, asked.sides)
        rows.append([solidity(labels[own] == label), *light])
    return np.asarray(rows, np.float32)


def _labels(array: Any, axes: str, window: Sequence[slice], t: int, z: int) -> Array:
    """Labels of a window of a plane, or of a time point's slices."""
    own = dict(zip("zyx"[-len(window) :], window, strict=True))
    index: dict[str, int | slice] = {"t": t, "z": z, **own}
    return np.asarray(array[tuple(index[a] for a in axes)])


def _pixels(context: MergeContext, window: Sequence[slice], t: int, z: int) -> Array:
    """The image's pixels there, (C, (z,) y, x)."""
    layout = context.layout
    box = tuple((s.start, s.stop) for s in window)
    slices = layout.iterated.get("Z", 1)
    if layout.deep:
        return context.raw(t, box)
    if len(box) == 2:
        return context.raw(t * slices + z, box)
    planes = range(*box[0])
    return np.stack([context.raw(t * slices + n, box[1:]) for n in planes], axis=1)
