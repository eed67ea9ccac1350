"""OME-Zarr, a folder of Zarr 2 or 3, by zarr-python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from . import ngff
from .chunks import Chunks
from .source import Level, Source, checked_scene, microns, named, pair, unreadable


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def open_zarr(path: Path, scene: int, kept: int) -> Source:
    """OME-Zarr 0.4 (Zarr v2) and 0.5 (Zarr v3)."""
    group, about, count = _zarr_scene(path, scene)
    multiscale = ngff.first(about, "multiscales")
    datasets = [ngff.first(multiscale, "datasets"), *ngff.blocks(multiscale, "datasets")[1:]]
    arrays = [group[ngff.value(d, "path")] for d in datasets]
    levels = tuple(_zarr_level(path, a, kept) for a in arrays)
    axes = ngff.axes(multiscale)
    names = "".join(name for name, _ in axes).upper()
    lengths = dict(zip(names, _zarr_lengths(multiscale, datasets[0], axes), strict=True))
    return Source(
        axes=names,
        dtype=np.dtype(arrays[0].dtype),
        levels=levels,
        close=lambda: None,
        channel_names=named([c.get("label") for c in ngff.channels(about)]),
        mpp=pair(lengths.get("Y"), lengths.get("X")),
        z_um=lengths.get("Z"),
        scenes=count,
    )


def _zarr_scene(path: Path, scene: int) -> tuple[Any, dict[str, Any], int]:
    """The group that holds the scene's multiscales, its metadata and the number of scenes."""
    group: Any = zarr.open_group(LocalStore(path, read_only=True), mode="r")
    about = ngff.about(group.attrs.asdict())
    count = 1
    if "bioformats2raw.layout" in {**about, **group.attrs.asdict()}:
        names = sorted((n for n in group.group_keys() if n.isdigit()), key=int)
        count = len(names)
        group = group[names[checked_scene(path, scene, count)]]
        about = ngff.about(group.attrs.asdict())
    elif "multiscales" in about:
        checked_scene(path, scene, 1)
    if not about.get("multiscales"):
        raise unreadable(
            path,
            "this folder is Zarr, but its metadata has no `multiscales`, so it isn't an OME-Zarr "
            "image",
            "Give the folder of an image (a plate's are below it), or export it as OME-Zarr.",
        )
    return group, about, count


def _zarr_lengths(
    multiscale: dict[str, Any], dataset: dict[str, Any], axes: list[tuple[str, str | None]]
) -> list[float | None]:
    """µm per level-0 pixel and axis; None without a unit, since a bare 1.0 is no measurement."""
    scale = ngff.scale(multiscale, dataset, len(axes))
    return [microns(float(s), unit) for s, (_, unit) in zip(scale, axes, strict=True)]


def _zarr_level(path: Path, array: Any, kept: int) -> Level:
    if not isinstance(array, zarr.Array):
        raise ValueError("one of its levels is a group and not an array")
    coding = {k: v for k, v in array.metadata.to_dict().items() if k != "attributes"}
    if "pickle" in str(coding):  # decoding it could run anything
        raise unreadable(
            path, "its pixels are stored as Python pickles", "Export it again as OME-Zarr."
        )
    return Level(tuple(array.shape), tuple(array.chunks), Chunks(array, kept).read, kept)
