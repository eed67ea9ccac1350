"""The table of slides that are TIFFs: how each vendor's is told, and what reads its pages.

Plain ones, whose tiles lie side by side, are decoded here. Those of others are told, too, so that
none is taken for a stack of pages. What has no vendor is a slide by this rule: its level 0 is in
tiles and in RGB of 8 bits, it has a pyramid and no place on Earth. Only what makes up the slide is
an image: a label, a macro picture and a thumbnail name patients or show nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from tilewright.images.scenes import Scene, shows_label

from .aperio import aperio, is_aperio
from .ndpi import has_wide_places, is_ndpi, ndpi
from .ome_set import OmeImage, OmeSet
from .philips import is_philips, philips
from .qptiff import is_qptiff, qptiff
from .slide import (
    Said,
    Slide,
    by_tags,
    is_colour,
    pixel_size,
    power,
    pyramid,
    size_of,
    steps_of,
    whole_pages,
)

MOST_PAGES = 64
"""Of a file without a vendor, in which the levels of a pyramid are looked for."""
XMP, ARGOS = 700, 65000
PLANE = {"YXS", "SYX", "ZYXS", "ZSYX", "YXC", "CYX"}


@dataclass(frozen=True)
class Vendor:
    """How a vendor's slide is told by its first page, and what makes a slide of its pages."""

    knows: Callable[[Any], bool]
    slide: Callable[[Path, tifffile.TiffFile], Slide]


VENDORS = (
    Vendor(is_ndpi, ndpi),
    Vendor(is_aperio, aperio),
    Vendor(is_philips, philips),
    Vendor(is_qptiff, qptiff),
)
FOREIGN: dict[str, Callable[[Any], bool]] = {
    "Leica SCN": lambda page: page.description[-16:].strip().endswith("</scn>"),
    "Ventana BIF": lambda page: b"<iScan" in _bytes(page.tags.valueof(XMP)),
    "Trestle": lambda page: page.is_tiled and page.software.startswith("MedScan"),
    "Argos AVS": lambda page: b"<Argos" in _bytes(page.tags.valueof(ARGOS))[:64],
}
"""TIFFs whose tiles overlap, or whose pages are several places of one slide."""


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else b""


def opened_tiff(path: Path, **flags: Any) -> tifffile.TiffFile:
    """A TIFF opened, its places of 64 bits where it is an NDPI, whatever it is called."""
    wide = has_wide_places(path)
    if wide or path.suffix.lower() == ".ndpi":
        flags["is_ndpi"] = wide
    return tifffile.TiffFile(path, **flags)


def is_foreign(page: Any) -> bool:
    """Whether a TIFF with this first page is a slide that only OpenSlide puts together."""
    return any(knows(page) for knows in FOREIGN.values())


def vendors_slide(path: Path, file: tifffile.TiffFile) -> Slide | None:
    """A vendor's slide; None where it is none's.

    Raises
    ------
    TilewrightError
        When it is one that can't be read as plain TIFF, or not what it should be.
    """
    first = file.pages.first
    vendor = next((v for v in VENDORS if v.knows(first)), None)
    if vendor is None:
        return None
    slide = vendor.slide(path, file)
    for level in slide.series.levels:  # colours are what the tag says: tifffile goes by the marker
        level.keyframe.is_jfif = False
    return slide


# without a vendor


def plain_slide(
    path: Path,
    file: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    ome: OmeSet | None = None,
    image: OmeImage | None = None,
) -> Slide | None:
    """A slide of a file without a vendor; None where the series is none.

    Parameters
    ----------
    ome, image
        What its OME-XML says, of all and of it, where it has one.
    """
    series = with_reduced(path, file, series) if image is None else series
    if not is_scanned(series):
        return None
    alike = [s for s in series.levels if s.axes == series.axes]
    sizes = tuple(size_of(level) for level in alike)
    by_xml = _said(image) if image else None
    mpp, who, remarks = pixel_size([by_xml, by_tags(series.keyframe)])
    return Slide(
        "OME-TIFF" if image else "TIFF",
        series,
        steps_of(sizes),
        sizes,
        mpp=mpp,
        mpp_from=who,
        magnification=power(ome.magnification(image)) if ome and image else None,
        remarks=remarks,
    )


def is_scanned(series: tifffile.TiffPageSeries) -> bool:
    """Whether it is a slide by the rule for those without a vendor."""
    page = series.keyframe
    return bool(
        page.is_tiled
        and is_colour(page)
        and series.axes in PLANE
        and len(series.levels) > 1
        and not page.is_geotiff
    )


def with_reduced(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tifffile.TiffPageSeries:
    """A series with the levels that its file marks as reduced, where those are more.

    tifffile takes only those that each are the one before by the same number.

    Parameters
    ----------
    path, file
        The image.
    series
        One of tifffile's.
    """
    first = file.pages.first
    alone = len(series) == 1 and series.keyframe.index == first.index
    if not (alone and first.is_tiled and is_colour(first)) or len(file.pages) > MOST_PAGES:
        return series
    pages = [*whole_pages(file)[1:], *(first.pages or ())]  # and those of its SubIFDs
    reduced = [page for page in pages if page.is_tiled and page.is_reduced]
    own, _ = pyramid(path, [first, *reduced], "TIFF")
    return own if len(own.levels) > len(series.levels) else series


def shown(scenes: Sequence[Scene], series: Sequence[tifffile.TiffPageSeries]) -> tuple[int, ...]:
    """Numbers of the scenes of a slide's file that are images: none that may show its label.

    Parameters
    ----------
    series
        tifffile's, of each scene; those in strips are such pictures, whatever they are called.
    """
    areas = [s.size[0] * s.size[1] if s.size else 0 for s in scenes]
    kept = []
    for number, (scene, area, found) in enumerate(zip(scenes, areas, series, strict=True)):
        small = area < max(areas)
        if scene.beside or (small and (shows_label(scene) or not found.keyframe.is_tiled)):
            continue
        kept.append(number)
    return tuple(kept)


def _said(image: OmeImage) -> Said | None:
    """What an OME-XML's PhysicalSizes say; None where it has none."""
    words = [size for size in image.said_sizes if size is not None]
    return Said("OME PhysicalSize", " x ".join(words), image.mpp) if words else None
