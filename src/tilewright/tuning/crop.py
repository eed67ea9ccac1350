"""Which part of an image is tried, where the user doesn't say it: the one with most texture."""

from __future__ import annotations

import math

import numpy as np

from tilewright.contract.grid import Grid
from tilewright.contract.jobs import ImageRef
from tilewright.images.damage import DamagedPixelsError
from tilewright.images.image import Image
from tilewright.preprocess.enhance import opened

Array = np.ndarray
Region = tuple[int, int, int, int]
"""``(y, x, height, width)`` in level-0 pixels."""
SIDE = 1024  # model pixels: what one looks at on a screen
LEAST_SIDE = 256  # model pixels, where there are many slices
PLANES = 4  # of a full crop; with more, its sides shrink
MOST_READ = 1 << 26  # pixels that are looked at for texture; of a larger level the middle is taken
CELLS = 8  # along a crop's side: the steps in which it is moved
TEXTURED, MIDDLE, WHOLE = "the part with most texture", "the middle", "all of it"


def choose(ref: ImageRef, grid: Grid, planes: int) -> tuple[Region, str]:
    """A crop of an image, and in words which it is.

    Parameters
    ----------
    ref, grid, planes
        The image, as planned whole: its tiles and how many planes are looped.
    """
    sides = dict(zip(ref.axes, ref.shape, strict=True))
    height, width = sides["Y"], sides["X"]
    depth = planes * (grid.shape[0] if len(grid.shape) > 2 else 1)
    side = max(LEAST_SIDE, SIDE / math.sqrt(max(1.0, depth / PLANES)))
    scale = grid.shape[-1] / width  # model pixels per level-0 pixel
    size = min(height, round(side / scale)), min(width, round(side / scale))
    if size == (height, width):
        return (0, 0, height, width), WHOLE
    with opened(ref.path, axes=ref.axes, scene=ref.scene, methods=ref.prep) as image:
        found = _by_texture(image, ref.channels[0], size)
    y, x = found or ((height - size[0]) // 2, (width - size[1]) // 2)
    return (y, x, *size), TEXTURED if found else MIDDLE


def _by_texture(image: Image, channel: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Where the crop of a size, (y, x) px, begins that has most texture; None: it isn't looked."""
    y, x = (image.axes.index(a) for a in "YX")
    level = next((i for i, n in enumerate(image.levels) if n[y] * n[x] <= MOST_READ), None)
    if level is None:
        return None
    index: dict[str, int | slice] = {a: 0 for a in image.axes if a not in "YX"}
    index |= {"C": max(0, channel)} if "C" in index else {}
    index |= {"Z": image.size("Z") // 2} if "Z" in index else {}
    try:
        pixels = image.read(level, index)
    except DamagedPixelsError:
        return None
    steps = image.steps[level]
    inside = [max(1, round(n / s)) for n, s in zip(size, steps, strict=True)]
    begin = busiest(pixels, (inside[0], inside[1]))
    most = [image.shape[a] - n for a, n in zip((y, x), size, strict=True)]
    top, left = (min(m, round(b * s)) for b, s, m in zip(begin, steps, most, strict=True))
    return top, left


def busiest(pixels: Array, size: tuple[int, int]) -> tuple[int, int]:
    """Where the window with the steepest pixels in all begins.

    Parameters
    ----------
    pixels
        (y, x), any dtype.
    size
        Of the window, (y, x), in pixels.
    """
    values = np.nan_to_num(pixels.astype(np.float32))
    steep = np.zeros(values.shape, np.float32)
    steep[1:] += np.abs(np.diff(values, axis=0))
    steep[:, 1:] += np.abs(np.diff(values, axis=1))
    cell = [max(1, n // CELLS) for n in size]
    number = [max(1, n // c) for n, c in zip(values.shape, cell, strict=True)]
    cut = steep[: number[0] * cell[0], : number[1] * cell[1]].astype(np.float64)
    sums = cut.reshape(number[0], cell[0], number[1], cell[1]).sum((1, 3))
    window = [min(n, max(1, s // c)) for n, s, c in zip(number, size, cell, strict=True)]
    total = np.zeros((number[0] + 1, number[1] + 1))
    total[1:, 1:] = sums.cumsum(0).cumsum(1)
    h, w = window
    each = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    y, x = np.unravel_index(int(each.argmax()), each.shape)
    top = min(int(y) * cell[0], values.shape[0] - min(size[0], values.shape[0]))
    left = min(int(x) * cell[1], values.shape[1] - min(size[1], values.shape[1]))
    return max(0, top), max(0, left)
