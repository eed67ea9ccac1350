"""Outlines: pieces of tissue, biopsies, cores, strokes, bubbles. Lengths are px of 8 µm."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from tissue.texture import noise

Array = np.ndarray[Any, Any]
Rng = np.random.Generator
Shape = tuple[int, int]


def blob(rng: Rng, shape: Shape, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
    """A ragged piece (y, x) bool."""
    y, x = np.indices(shape, float)
    turn = rng.uniform(0, np.pi)
    dy, dx = y - centre[0], x - centre[1]
    along, across = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
    least = min(radii)
    field = np.hypot(along / radii[0], across / radii[1])
    field += 0.17 * noise(rng, shape, max(4, 0.7 * least)) * (field > 0.3)
    field += 0.05 * noise(rng, shape, max(3, 0.15 * least)) + 0.02 * noise(rng, shape, 3)
    return largest(field < 1)


def largest(mask: Array) -> Array:
    """A mask's largest piece, without its small holes."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    whole = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return ndimage.binary_fill_holes(whole)


def section(rng: Rng, shape: Shape, share: float = 1.0) -> Array:
    """One to three pieces that leave a margin of glass."""
    mask = np.zeros(shape, bool)
    count = int(rng.integers(1, 4))
    for n in range(count):
        centre = shape[0] * rng.uniform(0.35, 0.65), shape[1] * (n + rng.uniform(0.4, 0.6)) / count
        reach = share * shape[1] / count * rng.uniform(0.3, 0.42)
        mask |= blob(rng, shape, centre, (min(reach, 0.36 * shape[0]), reach * rng.uniform(0.7, 1)))
    return mask


def serial(rng: Rng, shape: Shape) -> Array:
    """The same piece cut some times, each a little turned and moved."""
    small = blob(rng, (shape[0] // 2, shape[1] // 4), (shape[0] / 4, shape[1] / 8), (110, 80))
    mask = np.zeros(shape, bool)
    for row in range(2):
        for column in range(3):
            one = ndimage.rotate(small.astype(float), rng.uniform(-12, 12), reshape=False, order=1)
            y = int(row * shape[0] / 2)
            x = int((column + 0.4) * shape[1] / 3.4 + rng.integers(-8, 8))
            part = mask[y : y + one.shape[0], x : x + one.shape[1]]
            part |= one[: part.shape[0], : part.shape[1]] > 0.5
    return mask


def discs(rng: Rng, shape: Shape, radius: float = 48) -> tuple[Array, Array]:
    """Cores of a tissue microarray, some broken or missing: the mask, and each one's number."""
    y, x = np.indices(shape, float)
    mask, numbers = np.zeros(shape, bool), np.zeros(shape, int)
    pitch, count = 2.7 * radius, 0
    for cy in np.arange(pitch * 0.6, shape[0] - radius, pitch):
        for cx in np.arange(pitch * 0.6, shape[1] - radius, pitch):
            if rng.random() < 0.08:
                continue
            at = cy + rng.uniform(-6, 6), cx + rng.uniform(-6, 6)
            one = np.hypot(y - at[0], x - at[1]) < radius * rng.uniform(0.9, 1.05)
            if rng.random() < 0.3:  # part of it is lost
                one &= noise(rng, shape, radius * 0.7) > -0.6
            one = largest(one)
            count += 1
            numbers[one] = count
            mask |= one
    return mask, numbers


def strips(rng: Rng, shape: Shape, count: int, width: float, length: float) -> Array:
    """Needle biopsies: curved, ragged, broken here and there."""
    mask = np.zeros(shape, bool)
    for n in range(count):
        y = shape[0] * (n + rng.uniform(0.35, 0.65)) / count
        start = shape[1] * rng.uniform(0.06, 0.14)
        x = start + np.linspace(0, length, 160)
        bend = noise(rng, (1, 160), 45)[0] * 12 + np.linspace(0, rng.uniform(-40, 40), 160)
        line = np.stack([y + bend, x], 1)
        line = line[np.abs(noise(rng, (1, 160), 14)[0]) > 0.05]  # cracks
        wide = 0.5 * width * (1 + 0.12 * noise(rng, shape, 18) + 0.1 * noise(rng, shape, 4))
        mask |= _distance(shape, line, 2 * width) < wide
    return mask


def crumbs(rng: Rng, shape: Shape, count: int, least: float, most: float) -> Array:
    """Fragments all over, of radii between two."""
    mask = np.zeros(shape, bool)
    for _ in range(count):
        radius = np.exp(rng.uniform(np.log(least), np.log(most)))
        margin = 1.6 * radius + 10
        centre = tuple(rng.uniform(margin, n - margin) for n in shape)
        side = int(3.2 * radius) + 8
        one = blob(rng, (side, side), (side / 2, side / 2), (radius, radius * rng.uniform(0.5, 1)))
        y, x = (int(c - side / 2) for c in centre)
        part = mask[max(0, y) : y + side, max(0, x) : x + side]
        part |= one[: part.shape[0], : part.shape[1]]
    return mask


def stroke(rng: Rng, shape: Shape, points: Array, width: float) -> Array:
    """A pen's stroke (y, x) 0 to 1: out of focus, streaked, darker at its ends and rim."""
    smooth = _curve(points)
    wide = width / 2 * (1 + 0.06 * noise(rng, shape, 25))
    depth = 1 - _distance(shape, smooth, 2 * width) / wide
    body = ndimage.gaussian_filter((depth > 0).astype(float), rng.uniform(1, 3))
    streaks = 0.75 + 0.15 * noise(rng, shape, 40) + 0.08 * noise(rng, shape, 6)
    rim = 0.35 * np.exp(-(((depth - 0.12) / 0.12) ** 2))
    amount: Array = body * (streaks + rim).clip(0.15, 1.4)
    return amount


def _curve(points: Array) -> Array:
    """Points close together on a smooth line through the given ones."""
    at = np.linspace(0, len(points) - 1, 200)
    line = np.stack([np.interp(at, np.arange(len(points)), p) for p in points.T], 1)
    return ndimage.gaussian_filter1d(line, 8, axis=0, mode="nearest")


def _distance(shape: Shape, line: Array, most: float) -> Array:
    """Distance of each pixel to a line of points that are close together; 1,000 from `most` on."""
    y, x = line.round().astype(int).T
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    drawn = np.zeros(shape, np.uint8)
    drawn[y[inside], x[inside]] = 1
    near = ndimage.maximum_filter(drawn, 2 * int(most) + 3) > 0
    found = np.full(shape, 1e3)
    tree = cKDTree(line)
    found[near] = np.minimum(tree.query(np.argwhere(near), distance_upper_bound=most)[0], 1e3)
    return found


def hair(rng: Rng, shape: Shape, length: float) -> Array:
    """A hair's line (y, x) 0 to 1: some 60 µm wide, a long bow."""
    start = np.array([rng.uniform(0.1, 0.9) * n for n in shape])
    turn = rng.uniform(0, 2 * np.pi) + np.cumsum(noise(rng, (1, 12), 4)[0]) * 0.15
    points = start + np.cumsum(np.stack([np.sin(turn), np.cos(turn)], 1), 0) * length / 12
    wide = rng.uniform(2.2, 4.0)
    return np.exp(-((_distance(shape, _curve(points), 20) / wide) ** 4))


def ring(rng: Rng, shape: Shape, centre: tuple[float, float], radius: float) -> tuple[Array, Array]:
    """A bubble: its dark rim (y, x) 0 to 1, and its inside."""
    y, x = np.indices(shape, float)
    depth = np.hypot(y - centre[0], x - centre[1])
    depth = radius * (1 + 0.04 * noise(rng, shape, max(8, radius))) - depth
    inner = 1 / (1 + np.exp((-depth / 1.2).clip(-30, 30)))
    rim = np.exp(-((depth / rng.uniform(1.2, 3)) ** 2))
    rim += 0.35 * np.exp(-(((depth - 7) / 5) ** 2))
    return rim, inner


def lace(rng: Rng, shape: Shape, cell: float = 9.5) -> Array:
    """The walls of fat cells (y, x) 0 to 1; cells are some 75 µm wide."""
    rows, columns = (int(n / cell) + 3 for n in shape)
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).astype(
        float
    )
    grid[1::2, :, 1] += 0.5
    points = (grid + rng.normal(0, 0.22, grid.shape) - 1).reshape(-1, 2) * cell
    y, x = np.indices(shape)
    near = cKDTree(points).query(np.stack([y.ravel(), x.ravel()], 1), k=2)[0]
    gap = (near[:, 1] - near[:, 0]).reshape(shape)
    thick = 0.75 + 0.25 * noise(rng, shape, 25)
    walls: Array = np.exp(-((gap / 1.5) ** 2)) * thick.clip(0.25)
    return walls
