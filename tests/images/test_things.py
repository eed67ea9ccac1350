"""Pipes, sockets, devices and links to themselves in place of an image or a part of one."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import write_ome_zarr

from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.find import find_images
from tilewright.images.image import fingerprint, list_scenes, open_image
from tilewright.images.mask import polygons, stamped
from tilewright.images.ome_zarr import whole


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


MAKES: list[Callable[[Path], None]] = [os.mkfifo, device, loop]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.dcm", "a.zarr.zip", "a", "a.mrxs"])
@pytest.mark.parametrize("look", [open_image, list_scenes, fingerprint])
def test_what_is_no_file_is_no_image(
    tmp_path: Path, make: Callable[[Path], None], name: str, look: Callable[[Path], object]
) -> None:
    make(tmp_path / name)
    with pytest.raises(
        TilewrightError, match=r"and no file\)\. Give a file|symbolic links"
    ) as told:
        look(tmp_path / name)
    assert str(tmp_path / name) in str(told.value)
    assert told.value.code == BAD_DATA


@pytest.mark.parametrize("make", MAKES)
def test_a_search_over_what_is_no_file_comes_to_its_end(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    for name in ("a.tif", "b.zarr", "c", "d.csv"):
        make(tmp_path / name)
    found = find_images(str(tmp_path), recursive=True, results=tmp_path / "out")
    assert [p.name for p in found.images] == ["a.tif", "b.zarr"]


@pytest.mark.parametrize("make", MAKES)
def test_a_mask_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "m.geojson"
    make(path)
    with pytest.raises(TilewrightError, match=r"m\.geojson"):
        stamped(path)
    with pytest.raises(TilewrightError, match=r"m\.geojson"):
        polygons(path)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_and_chunks_that_are_no_files_are_the_zarrs_fault(
    tmp_path: Path, make: Callable[[Path], None], version: str
) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [np.ones((8, 8), np.uint8)], "YX", version=version)
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    (chunk,) = [p for p in files if "z" not in p.name]
    chunk.unlink()
    make(chunk)
    with pytest.raises(TilewrightError, match=r"and no file|symbolic"), open_image(path) as image:
        image.read(0, {})
    (metadata,) = [p for p in files if p.name in (".zarray", "zarr.json") and p.parent != path]
    metadata.unlink()
    make(metadata)
    with pytest.raises(TilewrightError, match=r"a\.zarr"):
        open_image(path)


def test_a_chunk_larger_than_any_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [np.ones((8, 8), np.uint8)], "YX", version="0.4")
    (chunk,) = [p for p in path.rglob("*") if p.is_file() and "z" not in p.name]
    with chunk.open("wb") as file:
        file.truncate(10**12)
    with (
        open_image(path) as image,
        pytest.raises(TilewrightError, match="has 1,000,000,000,000"),
    ):
        image.read(0, {})
    write_ome_zarr(tmp_path / "b.zarr", [np.ones((8, 8), np.uint8)], "YX", version="0.4")
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w") as packed:
        for file in (tmp_path / "b.zarr").rglob("*"):
            packed.write(file, file.relative_to(tmp_path / "b.zarr"))
    monkeypatch.setattr(whole, "MOST_CHUNK", 600)
    open_image(tmp_path / "b.zarr.zip").close()
    monkeypatch.setattr(whole, "MOST_CHUNK", 4)
    with pytest.raises(TilewrightError, match="unpacks to over"):
        open_image(tmp_path / "b.zarr.zip")


def test_links_back_up_in_a_zarr_are_not_followed_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [np.ones((8, 8), np.uint8)], "YX", version="0.5")
    (chunk,) = [p for p in path.rglob("*") if p.is_file() and "z" not in p.name]
    chunk.unlink()
    for name in "pqr":
        (chunk.parent / name).symlink_to(".")
    with open_image(path) as image:
        assert any("None of its chunks is there" in said for said in image.remarks)
