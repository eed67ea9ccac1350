"""What lies on slides besides tissue: ink, dust, hairs, smears, bubbles, glass edges, borders."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from tissue.shapes import hair, ring, stroke
from tissue.slide import Slide
from tissue.texture import noise, step

Array = np.ndarray[Any, Any]
GREY = np.array([1.0, 1.0, 1.0])
INKS = {
    "black": (1.05, 1.02, 0.95),
    "blue": (1.00, 0.62, 0.16),
    "green": (1.15, 0.30, 0.62),
    "red": (0.08, 0.95, 0.80),
}
"""Optical density of red, green and blue under a full stroke."""


def pen(slide: Slide, colour: str, count: int = 3) -> None:
    """Strokes beside the tissue and one across it; one is thin, one a row of dots."""
    rng, (height, width) = slide.rng, slide.shape
    tint = np.array(INKS[colour]) * rng.uniform(0.8, 1.15) * (1 + rng.uniform(-0.08, 0.08, 3))
    for n in range(count):
        points = np.stack([rng.uniform(0, height, 5), np.sort(rng.uniform(0, width, 5))], 1)
        if n == 1:  # along an edge of the slide, as a mark for the microscope
            points[:, 0] = rng.choice([0.04, 0.96]) * height + rng.normal(0, 6, 5)
        amount = stroke(rng, slide.shape, points, rng.uniform(12, 70))
        slide.ink(tuple(tint), amount * rng.uniform(0.55, 1.1))


def dots(slide: Slide, colour: str, count: int = 12) -> None:
    """A pen's dots."""
    rng = slide.rng
    for _ in range(count):
        at = np.array([rng.uniform(0, n) for n in slide.shape])
        points = at + rng.normal(0, 4, (3, 2))
        slide.ink(INKS[colour], stroke(rng, slide.shape, points, rng.uniform(10, 26)))


def dust(slide: Slide, count: int, most: float = 6.0) -> None:
    """Specks: grey and brown mostly, some coloured fibres; radii up to `most` px."""
    rng = slide.rng
    y, x = np.indices((41, 41)) - 20
    for _ in range(count):
        radius = np.exp(rng.uniform(np.log(0.7), np.log(most)))
        speck = (np.hypot(y, x * rng.uniform(0.6, 1)) < radius).astype(float)
        speck = np.rot90(ndimage.gaussian_filter(speck, 0.5 + 0.2 * radius), rng.integers(4))
        tint = GREY * rng.uniform(0.2, 0.9) + rng.uniform(0, 0.12, 3) * [0.4, 0.8, 1.3]
        top, left = (int(rng.integers(0, n - 41)) for n in slide.shape)
        slide.density[top : top + 41, left : left + 41] += speck[..., None] * tint


def fibre(slide: Slide, count: int = 1) -> None:
    """Hairs and cotton: brown, black, or a dyed blue or red."""
    tints = [(0.55, 0.62, 0.72), (0.9, 0.9, 0.9), (0.55, 0.35, 0.15), (0.15, 0.5, 0.4)]
    for _ in range(count):
        length = slide.rng.uniform(150, 600)
        tint = np.array(tints[slide.rng.integers(len(tints))])
        slide.lay(tint, hair(slide.rng, slide.shape, length) * slide.rng.uniform(0.5, 1))


def smear(slide: Slide, count: int = 3) -> None:
    """Dirt that is wiped over the glass, grey with a breath of eosin, smooth; some is streaked."""
    rng, shape = slide.rng, slide.shape
    for _ in range(count):
        at = [rng.uniform(0.1, 0.9) * n for n in shape]
        y, x = np.indices(shape, float)
        turn = rng.uniform(0, np.pi)
        along = (y - at[0]) * np.cos(turn) + (x - at[1]) * np.sin(turn)
        across = (x - at[1]) * np.cos(turn) - (y - at[0]) * np.sin(turn)
        field = np.hypot(along / rng.uniform(120, 300), across / rng.uniform(30, 70))
        body = step(-field + 0.15 * noise(rng, shape, 60), -0.9, 0.5)
        streaks = 1 + 0.3 * ndimage.gaussian_filter1d(noise(rng, shape, 5), 6, axis=1)
        tint = GREY + rng.uniform(-0.08, 0.08, 3)
        slide.lay(tint, body * streaks * rng.uniform(0.04, 0.14))


def bubbles(slide: Slide, count: int = 7) -> None:
    """Air under the cover slip: a dark rim, inside a little lighter or darker than the glass."""
    rng = slide.rng
    for n in range(count):
        at = tuple(rng.uniform(0, m) for m in slide.shape)
        radius = rng.uniform(60, 170) if n < 2 else np.exp(rng.uniform(np.log(8), np.log(60)))
        rim, inner = ring(rng, slide.shape, at, radius)
        slide.lay(GREY + rng.uniform(-0.03, 0.03, 3), rim * rng.uniform(0.2, 0.6))
        slide.lay(GREY, inner * rng.uniform(-0.012, 0.03))


def coverslip(slide: Slide) -> None:
    """The edges of the cover slip: thin dark and light lines, and less light beyond, with glue."""
    rng, (height, width) = slide.rng, slide.shape
    y, x = np.indices(slide.shape, float)
    lean = rng.uniform(-0.03, 0.03)
    bottom = height * rng.uniform(0.86, 0.93) + lean * (x - width / 2)
    right = width * rng.uniform(0.90, 0.95) - lean * (y - height / 2)
    for depth in (y - bottom, x - right):
        line = np.exp(-((depth / 1.6) ** 2)) + 0.5 * np.exp(-(((depth - 9) / 2.5) ** 2))
        slide.lay(GREY * [1.05, 1.0, 0.95], line * rng.uniform(0.2, 0.55))
        glue = step(depth, 6, 4) * step(-depth + 10 * noise(rng, slide.shape, 30), -30, 12)
        slide.lay(np.array([0.8, 1.0, 1.5]), glue * rng.uniform(0.02, 0.06))
        slide.lay(GREY, step(depth, 0, 3) * rng.uniform(0.01, 0.05))


def shadow(slide: Slide) -> None:
    """The slide's edge or its label throw a shadow into the picture: dark grey to nothing."""
    rng = slide.rng
    for axis in rng.permutation(2)[: rng.integers(1, 3)]:
        n = slide.shape[axis]
        depth = np.arange(n) if rng.random() < 0.5 else np.arange(n)[::-1]
        fall = rng.uniform(0.3, 0.8) * np.exp(-depth / rng.uniform(15, 45))
        field = np.broadcast_to(fall if axis else fall[:, None], slide.shape)
        slide.lay(GREY * [0.97, 1.0, 1.03], field * (1 + 0.05 * noise(rng, slide.shape, 40)))


def frame(slide: Slide, value: float, share: float = 0.09, tint: float = 0.0) -> None:
    """What wasn't scanned round the picture, filled with one value."""
    rng = slide.rng
    sides = [int(n * rng.uniform(0.3, 1) * share) for n in (*slide.shape, *slide.shape)]
    inside = np.zeros(slide.shape, bool)
    inside[sides[0] : -sides[2] or None, sides[1] : -sides[3] or None] = True
    _fill(slide, ~inside, value, tint)


def blocks(slide: Slide, value: float) -> None:
    """What wasn't scanned in squares, as scanners leave out that skip glass."""
    side = 64
    rows, columns = (-(-n // side) for n in slide.shape)
    near = ndimage.binary_dilation(slide.truth, iterations=12)
    padded = np.zeros((rows * side, columns * side), bool)
    padded[: slide.shape[0], : slide.shape[1]] = near
    seen = padded.reshape(rows, side, columns, side).any((1, 3))
    seen |= slide.rng.random(seen.shape) < 0.12
    whole = np.repeat(np.repeat(seen, side, 0), side, 1)
    _fill(slide, ~whole[: slide.shape[0], : slide.shape[1]], value, 0.0)


def _fill(slide: Slide, where: Array, value: float, tint: float) -> None:
    fill = value + tint * slide.rng.uniform(-1, 1, 3)
    slide.after.append(lambda light: np.where(where[..., None], fill, light))
    slide.truth &= ~where
    slide.unsure &= ~where


def stripes(slide: Slide) -> None:
    """Line scanners' stripes and fields that don't match: each a little lighter or darker."""
    rng, width = slide.rng, slide.shape[1]
    each = int(rng.integers(40, 90))
    steps = np.repeat(rng.normal(0, 0.012, width // each + 1), each)[:width]
    lines = np.zeros(width)
    lines[rng.integers(0, width, 14)] = rng.uniform(-0.05, 0.03, 14)
    tint = np.array([rng.normal(1, 0.25, 3) for _ in range(width // each + 1)])
    tint = np.repeat(tint, each, 0)[:width]
    slide.after.append(lambda light: light * (1 + (steps + lines)[:, None] * tint))
