"""What of a tile's result is banked: labels and objects, a map's pixels, or a vector.

The worker gives each result as it comes, in the order of tiles; `merge` reads the bank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.contract.grid import Grid, Tile, cells, slices
from tilewright.contract.spec import ModelSpec
from tilewright.errors import TilewrightError

from .bank import BankWriter, MapHeader, check_shape, rows_name, tile_name
from .objects import check_labels, crop, prepare

Array = np.ndarray
PIECE_BYTES = 1 << 24  # of vectors, in one entry: a file of 5,000 tiles is one or two


@dataclass(frozen=True)
class Work:
    """One tile on its way: whose it is, where it is, what the model sees and where it counts.

    `inside` are the window's ``(y, x)`` in the mask, the same for every slice; None is all of it.
    `um` is how big its pixels are along (z,) y and x, None what isn't known.
    """

    image: str
    plane: int
    grid: Grid
    tile: Tile
    pixels: Array
    inside: Array | None
    um: tuple[float | None, ...] | None = None


class Banker:
    """Banks a job's results, as the spec's kind of result asks.

    Parameters
    ----------
    bank
        Where to.
    spec
        `result` and `array_axes` are read.
    """

    def __init__(self, bank: BankWriter, spec: ModelSpec) -> None:
        self._bank = bank
        self._put = {
            "labels": self._labels if spec.policy == "match" else self._classes,
            "map": self._map,
            "table": self._vector,
        }[spec.result]
        self._rows = VectorBanker(bank)
        self._x = spec.array_axes.index("X")
        self.tiles = 0
        """How many are banked."""
        self.map: MapHeader | None = None
        """What maps are, once there is one."""
        self.classes: dict[str, int] = {}
        """The greatest class of each image, of labels that are classes."""

    def put(self, work: Work, result: Array) -> None:
        """Bank one tile's result; tiles come in order.

        Parameters
        ----------
        result
            Labels (*spatial) of the tile as the model got it, a map (C, *spatial) or a vector (D,).

        Raises
        ------
        TilewrightError
            65: labels that aren't whole numbers from 0, maps whose pixels can't be put together, or
            vectors of several lengths.
        """
        self._put(work, result)
        self.tiles += 1

    def close(self) -> None:
        """Bank what is still held."""
        self._rows.flush()

    def _labels(self, work: Work, result: Array) -> None:
        """Labels on the tile's valid region, and their object table."""
        labels, objects = prepare(_seen(work, result), work.tile, work.grid)
        self._bank.put_strips(tile_name(work.image, work.plane, work.tile.index, "labels"), labels)
        self._bank.put(tile_name(work.image, work.plane, work.tile.index, "objects"), objects)

    def _classes(self, work: Work, result: Array) -> None:
        """Classes on the tile's core: nothing of the others' is needed."""
        seen = _seen(work, result)
        check_labels(seen, work.tile)
        core = crop(seen, work.tile.window, work.tile.core)
        most = int(core.max(initial=0))
        self.classes[work.image] = max(self.classes.get(work.image, 0), most)
        name = tile_name(work.image, work.plane, work.tile.index, "classes")
        self._bank.put_strips(name, core.astype(np.min_scalar_type(most)))

    def _map(self, work: Work, result: Array) -> None:
        """A map's pixels on the tile's valid region, ``(C, (z,) y, x)``; 0 outside a mask."""
        stride = work.pixels.shape[self._x] // result.shape[-1]
        dtype = np.dtype(np.float16 if result.dtype == np.float16 else np.float32)
        found = MapHeader(channels=len(result), stride=stride, dtype=dtype.name)
        self.map = self.map or found
        _check_map(found, self.map, work.grid)
        valid, window = (
            cells(box, stride, work.grid.shape) for box in (work.tile.valid, work.tile.window)
        )
        where = slices(valid, window)
        part = result[(slice(None), *where)].astype(dtype)
        if work.inside is not None:
            inside = _any_inside(work.inside, stride)
            part = np.where(inside[where[-2:]], part, dtype.type(0))
        self._bank.put(tile_name(work.image, work.plane, work.tile.index, "map"), part)

    def _vector(self, work: Work, result: Array) -> None:
        number = work.plane * len(work.grid) + work.tile.index
        self._rows.put(work.image, number, result.astype(np.float32))


class VectorBanker:
    """Vectors of one image after the other, banked in pieces: an entry per tile would be many."""

    def __init__(self, bank: BankWriter) -> None:
        self._bank = bank
        self._image = ""
        self._numbers: list[int] = []
        self._vectors: list[Array] = []

    def put(self, image: str, number: int, vector: Array) -> None:
        """Take one tile's vector; `flush` banks the last.

        Parameters
        ----------
        image
            The image's key in its group.
        number
            The tile's, over all planes of the image.
        vector
            (D,) or (T, D) float32, alike for all tiles of an image.
        """
        full = len(self._vectors) * vector.nbytes >= PIECE_BYTES
        if image == self._image and self._vectors:
            check_shape(vector.shape, self._vectors[0].shape)
        if self._vectors and (full or image != self._image):
            self.flush()
        self._image = image
        self._numbers.append(number)
        self._vectors.append(vector)

    def flush(self) -> None:
        """Bank what is held."""
        if self._vectors:
            where = rows_name(self._image, self._numbers[0])
            self._bank.put(f"{where}/numbers", np.array(self._numbers, np.int64))
            self._bank.put(f"{where}/vectors", np.stack(self._vectors), pack=False)
        self._numbers, self._vectors = [], []


def _seen(work: Work, result: Array) -> Array:
    """Labels of the tile's window, less what filled the tile up; 0 outside a mask."""
    window = work.tile.window
    seen = np.asarray(result)[slices(window, window)]
    return seen if work.inside is None else np.where(work.inside, seen, 0)


def _check_map(found: MapHeader, first: MapHeader, grid: Grid) -> None:
    """Refuse tiles of different maps, and map pixels that tiles don't share."""
    if found != first:
        raise TilewrightError(
            f"The model gives maps of {first} for one tile and of {found} for another.",
            fix="Give every tile the same channels, stride and dtype.",
        )
    stride = found["stride"]
    for axis, count in zip(grid.axes, grid.counts, strict=True):
        margin = axis.margin
        if count > 1 and (axis.stride % stride or margin % stride):
            raise TilewrightError(
                f"A pixel of the model's map is {stride} px of its tile, and tiles begin every "
                f"{axis.stride} px with {margin} px of overlap on each side.",
                fix=f"Make size, band and context in the manifest multiples of {stride} px.",
            )


def _any_inside(inside: Array, stride: int) -> Array:
    """Which map pixels have a pixel inside the mask."""
    (rows, columns), s = inside.shape, stride
    padded = np.pad(inside, [(0, -rows % s), (0, -columns % s)])
    blocks = padded.reshape(padded.shape[0] // s, s, padded.shape[1] // s, s)
    return np.asarray(blocks.any(axis=(1, 3)))
