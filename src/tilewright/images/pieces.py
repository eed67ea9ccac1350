"""Which strips, tiles or chunks are met: by a window, or when a level is read in tiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from .source import Window


def cut(window: Window, chunks: tuple[int, ...] | None) -> Iterator[Window]:
    """A window cut where its strips, tiles or chunks end: each is damaged by itself."""
    if chunks is None:
        yield window
        return
    parts = [
        [slice(max(a, s.start), min(a + n, s.stop)) for a in range(s.start // n * n, s.stop, n)]
        for s, n in zip(window, chunks, strict=True)
    ]
    yield from itertools.product(*parts)


def met(n: int, chunk: int, step: int) -> int:
    """How many of `n` pixels the chunks hold that a read of `step` pixels can meet."""
    return min(n, (math.ceil((step - 1) / chunk) + 1) * chunk)


def repeats(n: int, chunk: int, step: int) -> float:
    """How often chunks along one axis of `n` pixels are met by reads of `step` pixels."""
    starts = np.arange(0, n, step)
    last = (np.minimum(starts + step, n) - 1) // chunk
    decoded = np.minimum((last + 1) * chunk, n) - starts // chunk * chunk
    return float(decoded.sum() / n)
