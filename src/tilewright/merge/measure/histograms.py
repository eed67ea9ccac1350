"""How sizes and intensities of an image's objects are spread: counts between round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilewright.stores.anndata import Rows, Table

Array = np.ndarray[Any, Any]
MOST_BINS = 24  # at most
SIZE_UNITS = {"area_um2": "µm²", "area_px": "px", "volume_um3": "µm³", "volume_px": "voxels"}
"""Columns of sizes and their units: the first that a table has is shown."""
MEAN_PREFIX = "mean_"
"""What the names of columns of mean intensities begin with."""
SHOWN_CHANNELS = 3  # whose intensities are shown, at most
HELD = (0.5, 99.5)  # percentiles that the bins hold; what is beyond is counted at either end
ROWS = 1 << 18  # that are looked at at once
SAMPLED_ROWS = 1 << 20  # rows, evenly spaced, that say where bins begin and end


@dataclass(frozen=True)
class Histogram:
    """Counts of objects by a column of their table.

    Parameters
    ----------
    column
        Its name.
    unit
        Of its values: ``µm²``, ``px``, or "" of intensities, which are in the image's own values.
    start, step
        Where the first bin begins, and how wide each is.
    counts
        Of each bin, from its lower to below its upper edge.
    below, above
        How many are smaller or greater than all bins.
    channel
        What the channel is called, of its intensities.
    """

    column: str
    unit: str
    start: float
    step: float
    counts: list[int]
    below: int
    above: int
    channel: str | None = None


def histograms(
    table: Table, channels: Sequence[int] = (), names: Sequence[str] = ()
) -> list[Histogram]:
    """Those of a table of objects: of sizes, then of mean intensities.

    Parameters
    ----------
    table
        One row per object; of none there is nothing to show.
    channels
        Numbers of the image's channels that the model read: theirs come first.
    names
        Of all the image's channels, for people; those of the columns, if there are none.
    """
    if not len(table):
        return []
    size = next((name for name in SIZE_UNITS if name in table.obs), None)
    found = [histogram(size, SIZE_UNITS[size], table.obs[size])] if size else []
    means = [i for i, name in enumerate(table.var) if name.startswith(MEAN_PREFIX)]
    shown = sorted(means, key=lambda i: (i not in channels, i))[:SHOWN_CHANNELS]
    of = names or [name.removeprefix(MEAN_PREFIX) for name in table.var]
    made = [(histogram(table.var[i], "", table.x, i), of[i]) for i in sorted(shown)]
    return found + [replace(each, channel=name) for each, name in made]


def histogram(name: str, unit: str, rows: Rows, column: int | None = None) -> Histogram:
    """That of some rows, or of one of their columns, streamed.

    Parameters
    ----------
    name, unit
        Of the column.
    rows
        (n,) or (n, v) numbers, n at least 1.
    column
        Which, of (n, v).
    """
    every = math.ceil(rows.shape[0] / SAMPLED_ROWS)
    seen = np.concatenate([part[::every] for part in _parts(rows, column)])
    low, high = np.percentile(seen, HELD) if seen.size else (0.0, 1.0)
    whole = rows.dtype.kind in "biu"
    start, step, count = bins(float(low), float(high), least=1.0 if whole else 0.0)
    edges = start + step * np.arange(count + 1)
    total = np.zeros(count + 2, np.int64)
    for part in _parts(rows, column):
        total += np.bincount(np.searchsorted(edges, part, side="right"), minlength=count + 2)
    below, *counts, above = total.tolist()
    return Histogram(name, unit, start, step, counts, below, above)


def _parts(rows: Rows, column: int | None) -> Iterator[Array]:
    """What is finite of a column, some rows at a time."""
    for at in range(0, rows.shape[0], ROWS):
        part = np.asarray(rows[at : at + ROWS], np.float64)
        part = part if column is None else part[:, column]
        yield part[np.isfinite(part)]


def bins(low: float, high: float, least: float = 0.0) -> tuple[float, float, int]:
    """Where bins begin that hold two numbers, how wide each is, and how many they are.

    Widths are 1, 2 or 5 times a power of ten; they begin at 0 where that is near.

    Parameters
    ----------
    low, high
        The numbers, in order.
    least
        Of a width: 1 for whole numbers.
    """
    span = high - low or abs(high) or 1.0
    power = math.floor(math.log10(span / MOST_BINS))
    widths = (float(f"{n}e{power + k}") for k in (0, 1) for n in (1, 2, 5))
    step = max(least, next(w for w in widths if span / w + 2 <= MOST_BINS))
    first, last = math.floor(low / step), math.floor(high / step)
    if first > 0 and last < MOST_BINS:
        first = 0
    return float(f"{first * step:.12g}"), step, last - first + 1
