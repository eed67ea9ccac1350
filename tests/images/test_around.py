"""What can't be read of a damaged file is filled, exactly, and all else is as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import speckles, write_ome_zarr, write_over

from tilewright.images.damage import DamagedPixelsError
from tilewright.images.image import open_image

PIXELS = speckles((90, 100), "uint8")
Made = tuple[Path, tuple[slice, slice]]
"""A damaged file of `PIXELS`, and what of it can't be read."""


def tiles(folder: Path) -> Made:
    """The tile in row 1, column 2 of 32 px."""
    path = folder / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(32, 32), compression="zlib")
    write_over(path, 4 * 1 + 2)
    return path, (slice(32, 64), slice(64, 96))


def strips(folder: Path) -> Made:
    """The third strip of 20 rows."""
    path = folder / "a.tif"
    tifffile.imwrite(path, PIXELS, rowsperstrip=20, compression="zlib")
    write_over(path, 2)
    return path, (slice(40, 60), slice(0, 100))


def chunks(folder: Path) -> Made:
    """A chunk of an OME-Zarr, at its end."""
    path = folder / "a.zarr"
    write_ome_zarr(path, [PIXELS], "YX")
    (path / "s0" / "c" / "5" / "6").write_bytes(b"no chunk")
    return path, (slice(80, 90), slice(96, 100))


def whole(folder: Path) -> Made:
    """A PNG, which is decoded as one."""
    path = folder / "a.png"
    data = bytearray(imagecodecs.png_encode(PIXELS))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return path, (slice(0, 90), slice(0, 100))


@pytest.mark.parametrize("hurt", [tiles, strips, chunks, whole])
def test_what_is_damaged_is_filled_and_counted_and_nothing_else(
    tmp_path: Path, hurt: Callable[[Path], Made]
) -> None:
    path, lost = hurt(tmp_path)
    expected, where = PIXELS.copy(), np.zeros(PIXELS.shape, bool)
    expected[lost], where[lost] = 7, True
    with open_image(path) as image:
        for box in (np.s_[0:90, 0:100], np.s_[30:70, 60:100], np.s_[85:86, 95:100]):
            index = {"Y": box[0], "X": box[1]}
            found, count = image.read_around(0, index, fill=7)
            np.testing.assert_array_equal(found, expected[box])
            assert count == where[box].sum()
            if not count:
                np.testing.assert_array_equal(image.read(0, index), PIXELS[box])
                continue
            with pytest.raises(DamagedPixelsError, match="can't be read") as caught:
                image.read(0, index)
            assert caught.value.path == path


def test_a_region_of_a_whole_file_is_read_as_it_is(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, tile=(32, 32), compression="zlib")
    with open_image(tmp_path / "a.tif") as image:
        found, count = image.read_around(0, {"Y": 5, "X": slice(3, 70)})
        np.testing.assert_array_equal(found, PIXELS[5, 3:70])
        assert count == 0
