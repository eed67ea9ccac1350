"""OME-Zarr of every kind: factors, what can't be together, and how one is made."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

from .pairs import Rule, implied
from .specimen import Array, Specimen, noise

SIZES = {"T": 2, "C": 3, "Z": 3, "Y": 37, "X": 53}
OLD = ("0.1", "0.2", "0.3", "0.4")
FACTORS: dict[str, tuple[str, ...]] = {
    "version": (*OLD, "0.5"),
    "dtype": ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
              "float16", "float32", "float64"),
    "order": ("little", "big"),
    "compression": ("none", "zlib", "gzip", "blosc lz4", "blosc zstd", "zstd", "bz2", "lz4",
                    "lzma"),
    "filter": ("none", "delta", "shuffle", "crc32c"),
    "memory": ("C", "F"),
    "separator": (".", "/", "unsaid"),
    "axes": ("YX", "CYX", "ZYX", "TYX", "TCZYX"),
    "levels": ("1", "3"),
    "chunks": ("even", "uneven", "whole"),
    "sharding": ("none", "index last", "index first"),
    "missing": ("none", "a chunk, fill 0", "a chunk, fill 7"),
    "place": ("root", "series"),
    "omero": ("none", "channels"),
}  # fmt: skip
FIVE = ["TCZYX"]
RULES: list[Rule] = [
    implied("version", ["0.1", "0.2"], "axes", FIVE),
    implied("version", ["0.1", "0.2"], "place", ["root"]),
    implied("version", ["0.5"], "compression", ["none", "gzip", "blosc lz4", "blosc zstd", "zstd"]),
    implied("version", ["0.5"], "filter", ["none", "crc32c"]),
    implied("version", OLD, "filter", ["none", "delta", "shuffle"]),
    implied("version", OLD, "sharding", ["none"]),
    implied("version", ["0.5", "0.2"], "separator", [".", "/"]),
    implied("version", ["0.1"], "separator", [".", "unsaid"]),
    implied("filter", ["delta"], "dtype", ["uint8", "int16", "uint16", "int32"]),
    implied("filter", ["delta", "shuffle"], "order", ["little"]),
    implied("dtype", ["bool", "float16", "float32", "float64"], "missing",
            ["none", "a chunk, fill 0"]),
    Rule(("missing", "chunks"), lambda m, c: m == "none" or c != "whole"),
]  # fmt: skip
V2 = {
    "none": None,
    "zlib": numcodecs.Zlib(1),
    "gzip": numcodecs.GZip(1),
    "blosc lz4": numcodecs.Blosc("lz4", 5, 2),
    "blosc zstd": numcodecs.Blosc("zstd", 1, 1),
    "zstd": numcodecs.Zstd(1),
    "bz2": numcodecs.BZ2(1),
    "lz4": numcodecs.LZ4(),
    "lzma": numcodecs.LZMA(preset=0),
}
V3: dict[str, Any] = {
    "none": None,
    "gzip": GzipCodec(level=1),
    "blosc lz4": BloscCodec(cname="lz4"),
    "blosc zstd": BloscCodec(cname="zstd", shuffle="bitshuffle"),
    "zstd": ZstdCodec(level=1, checksum=True),
}


def make(case: dict[str, str], path: Path) -> Specimen:
    """Write the folder."""
    axes = case["axes"]
    levels = []
    for number in range(int(case["levels"])):
        shape = tuple(-(-SIZES[a] // 2**number) if a in "YX" else SIZES[a] for a in axes)
        levels.append(noise(shape, case["dtype"]))
    image = path / "0" if case["place"] == "series" else path
    image.mkdir(parents=True)
    for number, pixels in enumerate(levels):
        at = image / f"s{number}"
        _array(case, at, pixels)
        if case["missing"] != "none":
            _lose(case, at, pixels)
    _group(image, case, _about(case))
    if image != path:
        _group(path, case, {"bioformats2raw.layout": 3})
    return Specimen(case, axes, levels, levels)


def _sides(case: dict[str, str], shape: tuple[int, ...]) -> tuple[int, ...]:
    """A chunk's pixels along each axis; of what is sharded, a shard's inner chunk."""
    if case["chunks"] == "whole":
        return shape
    yx = (16, 32) if case["chunks"] == "even" else (15, 22)
    found = dict(zip("YX", yx, strict=True))
    sizes = zip(case["axes"], shape, strict=True)
    return tuple(min(n, found.get(a, 2 if a == "Z" else 1)) for a, n in sizes)


def _array(case: dict[str, str], path: Path, pixels: Array) -> None:
    order = "<" if case["order"] == "little" else ">"
    dtype = pixels.dtype.newbyteorder(order)
    fill = 7 if case["missing"].endswith("7") else 0
    sides = _sides(case, pixels.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numcodecs' filters in Zarr 2
        how = (_new if case["version"] == "0.5" else _old)(case, dtype, sides)
        made = zarr.create_array(path, shape=pixels.shape, fill_value=fill, **how)
        made[...] = pixels
    if case["separator"] == "unsaid":
        about = json.loads((path / ".zarray").read_text())
        del about["dimension_separator"]
        (path / ".zarray").write_text(json.dumps(about))


def _old(case: dict[str, str], dtype: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    filters: list[Any] = []
    if case["filter"] == "delta":
        filters = [numcodecs.Delta(dtype.str)]
    elif case["filter"] == "shuffle":
        filters = [numcodecs.Shuffle(dtype.itemsize)]
    separator = "." if case["separator"] == "unsaid" else case["separator"]
    return {
        "zarr_format": 2,
        "dtype": dtype,
        "chunks": sides,
        "compressors": V2[case["compression"]],
        "filters": filters or None,
        "order": case["memory"],
        "chunk_key_encoding": {"name": "v2", "separator": separator},
    }


def _new(case: dict[str, str], dtype: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    endian = "little" if case["order"] == "little" else "big"
    filters = ()
    if case["memory"] == "F":
        filters = (TransposeCodec(order=tuple(range(len(sides)))[::-1]),)
    last = [V3[case["compression"]]] if V3[case["compression"]] else []
    if case["filter"] == "crc32c":
        last.append(Crc32cCodec())
    how = {
        "zarr_format": 3,
        "dtype": dtype.newbyteorder("="),
        "chunk_key_encoding": {"name": "default", "separator": case["separator"]},
    }
    if case["sharding"] == "none":
        return {
            **how, "chunks": sides, "filters": filters, "serializer": BytesCodec(endian=endian),
            "compressors": tuple(last),
        }  # fmt: skip
    where = "end" if case["sharding"] == "index last" else "start"
    inner = (*filters, BytesCodec(endian=endian), *last)
    shards = ShardingCodec(chunk_shape=sides, codecs=inner, index_location=where)
    return {
        **how, "chunks": tuple(2 * n for n in sides), "filters": (), "serializer": shards,
        "compressors": (),
    }  # fmt: skip


def _lose(case: dict[str, str], path: Path, pixels: Array) -> None:
    """Take the first chunk (or shard) away: its pixels are the fill value."""
    joint = "/" if case["separator"] == "/" else "."
    name = joint.join("0" * pixels.ndim)
    (path / (f"c{joint}{name}" if case["version"] == "0.5" else name)).unlink()
    sides = np.array(_sides(case, pixels.shape)) * (1 if case["sharding"] == "none" else 2)
    fill = 7 if case["missing"].endswith("7") else 0
    pixels[tuple(slice(0, int(n)) for n in sides)] = fill


def _group(path: Path, case: dict[str, str], about: dict[str, Any]) -> None:
    if case["version"] == "0.5":
        ome = {"version": "0.5", **about}
        text = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (path / "zarr.json").write_text(json.dumps(text))
        return
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(about))


KINDS = {"T": "time", "C": "channel"}


def _about(case: dict[str, str]) -> dict[str, Any]:
    """The image's metadata, as its version has it."""
    version, axes = case["version"], case["axes"]
    datasets: list[dict[str, Any]] = [{"path": f"s{n}"} for n in range(int(case["levels"]))]
    scale: dict[str, Any] = {"datasets": datasets, "name": "image"}
    if version != "0.5":
        scale["version"] = version
    if version == "0.3":
        scale["axes"] = list(axes.lower())
    elif version in ("0.4", "0.5"):
        scale["axes"] = [_axis(a) for a in axes]
        for number, dataset in enumerate(datasets):
            steps = [0.5 * 2**number if a in "YX" else 1.0 for a in axes]
            dataset["coordinateTransformations"] = [{"type": "scale", "scale": steps}]
    about: dict[str, Any] = {"multiscales": [scale]}
    if case["omero"] == "channels":
        count = SIZES["C"] if "C" in axes else 1
        window = {"min": 0, "max": 255, "start": 0, "end": 99}
        channels = [{"label": f"c{n}", "color": "FFFFFF", "window": window} for n in range(count)]
        about["omero"] = {"channels": channels}
    return about


def _axis(letter: str) -> dict[str, str]:
    axis = {"name": letter.lower(), "type": KINDS.get(letter, "space")}
    return axis | ({"unit": "micrometer"} if letter in "ZYX" else {})
