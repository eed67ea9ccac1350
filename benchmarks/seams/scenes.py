"""Scenes whose objects are known, the tiles they are cut into, and how a model errs on them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.grid import Grid, TileAxis

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from oracle import (
    BankReader,
    abutting,
    dense_cells,
    fibres,
    full_and_empty,
    one_tile,
    pixel_cells,
    tiles_of,
)

Array = np.ndarray[Any, Any]
SEED = 7
NOISES: dict[str, dict[str, Any]] = {
    "perfect": {},
    "apart": {"connected": True},
    "jitter": {"jitter": 1.0},
    "noisy": {"jitter": 1.0, "drop": 0.3},
}
"""How a tile's model errs. apart: pieces that don't hang together in a tile have ids of their own;
jitter: outlines are off by 1 px (a smooth deformation, its standard deviation), in each tile
differently; noisy: and 30 % of the objects that the tile's window cuts are missing."""


@dataclass(frozen=True)
class Scene:
    """Known objects, and tiles.

    Parameters
    ----------
    name, about
        Its name, and what it is, in words for a table.
    truth
        Draws it: int32, 1..n, 0 is background.
    tiles
        Core, band and context along each axis, in pixels.
    noises
        Which of `NOISES` it is seen with.
    """

    name: str
    about: str
    truth: Callable[[], Array]
    tiles: tuple[tuple[int, int, int], ...]
    noises: tuple[str, ...] = ("perfect", "noisy")

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """The tiles that the rules get."""
        return Grid(tuple(TileAxis(c + 2 * (b + x), b, x) for c, b, x in self.tiles), shape)

    def seen(self, truth: Array, noise: str) -> BankReader:
        """What each tile's model says; ids are shuffled in every tile."""
        return tiles_of(truth, self.grid(truth.shape), SEED, **NOISES[noise])

    def untiled(self, truth: Array, noise: str) -> Array:
        """What the same model says of the whole image at once."""
        return tiles_of(truth, one_tile(truth.shape), SEED, **NOISES[noise]).labels[0]


SIDE, HALF = (2048, 2048), (1024, 1024)
WIDE, NARROW = ((512, 64, 16),) * 2, ((256, 48, 16),) * 2
DEEP = ((96, 32, 8), (128, 32, 8), (128, 32, 8))
LONG = ("apart", "jitter")  # a long object is cut by all its tiles: some would always miss it
SCENES = {
    s.name: s
    for s in (
        Scene("dense", "touching cells of up to 28 px", lambda: dense_cells(SIDE, 14, 0), WIDE),
        Scene("large", "touching cells of up to 180 px, larger than a band",
              lambda: dense_cells(SIDE, 90, 1), WIDE, ("perfect", "jitter", "noisy")),
        Scene("fibres", "fibres, 300 to 1,200 px long", lambda: fibres(SIDE, 2), NARROW, LONG),
        Scene("bundle", "such fibres, side by side without a gap",
              lambda: fibres(SIDE, 2, gap=0), NARROW, LONG),
        Scene("volume", "touching cells of up to 22 px, in 3D",
              lambda: dense_cells((192, 256, 256), 11, 0), DEEP),
        Scene("halves", "half empty tiles, half full ones without background",
              lambda: full_and_empty(HALF, 16, 3), NARROW),
        Scene("one", "one object over the whole image",
              lambda: np.ones(HALF, np.int32), NARROW, ("perfect", "jitter")),
        Scene("abutting", "squares that meet exactly on the seams",
              lambda: abutting(HALF, 256 + 64, 256), NARROW),
        Scene("pixels", "objects of 1 px, 2 px apart",
              lambda: pixel_cells((200, 200)), ((48, 8, 2),) * 2, ("perfect",)),
        Scene("odd", "odd sizes of image, tiles and bands",
              lambda: dense_cells((1237, 907), 13, 5), ((301, 39, 11), (257, 41, 7))),
        Scene("small", "an image smaller than a tile",
              lambda: dense_cells((300, 211), 14, 6), WIDE),
    )
}  # fmt: skip
