"""Formats that are known by name alone: each is called by its name, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.image import open_image


@pytest.mark.parametrize(
    ("name", "start", "called"),
    [
        ("a.nd2", b"\xda\xce\xbe\x0a", "Nikon ND2"),
        ("old.nd2", b"\0\0\0\x0cjP  ", "Nikon ND2"),
        ("renamed.bin", b"\xda\xce\xbe\x0a", "Nikon ND2"),
        ("a.lif", b"\x70\0\0\0", "Leica LIF"),
        ("a.oib", b"\xd0\xcf\x11\xe0", "Olympus OIB"),
        ("a.OIF", b"\xff\xfe[\0", "Olympus OIF"),
        ("a.isyntax", b"<DataObject", "Philips iSyntax"),
        ("frame_t.ets", b"SIS\0", "Olympus ETS"),
        ("a.ims", b"\x89HDF\r\n\x1a\n", "Imaris IMS"),
        ("a.mat", b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_a_format_without_a_reader_is_called_by_its_name(
    tmp_path: Path, name: str, start: bytes, called: str
) -> None:
    (tmp_path / name).write_bytes(start + bytes(200))
    with pytest.raises(TilewrightError, match=f"it is {called}.*, which isn't read here") as error:
        open_image(tmp_path / name)
    assert error.value.code == BAD_DATA
    assert error.value.fix.startswith("Export it as OME-TIFF or OME-Zarr, by ")


def test_a_vsis_own_tiff_which_may_show_its_label_is_not_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.uint8))
    (tmp_path / "a.tif").rename(tmp_path / "a.vsi")
    with pytest.raises(TilewrightError, match="it is Olympus VSI, which isn't read here"):
        open_image(tmp_path / "a.vsi")


def test_a_known_image_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), 7, np.uint8))
    (tmp_path / "a.tif").rename(tmp_path / "a.nd2")
    with open_image(tmp_path / "a.nd2") as image:
        assert image.read(0, {}).max() == 7
