"""Decoded chunks that are kept: the same pixels, each chunk decoded once, no more than said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tilewright.contract.cache import Cache
from tilewright.images.ome_zarr.chunks import Chunks

SHAPE, SIDES = (3, 130, 170), (1, 32, 48)


class Counted:
    """An array that counts the chunks it is asked for."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.chunks, self.dtype = array.shape, array.chunks, array.dtype
        self.decoded = self.reads = 0

    def __getitem__(self, window: tuple[slice, ...]) -> Any:
        sizes = zip(window, self.chunks, strict=True)
        self.decoded += int(np.prod([-(-s.stop // n) - s.start // n for s, n in sizes]))
        self.reads += 1
        return self._array[window]


@pytest.fixture
def array(tmp_path: Path) -> Any:
    """Noise in chunks that don't divide its shape."""
    made = zarr.create_array(tmp_path / "a", shape=SHAPE, chunks=SIDES, dtype="uint16")
    made[:] = np.random.default_rng(0).integers(0, 60_000, SHAPE, dtype=np.uint16)
    return made


@pytest.mark.parametrize("most", [0, 10_000, 2**20])
def test_windows_are_those_of_the_array(array: Any, most: int) -> None:
    chunks, pixels = Chunks(array, Cache(most, asked=True), "CYX"), array[:]
    rng = np.random.default_rng(1)
    for _ in range(200):
        ends = [sorted(rng.integers(0, n + 1, 2)) for n in SHAPE]
        window = tuple(slice(int(a), int(b)) for a, b in ends)
        found = chunks.read(window)
        np.testing.assert_array_equal(found, pixels[window])
        found[:] = 0  # it is the reader's own
    np.testing.assert_array_equal(chunks.read((slice(0, 3), slice(1, 129), slice(1, 169))),
                                  pixels[:, 1:129, 1:169])  # fmt: skip


def test_rows_of_tiles_decode_each_chunk_once(array: Any) -> None:
    counted = Counted(array)
    chunks = Chunks(counted, Cache(2**20, asked=True), "CYX")
    for y in range(0, 130, 20):
        for x in range(0, 170, 20):
            chunks.read((slice(0, 3), slice(y, min(y + 20, 130)), slice(x, min(x + 20, 170))))
    assert counted.decoded == 3 * 5 * 4
    assert counted.reads <= 5 * 4


def test_no_more_is_kept_than_was_said(array: Any) -> None:
    chunk = 32 * 48 * 2
    counted = Counted(array)
    chunks = Chunks(counted, Cache(4 * chunk, asked=True), "CYX")

    def decoded(*corners: tuple[int, int]) -> list[int]:
        """Chunks that are decoded for a window in each of some others."""
        found = []
        for y, x in corners:
            before = counted.decoded
            chunks.read((slice(0, 1), slice(y, y + 5), slice(x, x + 5)))
            found.append(counted.decoded - before)
        return found

    first, *four = [(0, 0), (0, 50), (0, 100), (40, 0), (40, 50)]
    assert decoded(first, *four) == [1] * 5
    assert decoded(*four) == [0] * 4
    assert decoded(first) == [1], "what was longest unused is gone"
    chunks.read((slice(0, 3), slice(10, 100), slice(10, 100)))  # more than may be kept
    assert decoded(*four[1:], first) == [0] * 4


def test_whole_chunks_are_read_as_they_are(array: Any) -> None:
    counted = Counted(array)
    chunks = Chunks(counted, Cache(2**20, asked=True), "CYX")
    chunks.read((slice(0, 3), slice(32, 130), slice(0, 96)))
    assert counted.decoded == 3 * 4 * 2
    chunks.read((slice(0, 1), slice(32, 40), slice(0, 8)))
    assert counted.decoded == 3 * 4 * 2 + 1, "they aren't kept"
