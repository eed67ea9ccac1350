"""Which strips, tiles or chunks are met: by a window, or when a level is read in tiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

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


def parted(part: slice, side: int) -> list[tuple[int, slice, slice]]:
    """Pieces of `side` pixels that a part of an axis meets.

    Returns
    -------
        Of each its number, where it goes in the part, and what goes there of the piece.
    """
    begin, end = part.start, part.stop
    found, at = [], begin
    for number in range(begin // side, -(-end // side)):
        first = number * side
        stop = end if end < first + side else first + side
        found.append((number, slice(at - begin, stop - begin), slice(at - first, stop - first)))
        at = stop
    return found


def numbered(position: Sequence[int], counts: Sequence[int]) -> int:
    """The number of a place among `counts` along each axis, in row-major order."""
    number = 0
    for at, count in zip(position, counts, strict=True):
        number = number * count + at
    return number


def row_pixels(axes: str, shape: Sequence[int], chunks: Sequence[int], window: Window) -> int:
    """Pixels of all chunks that a row of windows meets: they are kept until the next row is read.

    Parameters
    ----------
    axes
        Letters of all the axes; the channels (C or S) are read together.
    shape, chunks
        Pixels along each of them.
    window
        One of the row's.
    """
    found = 1
    for axis, n, chunk, part in zip(axes, shape, chunks, window, strict=True):
        first, stop = (0, n) if axis in "XCS" else (part.start // chunk, part.stop)
        found *= (-(-stop // chunk) - first) * chunk
    return found


def met(n: int, chunk: int, step: int) -> int:
    """How many of `n` pixels the chunks hold that a read of `step` pixels can meet."""
    return min(n, (math.ceil((step - 1) / chunk) + 1) * chunk)


def repeats(n: int, chunk: int, step: int) -> float:
    """How often chunks along one axis of `n` pixels are met by reads of `step` pixels.

    By rule, and not read by read: there may be more of these than can be counted.
    """
    reads, last = -(-n // step), (n - 1) // chunk
    firsts = _floors(reads, chunk, step, 0)
    lasts = _floors(reads - 1, chunk, step, step - 1) + last  # the last read ends with the image
    before = max(0, -(-(last * chunk + 1) // step) - 1)  # reads that end before the last chunk
    cut = max(0, reads - 1 - before) + 1  # the others', which the image's end cuts off
    decoded = chunk * (lasts + reads - firsts) - cut * ((last + 1) * chunk - n)
    return decoded / n


def _floors(count: int, divisor: int, step: int, start: int) -> int:
    """The sum of ``(start + step * i) // divisor`` for i from 0 to `count` - 1, as Euclid would."""
    found = 0
    while count > 0:
        found += count * (count - 1) // 2 * (step // divisor) + count * (start // divisor)
        step, start = step % divisor, start % divisor
        end = step * count + start
        if end < divisor:
            break
        count, start = divmod(end, divisor)
        step, divisor = divisor, step
    return found
