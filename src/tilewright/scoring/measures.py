"""What two label images' overlaps come to: F1, AP, PQ, and what is split, merged, lost or added.

Everything follows from whole numbers that add up over images, so that images may be drawn again
for intervals. Where there is nothing to find and nothing is found, a share is NaN.

References
----------
IoU, matches and the Data Science Bowl's score TP / (TP + FP + FN): J. C. Caicedo et al., Nature
Methods 16 (2019) 1247-1253; `cellpose.metrics.average_precision` and `stardist.matching` count the
same. Panoptic quality: A. Kirillov et al., CVPR 2019. Split, merged, lost, added (over- and
under-segmented, missed and noise regions): A. Hoover et al., IEEE TPAMI 18 (1996) 673-689, with a
tolerance of a half. Percentile intervals: B. Efron and R. Tibshirani, An introduction to the
bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import maximum_bipartite_matching  # type: ignore[import-untyped]

from .overlap import Overlap

Array = np.ndarray
PERCENTS = tuple(range(50, 100, 5))
"""The least IoUs of a match, in %: two objects that reach 50 % are matched to no third one."""
ERRORS = ("split", "merged", "lost", "added")
RESAMPLES = 2000
SEED = 0
COUNTS = 2 + len(PERCENTS) + 1 + len(ERRORS)
"""Of `counts`: true, found, matches at each IoU, the sum of the first's IoUs, then `ERRORS`."""


def counts(pairs: Overlap) -> Array:
    """All that is counted of an image or plane, (`COUNTS`,) float64; of several, their sum.

    Parameters
    ----------
    pairs
        Its objects' overlaps.
    """
    union = pairs.found_area[pairs.found] + pairs.true_area[pairs.true] - pairs.px
    matched, iou = [], 0.0
    for percent in PERCENTS:
        enough = 100 * pairs.px >= percent * union  # in whole numbers: 0.6 is no float
        rows = _matched(pairs, enough)
        matched.append(len(rows))
        if percent == PERCENTS[0]:
            iou = float((pairs.px[rows] / union[rows]).sum())
    sizes = len(pairs.true_area), len(pairs.found_area)
    return np.array([*sizes, *matched, iou, *errors(pairs)], np.float64)


def _matched(pairs: Overlap, enough: Array) -> Array:
    """Which pairs are matches, (matches,): each object in one at most, and as many as can be."""
    rows = np.flatnonzero(enough)
    shape = len(pairs.found_area), len(pairs.true_area)
    if not len(rows):
        return rows
    found, true = pairs.found[rows], pairs.true[rows]
    graph = csr_array((rows + 1, (found, true)), shape=shape)
    of_found = maximum_bipartite_matching(graph, perm_type="column")
    return np.asarray(rows[of_found[found] == true])


def errors(pairs: Overlap) -> tuple[int, int, int, int]:
    """How many true objects are split, found ones merge several, true ones are lost, found added.

    A true object is split if several found ones lie in it by more than half of each, and together
    cover more than half of it; a found one merges several if the reverse holds. What takes part in
    neither, and in no pair of which each covers more than half of the other, is lost or added.
    """
    fragment = 2 * pairs.px > pairs.found_area[pairs.found]
    swallowed = 2 * pairs.px > pairs.true_area[pairs.true]
    split = _in_pieces(pairs.true, pairs.px, fragment, pairs.true_area)
    merged = _in_pieces(pairs.found, pairs.px, swallowed, pairs.found_area)
    both = fragment & swallowed
    parts, wholes = fragment & split[pairs.true], swallowed & merged[pairs.found]
    seen, right = split.copy(), merged.copy()
    seen[pairs.true[both | wholes]] = True
    right[pairs.found[both | parts]] = True
    return int(split.sum()), int(merged.sum()), int((~seen).sum()), int((~right).sum())


def _in_pieces(whole: Array, px: Array, piece: Array, area: Array) -> Array:
    """Which objects, (objects,) bool, two or more pieces cover by more than half together."""
    number = np.bincount(whole[piece], minlength=len(area))
    covered = np.bincount(whole[piece], px[piece], minlength=len(area))
    return np.asarray((number > 1) & (2 * covered > area))


def measures(found: Array) -> dict[str, Array]:
    """Shares of counts (..., `COUNTS`): arrays (...), or (..., IoU) of those ending in ``_by_iou``.

    Returns
    -------
        ``precision``, ``recall``, ``f1``, ``ap`` = TP / (TP + FP + FN), ``sq`` (mean IoU of the
        matches) and ``pq`` = ``sq`` x ``f1`` at IoU 0.5; ``f1_by_iou``, ``ap_by_iou`` and their
        means ``mean_f1`` and ``mean_ap``. All from 0 to 1, or NaN.
    """
    true, seen = found[..., :1], found[..., 1:2]
    right = found[..., 2 : 2 + len(PERCENTS)]
    iou = found[..., 2 + len(PERCENTS)]
    f1, ap = _share(2 * right, true + seen), _share(right, true + seen - right)
    at_half = right[..., 0]
    return {
        "precision": _share(at_half, seen[..., 0]),
        "recall": _share(at_half, true[..., 0]),
        "f1": f1[..., 0],
        "ap": ap[..., 0],
        "sq": _share(iou, at_half),
        "pq": _share(2 * iou, true[..., 0] + seen[..., 0]),
        "mean_f1": f1.mean(-1),
        "mean_ap": ap.mean(-1),
        "f1_by_iou": f1,
        "ap_by_iou": ap,
    }


def _share(part: Array, whole: Array) -> Array:
    """A quotient; NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))


def intervals(found: Array) -> dict[str, Array]:
    """95 % intervals of the measures of all images together, by drawing images again.

    Parameters
    ----------
    found
        (images, `COUNTS`).

    Returns
    -------
        As of `measures`, (2, ...): the 2.5th and 97.5th percentile over `RESAMPLES` draws of as
        many images; the same at each call. NaN of fewer than two images.
    """
    images = len(found)
    if images < 2:
        return {k: np.full((2, *v.shape), np.nan) for k, v in measures(found.sum(0)).items()}
    drawn = np.random.default_rng(SEED).multinomial(images, [1 / images] * images, RESAMPLES)
    each = measures(drawn @ found)
    return {name: _percentiles(values) for name, values in each.items()}


def _percentiles(values: Array) -> Array:
    """(2, ...) of (draws, ...), draws in which nothing is to be found left out."""
    good = values[~np.isnan(values).reshape(len(values), -1).any(1)]
    if not len(good):
        return np.full((2, *values.shape[1:]), np.nan)
    return np.asarray(np.percentile(good, [2.5, 97.5], axis=0))
