"""A slide's levels, from the finest on, row of tiles by row of tiles: never the whole in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .mosaic import Array, Slide

Encode = Callable[[Array], bytes]
WHITE = 255
THREADS = 2


@dataclass
class Level:
    """A level: its number, its size in px, and how many px of level 0 one of its px is."""

    number: int
    height: int
    width: int
    factor: int
    _read: Callable[[int, int], Array]
    _write: Callable[[int, Array], None]
    _glass: Callable[[int, int, int, int], bool]

    def bands(self, rows: int) -> Iterator[Array]:
        """Bands of so many rows, (≤ rows, width, 3); on the way the next level is made.

        Parameters
        ----------
        rows
            A multiple of the factor between levels.
        """
        for y in range(0, self.height, rows):
            band = self._read(y, min(rows, self.height - y))
            self._write(y, band)
            yield band

    def tiles(self, side: int, encode: Encode, sparse: bool = False) -> Iterator[bytes]:
        """Encoded tiles, row by row; those at the edges are filled up with white.

        Parameters
        ----------
        sparse
            A tile that is glass alone has no bytes.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for row, band in enumerate(self.bands(side)):
                places = range(0, self.width, side)
                empty = [sparse and self.is_glass(row * side, x, side, side) for x in places]
                jobs = [
                    None if gone else pool.submit(encode, filled(band[:, x : x + side], side, side))
                    for x, gone in zip(places, empty, strict=True)
                ]
                yield from (job.result() if job else b"" for job in jobs)

    def is_glass(self, y: int, x: int, height: int, width: int) -> bool:
        """Whether a window of this level, px, shows glass alone."""
        return self._glass(*(n * self.factor for n in (y, x, height, width)))


def filled(tile: Array, height: int, width: int) -> Array:
    """A tile of full size, with white below and to the right."""
    if tile.shape[:2] == (height, width):
        return np.ascontiguousarray(tile)
    out = np.full((height, width, 3), WHITE, np.uint8)
    out[: tile.shape[0], : tile.shape[1]] = tile
    return out


def reduced(band: Array, by: int) -> Array:
    """The means of squares of `by` px, (Y // by, X // by, 3); what is left over goes."""
    height, width = band.shape[0] // by, band.shape[1] // by
    total = np.zeros((height, width, 3), np.uint16)
    for y in range(by):
        for x in range(by):
            total += band[y : height * by : by, x : width * by : by]
    return ((total + by * by // 2) // (by * by)).astype(np.uint8)


def levels(slide: Slide, count: int, by: int, plane: int | None = None) -> Iterator[Level]:
    """A slide's levels, finest first; each must be gone through before the next is asked for.

    Parameters
    ----------
    count
        How many.
    by
        The factor from one to the next; sizes are rounded down, as scanners do.
    plane
        Of Z.
    """

    def first(y: int, rows: int) -> Array:
        return slide.region(y, 0, rows, slide.width, plane)

    read: Callable[[int, int], Array] = first
    height, width, factor = slide.height, slide.width, 1
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            small = (height // by, width // by, 3)
            write: Callable[[int, Array], None] = _forget
            if number + 1 < count:
                path = Path(folder) / str(number)
                after = np.memmap(path, np.uint8, "w+", shape=small)
                write = _writer(after, by)
            yield Level(number, height, width, factor, read, write, slide.is_glass)
            if number + 1 < count:
                read = _reader(after)
            height, width, factor = small[0], small[1], factor * by


def _forget(y: int, band: Array) -> None:
    """Nothing comes after the last level."""


def _reader(pixels: Array) -> Callable[[int, int], Array]:
    return lambda y, rows: np.asarray(pixels[y : y + rows])


def _writer(pixels: Array, by: int) -> Callable[[int, Array], None]:
    def write(y: int, band: Array) -> None:
        if y % by:
            raise ValueError(f"the factor {by} doesn't divide {y}, where a row of tiles begins")
        small = reduced(band, by)
        rows = pixels[y // by : y // by + len(small)]
        rows[:] = small[: len(rows)]

    return write
