"""Labels as run lengths for AI OnDemand's plugin: a slice, and of it a strip, is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tilewright.errors import TilewrightError
from tilewright.export import rle
from tilewright.export.store import Result, Seen
from tilewright.images.image import Image, open_image

from .aiod_tiff import STRIP, Array, parts_of


def write(store: Path, path: Path, *, binary: bool = False) -> None:
    """Write a store's labels; a volume's slices come one after the other.

    Of several timepoints the first counts; `binary` is one label of all objects.

    Raises
    ------
    TilewrightError
        When there are more labels than the format holds, or the store can't be read.
    """
    result = Result(store)
    with open_image(store / "labels" / result.name) as image:
        rle.write(path, _slices(image, result, binary), "binary" if binary else "instance")


def _slices(image: Image, store: Result, binary: bool) -> Iterator[Any]:
    """Each slice's entries."""
    seen = Seen(store)
    strips = seen.of(parts_of(image, "X"))
    for _ in range(image.size("Z")):
        yield _slice(image, islice(strips, -(-image.size("X") // STRIP)), binary)
    if store.sizes["t"] == 1:  # else the others' objects are lacking
        seen.check()


def _slice(image: Image, strips: Iterable[Array], binary: bool) -> Any:
    """A slice's entries, gathered strip by strip."""
    runs = rle.ColumnRuns((image.size("Y"), image.size("X")))
    for strip in strips:
        if not binary and strip.max(initial=0) > rle.MOST_LABELS:
            raise TilewrightError(
                f"It has more than {rle.MOST_LABELS:,} labels, and the format rle holds no more.",
                fix="Choose tiff as the output format and run again.",
            )
        runs.add(strip)
    return runs.foreground() if binary else runs.objects()
