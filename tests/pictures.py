"""Small pictures drawn for the tests, each with its own name."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tilewright.contract.jobs import ImageRef

Array = np.ndarray[Any, Any]

SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 37, "X": 53}
"""Of each axis: all different, none a multiple of a tile."""


def speckles(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 1) -> Array:
    """Noise over all of a dtype's values; real numbers from 0 to 1."""
    noise = np.random.default_rng(seed).random(shape)
    if np.dtype(dtype).kind == "f":
        return noise.astype(dtype)
    if dtype == "bool":
        return noise > 0.5
    return (noise * np.iinfo(dtype).max).astype(dtype)


def numbered(axes: str) -> Array:
    """uint16, of `SIZES`: each pixel is its own number, so no two boxes are alike."""
    shape = tuple(SIZES[a] for a in axes)
    return np.arange(np.prod(shape), dtype="uint16").reshape(shape)


def write_ome_zarr(
    path: Path,
    levels: list[Array],
    axes: str,
    *,
    version: str = "0.5",
    unit: str | None = "micrometer",
    scale: float = 0.5,
    channels: list[str] | None = None,
) -> None:
    """An OME-Zarr image of chunks of 16 px; `scale` is level 0's, in y and x; z is 2."""
    steps = {"Z": 2.0, "Y": scale, "X": scale}
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for number, pixels in enumerate(levels):
        chunks = tuple(
            min(16, n) if a in "YX" else 1 for a, n in zip(axes, pixels.shape, strict=True)
        )
        array = group.create_array(
            f"s{number}", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, fill_value=0
        )
        array[...] = pixels
        here = [steps.get(a, 1.0) * (2**number if a in "YX" else 1) for a in axes]
        datasets.append(
            {
                "path": f"s{number}",
                "coordinateTransformations": [{"type": "scale", "scale": here}],
            }
        )
    kinds = {"T": "time", "C": "channel"}
    about: dict[str, Any] = {
        "multiscales": [
            {
                "axes": [
                    {"name": a.lower(), "type": kinds.get(a, "space")}
                    | ({"unit": unit} if unit and a in "ZYX" else {})
                    for a in axes
                ],
                "datasets": datasets,
                "version": version,
            }
        ]
    }
    if channels:
        about["omero"] = {"channels": [{"label": name} for name in channels]}
    group.attrs.update(about if version == "0.4" else {"ome": {"version": version, **about}})


def reference(path: Path, pixels: Array, axes: str, **more: Any) -> ImageRef:
    """A plan's reference to an image that holds `pixels`."""
    return ImageRef(
        key="i000",
        id="picture",
        path=str(path),
        fingerprint="",
        axes=axes,
        shape=pixels.shape,
        dtype=str(pixels.dtype),
        **more,
    )


def boxes(shape: tuple[int, ...], side: int) -> list[tuple[slice, ...]]:
    """Boxes of `side` pixels that cover `shape` once."""
    spans = [[slice(i, min(i + side, n)) for i in range(0, n, side)] for n in shape]
    return list(itertools.product(*spans))


def flat_balls(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Balls that touch nothing, one on each box of 4 x 16 x 16: 3 slices, up to 11 px across.

    Uint8: each has a brightness of its own, 1 to 100; what is between them is 0.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.uint8)
    z, y, x = np.indices((3, 15, 15)) - np.array([1, 7, 7]).reshape(3, 1, 1, 1)
    for place in np.ndindex(*(-(-n // side) for n, side in zip(shape, (4, 16, 16), strict=True))):
        radius, (dy, dx) = rng.integers(2, 6), rng.integers(-2, 3, 2)
        ball = np.hypot(np.hypot(y - dy, x - dx), z * radius / 1.5) <= radius
        corner = np.multiply(place, (4, 16, 16))
        there = image[tuple(slice(c, c + n) for c, n in zip(corner, ball.shape, strict=True))]
        there[ball[tuple(map(slice, there.shape))]] = rng.integers(1, 101)
    return image


def write_over(path: Path, *numbers: int) -> None:
    """Zeros in place of some of a TIFF's strips or tiles, all but their first two bytes."""
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        places = [(page.dataoffsets[n], page.databytecounts[n]) for n in numbers]
    with path.open("r+b") as raw:
        for offset, count in places:
            raw.seek(offset + 2)
            raw.write(bytes(count - 2))
