"""Arrays that claim more than there can be: refused by their metadata, and quickly."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from pictures import write_ome_zarr

from tilewright.errors import TilewrightError
from tilewright.images.image import open_image
from tilewright.images.mask import picture
from tilewright.images.ome_zarr import store
from tilewright.images.pieces import repeats

HUGE = 1 << 31


def claimed(path: Path, shape: list[int], chunks: list[int], **more: Any) -> Path:
    """A bare array of Zarr 2 that has metadata alone."""
    path.mkdir()
    about = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "|u1", "order": "C",
             "fill_value": 0, "filters": None, "compressor": None} | more  # fmt: skip
    (path / ".zarray").write_text(json.dumps(about))
    names = {"_ARRAY_DIMENSIONS": list("tczyx"[-len(shape) :])}
    (path / ".zattrs").write_text(json.dumps(names))
    return path


def by_reads(n: int, chunk: int, step: int) -> float:
    """How often chunks are met, read by read."""
    decoded = 0
    for start in range(0, n, step):
        last = (min(start + step, n) - 1) // chunk
        decoded += min((last + 1) * chunk, n) - start // chunk * chunk
    return decoded / n


@given(st.integers(1, 400), st.integers(1, 450), st.integers(1, 450))
def test_how_often_chunks_are_met_is_told_without_a_look_at_each(
    n: int, chunk: int, step: int
) -> None:
    assert repeats(n, chunk, step) == by_reads(n, chunk, step)


@pytest.mark.parametrize("chunk", [1, 1021, 1 << 20, HUGE])
def test_an_axis_of_any_length_is_counted_at_once(chunk: int) -> None:
    n, step = (1 << 62) - 57, 928
    inside = math.ceil(chunk / math.gcd(chunk, step)) if chunk < HUGE else 1
    assert 1 <= repeats(n, chunk, step) <= chunk / step + 2 * inside + 2
    assert repeats(n, 1, 1) == 1


def test_a_chunk_larger_than_memory_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TilewrightError, match=r"1048576 pixels, of which [\d,]+.0 GiB are"):
        open_image(claimed(tmp_path / "a.zarr", [64, 64], [1 << 40, 1 << 20]))
    path = claimed(tmp_path / "b.zarr", [64, 64], [64, 64])
    open_image(path).close()
    monkeypatch.setattr(store, "memory", lambda: 64 * 64 - 1)
    with pytest.raises(TilewrightError, match=r"b\.zarr: it has chunks of 64 x 64 pixels"):
        open_image(path)


def test_a_shard_whose_index_is_larger_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(64, 64), shards=(64, 64), chunks=(1, 1),
                      dtype="u1", dimension_names=["y", "x"])  # fmt: skip
    open_image(tmp_path / "a.zarr").close()
    monkeypatch.setattr(store, "memory", lambda: 64 * 64)
    with pytest.raises(TilewrightError, match="4,096 chunks in a shard, of which"):
        open_image(tmp_path / "a.zarr")


def test_chunks_of_no_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match="its chunks are 0 x 0, of no pixels"):
        open_image(claimed(tmp_path / "a.zarr", [64, 64], [0, 0]))


def test_more_channels_than_can_be_read_are_refused_with_the_count(tmp_path: Path) -> None:
    path = claimed(tmp_path / "a.zarr", [HUGE, 1, 8, 8], [1, 1, 8, 8])
    with pytest.raises(TilewrightError, match="2,147,483,648 channels, and at most 65,536 are"):
        open_image(path)
    open_image(path, axes="TZYX").close()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("datasets", "it lists 100,000 levels, and at most 100 are taken"),
        ("multiscales", "it lists 100,000 images, and at most 10,000 of one Zarr are taken"),
    ],
)
def test_long_lists_are_refused_with_the_count(tmp_path: Path, key: str, says: str) -> None:
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, [np.zeros((8, 8), np.uint8)], "YX", version="0.5")
    about = json.loads((path / "zarr.json").read_text())
    multiscales = about["attributes"]["ome"]["multiscales"]
    (multiscales if key == "multiscales" else multiscales[0][key])[:] *= 100_000
    (path / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(TilewrightError, match=says):
        open_image(path)


def test_a_mask_far_finer_than_its_image_is_refused(tmp_path: Path) -> None:
    path = claimed(tmp_path / "a.zarr", [HUGE, HUGE], [64, 64])
    with pytest.raises(TilewrightError, match="over 16 times as fine as its image's 64 x 64 px"):
        picture(path, (64, 64))
    picture(claimed(tmp_path / "b.zarr", [1024, 1024], [64, 64]), (64, 64)).close()
