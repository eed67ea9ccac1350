"""How large the plugin's images are, along which axes, and how many tiles it wants of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tilewright.contract.spec import TileSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import open_image
from tilewright.preprocess.enhance import PrepStep, downsampled

AXES = ("YX", "ZYX", "CYX", "YXC", "CZYX", "ZCYX", "ZYXC")
"""In which order an image's axes are tried until their sizes are those that the plugin shows."""


def axes_of(path: Path, sizes: Mapping[str, int]) -> str | None:
    """The axes that give an image the sizes that the plugin shows; None for the file's own.

    Parameters
    ----------
    sizes
        Pixels, slices and channels by axis: ``{"Z": 1, "Y": 512, "X": 512, "C": 3}``.
    """
    for axes in (None, *AXES):
        try:
            with open_image(path, axes=axes) as found:
                if all(found.size(a) == n for a, n in sizes.items()):
                    return axes
        except TilewrightError:
            continue  # planning it says why
    return None


def shrunk(n: int, axis: str, steps: Sequence[PrepStep]) -> int:
    """Pixels along an axis after a preprocessing set.

    Parameters
    ----------
    n
        Pixels before it.
    axis
        ``Z``, ``Y`` or ``X``.
    steps
        The set's, in order; only `Downsample` changes sizes.
    """
    for step in steps:
        if step["name"] == "Downsample":
            block = step["params"]["block_size"]["ZYX".index(axis)]
            n = downsampled(n, block)
    return n


def tiled(tile: TileSpec, wanted: dict[str, tuple[int | None, float, int]]) -> TileSpec:
    """A tile_spec that cuts an extent into so many tiles, which overlap by so much at least.

    A model whose tiles are of one size, or whole images, keeps them; one that needs more overlap
    than was asked for keeps its own band and context.

    Parameters
    ----------
    wanted
        Per axis how many tiles (None: the model's own size), the share of a tile that overlaps the
        next, and the greatest extent in pixels.
    """
    if not tile.variable_input or tile.resolution is not None or tile.whole:
        return tile
    size, band = dict(tile.size), dict(tile.band)
    step = tile.stride_multiple
    for axis, (count, share, extent) in wanted.items():
        context = tile.pixels(tile.context, axis)
        least = tile.pixels(tile.band, axis) + context
        length = size[axis] if count is None else extent / (count - (count - 1) * share)
        margin = max(least, math.ceil(length * share / 2 / step) * step)
        if count is not None:
            length = max((extent + 2 * margin * (count - 1)) / count, 2 * margin + step)
            size[axis] = math.ceil(length / step) * step
        elif size[axis] - 2 * margin < step:
            margin = least
        band[axis] = margin - context
    return replace(tile, size=size, band=band)
