"""How an image's tiles are cut into jobs, each with as many that are predicted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .grid import Interval

Array = np.ndarray


def bounds(tiles: int, most: int, predicted: Array | None = None) -> list[Interval]:
    """The tiles of each job, of an image's that are numbered over its planes and then its grid.

    Parameters
    ----------
    tiles
        How many there are.
    most
        How many of `predicted` a job may have.
    predicted
        (n,) integers, ascending: the numbers of those that are predicted; None is all.

    Returns
    -------
        One interval at least; together they are all tiles, in order.
    """
    chosen = tiles if predicted is None else len(predicted)
    count = max(1, -(-chosen // most))
    starts = (chosen * i // count for i in range(1, count))
    inner = [at if predicted is None else int(predicted[at]) for at in starts]
    return list(pairwise([0, *inner, tiles]))
