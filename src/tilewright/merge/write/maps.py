"""How maps become one image, by one of two policies.

`core`: every pixel is the tile's whose core it lies in. `blend`: it is the sum of all the tiles'
that keep it, in float32, in the order of tiles, by `blend`'s weights, which add to 1.

A map's pixel may stand for several of the model's: a dense embedding's for a patch. It is written
shard by shard; what is held is a shard and the tiles that meet it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce

import numpy as np

from tilewright.contract.cache import Cache
from tilewright.contract.grid import Box, Tile, cells, shape_of, shared
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ModelSpec
from tilewright.merge.match.blend import axis_weights
from tilewright.tile_results.bank import MapHeader
from tilewright.tile_results.objects import crop

from .bank_reader import BankReader, stacked

Array = np.ndarray
ROOM = 1 << 26  # bytes of tiles that are kept: boxes share those at their sides
PICTURE_STRIP = 64  # rows that a picture takes at once: all their channels are in memory
ROUNDING = 1e-5  # how far from 1 float32 weights may add up


class MergedMap:
    """An image's map, put together from its tiles' cores.

    Parameters
    ----------
    layout
        The image's.
    banked
        Its tiles.
    spec
        Says how many channels there are where no tile was predicted.
    policy
        ``core`` or ``blend``.
    """

    def __init__(
        self, layout: Layout, banked: BankReader, spec: ModelSpec, policy: str = "core"
    ) -> None:
        found = banked.map or _declared(spec)
        self._layout, self.grid = layout, layout.grid
        self.stride, self.channels = found["stride"], found["channels"]
        self.dtype = np.dtype(found["dtype"])
        self.shape = tuple(-(-n // self.stride) for n in layout.shape)
        self._banked = banked
        self._tiles: Cache[tuple[int, int], Array | None] = Cache(ROOM)
        self._weights = self._axis_weights() if policy == "blend" else None

    def cut(self) -> tuple[str, list[int]]:
        """Axes and shape of the whole map."""
        return stacked({**self._layout.iterated, "C": self.channels}, self.shape)

    def raw(self, plane: int, box: Box) -> Array:
        """A box of model pixels, (up to 3 channels, (z,) y, x): for a picture."""
        stride = self.stride
        *above, (top, bottom), across = ((a // stride, -(-b // stride)) for a, b in box)
        strips = [
            self.compose(plane, (*above, (a, min(a + PICTURE_STRIP, bottom)), across))[:3]
            for a in range(top, bottom, PICTURE_STRIP)
        ]
        pixels = np.concatenate(strips, axis=-2)
        for axis, (a, b) in enumerate(box, start=1):
            inside = slice(a % stride, a % stride + b - a)
            pixels = pixels.repeat(stride, axis)[(slice(None),) * axis + (inside,)]
        return np.asarray(pixels)

    def lost(self, plane: int, box: Box) -> Array:
        """Which model pixels of a box are of tiles that couldn't be read: ((z,) y, x) bool."""
        return self._banked.lost(plane, box)

    def compose(self, plane: int, box: Box) -> Array:
        """A box of a plane, (C, (z,) y, x), in map pixels; 0 where no tile was predicted."""
        if self._weights is not None:
            return self._blended(plane, box, self._weights)
        canvas = np.zeros((self.channels, *shape_of(box)), self.dtype)
        for tile, valid, pixels in self._near(plane, box):
            part = shared(cells(tile.core, self.stride, self.grid.shape), box)
            if part is not None:
                for channel, own in zip(canvas, pixels, strict=True):
                    crop(channel, box, part)[...] = crop(own, valid, part)
        return canvas

    def _blended(self, plane: int, box: Box, weights: list[list[Array]]) -> Array:
        canvas = np.zeros((self.channels, *shape_of(box)), np.float32)
        total = np.zeros(canvas.shape[1:], np.float32)
        for tile, valid, pixels in self._near(plane, box):
            part = shared(valid, box)
            if part is None:
                continue
            share = _share([w[p] for w, p in zip(weights, tile.position, strict=True)], valid, part)
            crop(total, box, part)[...] += share
            for channel, own in zip(canvas, pixels, strict=True):
                crop(channel, box, part)[...] += share * crop(own, valid, part)
        # a neighbour outside the mask was not predicted: what there is counts whole
        lacks = (total > 0) & (total < 1 - ROUNDING)
        canvas[:, lacks] /= total[lacks]
        return canvas.astype(self.dtype)

    def _near(self, plane: int, box: Box) -> Iterator[tuple[Tile, Box, Array]]:
        """Predicted tiles near a box, in their order, with what they keep, in map pixels."""
        for index in self.grid.intersecting(
            tuple((a * self.stride, b * self.stride) for a, b in box)
        ):
            tile = self.grid.tile(index)
            valid = cells(tile.valid, self.stride, self.grid.shape)
            if not shared(valid, box):
                continue
            read = partial(self._banked.map_of, plane, index)
            pixels = self._tiles.get((plane, index), read)
            if pixels is not None:
                yield tile, valid, pixels

    def _axis_weights(self) -> list[list[Array]]:
        """Each axis's weights, by the tile's position along it."""
        found = []
        for axis, n, extent in zip(self.grid.axes, self.grid.shape, self.shape, strict=True):
            valid = [cells((axis.valid(i, n),), self.stride, (n,))[0] for i in range(axis.count(n))]
            found.append(axis_weights(valid, extent))
        return found


def _share(weights: list[Array], valid: Box, part: Box) -> Array:
    """The product over the axes of a tile's weights, on a part of what it keeps."""
    own = zip(weights, valid, part, strict=True)
    return reduce(np.multiply.outer, [w[p - v : q - v] for w, (v, _), (p, q) in own])


def _declared(spec: ModelSpec) -> MapHeader:
    """What the spec says of a map of which no tile was predicted."""
    channels = spec.embedding_dim or len(spec.classes or ()) or 1
    return MapHeader(channels=channels, stride=spec.patch_size or 1, dtype="float32")
