"""Slides as OME-Zarr 0.5: all three channels of a place in one chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from .mosaic import Slide
from .options import Options
from .pyramid import levels


def ome_zarr(path: Path, slide: Slide, options: Options) -> None:
    """Arrays of axes c, y and x, compressed with Zstandard."""
    side = options.tile or 256
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for level in levels(slide, options.levels, options.by or 2):
        array: Any = group.create_array(
            str(level.number),
            shape=(3, level.height, level.width),
            chunks=(3, side, side),
            dtype="uint8",
            compressors=zarr.codecs.ZstdCodec(level=3),
            dimension_names=("c", "y", "x"),
            fill_value=255,
        )
        for row, band in enumerate(level.bands(side)):
            y = row * side
            for x in range(0, level.width, side):
                if not (options.sparse and level.is_glass(y, x, side, side)):
                    tile = band[:, x : x + side]
                    array[:, y : y + side, x : x + side] = tile.transpose(2, 0, 1)
        spacing = options.spacing(level.factor) or float(level.factor)
        scale = {"type": "scale", "scale": [1.0, spacing, spacing]}
        datasets.append({"path": str(level.number), "coordinateTransformations": [scale]})
    group.attrs["ome"] = {"version": "0.5", "multiscales": [_multiscale(datasets, options)]}


def _multiscale(datasets: list[dict[str, Any]], options: Options) -> dict[str, Any]:
    unit = {} if options.number is None else {"unit": "micrometer"}
    space = [{"name": name, "type": "space", **unit} for name in "yx"]
    return {"axes": [{"name": "c", "type": "channel"}, *space], "datasets": datasets}
