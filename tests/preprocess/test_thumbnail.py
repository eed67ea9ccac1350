"""A small picture's pixels are the means of blocks, whatever is read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import speckles, write_ome_zarr

from tilewright.images.image import open_image
from tilewright.preprocess import thumbnail as module
from tilewright.preprocess.thumbnail import edges, thumbnail

Array = np.ndarray[Any, Any]


def brute(pixels: Array, y: Array, x: Array) -> Array:
    """The mean of each block of (C, y, x), one by one."""
    found = np.empty((len(pixels), len(y) - 1, len(x) - 1))
    for i in range(len(y) - 1):
        for j in range(len(x) - 1):
            block = pixels[:, y[i] : y[i + 1], x[j] : x[j + 1]].astype(float)
            found[:, i, j] = np.nanmean(block.reshape(len(pixels), -1), axis=1)
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "bool"])
@pytest.mark.parametrize("at_once", [1, 2000, 1 << 25])
def test_each_pixel_is_the_mean_of_its_block_whatever_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, at_once: int
) -> None:
    monkeypatch.setattr(module, "BAND_BYTES", at_once)
    pixels = speckles((3, 61, 83), dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="separate")
    window = ((5, 58), (0, 83))
    with open_image(tmp_path / "a.tif", axes="CYX") as image:
        found = thumbnail(image, {}, window, (7, 11))
    np.testing.assert_allclose(found, brute(pixels, edges((5, 58), 7), edges((0, 83), 11)))


def test_blocks_have_each_pixel_once() -> None:
    for count in (1, 3, 10):
        found = edges((4, 14), count)
        assert found[0] == 4
        assert found[-1] == 14
        assert (np.diff(found) > 0).all()
        assert np.ptp(np.diff(found)) <= 1


def test_what_is_no_number_doesnt_count(tmp_path: Path) -> None:
    pixels = np.ones((40, 40), np.float32)
    pixels[:10, :10] = np.nan
    pixels[10:20, 0] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with open_image(tmp_path / "a.tif") as image:
        found = thumbnail(image, {}, ((0, 40), (0, 40)), (4, 4))[0]
    assert np.isnan(found[0, 0])
    assert (np.delete(found.ravel(), 0) == 1).all()


@pytest.mark.parametrize(("sides", "level"), [((31, 40), 0), ((30, 40), 1), ((15, 20), 2)])
def test_the_coarsest_level_that_has_as_many_pixels_is_read(
    tmp_path: Path, sides: tuple[int, int], level: int
) -> None:
    """Each level has a value of its own."""
    levels = [np.full((60 >> k, 80 >> k), 50 + k, np.uint8) for k in range(3)]
    write_ome_zarr(tmp_path / "a.zarr", levels, "YX")
    with open_image(tmp_path / "a.zarr") as image:
        found = thumbnail(image, {}, ((0, 60), (0, 80)), sides)
    assert (found == 50 + level).all()


def test_a_part_of_a_later_slice_and_time_is_what_is_shown(tmp_path: Path) -> None:
    pixels = speckles((2, 3, 40, 50), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    with open_image(tmp_path / "a.tif", axes="TZYX") as image:
        found = thumbnail(image, {"T": 1, "Z": 2}, ((10, 40), (20, 50)), (10, 10))
    whole = pixels[1, 2, 10:, 20:].reshape(10, 3, 10, 3)
    np.testing.assert_allclose(found[0], whole.mean(axis=(1, 3)))


def test_what_is_damaged_is_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    pixels = speckles((256, 320), "uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        start, count = page.dataoffsets[7], page.databytecounts[7]  # row 1, column 2
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\xff" * count
    path.write_bytes(data)
    with open_image(path) as image:
        found = thumbnail(image, {}, ((0, 256), (0, 320)), (128, 160))[0]
    lost = np.isnan(found)
    assert lost[32:64, 64:96].all()
    assert lost.sum() <= (32 + 2 * 16) ** 2
    wanted = pixels.reshape(128, 2, 160, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found[~lost], wanted[~lost])
