"""How maps become one image: every pixel is the tile's whose core it lies in. The policy `core`.

A map's pixel may stand for several of the model's: a dense embedding's for a patch. It is written
shard by shard; what is held is a shard and the tiles that meet it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from tilewright.preprocess import TileReader
from tilewright.spec import ModelSpec
from tilewright.store import Placement, StoreWriter
from tilewright.tiling import Box, cells, shared

from .banked import Banked, plane_box, stacked
from .objects import crop

Array = np.ndarray[Any, Any]
KEPT = 16  # tiles: boxes share those at their sides


class MergedMap:
    """An image's map, put together from its tiles' cores.

    Parameters
    ----------
    reader
        The image, for its grid and planes.
    banked
        Its tiles.
    spec
        Says how many channels there are where no tile was predicted.
    """

    def __init__(self, reader: TileReader, banked: Banked, spec: ModelSpec) -> None:
        found = banked.map or _declared(spec)
        self.reader, self.grid = reader, reader.grid
        self.stride, self.channels = int(found["stride"]), int(found["channels"])
        self.dtype = np.dtype(found["dtype"])
        self.shape = tuple(-(-n // self.stride) for n in reader.shape)
        self._tile = lru_cache(maxsize=KEPT)(banked.map_of)

    def write(
        self, store: StoreWriter, where: str, place: Placement, names: Sequence[str]
    ) -> tuple[str, list[int]]:
        """Write the map's pyramid; its axes and shape come back.

        Parameters
        ----------
        store, where
            The group it goes into.
        place
            Where model pixels lie on the image.
        names
            Of the channels, or none.
        """
        axes, shape = stacked({**self.reader.looped, "C": self.channels}, self.shape)
        factor = (place.factor[0] / self.stride, place.factor[1] / self.stride)
        pyramid = store.pyramid(
            where,
            shape,
            self.dtype,
            axes=axes,
            method="mean",
            placement=replace(place, factor=factor),
        )
        pyramid.channels = names
        for slices in pyramid.shards():
            plane, _, box = plane_box(self.reader, axes, slices)
            pixels = self.compose(plane, box)
            pyramid.write(slices, pixels.reshape([s.stop - s.start for s in slices]))
        pyramid.build()
        return axes, shape

    def compose(self, plane: int, box: Box) -> Array:
        """A box of a plane, (C, y, x), in map pixels; 0 where no tile was predicted."""
        canvas = np.zeros((self.channels, *(b - a for a, b in box)), self.dtype)
        for index in self.grid.meeting(tuple((a * self.stride, b * self.stride) for a, b in box)):
            tile = self.grid.tile(index)
            valid, core = (cells(b, self.stride, self.grid.shape) for b in (tile.valid, tile.core))
            part = shared(core, box)
            pixels = self._tile(plane, index) if part else None
            if part and pixels is not None:
                for channel, own in zip(canvas, pixels, strict=True):
                    crop(channel, box, part)[...] = crop(own, valid, part)
        return canvas


def _declared(spec: ModelSpec) -> dict[str, Any]:
    """What the spec says of a map of which no tile was predicted."""
    channels = spec.embedding_dim or len(spec.classes or ()) or 1
    return {"channels": channels, "stride": spec.patch_size or 1, "dtype": "float32"}
