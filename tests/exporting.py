"""Stores made from labels, for exporters: with their table, as MERGE writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tilewright import __version__
from tilewright.merge.measure.tables import Measure
from tilewright.stores.anndata import Vectors
from tilewright.stores.ome_zarr import Placement, StoreVersion, StoreWriter

Array = np.ndarray[Any, Any]
HERE = Placement()


def store_of(
    path: Path,
    labels: Array,
    axes: str = "yx",
    place: Placement = HERE,
    *,
    volumes: bool = False,
    classes: tuple[str, ...] = (),
    version: StoreVersion = "0.5",
    **image: Any,
) -> Path:
    """A store ``<path>`` of labels ``(t,) (z,) y, x``; classes have no table."""
    with StoreWriter(path, version) as writer:
        pyramid = writer.pyramid(
            "labels/nuclei",
            labels.shape,
            labels.dtype,
            axes=axes,
            method="nearest",
            placement=place,
            deep=volumes,
        )
        for box in pyramid.blocks():
            pyramid.write(box, labels[box])
        pyramid.build()
        if not classes:
            measure = measured(labels, axes, volumes=volumes)
            writer.table("nuclei", measure.table(place, ["DAPI"]))
        facts = {"id": "a", "region": None, **image}
        recipe = {"spec": {"classes": list(classes)}} if classes else {}
        writer.finish({"version": __version__, "recipe": recipe, "image": facts})
    return path


def measured(labels: Array, axes: str, *, volumes: bool) -> Measure:
    """What MERGE measures of labels, one channel of their own values in mind."""
    shape = dict(zip(axes, labels.shape, strict=True))
    planes = labels.reshape(shape.get("t", 1), shape.get("z", 1), *labels.shape[-2:])
    measure = Measure(int(labels.max(initial=0)), channels=1, volumes=volumes)
    for t, z in np.ndindex(*planes.shape[:2]):
        pixels = (planes[t, z] % 7).astype(np.uint8)[None]
        measure.include(measure.part(planes[t, z], pixels, (0, 0), (t, z)))
    return measure


def in_chunks(store: Path, side: int) -> Path:
    """The same store, its labels in square chunks of so many pixels."""
    group = zarr.open_group(store / "labels" / "nuclei", mode="r+")
    old: Any = group["0"]
    pixels = old[:]
    chunks = (*[1] * (pixels.ndim - 2), side, side)
    made = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, overwrite=True
    )
    made[...] = pixels
    return store


def tiles_of(path: Path, vectors: Array, **more: Any) -> Path:
    """A store of tiles of 224 px, side by side in a row, with a vector each."""
    count, width = vectors.shape
    at = np.arange(count)
    obs = {"tile": at, "y_px": at * 0, "x_px": at * 448}
    obs |= {"height_px": at * 0 + 448, "width_px": at * 0 + 448}
    names, var = at.astype(str), tuple(f"cls_{n}" for n in range(width))
    centres = np.stack([at * 448 + 223.5, at * 0 + 223.5], axis=1)
    with StoreWriter(path) as writer:
        columns = {name: name for name in obs}
        made = Vectors(obs, names, lambda: [vectors], var, centres, columns, {})
        writer.vectors("embed", made)
        spec = {"tile_spec": {"size": {"y": 224, "x": 224}}}
        facts = {"id": "slide", "region": None, "mpp": [0.25, 0.25]}
        facts["size_px"] = [448, 1344]
        writer.finish({"version": __version__, "recipe": {"spec": spec}, "image": facts, **more})
    return path


def features(path: Path) -> list[dict[str, Any]]:
    """The features of a GeoJSON file, by Python's own reader."""
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["type"] == "FeatureCollection"
    return list(read["features"])


def discs(shape: tuple[int, int], step: int = 24, radius: float = 10.5) -> Array:
    """Discs of labels 1, 2, … that nearly touch, uint32; some are cut by the ends."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = (y % step - step / 2) ** 2 + (x % step - step / 2) ** 2 <= radius**2
    number = (y // step) * -(-shape[1] // step) + x // step + 1
    return np.where(inside, number, 0).astype(np.uint32)
