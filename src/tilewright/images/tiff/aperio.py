"""Aperio SVS: tiled pages are the slide; its description has its pixel size.

Pages in strips are its thumbnail, its label and a macro picture that shows it: none is read. Where
a tile of level 0 was never written it is white; one of a lower level, or one over such a tile, is
what the next finer level shows, as in OpenSlide.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from .slide import Said, Slide, by_tags, number, pixel_size, power, pyramid, steps_of, whole_pages

PICTURES = ("label", "macro", "thumbnail")


def is_aperio(page: Any) -> bool:
    """Whether a file whose first page this is is one."""
    return bool(page.is_tiled and page.description.startswith("Aperio"))


def aperio(path: Path, file: tifffile.TiffFile) -> Slide:
    """An SVS, by its pages."""
    first = file.pages.first
    pages = [page for page in whole_pages(file) if page.is_tiled and not _is_picture(page)]
    series, sizes = pyramid(path, pages, "Aperio SVS")
    fields = _fields(first.description)
    mpp, who, remarks = pixel_size([_said(fields.get("mpp")), by_tags(first)])
    return Slide(
        "Aperio",
        series,
        steps_of(sizes),
        sizes,
        mpp=mpp,
        mpp_from=who,
        magnification=power(fields.get("appmag")),
        remarks=remarks,
        by_finer=True,
    )


def _is_picture(page: Any) -> bool:
    """Whether its description's second line says that it is a picture beside the slide."""
    lines = page.description.splitlines()
    return any(line.strip().lower().startswith(PICTURES) for line in lines[1:2])


def _fields(description: str) -> dict[str, str]:
    """``|MPP = 0.499|`` is ``{"mpp": "0.499"}``."""
    pairs = (part.partition("=") for part in description.split("|")[1:])
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _said(text: str | None) -> Said | None:
    if text is None:
        return None
    mpp = number(text)
    return Said("Aperio's MPP", repr(text), None if mpp is None else (mpp, mpp))
