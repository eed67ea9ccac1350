"""The peak memory, in MB, of a process that banks and merges an image: `lattice.py FOLDER SIDE`.

Discs of 20 px, one every 40 px, on an image that compresses to nothing. Whatever is held of an
image is made small, so that an image of some megapixels is a big one.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from banking import merge_all, write_banks
from pictures import reference

from tilewright.contract.grid import Grid, Tile
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.images import source
from tilewright.merge.measure import picture, whole
from tilewright.merge.write import context, maps
from tilewright.preprocess import thumbnail
from tilewright.stores import pyramid

Array = np.ndarray[Any, Any]
TILE = TileSpec({"y": 200, "x": 200}, band={"y": 24, "x": 24}, variable_input=True)


def discs(_: str, __: int, ___: Grid, tile: Tile) -> Array:
    """Labels of a tile's window."""
    y, x = np.ogrid[tuple(slice(a, b) for a, b in tile.window)]
    inside = np.hypot(y % 40 - 20, x % 40 - 20) < 10
    return np.where(inside, y // 40 * 1000 + x // 40 + 1, 0)


def hold_little() -> None:
    """Shards, pieces, pictures, tiles and decoded chunks: each at most about a megabyte."""
    pyramid.CHUNK, pyramid.SHARD, pyramid.BLOCK_BYTES = 128, 256, 1 << 18
    picture.WHOLE = picture.CROP = whole.SIDE = 256
    source.CACHE_BYTES, context.PIECE = 1 << 20, 1 << 16
    context.ROOM = maps.ROOM = thumbnail.BAND_BYTES = 1 << 20


def main(folder: Path, side: int) -> None:
    """Bank, merge, print."""
    hold_little()
    shape = (side, side)
    tifffile.imwrite(
        folder / "a.tif", np.zeros(shape, np.uint8), tile=(256, 256), compression="zlib"
    )
    ref = reference(folder / "a.tif", np.broadcast_to(np.uint8(0), shape), "YX")
    spec = ModelSpec("lattice", "1", TILE)
    banks = write_banks(folder / "banks", [replace(ref, key="i000", id="a")], spec, discs)
    merge_all(banks, folder / "out", spec)
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
