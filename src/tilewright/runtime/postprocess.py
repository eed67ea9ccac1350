"""How a network's maps become objects: the rules that every runner shares.

Every rule looks at one connected piece of foreground at a time, so a tile that holds the piece
labels it as the whole image would. All are for planes and volumes; what is said of (H, W) holds
for (D, H, W). It runs in a model's environment: numpy, scipy and scikit-image, Python >= 3.8.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Dict

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]
from skimage.morphology import local_maxima
from skimage.segmentation import watershed as flood

from . import tensors

Settings = Dict[str, Any]


def watershed(maps: np.ndarray, params: Settings) -> np.ndarray:
    """Objects, (H, W) int32, from maps (3, H, W) of foreground, boundary (unused) and distance.

    The distance is 1 at each object's centre; its `peaks` over ``seed_threshold``, told apart by
    ``split_ratio``, are flooded within the foreground. ``min_area``, ``max_area`` and ``max_hole``
    are px; ``min_certainty`` is the least mean chance of foreground of an object.
    """
    foreground = fill(maps[0] > params["foreground_threshold"], params["max_hole"])
    height = np.where(foreground, maps[2], 0)
    seeds = peaks(height, params["split_ratio"], params["seed_threshold"])
    flooded = flood(-height, seeds, mask=foreground)  # type: ignore[no-untyped-call]
    labels = drop_by_area(flooded, params["min_area"], params["max_area"])
    return drop_doubtful(labels, maps[0], params["min_certainty"])


def peaks(height: np.ndarray, ratio: float, least: float) -> np.ndarray:
    """Number the peaks of a map that no saddle joins to a higher one.

    Each is lowered to `ratio` of itself, then raised to what reaches it over the saddles; what
    nothing raises stays: morphological reconstruction, on the peaks instead of on every pixel.

    Parameters
    ----------
    height
        (H, W) float32; 0 and less is background.
    ratio
        0 to 1: a saddle of at most this share of a peak's height tells it apart.
    least
        What a peak must exceed, in `height`'s unit.

    Returns
    -------
        (H, W) whole numbers: each peak's pixels have its own, all others 0.
    """
    highest = local_maxima(height)  # type: ignore[no-untyped-call]
    near = ndimage.generate_binary_structure(height.ndim, height.ndim)  # corners too
    summits, count = ndimage.label(highest & (height > 0), near)
    basins = flood(-height, summits, mask=height > 0, connectivity=near)  # type: ignore[no-untyped-call]
    top = np.zeros(count + 1, height.dtype)
    top[summits[summits > 0]] = height[summits > 0]  # a summit's pixels are all as high
    one, other, saddle = borders(basins, height)
    # of equal peaks the first is the highest: less than float32 tells apart, so only ties see it
    own = top.astype(np.float64) * ratio - 1e-9 * np.arange(count + 1) / (count + 1)
    level, before = own.copy(), None
    while before is None or (level != before).any():
        before = level.copy()
        np.maximum.at(level, one, np.minimum(before[other], saddle))
    keep = (level == own) & (top > least)
    return np.where(keep[summits], summits, 0)


def borders(basins: np.ndarray, height: np.ndarray) -> list[np.ndarray]:
    """Per pair of neighbouring pixels in two basins, both ways: the basins, the lower height.

    Parameters
    ----------
    basins
        (H, W) whole numbers, 0 outside.
    height
        (H, W), as `basins`.

    Returns
    -------
        Three (pairs,): the one basin, the other, and the lower of their two heights.
    """
    found = []
    wide, high = np.pad(basins, 1), np.pad(height, 1)
    here = (slice(1, -1),) * height.ndim
    for shift in product((-1, 0, 1), repeat=height.ndim):
        if shift <= (0,) * height.ndim:  # each pair is met once
            continue
        there = tuple(slice(1 + s, s - 1 or None) for s in shift)
        a, b = wide[here], wide[there]
        meet = (a != b) & (a > 0) & (b > 0)
        low = np.minimum(high[here][meet], high[there][meet])
        found += [(a[meet], b[meet], low), (b[meet], a[meet], low)]
    return [np.concatenate(parts) for parts in zip(*found)]


def components(maps: np.ndarray, params: Settings) -> np.ndarray:
    """Objects, (H, W) int32: connected pieces of maps (1 or more, H, W)'s first.

    A pixel is in one where the map is above ``foreground_threshold``; ``min_area``, ``max_area``
    and ``max_hole`` are px.
    """
    foreground = fill(maps[0] > params["foreground_threshold"], params["max_hole"])
    return drop_by_area(ndimage.label(foreground)[0], params["min_area"], params["max_area"])


def argmax(maps: np.ndarray, params: Settings) -> np.ndarray:
    """Each pixel's class, (H, W) int32: the number of its greatest of maps (class, H, W).

    Class 0 is background.
    """
    return np.asarray(maps.argmax(0), np.int32)


def fill(mask: np.ndarray, most: float) -> np.ndarray:
    """Fill enclosed background of at most `most` px; what reaches the tile's edge is open.

    `mask` and the result are (H, W) bool.
    """
    holes, _ = ndimage.label(~mask)
    closed = np.bincount(holes.ravel()) <= most
    closed[0] = False
    for axis in range(mask.ndim):
        for edge in (0, -1):
            closed[holes.take(edge, axis)] = False
    return np.asarray(mask | closed[holes])


def drop_by_area(labels: np.ndarray, least: float, most: float) -> np.ndarray:
    """Labels, (H, W) int32, without the objects under `least` px, or over `most`; 0 is any."""
    area = np.bincount(labels.ravel())
    return only(labels, (area >= least) & (area <= (most or np.inf)))


def drop_doubtful(labels: np.ndarray, foreground: np.ndarray, least: float) -> np.ndarray:
    """Labels without the objects whose mean chance of foreground is under a least one.

    Parameters
    ----------
    labels
        (H, W) whole numbers, 0 background.
    foreground
        (H, W), each pixel's chance, 0 to 1.
    least
        0 to 1.
    """
    area, total = (np.bincount(labels.ravel(), w) for w in (None, foreground.ravel()))
    return only(labels, total >= least * area)


def only(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Labels, (H, W) int32, of the objects that `keep`, a bool per label, says."""
    keep[0] = False
    return np.where(keep[labels], labels, 0).astype(np.int32)


def as_labels(maps: np.ndarray, params: Settings) -> np.ndarray:
    """One of maps (1 or more, H, W) as int32, where a network gives labels itself.

    ``map`` is its number.

    Raises
    ------
    ValueError
        When there are fewer, or it holds anything but whole numbers from 0.
    """
    number = int(params.get("map") or 0)
    if number >= len(maps):
        raise ValueError(
            f"map is {number}, and the network gives {len(maps)} of a tile: 0 is its first"
        )
    with np.errstate(invalid="ignore"):  # NaN, and what is too large, is refused below
        labels = np.asarray(maps[number], np.int32)
    odd = maps[number][(labels != maps[number]) | (labels < 0)]
    if odd.size:
        raise ValueError(
            f"the network's map {number} holds {odd.flat[0]:g}, which is no label: labels are "
            "whole numbers from 0. Choose another map or postprocess, or a network that gives some"
        )
    return labels


POSTPROCESS = {
    "watershed": (watershed, 3),
    "components": (components, 1),
    "argmax": (argmax, 1),
    "labels": (as_labels, 1),
}
"""Each rule, and how many maps it takes at least."""
DEFAULTS = {
    "foreground_threshold": 0.35,
    "seed_threshold": 0.4,
    "split_ratio": 0.45,
    "min_area": 30,
    "max_area": 0,
    "min_certainty": 0.6,
    "max_hole": 100,
}


def to_labels(maps: np.ndarray, params: Settings) -> np.ndarray:
    """(batch, H, W) int32 labels from (batch, class, H, W) maps, by ``params["postprocess"]``.

    Of volumes (batch, D, H, W) from (batch, class, D, H, W).

    Raises
    ------
    ValueError
        When there is no such rule, it needs other maps, or they hold NaN.
    """
    name = params.get("postprocess", "watershed")
    if name not in POSTPROCESS:
        known = ", ".join(sorted(POSTPROCESS))
        raise ValueError(f"postprocess is {name!r}; it must be one of {known}")
    rule, least = POSTPROCESS[name]
    if maps.ndim not in (4, 5) or maps.shape[1] < least:
        sizes = " x ".join(map(str, maps.shape[1:]))
        raise ValueError(
            f"postprocess {name} takes at least {least} maps of a tile; it gets {sizes}"
        )
    if name != "labels" and np.isnan(maps).any():  # that one looks itself
        raise ValueError("the network's maps hold NaN, of which no objects can be made")
    settings = dict(DEFAULTS, **params)
    return np.stack([rule(each, settings) for each in maps])


def results(
    network: tensors.Network, spec: Settings, params: Settings, tiles: np.ndarray
) -> np.ndarray:
    """A network's labels, maps or vectors, by the spec's `output_kind`.

    Parameters
    ----------
    tiles
        (batch, *axes) float32, as `predict` gets them; `axes` are the spec's.
    """
    kind = spec.get("output_kind", "labels")
    found = tensors.run(network, tensors.ours(tiles, spec), params, kind)
    return to_labels(found, params) if kind == "labels" else found


def with_params(
    model: tuple[tensors.Network, Settings, Settings], params: Settings, opened_by: str
) -> tuple[tensors.Network, Settings, Settings] | None:
    """A network and what it runs by, with other parameters; None where it was opened by another.

    Parameters
    ----------
    model
        The network, its spec and the parameters before.
    params
        The parameters now.
    opened_by
        The name of the one that it was opened by.
    """
    network, spec, before = model
    same = params.get(opened_by) == before.get(opened_by)
    return (network, spec, params) if same else None
