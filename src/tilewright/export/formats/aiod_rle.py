"""Labels as run lengths for AI OnDemand's plugin: a slice, and of it a strip, is in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tilewright.errors import TilewrightError
from tilewright.export import rle
from tilewright.export.store import Result
from tilewright.images.image import Image, open_image

from .aiod_tiff import STRIP, read_part


def write(store: Path, path: Path, *, binary: bool = False) -> None:
    """Write a store's labels; a volume's slices come one after the other.

    Parameters
    ----------
    store
        With labels; of several timepoints the first counts.
    path
        The file; it appears when it is whole.
    binary
        Everything that is found is one object.

    Raises
    ------
    TilewrightError
        When there are more labels than the format holds, or the store can't be read.
    """
    with open_image(store / "labels" / Result(store).name) as image:
        slices = (_slice(image, z, binary) for z in range(image.size("Z")))
        rle.write(path, slices, "binary" if binary else "instance")


def _slice(image: Image, z: int, binary: bool) -> Any:
    """A slice's entries, gathered strip by strip."""
    runs = rle.ColumnRuns((image.size("Y"), image.size("X")))
    for start in range(0, image.size("X"), STRIP):
        strip = read_part(image, z, X=slice(start, start + STRIP))
        if not binary and strip.max(initial=0) > rle.MOST_LABELS:
            raise TilewrightError(
                f"It has more than {rle.MOST_LABELS:,} labels, and the format rle holds no more.",
                fix="Choose tiff as the output format and run again.",
            )
        runs.add(strip)
    return runs.foreground() if binary else runs.objects()
