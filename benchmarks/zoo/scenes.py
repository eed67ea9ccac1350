"""Made pictures of round things, which small networks learn within a minute; no data is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
APART = 0.98  # some touch


def balls(
    shape: tuple[int, ...],
    radius: float,
    *,
    seed: int = 0,
    share: float = 0.35,
    apart: float = APART,
) -> Array:
    """Labels of discs or balls, some of which touch, int32 of `shape`.

    Parameters
    ----------
    radius
        Their mean, in pixels; each is up to a quarter more or less.
    share
        About how much of the picture they take, as far as there is room.
    apart
        Least distance of two centres, in sums of their radii; those nearer than 1 touch.
    """
    rng = np.random.default_rng(seed)
    size = 2 * radius if len(shape) == 2 else 4 / 3 * radius * 2
    count = int(share * np.prod(shape) / (size * radius ** (len(shape) - 1) * 1.57))
    labels = np.zeros(shape, np.int32)
    centres, radii = np.zeros((0, len(shape))), np.zeros(0)
    for _ in range(40 * count):
        at, r = rng.uniform(0, shape), radius * rng.uniform(0.75, 1.25)
        if len(centres) and (np.linalg.norm(centres - at, axis=1) < apart * (radii + r)).any():
            continue
        centres, radii = np.vstack([centres, at]), np.append(radii, r)
        box = tuple(slice(max(0, int(c - r)), int(c + r) + 2) for c in at)
        grids = np.ogrid[box]
        inside = sum((g - c) ** 2 for g, c in zip(grids, at, strict=True)) < r * r
        free = labels[box] == 0
        labels[box][free & inside[tuple(slice(0, n) for n in free.shape)]] = len(radii)
        if len(radii) == count:
            break
    return labels


def tissue(shape: tuple[int, ...], radius: float, *, seed: int = 0) -> Array:
    """Labels of cells that fill the picture: each pixel is its nearest centre's, int32 of `shape`.

    Parameters
    ----------
    radius
        About the cells', in pixels: centres lie on a grid of twice that, by up to half a radius
        beside it.
    """
    from scipy.spatial import cKDTree  # not every model's environment has it

    rng = np.random.default_rng(seed)
    lines = [np.arange(radius / 2, n + 2 * radius, 2 * radius) for n in shape]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(shape))
    centres = grid + rng.uniform(-radius / 2, radius / 2, grid.shape)
    pixels = np.stack(np.indices(shape), -1).reshape(-1, len(shape))
    nearest = cKDTree(centres).query(pixels)[1].reshape(shape)
    return np.asarray(np.unique(nearest, return_inverse=True)[1].reshape(shape) + 1, np.int32)


def seen(labels: Array, kind: str, *, seed: int = 0) -> Array:
    """What a microscope shows of labels: ``bright`` on dark, their ``edges``, or ``stained`` RGB.

    ``coloured`` is no microscope's: each has a colour of its own, all are as bright, on black.
    uint8, of the labels' shape; RGB has a last axis of 3.
    """
    if kind == "coloured":
        return np.rint(255 * colours(labels.max()))[labels].astype(np.uint8)
    rng = np.random.default_rng(seed)
    inside = (labels > 0).astype(float)
    if kind == "edges":
        steps = [np.abs(np.diff(labels, axis=a, prepend=0)) > 0 for a in range(labels.ndim)]
        inside = np.any(steps, axis=0).astype(float)
    values = 0.1 + 0.7 * inside + rng.normal(0, 0.05, labels.shape)
    if kind == "stained":
        values = 1 - values[..., None] * np.array([0.9, 0.75, 0.35])
    return np.clip(values * 255, 0, 255).astype(np.uint8)


def colours(count: int) -> Array:
    """Black, and `count` colours far from each other, (1 + count, 3) from 0 to 1; one is red.

    Each is the one of many even steps on a sphere that is farthest from those before.
    """
    steps = np.arange(4000) + 0.5
    height, turn = steps / len(steps), steps * np.pi * (3 - 5**0.5)
    across = np.sqrt(1 - height**2)
    all_of_them = np.stack([across * np.cos(turn), across * np.sin(turn), height], 1)
    free = all_of_them[(all_of_them >= 0).all(1)]
    found, nearness = [np.eye(3)[0]], free[:, 0]
    while len(found) < count:
        found.append(free[nearness.argmin()])
        nearness = np.maximum(nearness, free @ found[-1])
    return np.array([np.zeros(3), *found[:count]])
