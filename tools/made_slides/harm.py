"""What can be wrong with a slide's file: a tile whose bytes are no picture, an end that is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tifffile

HOW = ("whole", "half", "hole", "zeros")


def corrupt_tile(path: Path, level: int = 0, how: str = "whole", at: float = 0.5) -> dict[str, Any]:
    """Overwrite a tile's bytes in a TIFF or NDPI, and nothing else.

    Parameters
    ----------
    level
        Which level.
    how
        whole: none of its bytes are left; half: its first half is, so that a decoder begins;
        hole: its middle third is 0, as where a copy has a hole; zeros: all of it is.
    at
        Where in the row of tiles that have bytes, 0 the first, 1 the last.

    Returns
    -------
    Which tile it is: its level and number, and where it lies in px of that level.
    """
    with tifffile.TiffFile(path, is_ndpi=path.suffix == ".ndpi") as file:
        pages = [p for p in file.pages if p.is_tiled or (file.is_ndpi and len(p.dataoffsets) > 1)]
        pages += [p for p in file.pages.first.pages or () if p.is_tiled]  # OME-TIFF's SubIFDs
        page = pages[level]
        written = [n for n, size in enumerate(page.databytecounts) if size]
        number = written[min(int(at * len(written)), len(written) - 1)]
        across = -(-page.imagewidth // page.tilewidth)
        begin, size = page.dataoffsets[number], page.databytecounts[number]
        size -= 2 * file.is_ndpi  # the restart marker belongs to the next
        height, width = page.tilelength, page.tilewidth
    kept = {"half": size // 2, "hole": size // 3}.get(how, 0)
    junk = b"\0" if how in ("hole", "zeros") else b"\x00\xff\x01\xfe"
    with path.open("r+b") as out:
        out.seek(begin + kept)
        out.write((junk * size)[: size // 3 if how == "hole" else size - kept])
    y, x = number // across * height, number % across * width
    place = {"y": y, "x": x, "height": height, "width": width}
    return {"level": level, "tile": number, "how": how, **place}


def truncate(path: Path, share: float) -> int:
    """Cut a file so that this share of it is left; its bytes then."""
    size = int(path.stat().st_size * share)
    os.truncate(path, size)
    return size
