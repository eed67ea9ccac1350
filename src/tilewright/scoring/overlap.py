"""How many pixels each found object shares with each true one, counted block by block.

What is held is a number for each pair of objects that overlap, whatever the image's size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
MOST_LABEL = (1 << 32) - 1
"""The largest label: a pair of them is one number of 64 bits."""
COMPACT = 1 << 20  # entries that are gathered before equal ones are added up


@dataclass(frozen=True)
class Overlap:
    """Objects of two label images and the pixels that they share.

    Parameters
    ----------
    found, true
        (pairs,) int64: of each pair that overlaps, the number of either, from 0.
    px
        (pairs,) int64: how many pixels (voxels) both have.
    found_area, true_area
        (objects,) int64: each object's pixels, in all.
    """

    found: Array
    true: Array
    px: Array
    found_area: Array
    true_area: Array


def overlap(blocks: Iterable[tuple[Array, Array]]) -> Overlap:
    """The overlaps of two label images that come as blocks.

    Parameters
    ----------
    blocks
        Found and true labels, two arrays of one shape and any whole-number dtype, 0 background;
        labels are from 0 to `MOST_LABEL`.
    """
    keys, px = np.empty(0, np.uint64), np.empty(0, np.int64)
    for found, true in blocks:
        more = _runs(found, true)
        keys, px = np.concatenate([keys, more[0]]), np.concatenate([px, more[1]])
        if len(keys) > COMPACT:
            keys, px = _summed(keys, px)
    keys, px = _summed(keys, px)
    pair = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(MOST_LABEL)).astype(np.int64)
    (found, found_area), (true, true_area) = (_areas(side, px) for side in pair)
    both = (found >= 0) & (true >= 0)
    return Overlap(found[both], true[both], px[both], found_area, true_area)


def _runs(found: Array, true: Array) -> tuple[Array, Array]:
    """A block's pairs of labels as runs of equal ones: their keys and lengths."""
    keys = (found.astype(np.uint64) << np.uint64(32)) | true.astype(np.uint64)
    flat = keys.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    return _summed(flat[starts], np.diff(starts, append=len(flat)))


def _summed(keys: Array, px: Array) -> tuple[Array, Array]:
    """Each key once, and the sum of its pixels."""
    known, which = np.unique(keys, return_inverse=True)
    total = np.zeros(len(known), np.int64)
    np.add.at(total, which, px)
    return known, total


def _areas(labels: Array, px: Array) -> tuple[Array, Array]:
    """Of one side of each pair the object's number, -1 of background; and the objects' areas."""
    known, which = np.unique(labels, return_inverse=True)
    area = np.zeros(len(known), np.int64)
    np.add.at(area, which, px)
    has_background = int(len(known) > 0 and known[0] == 0)
    return which - has_background, area[has_background:]
