"""Chunks and shards that are cut off are refused where zarr-python says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from pictures import speckles, write_ome_zarr
from zarr.codecs import BloscCodec

from tilewright.errors import TilewrightError
from tilewright.images.image import open_image

CHUNKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "zarr-2": ("0.4", {"compressors": numcodecs.Blosc("lz4")}, "0.0"),
    "zarr-3": ("0.5", {"compressors": BloscCodec(cname="lz4")}, "c/0/0"),
    "zarr-3-zstd": ("0.5", {"compressors": BloscCodec(cname="zstd")}, "c/0/0"),
    "sharded": ("0.5", {"compressors": BloscCodec(cname="lz4"), "shards": {
        "shape": (64, 64), "index_location": "start"}}, "c/0/0"),
}  # fmt: skip


def written(path: Path, kind: str) -> tuple[np.ndarray[Any, Any], Path]:
    """An image of 64 x 64 px, and the file of its first chunk or shard."""
    version, how, name = CHUNKS[kind]
    pixels = speckles((64, 64)) // 256
    write_ome_zarr(path, [pixels], "YX", version=version)
    array = zarr.create_array(
        path / "s0", shape=(64, 64), chunks=(32, 32), dtype="uint16", overwrite=True,
        zarr_format=2 if version == "0.4" else 3, **how,
    )  # fmt: skip
    array[...] = pixels
    return pixels, path / "s0" / name


@pytest.mark.parametrize("kind", CHUNKS)
def test_a_blosc_chunk_is_read_whole_or_refused_with_its_bytes(tmp_path: Path, kind: str) -> None:
    pixels, chunk = written(tmp_path / "a.zarr", kind)
    data = chunk.read_bytes()
    for keep in (*range(0, len(data), 97), len(data) - 1, len(data)):
        chunk.write_bytes(data[:keep])
        with open_image(tmp_path / "a.zarr") as image:
            if keep == len(data):
                np.testing.assert_array_equal(image.read(0, {}), pixels)
                continue
            with pytest.raises(TilewrightError, match="pixels at Y 0 to 64, X 0 to 64"):
                image.read(0, {})


def test_a_cut_chunk_is_told_with_both_lengths(tmp_path: Path) -> None:
    _, chunk = written(tmp_path / "a.zarr", "zarr-2")
    data = chunk.read_bytes()
    chunk.write_bytes(data[:100])
    with (
        open_image(tmp_path / "a.zarr") as image,
        pytest.raises(TilewrightError, match=rf"chunk is cut off: it has 100 of {len(data)} bytes"),
    ):
        image.read(0, {"Y": 0})


def test_an_empty_shard_is_no_missing_one(tmp_path: Path) -> None:
    _, shard = written(tmp_path / "a.zarr", "sharded")
    shard.write_bytes(b"")
    with (
        open_image(tmp_path / "a.zarr") as image,
        pytest.raises(TilewrightError, match="c/0/0 is cut off: it has 0 bytes"),
    ):
        image.read(0, {})
    shard.unlink()
    with open_image(tmp_path / "a.zarr") as image:
        assert not image.read(0, {}).any()
