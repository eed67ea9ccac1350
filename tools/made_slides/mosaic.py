"""What a made slide shows: pieces of real H&E on glass, any region of it at any time.

A slide is a function of its seed: nothing of it is kept, so a slide of 40,000² costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

CELL = 256
"""Side of a piece of the mosaic, px."""
STEP = 64
"""Px between two nodes of the height field whose highest places are tissue."""
GLASS = (243, 242, 244)
NOISE = 2
"""Glass is GLASS plus or minus so much."""
Array = np.ndarray[Any, Any]


def read_pieces(folder: Path | None) -> list[Array]:
    """Images of stained tissue, each at least a cell large, (Y, X, 3) uint8.

    Parameters
    ----------
    folder
        Its files ``he_*.tif``, in subfolders as well; None: an IHC picture that scikit-image has.

    Raises
    ------
    FileNotFoundError
        The folder has no such file.
    """
    if folder is None:
        from skimage.data import immunohistochemistry

        picture = immunohistochemistry()
        return [picture[y : y + CELL, x : x + CELL] for y in (0, 256) for x in (0, 256)]
    import tifffile

    paths = sorted(p for p in folder.rglob("he_*.tif") if not p.stem.endswith("_labels"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no he_*.tif.")
    return [tifffile.imread(path) for path in paths]


@dataclass
class Slide:
    """A slide that is made as it is looked at.

    Parameters
    ----------
    height, width
        Of level 0, px.
    tissue
        Share of it that is tissue, 0 to 1, about: `share` counts it.
    seed
        Another seed is another slide.
    pieces
        From `read_pieces`.
    planes
        Planes of Z; the middle one is sharp.
    """

    height: int
    width: int
    tissue: float = 0.3
    seed: int = 0
    pieces: list[Array] = field(default_factory=lambda: read_pieces(None))
    planes: int = 1

    @cached_property
    def _field(self) -> tuple[Array, float]:
        """Heights on a grid of STEP px, (Y, X), and the height above which it is tissue."""
        rows, columns = -(-self.height // STEP) + 1, -(-self.width // STEP) + 1
        noise = np.random.default_rng(self.seed).standard_normal((rows, columns))
        broad = max(min(rows, columns) / 14, 1.0)
        heights = ndimage.gaussian_filter(noise, broad) * broad
        y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
        heights = heights - 2 * (y**8 + x**8)  # tissue keeps off the edges
        return heights, float(np.quantile(heights, 1 - self.tissue))

    @cached_property
    def _stack(self) -> list[list[Array]]:
        """The pieces of each plane: blurred by the distance from the middle one."""
        middle = self.planes // 2
        return [
            [ndimage.uniform_filter(p, (1 + 4 * abs(z - middle),) * 2 + (1,)) for p in self.pieces]
            if z != middle
            else self.pieces
            for z in range(self.planes)
        ]

    @cached_property
    def _glass(self) -> Array:
        noise = np.random.default_rng(self.seed).integers(-NOISE, NOISE + 1, (CELL, CELL, 3))
        return (np.array(GLASS) + noise).astype(np.uint8)

    def _nodes(self, y: int, x: int, height: int, width: int) -> Array:
        heights, _ = self._field
        return heights[
            y // STEP : -(-(y + height) // STEP) + 1, x // STEP : -(-(x + width) // STEP) + 1
        ]

    def mask(self, y: int, x: int, height: int, width: int) -> Array:
        """Which pixels of level 0 are tissue, (height, width) bool."""
        nodes, least = self._nodes(y, x, height, width), self._field[1]
        if nodes.min() >= least or nodes.max() < least:  # between nodes it is bilinear
            return np.full((height, width), nodes.min() >= least)
        down = (np.arange(y, y + height) - y // STEP * STEP) / STEP
        across = (np.arange(x, x + width) - x // STEP * STEP) / STEP
        i, j = down.astype(int), across.astype(int)
        rows = nodes[i] + (down - i)[:, None] * (
            nodes[np.minimum(i + 1, len(nodes) - 1)] - nodes[i]
        )
        right = rows[:, np.minimum(j + 1, rows.shape[1] - 1)]
        heights: Array = rows[:, j] + (across - j) * (right - rows[:, j])
        return heights >= least

    def is_glass(self, y: int, x: int, height: int, width: int) -> bool:
        """Whether a window of level 0, px, shows no tissue at all."""
        height, width = min(height, self.height - y), min(width, self.width - x)
        return bool(self._nodes(y, x, height, width).max() < self._field[1])

    def region(self, y: int, x: int, height: int, width: int, plane: int | None = None) -> Array:
        """Pixels of level 0, (height, width, 3) uint8 RGB; the middle plane unless one is named."""
        out = np.empty((height, width, 3), np.uint8)
        for row in range(y // CELL, -(-(y + height) // CELL)):
            for column in range(x // CELL, -(-(x + width) // CELL)):
                top, left = max(y, row * CELL), max(x, column * CELL)
                bottom, right = (
                    min(y + height, (row + 1) * CELL),
                    min(x + width, (column + 1) * CELL),
                )
                place = np.s_[
                    top - row * CELL : bottom - row * CELL,
                    left - column * CELL : right - column * CELL,
                ]
                target = out[top - y : bottom - y, left - x : right - x]
                self._paint(target, row, column, place, (top, left), plane)
        return out

    def _paint(
        self,
        target: Array,
        row: int,
        column: int,
        place: tuple[slice, ...],
        at: tuple[int, int],
        plane: int | None,
    ) -> None:
        mask = self.mask(*at, *target.shape[:2])
        if not mask.all():
            target[:] = self._glass[place]
        if mask.any():
            target[mask] = self._piece(row, column, plane)[place][mask]

    def _piece(self, row: int, column: int, plane: int | None) -> Array:
        """A cell's tissue, (CELL, CELL, 3): a piece of an image, turned and mirrored by chance."""
        random = np.random.default_rng((self.seed, row, column))
        images = self._stack[self.planes // 2 if plane is None else plane]
        image = images[random.integers(len(images))]
        y, x = (random.integers(size - CELL + 1) for size in image.shape[:2])
        cut: Array = np.rot90(image[y : y + CELL, x : x + CELL], int(random.integers(4)))
        return cut[::-1] if random.integers(2) else cut

    def share(self) -> float:
        """The share of level 0 that is tissue, counted."""
        found = 0
        for y in range(0, self.height, 1024):
            for x in range(0, self.width, 1024):
                size = min(1024, self.height - y), min(1024, self.width - x)
                found += int(self.mask(y, x, *size).sum())
        return found / self.height / self.width
