"""Labels as TIFF for AI OnDemand's plugin, tile by tile: one strip is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from tilewright.contract.files import atomic
from tilewright.export.planes import tiles
from tilewright.export.store import Result, Seen
from tilewright.images.image import Image, open_image

Array = np.ndarray
STRIP = 2048  # columns or rows read at once: a shard
TILE = 512  # side of a TIFF's tiles
BIG = 1 << 31  # bytes from which a TIFF is a BigTIFF


def write(store: Path, path: Path, *, binary: bool = False) -> None:
    """Write a store's labels as a tiled TIFF, ``(z,) y, x``, of their own dtype.

    Of several timepoints the first counts; `binary` is one label of all objects.

    Raises
    ------
    TilewrightError
        When the store can't be read.
    """
    result = Result(store)
    with open_image(store / "labels" / result.name) as image:
        write_tiff(image, result, path, binary=binary)


def read_part(image: Image, z: int, **where: slice) -> Array:
    """Part of a slice of the first timepoint, ``(y, x)``, in the labels' own dtype."""
    return image.read(0, {**dict.fromkeys("TC", 0), "Z": z, **where})


def write_tiff(image: Image, store: Result, path: Path, *, binary: bool) -> None:
    """Write a tiled TIFF of an opened image.

    Parameters
    ----------
    image, store
        The labels, and what they are of.
    path, binary
        As of `write`.
    """
    depth, height, width = (image.size(a) for a in "ZYX")
    dtype = np.dtype(np.uint8) if binary else image.dtype
    shape = (depth, height, width) if depth > 1 else (height, width)
    seen = Seen(store)
    with atomic(path) as part:
        tifffile.imwrite(
            part,
            _tiles(seen.of(parts_of(image, "Y")), binary),
            shape=shape,
            dtype=dtype,
            tile=(TILE, TILE),
            compression="zlib",
            photometric="minisblack",
            bigtiff=depth * height * width * dtype.itemsize > BIG,
            metadata={"axes": "ZYX"[-len(shape) :]},
        )
        if store.sizes["t"] == 1:  # else the others' objects are lacking
            seen.check()


def _tiles(rows: Iterable[Array], binary: bool) -> Iterator[Array]:
    """The TIFF's tiles in its own order, filled with 0 past the image's end."""
    for some in rows:
        yield from tiles([(some > 0).astype(np.uint8) if binary else some], TILE)


def parts_of(image: Image, axis: str) -> Iterator[Array]:
    """All slices of the first timepoint in strips along an axis, ``(y, x)``, of their own dtype."""
    for z in range(image.size("Z")):
        for at in range(0, image.size(axis), STRIP):
            yield read_part(image, z, **{axis: slice(at, at + STRIP)})
