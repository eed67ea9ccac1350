"""Which pixels lie in a polygon: its scan lines, so that a slide's outline takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def filled(ring: Array, shape: Sequence[int]) -> Array:
    """Which pixel centres lie in a polygon or on its outline, by the even-odd rule.

    Parameters
    ----------
    ring
        Its corners ``(n, 2)`` (y, x), closed or not, in px whose centres are whole numbers.
    shape
        ``(y, x)`` of the picture.

    Returns
    -------
        Of that shape, bool.
    """
    found = _crossed(ring, shape, below=False)
    if np.any(ring[:, 0] == np.rint(ring[:, 0])):  # edges that end on a scan line, or lie in it
        found |= _crossed(ring, shape, below=True)
    return found


def _crossed(ring: Array, shape: Sequence[int], *, below: bool) -> Array:
    """The same by rows that an edge crosses: with its upper end, or with its lower end."""
    height, width = shape
    (y, x), (to_y, to_x) = ring.T, np.roll(ring, -1, 0).T
    rounded = (lambda ends: np.floor(ends) + 1) if below else np.ceil
    first, last = (
        np.clip(rounded(ends), 0, height).astype(int)
        for ends in (np.minimum(y, to_y), np.maximum(y, to_y))
    )
    counts = last - first
    edge = np.repeat(np.arange(len(ring)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    at = x[edge] + (row - y[edge]) * (to_x - x)[edge] / (to_y - y)[edge]
    order = np.lexsort((at, row))  # each row is crossed an even number of times: in, out, in, …
    row, at = row[order], np.clip(at[order], -1, width)
    changes = np.zeros((height, width + 2), np.int32)
    np.add.at(changes, (row[::2], np.ceil(at[::2]).clip(0).astype(int)), 1)
    np.add.at(changes, (row[1::2], np.floor(at[1::2]).astype(int) + 1), -1)
    return np.asarray(np.cumsum(changes[:, :width], 1) > 0)
