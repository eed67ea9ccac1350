"""Hamamatsu NDPI: each page is one JPEG, cut up by its restart markers; focal planes are Z.

The pages whose SourceLens is a power are the slide; its macro picture (-1), which shows the label,
and its map (-2) aren't read. Places in files of more than 4 GB are of 64 bits, by bytes that no
TIFF has: what is such a file is told by its content.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright.contract.reading import opened
from tilewright.images.pixel_size import differ
from tilewright.images.source import unreadable

from .checks import segments
from .slide import (
    Said,
    Slide,
    by_tags,
    pixel_size,
    power,
    pyramid,
    size_of,
    steps_of,
    value_of,
    whole_pages,
)

STRIP, COUNT = 273, 279  # where a page's pixels are, and how many bytes
FORMAT, LENS, Z_OFFSET = 65420, 65421, 65424
SHEET = 12  # bytes of a tag
MOST_TAGS = 4096
EVEN = 0.01  # of the distances of focal planes
TAGS = "NDPI's resolution tags"


def is_ndpi(page: Any) -> bool:
    """Whether a file whose first page this is is one."""
    return FORMAT in page.tags


def has_wide_places(path: Path) -> bool:
    """Whether a TIFF's places are of 64 bits, as NDPI has them: its directory has NDPI's tag."""
    with opened(path) as file:
        start = file.read(12)
        place = int.from_bytes(start[4:], "little")
        if start[:4] != b"II*\0" or not len(start) <= place < file.seek(0, os.SEEK_END):
            return False
        file.seek(place)
        head = file.read(2)
        count = int.from_bytes(head, "little")
        if len(head) < 2 or not 0 < count <= MOST_TAGS:
            return False
        tags = file.read(SHEET * count)
    places = range(0, len(tags) - SHEET + 1, SHEET)
    return FORMAT in (int.from_bytes(tags[at : at + 2], "little") for at in places)


def ndpi(path: Path, file: tifffile.TiffFile) -> Slide:
    """An NDPI, by its pages."""
    pages = [page for page in whole_pages(file) if value_of(page, LENS) > 0]
    pages.sort(key=_place)
    for page in pages:
        _as_one(page)
    series, sizes = pyramid(path, pages, "NDPI")
    steps = steps_of(sizes)
    z_um, of_z = _distance(path, series)
    tags = [by_tags(level.keyframe, TAGS) for level in series.levels]
    mpp, who, remarks = pixel_size([tags[0], *_lower(tags, steps)])
    return Slide(
        "Hamamatsu NDPI",
        series,
        steps,
        sizes,
        mpp=mpp,
        mpp_from=who,
        magnification=power(series.keyframe.tags.valueof(LENS)),
        z_um=z_um,
        remarks=remarks + of_z,
    )


def _place(page: Any) -> int:
    """Where a page's focal plane is, in nm."""
    return int(value_of(page, Z_OFFSET))


def _as_one(page: Any) -> None:
    """Take a page's JPEG as one piece, where its intervals aren't the same tiles in each row."""
    size_of(page)  # it has one
    if page.jpegheader is None or len(page.dataoffsets) == segments(page):
        return
    page.tilewidth = page.tilelength = 0
    page.jpegheader = None
    for name, code in (("dataoffsets", STRIP), ("databytecounts", COUNT)):
        value = page.tags.valueof(code)
        setattr(page, name, value if isinstance(value, tuple) else (value,))


def _distance(path: Path, series: tifffile.TiffPageSeries) -> tuple[float | None, tuple[str, ...]]:
    """µm from a focal plane to the next, which the file has in nm."""
    if len(series) < 2:
        return None, ()
    places = [_place(page) for page in series]
    if len(set(places)) < len(places):
        raise unreadable(
            path,
            f"{len(places)} of its pages are the same focal plane, or of one size by chance",
            "Export it again.",
        )
    found = np.diff(places)
    if np.ptp(found) > EVEN * found.max():
        return None, ("Its focal planes aren't evenly apart: no distance of slices is known.",)
    return float(np.mean(found)) / 1000, ()


def _lower(tags: list[Said | None], steps: tuple[tuple[float, float], ...]) -> list[Said]:
    """What lower levels say of level 0's pixels; some have level 0's own, which says nothing."""
    first = tags[0]
    found = []
    for number, (said, step) in enumerate(zip(tags[1:], steps[1:], strict=True), 1):
        if said is None or said.mpp is None or first is None or first.mpp is None:
            continue
        own = (said.mpp[0] / step[0], said.mpp[1] / step[1])
        if differ(said.mpp, first.mpp):
            found.append(Said(f"those of level {number}", said.words, own))
    return found[:1]
