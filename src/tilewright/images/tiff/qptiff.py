"""PerkinElmer's and Akoya's QPTIFF: channels are pages; which they are, tifffile tells.

Its thumbnail, overview and label aren't read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from tilewright.images.source import named, unreadable

from .slide import Said, Slide, by_tags, number, pixel_size, power, size_of, steps_of

SIZE = "PixelSizeMicrons"


def is_qptiff(page: Any) -> bool:
    """Whether a file whose first page this is is one."""
    return bool(page.software.startswith("PerkinElmer-QPI"))


def qptiff(path: Path, file: tifffile.TiffFile) -> Slide:
    """A QPTIFF, by tifffile's series.

    Raises
    ------
    TilewrightError
        When its pages are others.
    """
    series = file.series[0] if file.series else None
    if series is None or series.kind != "qpi":
        raise unreadable(path, "its pages aren't those of a QPTIFF", "Export it again.")
    sizes = tuple(size_of(level) for level in series.levels)
    abouts = [_about(page.aspage()) for page in series if page is not None]
    said = next((about[SIZE] for about in abouts if SIZE in about), None)
    value = number(said)
    own = Said(f"QPTIFF's {SIZE}", repr(said), (value, value) if value else None) if said else None
    mpp, who, remarks = pixel_size([own, by_tags(series.keyframe)])
    names = named([about.get("Biomarker") or about.get("Name") for about in abouts])
    return Slide(
        "QPTIFF",
        series,
        steps_of(sizes),
        sizes,
        mpp=mpp,
        mpp_from=who,
        magnification=power(next((a["Objective"] for a in abouts if "Objective" in a), None)),
        channel_names=names if len(abouts) > 1 else None,
        remarks=remarks,
    )


def _about(page: Any) -> dict[str, str]:
    """The words of a page's XML, of each name the first; none where it is no XML."""
    xml = page.description
    if "<!DOCTYPE" in xml:
        return {}
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - no entity is declared
    except ElementTree.ParseError:
        return {}
    found: dict[str, str] = {}
    for element in root.iter():
        if element.text and element.text.strip():
            found.setdefault(str(element.tag), element.text.strip())
    return found
