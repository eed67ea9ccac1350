"""A store's labels read as planes for TIFFs: strips or tiles, some rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROWS = 2048  # read at once: a row of shards
SLAB_BYTES = 1 << 28
"""Of a volume's slices that lie in the same chunks: up to so many are held, not read again."""


def strips(array: Any, axes: str, rows: int = ROWS) -> Iterator[Array]:
    """All planes of an array, time points and then slices, as strips of rows.

    Parameters
    ----------
    array
        Level of a pyramid.
    axes
        Its axes, a subset of ``tzyx`` that ends in ``yx``.
    rows
        Of a strip; the last of a plane may have fewer.

    Yields
    ------
        (rows, width), from above; in the array's dtype.
    """
    sizes = dict.fromkeys("tzyx", 1) | dict(zip(axes, array.shape, strict=True))
    deep = dict(zip(axes, array.chunks, strict=True)).get("z", 1)
    held = deep > 1 and deep * sizes["y"] * sizes["x"] * array.dtype.itemsize <= SLAB_BYTES
    for t in range(sizes["t"]):
        for z in range(sizes["z"]):
            if held and z % deep == 0:
                slab = _read(array, axes, t=t, z=slice(z, z + deep))
            for top in range(0, sizes["y"], rows):
                y = slice(top, top + rows)
                yield slab[z % deep, y] if held else _read(array, axes, t=t, z=z, y=y)


def _read(array: Any, axes: str, **at: int | slice) -> Array:
    return np.asarray(array[tuple(at.get(a, slice(None)) for a in axes)])


def tiles(rows: Iterable[Array], side: int) -> Iterator[Array]:
    """Strips as square tiles in a TIFF's order, filled with 0 past the end."""
    for strip in rows:
        below, right = (-n % side for n in strip.shape)
        padded = np.pad(strip, [(0, below), (0, right)])
        for y in range(0, padded.shape[0], side):
            for x in range(0, padded.shape[1], side):
                yield np.ascontiguousarray(padded[y : y + side, x : x + side])
