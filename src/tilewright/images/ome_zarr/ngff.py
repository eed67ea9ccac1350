"""What an OME-Zarr's metadata says, read by the rules of its version.

References
----------
OME-Zarr 0.1 to 0.5, https://ngff.openmicroscopy.org; 0.6, a draft, is RFC-5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Block = dict[str, Any]

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
DRAFT = "0.6"
UNNAMED = (None, "0.1", "0.2")
"""Versions of the metadata in which axes are t, c, z, y and x without a word."""
NAMES = {"t": "T", "time": "T", "c": "C", "channel": "C", "channels": "C", "z": "Z", "depth": "Z",
         "y": "Y", "height": "Y", "x": "X", "width": "X"}  # fmt: skip
TYPES = {"time": "T", "channel": "C"}
MOST_LEVELS = 100
"""Of a pyramid: each is opened."""
UNKNOWN = "?"
"""In place of an axis' letter."""


class MetadataError(ValueError):
    """What is wrong with an OME-Zarr's metadata; `fix` is what to do.

    Parameters
    ----------
    found
        What was found, without the image's name and a full stop.
    fix
        A sentence.
    """

    def __init__(self, found: str, fix: str = "Mend its metadata, or export it again.") -> None:
        super().__init__(found)
        self.fix = fix


@dataclass(frozen=True)
class Axis:
    """One axis: its letter, or `UNKNOWN`, and its unit."""

    letter: str
    unit: str | None = None


@dataclass(frozen=True)
class Geometry:
    """Where level 0 lies, in its axes' units.

    Parameters
    ----------
    scale
        Length of a pixel along each axis; None where nobody says.
    translation
        Where the first pixel's centre is, along each axis.
    passed_over
        Types of transformations that weren't followed.
    """

    scale: tuple[float, ...] | None
    translation: tuple[float, ...]
    passed_over: tuple[str, ...] = ()


def about(attributes: Block) -> Block:
    """An image's own metadata, of a group's: under `ome` since 0.5."""
    return _block(attributes.get("ome", attributes), "ome")


def blocks(of: Block, key: str) -> list[Block]:
    """The objects of a list; none where there is no list."""
    return [_block(entry, key) for entry in _list(of.get(key) or [], key)]


def channels(of: Block) -> list[Block]:
    """What is said of each channel; nothing where `omero` isn't as it should be.

    It is for viewers and may be missing: pixels are right without.
    """
    omero = of.get("omero")
    listed = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(listed, list):
        return []
    return [c if isinstance(c, dict) else {} for c in listed]


def window_ends(of: Block) -> list[Any]:
    """The `max` of each channel's window, None where it has none; `end` is what is displayed."""
    windows = [channel.get("window") for channel in channels(of)]
    return [window.get("max") if isinstance(window, dict) else None for window in windows]


def version(attributes: Block, multiscale: Block) -> str | None:
    """Which version the metadata is of, ``"0.4"``; None where it doesn't say.

    Parameters
    ----------
    attributes
        Of the group; since 0.5 `ome` says it in them.
    multiscale
        Which says it before.

    Raises
    ------
    MetadataError
        When it is one that isn't known here.
    """
    named = about(attributes) if "ome" in attributes else {}
    said = named.get("version", multiscale.get("version"))
    if said in (None, ""):
        return None
    numbers = re.match(r"\d+\.\d+", str(said))
    if numbers is None or numbers[0] not in VERSIONS:
        raise MetadataError(
            f"its metadata is OME-Zarr {said}, and 0.1 to 0.5 are read here",
            "Export it as OME-Zarr 0.5 or 0.4.",
        )
    return numbers[0]


def datasets(multiscale: Block) -> list[tuple[str, Block]]:
    """Each level's path and what is said of it, as listed.

    Raises
    ------
    MetadataError
        When there is none, there are too many, or one has no path.
    """
    found = blocks(multiscale, "datasets")
    if not found:
        raise MetadataError("its `multiscales` list no `datasets`, of which it must have one")
    if len(found) > MOST_LEVELS:
        raise MetadataError(f"it lists {len(found):,} levels, and at most {MOST_LEVELS} are taken")
    for number, dataset in enumerate(found):
        if not isinstance(dataset.get("path"), str):
            raise MetadataError(f"level {number} of its `datasets` has no `path`")
    return [(d["path"], d) for d in found]


def axes(multiscale: Block, version: str | None, count: int) -> tuple[Axis, ...]:
    """The axes of an image of `count`; none where nobody names them.

    A name may be any word: types say which are time and channel, and of space the last ones are
    y and x, where names don't say it.

    Raises
    ------
    MetadataError
        When other axes are named than there are, or they aren't as their version wants them.
    """
    listed = _listed_axes(multiscale, version)
    if listed is None:
        return tuple(map(Axis, "TCZYX")) if version in UNNAMED and count == 5 else ()
    found = [_named(axis) for axis in listed]
    if len(found) != count:
        raise MetadataError(f"its metadata names {len(found)} axes, and its pixels have {count}")
    names = [name for name, _, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MetadataError(f"its metadata names two axes {twice!r}, and names must differ")
    letters = [TYPES.get(kind, NAMES.get(name.lower(), UNKNOWN)) for name, kind, _ in found]
    space = [i for i, (_, kind, _) in enumerate(found) if kind == "space"]
    if not {letters[i] for i in space} <= set("ZYX") or len({letters[i] for i in space}) < len(
        space
    ):
        for i, letter in zip(reversed(space), "XYZ", strict=False):
            letters[i] = letter
    return tuple(Axis(a, unit) for a, (_, _, unit) in zip(letters, found, strict=True))


def _listed_axes(multiscale: Block, version: str | None) -> list[Any] | None:
    """What is said of each axis: in 0.6 by the coordinate system that the levels lie in."""
    systems = blocks(multiscale, "coordinateSystems")
    if version != DRAFT or not systems:
        said = multiscale.get("axes")
        return None if said is None else _list(said, "axes")
    wanted = {_system(t.get("output")) for _, d in datasets(multiscale) for t in _transforms(d)}
    found = [s for s in systems if s.get("name") in wanted] or systems[:1]
    if len(found) > 1:
        raise MetadataError("its levels lie in several coordinate systems, and need one")
    return _list(found[0].get("axes"), "axes")


def _system(said: Any) -> Any:
    """The name of a transformation's output, of which drafts of 0.6 have several forms."""
    name = said.get("name") if isinstance(said, dict) else said
    return name if isinstance(name, str) else None


def geometry(multiscale: Block, dataset: Block, version: str | None, count: int) -> Geometry:
    """Where a level of `count` axes lies: its own transformations, then those of all levels.

    Raises
    ------
    MetadataError
        When one has another number of axes, or no numbers.
    """
    holders = [dataset] if version == DRAFT else [dataset, multiscale]
    scale, move = np.ones(count), np.zeros(count)
    scaled, passed_over = False, []
    for holder in holders:
        for transform in _flat(_transforms(holder)):
            kind = transform.get("type")
            if kind == "scale" and "scale" in transform:
                by = _floats(transform, "scale", count)
                scale, move, scaled = scale * by, move * by, True
            elif kind == "translation" and "translation" in transform:
                move = move + _floats(transform, "translation", count)
            elif kind == "identity":
                scaled |= version == DRAFT  # before, it says nothing of a pixel's length
            else:
                passed_over.append(str(kind))
    sizes = tuple(map(float, scale)) if scaled else None
    return Geometry(sizes, tuple(map(float, move)), tuple(passed_over))


def _transforms(of: Block) -> list[Block]:
    return blocks(of, "coordinateTransformations")


def _flat(transforms: Sequence[Block]) -> Iterator[Block]:
    """Transformations one after another, those in sequences too."""
    for transform in transforms:
        inner = transform.get("transformations")
        if transform.get("type") == "sequence" and isinstance(inner, list):
            yield from (_block(t, "coordinateTransformations") for t in inner)
        else:
            yield transform


def _named(axis: Any) -> tuple[str, str, str | None]:
    """An axis' name, type and unit; before 0.4 it was a name only."""
    if isinstance(axis, str):
        return axis, "", None
    name = _block(axis, "axes").get("name")
    if not isinstance(name, str):
        raise _another_form("axes")
    unit = axis.get("unit")
    return name, str(axis.get("type")).lower(), None if unit in (None, "") else str(unit)


def _block(value: Any, key: str) -> Block:
    if not isinstance(value, dict):
        raise _another_form(key)
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise _another_form(key)
    return value


def _floats(transform: Block, key: str, count: int) -> Array:
    values = transform[key]
    numbers = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not numbers:
        raise _another_form(key)
    if len(values) != count:
        raise MetadataError(f"its `{key}` has {len(values)} numbers, and its pixels {count} axes")
    return np.array(values, float)


def _another_form(key: str) -> MetadataError:
    return MetadataError(f"`{key}` in its metadata has another form than OME-Zarr's")
