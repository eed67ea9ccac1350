"""Labels as OME-TIFF: tiled, with their pyramid, in the integers that the store has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.files import atomic
from tilewright.errors import TilewrightError
from tilewright.export.planes import strips, tiles
from tilewright.export.store import Result, Seen

TILE = 512  # side, px
BIG = 1 << 31  # bytes from which it is a BigTIFF
MOST_BYTES = 4  # of a value: OME's uint32; Bio-Formats has no longer integer


def write(store: Path, path: Path) -> None:
    """Write a store's labels with the levels above, ``(t,) (z,) y, x``.

    Raises
    ------
    TilewrightError
        When labels take more than 32 bits.
    """
    result = Result(store)
    finest, *above = result.levels
    if finest.dtype.itemsize > MOST_BYTES:
        raise TilewrightError(
            f"{store}: its labels take 64 bits, and OME-TIFF holds 32.",
            fix="Export it as geojson, or as spatialdata.",
        )
    above = [level for level in above if level.shape[:-2] == finest.shape[:-2]]  # of a volume
    with (
        atomic(path) as part,
        tifffile.TiffWriter(part, bigtiff=finest.nbytes > BIG, ome=True) as file,
    ):
        _level(file, result, finest, subifds=len(above), metadata=_about(result))
        for level in above:
            _level(file, result, level, subfiletype=1, metadata=None)


def _level(file: tifffile.TiffWriter, result: Result, level: Any, **more: Any) -> None:
    rows, seen = strips(level, result.axes), Seen(result)
    finest = level is result.levels[0]  # those above lack what is small
    file.write(
        tiles(seen.of(rows) if finest else rows, TILE),
        shape=level.shape,
        dtype=np.dtype(level.dtype),
        tile=(TILE, TILE),
        compression="zlib",
        photometric="minisblack",
        **more,
    )
    if finest:
        seen.check()


def _about(result: Result) -> dict[str, Any]:
    """What OME-XML says of it."""
    sizes = {f"PhysicalSize{a.upper()}": um for a, um in result.um.items()}
    units = {f"PhysicalSize{a.upper()}Unit": "µm" for a in result.um}
    return {"axes": result.axes.upper(), "Name": result.name, **sizes, **units}
