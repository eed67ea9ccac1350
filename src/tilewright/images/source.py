"""One scene of a file, opened: what every reader gives, and what they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.errors import TilewrightError

from .scenes import Scene
from .white import White

Array = np.ndarray
Window = tuple[slice, ...]
"""One slice per axis of a level, start and stop given, step 1."""

CACHE_BYTES = 2**28  # decoded strips, tiles and chunks of an image, kept for the next window
WHOLE_BYTES = 2**30  # the largest PNG, JPEG, strip or tile: each can only be decoded whole
MOST_CHANNELS = 2**16
MOST_METADATA = 2**26  # bytes of a file of metadata: it is read whole
MICRONS = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
           "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "å": 1e-4, "angstrom": 1e-4,
           "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6,
           "meter": 1e6, "inch": 25400.0, "in": 25400.0, "micrometers": 1.0, "micrometres": 1.0,
           "nanometre": 1e-3, "nanometers": 1e-3, "pm": 1e-6, "picometer": 1e-6,
           "femtometer": 1e-9, "attometer": 1e-12, "millimetre": 1e3, "centimetre": 1e4,
           "dm": 1e5, "decimeter": 1e5, "metre": 1e6, "hectometer": 1e8, "km": 1e9,
           "kilometer": 1e9, "foot": 304800.0, "ft": 304800.0, "yard": 914400.0,
           "yd": 914400.0}  # fmt: skip


@dataclass(frozen=True)
class Level:
    """One pyramid level.

    Parameters
    ----------
    shape
        Pixels, in the order of the source's axes.
    chunks
        What is decoded together, in the same order; None where nothing is, or all of it once.
    read
        A window's pixels, in a new array that nothing else holds.
    kept
        Bytes of decoded chunks that are kept for the next windows.
    step
        Level-0 pixels per pixel along y and x by what it shows, where its reader knows them; None
        where only the ratio of their sizes tells.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...] | None
    read: Callable[[Window], Array]
    kept: int = 0
    step: tuple[float, float] | None = None


@dataclass(frozen=True)
class Where:
    """Where a scene lies, along t, z, y and x.

    Both are in µm along axes whose pixel size is known, else in the file's own unit.

    Parameters
    ----------
    position
        The centre of its first pixel.
    steps
        Length of a level-0 pixel, and of a time step.
    t_unit
        Of time, where the file says it.
    """

    position: tuple[float, ...]
    steps: tuple[float, ...]
    t_unit: str | None = None

    def of_blocks(self, factor: Sequence[float]) -> Where:
        """The same of pixels that are blocks of so many, along t, z, y and x."""
        each = list(zip(self.position, self.steps, factor, strict=True))
        position = tuple(p + s * (f - 1) / 2 for p, s, f in each)
        return Where(position, tuple(s * f for _, s, f in each), self.t_unit)


@dataclass(frozen=True)
class Source:
    """One scene of a file, opened.

    Parameters
    ----------
    axes
        The file's own letters, samples (S) already called C; none where it doesn't say.
    mpp, z_um
        µm per level-0 pixel ``(y, x)`` and per slice, or None.
    where
        Where it lies, or None where the file doesn't say.
    scenes, scene
        All of the file's, and the number of this one.
    remarks
        What a user should know of how it is read, a sentence each.
    files
        All files that its pixels and metadata are in, where others than the one that was given
        are or could be; else none.
    labels
        The same with one value a pixel as it is stored, where it stands for another or a colour.
    white
        The value of white, where the file says it and it isn't the dtype's own.
    mpp_from
        Who says `mpp`, in words: ``"Aperio's MPP"``; None where it is the format's own field.
    is_slide
        Whether it is a scanner's slide, by its reader's word: it has a background of glass.
    magnification
        The objective's power, where the file says it.
    bounds
        What of it was scanned, ``(y, x, height, width)`` in level-0 pixels, where the file says it.
    """

    axes: str
    dtype: np.dtype
    levels: tuple[Level, ...]
    close: Callable[[], None]
    channel_names: tuple[str, ...] | None = None
    mpp: tuple[float, float] | None = None
    z_um: float | None = None
    where: Where | None = None
    scenes: tuple[Scene, ...] = (Scene(),)
    scene: int = 0
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    labels: Source | None = None
    white: White | None = None
    mpp_from: str | None = None
    is_slide: bool = False
    magnification: float | None = None
    bounds: tuple[int, int, int, int] | None = None


def few(names: Sequence[str], most: int) -> str:
    """The first names of a list, for a sentence; the others are counted: ``a, b and 7 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def unreadable(path: Path, found: str, fix: str) -> TilewrightError:
    """The error for a file that can't be read: where, what was found, what to do."""
    return TilewrightError(f"{path}: {found}.", fix=fix)


def microns(value: Any, unit: Any) -> float | None:
    """A length in µm, or None where it isn't one."""
    # ImageJ writes the micro sign as an escape, others the Greek letter
    name = str(unit).replace("\\u00B5", "µ").replace("\u03bc", "µ").strip().lower()
    factor = MICRONS.get(name)
    if factor is None or not isinstance(value, int | float):
        return None
    length = value * factor
    return float(length) if math.isfinite(length) and length > 0 else None


def pair(y: float | None, x: float | None) -> tuple[float, float] | None:
    """µm per pixel (y, x); None unless both are known."""
    return None if y is None or x is None else (y, x)


def named(names: list[Any]) -> tuple[str, ...] | None:
    """Names of all channels, "" of one that has none; None where none has any."""
    found = tuple("" if name is None or not str(name).strip() else str(name) for name in names)
    return found if any(found) else None
