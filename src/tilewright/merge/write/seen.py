"""What the model saw of an image, of all its banks: figures for the report, and one tile."""

from __future__ import annotations

import math
from pathlib import Path

import imagecodecs
import numpy as np

from tilewright.tile_results.figures import COUNT, LEAST, MEAN, MOST, SQUARES, Figures

from .facts import ChannelFigures, SeenFacts

DIGITS = 6  # that count, of each figure
SHARE = 0.999


def summed(found: Figures) -> SeenFacts:
    """Figures of each channel, over the tiles with content or, where none has any, over all."""
    which = int(found.tiles[1] > 0)
    return SeenFacts(
        tiles=int(found.tiles.sum()),
        with_content=int(found.tiles[1]),
        shown=found.number,
        channels=[_channel(found, which, c) for c in range(found.moments.shape[1])],
    )


def _channel(found: Figures, which: int, channel: int) -> ChannelFigures:
    row = found.moments[which, channel]
    std = math.sqrt(row[SQUARES] / row[COUNT])
    high = found.high(which, channel, SHARE)
    return ChannelFigures(*map(_rounded, (row[MEAN], std, row[LEAST], row[MOST], high)))


def tile_picture(found: Figures, path: Path) -> Path:
    """Write the tile that is shown as a PNG, which comes back."""
    pixels = np.moveaxis(found.shown, 0, -1)
    pixels = pixels if pixels.shape[-1] == 3 else pixels[..., 0]
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6))
    return path


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
