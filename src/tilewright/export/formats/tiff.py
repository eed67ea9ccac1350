"""Labels as a TIFF that ImageJ itself opens: strips, 8 or 16 bits, a stack where there are planes.

ImageJ takes no tiles and no BigTIFF, of 32 bits only floating point, and of a stack it reads one
page's offset and takes the others to follow: a stack can't be compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.files import atomic
from tilewright.errors import TilewrightError
from tilewright.export.planes import ROWS, strips
from tilewright.export.store import Result, Seen

MOST_LABELS = np.iinfo(np.uint16).max
MOST_BYTES = (1 << 32) - (1 << 26)  # of a file without 64-bit offsets; the rest is for its head
MOST_PIXELS = (1 << 31) - 1  # of a plane: a Java array's
STRIP_ROWS = 64
USE_OME = "Export it as ome-tiff, which holds 32 bits and files of any size."


def write(store: Path, path: Path) -> None:
    """Write a store's labels, ``(t,) (z,) y, x``.

    Raises
    ------
    TilewrightError
        When there are more labels or pixels than ImageJ takes.
    """
    result = Result(store)
    sizes, most = result.sizes, result.most
    if most > MOST_LABELS and result.is_classes:
        most = MOST_LABELS  # classes are few; those that aren't fail below
    if most > MOST_LABELS:
        raise TilewrightError(
            f"{store}: it has {most:,} labels, and an ImageJ TIFF holds {MOST_LABELS:,} (16 bits).",
            fix=USE_OME,
        )
    dtype = np.dtype(np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16)
    pixels = sizes["y"] * sizes["x"]
    if pixels > MOST_PIXELS or pixels * sizes["t"] * sizes["z"] * dtype.itemsize > MOST_BYTES:
        raise TilewrightError(
            f"{store}: it has {sizes['t'] * sizes['z']:,} planes of {sizes['y']:,} x "
            f"{sizes['x']:,} px, and ImageJ opens TIFFs up to 4 GB, planes up to 2^31 px.",
            fix=USE_OME,
        )
    with atomic(path) as part:
        _write(result, part, dtype.newbyteorder(">"))


def _write(result: Result, path: Path, dtype: np.dtype[Any]) -> None:
    sizes, um = result.sizes, result.um
    resolution = (1 / um["x"], 1 / um["y"]) if "x" in um else None
    seen = Seen(result)
    single = sizes["t"] * sizes["z"] == 1
    packed: dict[str, Any] = {"compression": "zlib", "rowsperstrip": STRIP_ROWS} if single else {}
    unit = {"unit": "um", "spacing": um.get("z", 1.0)} if resolution else {}
    tifffile.imwrite(
        path,
        _parts(result, seen, dtype, packed=single),
        shape=tuple(sizes[a] for a in result.axes),
        dtype=dtype,
        imagej=True,
        byteorder=">",
        resolution=resolution,
        metadata={"axes": result.axes.upper(), **unit},
        **packed,
    )
    seen.check()


def _parts(result: Result, seen: Seen, dtype: np.dtype[Any], *, packed: bool) -> Iterator[bytes]:
    """The file's strips, compressed or as they are."""
    for rows in seen.of(strips(result.levels[0], result.axes, ROWS)):
        if rows.max(initial=0) > np.iinfo(dtype).max:
            raise TilewrightError(
                f"{result.path}: a label is over {MOST_LABELS:,} (16 bits).", fix=USE_OME
            )
        for top in range(0, len(rows), STRIP_ROWS):
            strip = rows[top : top + STRIP_ROWS].astype(dtype).tobytes()
            yield zlib.compress(strip, 6) if packed else strip
