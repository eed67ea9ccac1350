"""Arrays that claim more than there can be: sizes, chunks, levels, pages."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from .attack import Attack, Make, image, said, zarr3

G, T = 1 << 31, 1 << 40
SHAPES: dict[str, tuple[list[int], list[int]]] = {
    "2^31 px of 1024": ([G, G], [1024, 1024]),
    "2^31 px of 1": ([G, G], [1, 1]),
    "2^31 px in rows": ([G, G], [1, G]),
    "2^31 px of 2^31": ([G, G], [G, G]),
    "chunks of 2^40": ([64, 64], [T, T]),
    "chunks of 2^20": ([4096, 4096], [1 << 20, 1 << 20]),
    "2^31 slices": ([G, 64, 64], [1, 64, 64]),
    "2^28 times": ([1 << 28, 1, 64, 64], [1, 1, 64, 64]),
    "2^31 slices at once": ([G, 64, 64], [G, 64, 64]),
    "2^31 times": ([G, 1, 64, 64], [1, 1, 64, 64]),
    "2^31 channels": ([G, 1, 64, 64], [1, 1, 64, 64]),
    "2^62 px": ([1 << 62, 1 << 62], [1024, 1024]),
    "2^62 px of odd chunks": ([(1 << 62) - 57, (1 << 62) - 57], [1021, 1021]),
    "2^100 px": ([1 << 100, 1 << 100], [1024, 1024]),
    "a strip of 2^40": ([1, T], [1, 1024]),
    "chunks of 0": ([64, 64], [0, 0]),
    "chunks of -1": ([64, 64], [-1, -1]),
    "-64 px": ([-64, -64], [64, 64]),
    "half a pixel": ([64.5, 64.5], [64, 64]),  # type: ignore[list-item]
}  # fmt: skip


def _zarr(shape: list[int], chunks: list[int], **more: Any) -> Make:
    def make(folder: Path) -> list[str]:
        zarr3(folder / "a.zarr", shape, chunks, **more)
        return said(input="a.zarr")

    return make


def _zarr2(shape: list[int], chunks: list[int], as_mask: bool = False) -> Make:
    """The same as a bare array of Zarr 2, or as a mask."""

    def make(folder: Path) -> list[str]:
        about = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "|u1", "order": "C",
                 "fill_value": 0, "filters": None, "compressor": None}  # fmt: skip
        (folder / "a.zarr").mkdir()
        (folder / "a.zarr" / ".zarray").write_text(json.dumps(about))
        (folder / "a.zarr" / ".zattrs").write_text(
            json.dumps({"_ARRAY_DIMENSIONS": list("tczyx"[-len(shape) :])})
        )
        if as_mask:
            return said(input=image(folder), mask="a.zarr")
        return said(input="a.zarr")

    return make


def _shards(shard: list[int], inner: list[int]) -> Make:
    codec = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": inner, "codecs": [{"name": "bytes"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}}  # fmt: skip
    return _zarr([G, G], shard, codecs=[codec])


def _levels(count: int) -> Make:
    """A pyramid that lists one level again and again."""

    def make(folder: Path) -> list[str]:
        path = zarr3(folder / "a.zarr", [64, 64], [64, 64]) / "zarr.json"
        about = json.loads(path.read_text())
        about["attributes"]["ome"]["multiscales"][0]["datasets"] *= count
        path.write_text(json.dumps(about))
        return said(input="a.zarr")

    return make


def _images(count: int) -> Make:
    def make(folder: Path) -> list[str]:
        path = zarr3(folder / "a.zarr", [G, G], [64, 64]) / "zarr.json"
        about = json.loads(path.read_text())
        about["attributes"]["ome"]["multiscales"] *= count
        path.write_text(json.dumps(about))
        return said(input="a.zarr", scene="all")

    return make


def _png(height: int, width: int) -> Make:
    def make(folder: Path) -> list[str]:
        head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
        (folder / "a.png").write_bytes(data + struct.pack(">I", zlib.crc32(head)))
        return said(input="a.png")

    return make


def _tiff(**tags: int) -> Make:
    """A TIFF with numbers of its tags changed."""

    def make(folder: Path) -> list[str]:
        path = folder / "a.tif"
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16))
        with tifffile.TiffFile(path, mode="r+") as file:
            for name, value in tags.items():
                file.pages[0].tags[name].overwrite(value)
        return said(input="a.tif")

    return make


def _count(tag: int) -> Make:
    """A TIFF, one of whose tags says that it has 2^32 - 1 values."""

    def make(folder: Path) -> list[str]:
        path = folder / "a.tif"
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16))
        data = bytearray(path.read_bytes())
        at = data.index(struct.pack("<H", tag), 8)
        data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
        path.write_bytes(data)
        return said(input="a.tif")

    return make


MAKES: dict[str, Callable[[Path], list[str]]] = {
    **{f"zarr {name}": _zarr(*each) for name, each in SHAPES.items()},
    **{f"zarr 2 {name}": _zarr2(*each) for name, each in SHAPES.items()},
    **{f"mask {name}": _zarr2(*each, as_mask=True) for name, each in SHAPES.items()
       if len(each[0]) == 2 and name not in ("2^31 px of 1024", "2^62 px")},
    "shards of 1 px": _shards([1 << 20, 1 << 20], [1, 1]),
    "shards of 2^40": _shards([T, T], [1 << 20, 1 << 20]),
    "shards that don't divide": _shards([1000, 1000], [7, 7]),
    "10^5 levels": _levels(10**5),
    "10^5 images": _images(10**5),
    "png": _png(G - 1, G - 1),
    "png strip": _png(1, G - 1),
    "tiff 2^32 px": _tiff(ImageWidth=2**32 - 1, ImageLength=2**32 - 1),
    "tiff 2^31 wide": _tiff(ImageWidth=2**31),
    "tiff tiles of 2^31": _tiff(TileWidth=2**31, TileLength=2**31),
    "tiff tiles of 0": _tiff(TileWidth=0),
    "tiff 60000 samples": _tiff(SamplesPerPixel=60000),
    "tiff 2^32 offsets": _count(324),
    "tiff 2^32 counts": _count(325),
}  # fmt: skip


def attacks() -> Iterator[Attack]:
    """Every array."""
    for name, make in MAKES.items():
        names = "a.png" if "png" in name else "a.tif" if "tiff" in name else "a.zarr"
        yield Attack("array", name, make, names)
