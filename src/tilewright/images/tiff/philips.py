"""Philips TIFF: tiled pages are the slide; the XML of its first says the spacing of each level.

Levels are filled up to whole tiles: what is past level 0's end by their spacing isn't read. Pages
in strips are its label and macro picture; the XML has both as well: neither is read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from tilewright.images.pixel_size import Size
from tilewright.images.source import unreadable

from .slide import Said, Slide, number, pixel_size, power, pyramid, whole_pages

Element = ElementTree.Element
SPACING, SCANS = "DICOM_PIXEL_SPACING", "PIM_DP_SCANNED_IMAGES"
LEVELS, LEVEL = "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "PIIM_PIXEL_DATA_REPRESENTATION_NUMBER"
DERIVATION = "DICOM_DERIVATION_DESCRIPTION"
POWER = re.compile(r"^(?:(?!sourceFilename=).)*?-?levels=(\d+)", re.DOTALL)
MOST_POWER = 200  # what isn't one has five digits


def is_philips(page: Any) -> bool:
    """Whether a file whose first page this is is one."""
    return bool(page.software.startswith("Philips") and "<DataObject" in page.description[:4096])


def philips(path: Path, file: tifffile.TiffFile) -> Slide:
    """A Philips TIFF, by its pages and their XML."""
    scan = _scan(path, file.pages.first.description)
    pages = [page for page in whole_pages(file) if page.is_tiled]
    series, sizes = pyramid(path, pages, "Philips TIFF", filled_up=True)
    levels = _levels(scan)
    first = levels[0] if levels else ("", None)
    of_all = _spacing(_value(scan, SPACING))
    said = [
        Said(f"Philips' {SPACING} of {whose}", words, mpp)
        for whose, (words, mpp) in (("level 0", first), ("the slide", of_all))
        if words
    ]
    mpp, who, remarks = pixel_size(said)
    factors = _factors([mpp for _, mpp in levels], sizes) or _halves(sizes)
    series.levels = series.levels[: len(factors)]
    height, width = sizes[0]
    return Slide(
        "Philips",
        series,
        tuple((float(f), float(f)) for f in factors),
        tuple(
            (min(height // f, rows), min(width // f, columns))
            for f, (rows, columns) in zip(factors, sizes, strict=False)
        ),
        mpp=mpp,
        mpp_from=who,
        magnification=_power(_value(scan, DERIVATION)),
        remarks=remarks,
    )


def _scan(path: Path, xml: str) -> Element:
    """The description of the slide in it."""
    if "<!DOCTYPE" in xml:
        raise ValueError("its XML has a document type, which Philips' has not")
    root = ElementTree.fromstring(xml)  # noqa: S314 - no entity is declared
    scans = [
        scan
        for scan in _objects(root, SCANS)
        if (_value(scan, "PIM_DP_IMAGE_TYPE") or "").strip() == "WSI"
    ]
    if len(scans) != 1:
        raise unreadable(
            path, f"its XML tells of {len(scans)} slides, where one belongs", "Export it again."
        )
    return scans[0]


def _attributes(of: Element, name: str) -> list[Element]:
    return [child for child in of if child.tag == "Attribute" and child.get("Name") == name]


def _objects(of: Element, name: str) -> list[Element]:
    """The objects that one of an element's attributes lists."""
    lists = [array for attribute in _attributes(of, name) for array in attribute]
    return [child for array in lists for child in array if child.tag == "DataObject"]


def _value(of: Element, name: str) -> str | None:
    return next((attribute.text for attribute in _attributes(of, name)), None)


def _levels(scan: Element) -> list[tuple[str, Size | None]]:
    """What each level says its spacing is, level 0's first."""
    found = [
        (number(_value(level, LEVEL)), _spacing(_value(level, SPACING)))
        for level in _objects(scan, LEVELS)
    ]
    numbers = [level for level, _ in found if level is not None]
    if len(set(numbers)) == len(found):
        found.sort(key=lambda level: level[0] or 0)
    return [spacing for _, spacing in found]


def _spacing(text: str | None) -> tuple[str, Size | None]:
    """What ``"0.00025" "0.00025"`` says, rows first, and what that is in µm."""
    parts = [part.strip('"') for part in (text or "").split()]
    values = [number(part) for part in parts]
    if len(values) != 2 or values[0] is None or values[1] is None:
        return " ".join(parts), None
    return " x ".join(parts) + " mm", (values[0] * 1000, values[1] * 1000)


def _factors(spacings: list[Size | None], sizes: tuple[tuple[int, int], ...]) -> list[int] | None:
    """By what each level is smaller than level 0: whole numbers; None where that isn't told."""
    if len(spacings) != len(sizes) or None in spacings:
        return None
    first, found = spacings[0], []
    for spacing in spacings:
        if first is None or spacing is None or min(*first, *spacing) <= 0:
            return None
        found.append(round((spacing[0] / first[0] + spacing[1] / first[1]) / 2))
    fits = all(
        f >= 1 and rows * f >= sizes[0][0] - f and columns * f >= sizes[0][1] - f
        for f, (rows, columns) in zip(found, sizes, strict=True)
    )
    return found if fits and found[0] == 1 and sorted(set(found)) == found else None


def _halves(sizes: tuple[tuple[int, int], ...]) -> list[int]:
    """The same by the sizes, which are of whole tiles: the next power of two.

    Only of the first levels, if two are filled up to the same tiles.
    """
    (height, width), *_ = sizes
    found: list[int] = []
    for rows, columns in sizes:
        ratio = (height / rows + width / columns) / 2
        factor = 2 ** max(0, round(math.log2(ratio)))
        if found and factor <= found[-1]:
            break
        found.append(factor)
    return found


def _power(text: str | None) -> float | None:
    """The objective's, which is the first of the derivation's ``levels``, where it is no more."""
    found = POWER.match(text or "")
    value = power(found[1]) if found else None
    return value if value and value <= MOST_POWER else None
