"""Intensity statistics that a model's `normalization` needs, the same however an image is cut.

Which pixels count and what they come to; `preprocess` reads them and applies the figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from tilewright.contract.blocks import Normalization

Array = np.ndarray
Slices = tuple[slice, ...]

FLAT_SPAN = 1e-6  # what a channel without any contrast is divided by
ROUNDING = 2.0**-46  # of a value: a difference that is no more comes of sums in float64
RESAMPLED = 2.0**-20  # the same of sums in float32, as resampling makes them
FAR = 2**8  # spans: values so far from 0, and farther, are subtracted in float64
SAMPLE_PIXELS = 2**26  # per channel and timepoint; of more, an even sample is taken
BLOCK = 512  # px; the side of a sampled square, aligned as the tiles of most files are
BAND = 2**14  # px; the widest piece that is read at once


def summary(
    normalization: Normalization,
    blocks: Callable[[], Iterator[Array]],
    like: Array,
    size: int,
) -> list[list[float]]:
    """Two figures per channel: the low and high percentile, or mean and standard deviation.

    Whole numbers of up to 16 bits are counted in a histogram; of others one channel is held in
    memory at a time. NaN and infinity don't count.

    Parameters
    ----------
    blocks
        All the pixels that count, (C, …) a block; called once, or once per channel.
    like
        An array with their dtype and C.
    size
        How many pixels of a channel there are in all the blocks, at most.
    """
    if like.dtype.kind in "biu" and like.dtype.itemsize <= 2:
        least = int(np.iinfo(like.dtype).min) if like.dtype.kind == "i" else 0
        counts = np.zeros((len(like), 2 ** (8 * like.dtype.itemsize)), np.int64)
        for block in blocks():
            for c, channel in enumerate(block):
                bins = channel.ravel().astype(np.int64) - least
                counts[c] += np.bincount(bins, minlength=counts.shape[1])
        return [_of_counts(normalization, own, least) for own in counts]
    return [of_sample(normalization, _gather(blocks(), c, like, size)) for c in range(len(like))]


def _gather(blocks: Iterator[Array], channel: int, like: Array, size: int) -> Array:
    """One channel's pixels of all blocks."""
    sample = np.empty(size, like.dtype)
    start = 0
    for block in blocks:
        part = block[channel].ravel()
        sample[start : start + part.size] = part
        start += part.size
    return sample[:start]


def _of_counts(normalization: Normalization, counts: Array, least: int) -> list[float]:
    """The two figures of a histogram whose first bin is `least`."""
    values = least + np.arange(len(counts), dtype=float)
    total = int(counts.sum())
    if normalization.method == "zscore":
        mean = float((counts * values).sum() / total)
        return [mean, math.sqrt(float((counts * (values - mean) ** 2).sum() / total))]
    up_to = counts.cumsum()
    figures = []
    for share in (normalization.low, normalization.high):
        place = (total - 1) * (share / 100)  # between two pixels, were they sorted
        at = [min(math.floor(place) + i, total - 1) for i in (0, 1)]
        a, b = values[np.searchsorted(up_to, at, side="right")]
        figures.append(float(a + (b - a) * (place % 1)))
    return figures


def of_sample(normalization: Normalization, sample: Array) -> list[float]:
    """The two figures, as `normalization` asks, of a sample (n,), which is reordered.

    NaN and infinities don't count; of nothing the figures are 0 and 1.
    """
    finite = np.isfinite(sample)
    if not finite.all():
        sample = sample[finite]
    if not sample.size:
        return [0.0, 1.0]
    if normalization.method == "zscore":
        return [float(sample.mean(dtype=float)), float(sample.std(dtype=float))]
    shares = (normalization.low, normalization.high)
    return [float(v) for v in np.percentile(sample, shares, overwrite_input=True)]


def rounding(dtype: np.dtype) -> float:
    """Share of a value that resampling in a dtype may add to it, or take."""
    return RESAMPLED if dtype.itemsize <= 4 else ROUNDING


def offset_and_span(
    normalization: Normalization, figures: Array, share: float = ROUNDING
) -> tuple[Array, Array]:
    """What is subtracted and what is divided by, from figures (C, 2); 0 of a flat channel.

    Parameters
    ----------
    share
        Of a value: a channel that differs by no more is flat.
    """
    first, second = figures.T
    span = second if normalization.method == "zscore" else second - first
    return first, np.where(span > share * np.abs(first), span, 0.0)


def is_far(offset: Array | float, span: Array | float) -> bool:
    """Whether float32, with 24 bits, would cut off what matters of values near `offset`.

    Parameters
    ----------
    offset, span
        Where values lie and how far they reach, of each channel; a flat one's span is 0.
    """
    return bool(((np.abs(offset) > FAR * np.asarray(span)) & (np.asarray(span) > 0)).any())


def sampled(shape: tuple[int, int, int]) -> list[Slices]:
    """Boxes (z, y, x) that count: all of a scene, or an even grid of squares of a big one."""
    if math.prod(shape) <= SAMPLE_PIXELS:
        sides = (1, BLOCK, BAND)
        counts = wanted = _counts(shape, sides)
    else:
        sides = (1, BLOCK, BLOCK)
        counts = _counts(shape, sides)
        wanted = _spread(counts, SAMPLE_PIXELS // BLOCK**2)
    chosen = [  # the middles of k equal parts
        [(2 * i + 1) * n // (2 * k) for i in range(k)] for n, k in zip(counts, wanted, strict=True)
    ]
    return [
        tuple(
            slice(p * side, min((p + 1) * side, n))
            for p, side, n in zip(place, sides, shape, strict=True)
        )
        for place in itertools.product(*chosen)
    ]


def _counts(shape: tuple[int, ...], sides: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.ceil(n / side) for n, side in zip(shape, sides, strict=True))


def _spread(counts: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """How many blocks to take along each axis, so that about `wanted` are spread evenly."""
    taken = list(counts)
    axes = sorted(range(len(counts)), key=lambda a: counts[a])
    for i, axis in enumerate(axes):
        share = wanted / math.prod(counts[a] for a in axes[i:])
        even = counts[axis] * share ** (1 / (len(axes) - i))
        taken[axis] = min(counts[axis], max(1, round(even)))
        wanted = max(1, wanted // taken[axis])
    return tuple(taken)
