"""How much of an image was looked at: its predicted tiles, as far as they lie in its mask."""

from __future__ import annotations

import math

import numpy as np

from tilewright.contract.grid import Interval, shape_of
from tilewright.contract.jobs import ImageRef
from tilewright.contract.layout import Layout
from tilewright.images.mask import Mask

from .bank_reader import BankReader

Array = np.ndarray
LOOKS = 64  # along a core, at its mask: 4,096 of its pixels


def looked_px(ref: ImageRef, layout: Layout, banked: BankReader) -> float:
    """Level-0 pixels that were looked at, over all planes; of a volume, times slices.

    Of a mask some pixels of each tile are asked, evenly spread, so that a slide takes seconds.

    Parameters
    ----------
    ref
        The image, and its mask.
    layout, banked
        Its geometry, and its tiles.
    """
    grid = layout.grid
    times = np.bincount(banked.numbers % len(grid), minlength=len(grid))
    seen = np.flatnonzero(times)
    sizes = np.array([math.prod(shape_of(grid.tile(int(n)).core)) for n in seen], float)
    if ref.mask is not None and len(seen):
        rows, columns = grid.counts[-2:]
        share = _shares(ref, layout)
        sizes *= share.ravel()[seen % (rows * columns)]
    return float((sizes * times[seen]).sum() / (layout.scale[0] * layout.scale[1]))


def _shares(ref: ImageRef, layout: Layout) -> Array:
    """The share of each core that lies in the mask, (rows, columns) float64, 0 to 1."""
    rows, columns = (
        [axis.core(i, n) for i in range(axis.count(n))]
        for axis, n in zip(layout.grid.axes[-2:], layout.shape[-2:], strict=True)
    )
    least = min(stop - start for start, stop in (rows[0], columns[0]))
    step = max(1, least // LOOKS)
    scale = (layout.scale[0] / step, layout.scale[1] / step)
    width = -(-layout.shape[-1] // step)
    found = []
    with Mask(ref, scale, layout.origin) as mask:
        for row in rows:
            top, bottom = _asked(row, step)
            inside = mask.inside(((top, bottom), (0, width)))
            sums = np.pad(np.cumsum(inside.sum(0)), (1, 0))
            asked = np.array([_asked(column, step) for column in columns])
            counts = (asked[:, 1] - asked[:, 0]) * (bottom - top)
            found.append((sums[asked[:, 1]] - sums[asked[:, 0]]) / counts)
    return np.stack(found)


def _asked(side: Interval, step: int) -> Interval:
    """Pixels of the coarse mask whose centres lie in a core, at least one."""
    start, stop = (math.ceil(edge / step - 0.5) for edge in side)
    return (start, stop) if start < stop else (side[0] // step, side[0] // step + 1)
