"""What an OME-Zarr's metadata says; a ValueError where it has another form than it should."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Block = dict[str, Any]


def about(attributes: Block) -> Block:
    """An image's own metadata, of a group's: under `ome` since 0.5."""
    return _block(attributes.get("ome", attributes), "ome")


def blocks(of: Block, key: str) -> list[Block]:
    """The objects of a list; none where there is no list."""
    return [_block(entry, key) for entry in _list(of.get(key, []), key)]


def first(of: Block, key: str) -> Block:
    """The first object of a list that has one."""
    found = blocks(of, key)
    if not found:
        raise _another_form(key)
    return found[0]


def value(of: Block, key: str) -> Any:
    """What must be there."""
    if key not in of:
        raise _another_form(key)
    return of[key]


def channels(of: Block) -> list[Block]:
    """What is said of each channel."""
    return blocks(_block(of.get("omero", {}), "omero"), "channels")


def axes(multiscale: Block) -> list[tuple[str, str | None]]:
    """Each axis' name and unit; before 0.4 it was a name only, or nothing."""
    return [_axis(axis) for axis in _list(multiscale.get("axes", list("tczyx")), "axes")]


def scale(multiscale: Block, dataset: Block, count: int) -> Array:
    """Length of a pixel along each of `count` axes, in the axis' unit."""
    found = np.ones(count)
    for holder in (multiscale, dataset):
        for transform in blocks(holder, "coordinateTransformations"):
            if value(transform, "type") == "scale" and "scale" in transform:
                found = found * _floats(transform["scale"])
    return found


def _axis(axis: Any) -> tuple[str, str | None]:
    if isinstance(axis, str):
        return axis, None
    name = value(_block(axis, "axes"), "name")
    if not isinstance(name, str):
        raise _another_form("axes")
    return name, axis.get("unit")


def _block(value: Any, key: str) -> Block:
    if not isinstance(value, dict):
        raise _another_form(key)
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise _another_form(key)
    return value


def _floats(values: Any) -> Array:
    try:
        return np.array(values, float)
    except TypeError:
        raise _another_form("scale") from None


def _another_form(key: str) -> ValueError:
    return ValueError(f"`{key}` in its metadata has another form than OME-Zarr's")
