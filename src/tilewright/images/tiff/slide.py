"""A slide in a TIFF: which pages are its pyramid, how its levels lie on each other, its pixel size.

A level's pixel is so many of level 0's by its content: where a scanner cuts a size that its factor
doesn't divide, the ratio of the sizes is another, and by it places would drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from tilewright.images.pixel_size import Size, differ, in_words, plausible, unusable
from tilewright.images.source import microns, unreadable

OBLIQUE = 0.05
"""Share by which a level's factors along y and x may differ; a picture of another part has more."""
ALIKE = ("axes", "dtype", "samplesperpixel")  # of all levels
UNITS = {2: "inch", 3: "cm"}
QUOTED = 48
"""Letters of a field that a sentence repeats."""


@dataclass(frozen=True)
class Slide:
    """What of a TIFF is a slide, and what the file says of it.

    Parameters
    ----------
    vendor
        Whose it is, for sentences.
    series
        Its level 0, whose `levels` are all of its pyramid, the finest first.
    steps
        Of each level its level-0 pixels per pixel, along y and x.
    sizes
        Of each level its rows and columns, without what only fills up tiles.
    mpp, mpp_from, magnification, z_um
        As a `Source` has them.
    channel_names
        None where it is in colours, or doesn't say.
    remarks
        What a user should know of it, a sentence each.
    by_finer
        Whether a tile of a lower level that was never written is what the next finer level shows.
    """

    vendor: str
    series: tifffile.TiffPageSeries
    steps: tuple[tuple[float, float], ...]
    sizes: tuple[tuple[int, int], ...]
    mpp: Size | None = None
    mpp_from: str | None = None
    magnification: float | None = None
    z_um: float | None = None
    channel_names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    by_finer: bool = False

    def to_finer(self, number: int) -> tuple[float, float]:
        """Pixels of the next finer level per pixel of a level, along y and x."""
        own, finer = self.steps[number], self.steps[number - 1]
        return own[0] / finer[0], own[1] / finer[1]

    @property
    def is_bright(self) -> bool:
        """Whether it is in colours, 8 bits each: light through glass, whose background is white."""
        return is_colour(self.series.keyframe)


def is_colour(page: Any) -> bool:
    """Whether a page holds RGB of 8 bits, however it is coded."""
    bright = {tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR}
    alpha = page.extrasamples if isinstance(page.extrasamples, tuple) else ()
    samples = page.samplesperpixel
    return bool(
        page.photometric in bright
        and page.dtype == "uint8"
        and isinstance(samples, int)
        and samples - len(alpha) == 3
    )


# pyramids


def whole_pages(file: tifffile.TiffFile) -> list[Any]:
    """A file's pages, each by its own directory."""
    file.pages.useframes, file.pages.cache = False, True
    return [page.aspage() for page in file.pages]


def pyramid(
    path: Path, pages: Sequence[Any], kind: str, *, filled_up: bool = False
) -> tuple[tifffile.TiffPageSeries, tuple[tuple[int, int], ...]]:
    """The pyramid that pages are, and the rows and columns of its levels.

    Pages of one size are the focal planes of a level, in their order. What hasn't as many planes as
    level 0, or isn't of the whole of it, is no level.

    Parameters
    ----------
    pages
        tifffile's, whole ones.
    filled_up
        Whether sizes are of whole tiles: then they tell neither focal planes, as two levels may
        have the same, nor what isn't of the whole of it.

    Raises
    ------
    TilewrightError
        When there is none.
    """
    if not pages:
        raise unreadable(path, f"no page of this {kind} is the slide itself", "Export it again.")
    groups: dict[tuple[int, ...], list[Any]] = {}
    for number, page in enumerate(pages):
        key = (number,) if filled_up else page.shape
        groups.setdefault(key, []).append(page)
    levels = sorted(groups.values(), key=lambda level: -size_of(level[0])[1])
    first = levels[0]
    fitting = [
        level
        for level in levels
        if len(level) == len(first)
        and all(getattr(level[0], name) == getattr(first[0], name) for name in ALIKE)
        and (filled_up or _is_whole(size_of(first[0]), size_of(level[0])))
    ]
    series = [_series(level, kind) for level in fitting]
    series[0].levels = series
    return series[0], tuple(size_of(level[0]) for level in fitting)


def _series(pages: list[Any], kind: str) -> tifffile.TiffPageSeries:
    first, deep = pages[0], len(pages) > 1
    return tifffile.TiffPageSeries(
        pages,
        (len(pages), *first.shape) if deep else first.shape,
        first.dtype,
        "Z" * deep + first.axes,
        name="Baseline",
        kind=kind,
    )


def _is_whole(whole: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a page's sides are level 0's by one factor, but for what is cut off them."""
    y, x = (n / m for n, m in zip(whole, size, strict=True))
    return abs(y / x - 1) <= OBLIQUE + 2 / min(size)


def size_of(page: Any) -> tuple[int, int]:
    """Rows and columns of a page or series.

    Raises
    ------
    ValueError
        When it has none.
    """
    sizes = dict(zip(page.axes, page.shape, strict=False))
    y, x = sizes.get("Y"), sizes.get("X")
    if not (isinstance(y, int) and isinstance(x, int) and y > 0 and x > 0):
        raise ValueError("a page of it has no size")
    return y, x


def value_of(page: Any, tag: int) -> float:
    """The number that a tag has; 0 where it isn't there, or has something else."""
    value = page.tags.valueof(tag)
    return value if isinstance(value, int | float) and math.isfinite(value) else 0


def steps_of(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[float, float], ...]:
    """Level-0 pixels per pixel of each level along y and x, by the sizes of all, level 0's first.

    A whole number where both sizes are level 0's by it, cut or filled up to a whole pixel; of
    several that can be so of small levels, a power of two and one that cuts; else the ratios.
    """
    return tuple(_step(sizes[0], size) for size in sizes)


def _step(whole: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    pairs = list(zip(whole, size, strict=True))
    ratios = [n / m for n, m in pairs]
    mean = sum(ratios) / 2
    fitting = [
        (step & (step - 1) > 0, any(m != n // step for n, m in pairs), abs(step - mean), step)
        for step in range(max(1, math.floor(min(ratios))), math.ceil(max(ratios)) + 1)
        if all(m in (n // step, math.ceil(n / step)) for n, m in pairs)
    ]
    if fitting:
        *_, step = min(fitting)
        return float(step), float(step)
    return ratios[0], ratios[1]


# the size of a pixel


@dataclass(frozen=True)
class Said:
    """What a field of a slide says of its pixels' size.

    Parameters
    ----------
    who
        The field, in words.
    words
        What it says.
    mpp
        In µm, or None where that is no size at all.
    """

    who: str
    words: str
    mpp: Size | None

    @property
    def good(self) -> Size | None:
        """The size, where it can be a slide's."""
        return self.mpp if self.mpp and plausible(self.mpp, slide=True) else None


def pixel_size(
    said: Sequence[Said | None],
) -> tuple[Size | None, str | None, tuple[str, ...]]:
    """The size of a slide's pixels, who says it, and what a user should know of that.

    Parameters
    ----------
    said
        By its fields, the vendor's own first, which counts; None for one that isn't there.
    """
    there = [field for field in said if field is not None]
    if not there:
        return None, None, ()
    first, *others = there
    if first.good is None:
        shown = " ".join(first.words.split())
        shown = shown[:QUOTED] + "…" * (len(shown) > QUOTED)
        return None, None, (unusable(shown, first.who),)
    remarks = tuple(
        f"Its pixel size is {in_words(first.good)} µm by {first.who}, which is taken, and "
        f"{in_words(other.good)} by {other.who}."
        for other in others
        if other.good and differ(first.good, other.good)
    )
    return first.good, first.who, remarks


def number(text: str | None) -> float | None:
    """The number that a field is, its decimals behind a point or a comma; None where it is none."""
    if text is None or "_" in text:
        return None
    try:
        return float(text.strip().replace(",", ".", 1))
    except ValueError:
        return None


def by_tags(page: Any, who: str = "resolution tags") -> Said | None:
    """What XResolution, YResolution and ResolutionUnit say; an inch is the unit where none is told.

    None where they aren't there, say that they have no unit, or are 1: programs write that for
    want of a number.
    """
    unit = UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    values = [_ratio(page.tags.valueof(name)) for name in ("YResolution", "XResolution")]
    if unit is None or None in values or values == [1, 1]:
        return None
    sizes = [microns(1 / v, unit) if v else None for v in values]
    y, x = sizes
    mpp = (y, x) if y is not None and x is not None else None
    told = in_words(mpp) + " µm" if mpp else " x ".join(f"{v:g} per {unit}" for v in values)
    return Said(who, told, mpp)


def _ratio(value: Any) -> float | None:
    """A rational tag's number."""
    if not isinstance(value, tuple) or len(value) < 2:
        return None
    return float(value[0] / value[1]) if value[1] else 0.0


def power(value: Any) -> float | None:
    """An objective's power, out of what a file has for it; None where it is none."""
    found = number(str(value).strip().lower().removesuffix("x")) if value is not None else None
    return found if found and math.isfinite(found) and 0 < found <= 1000 else None
