"""How a result is written: one OME-Zarr 0.5 store with pyramids, tables and the recipe.

With `frames`, the only module that writes Zarr. Same input, same bytes of every file; memory is
bounded by a shard and the four below it. Which pixels go in is `merge`'s business.

References
----------
OME-Zarr 0.5, https://ngff.openmicroscopy.org/0.5.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numcodecs.blosc  # type: ignore[import-untyped]
import numpy as np
import zarr
from zarr.codecs import BloscCodec

from .errors import UNAVAILABLE, TilewrightError
from .frames import Table, Vectors, write_table, write_vectors
from .jobs import canonical

Array = np.ndarray[Any, Any]
Slices = tuple[slice, ...]
"""One slice per axis of the array, in pixels of its level 0."""
Method = Literal["nearest", "mean"]

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
CHUNK = 512  # a viewer's request: 1 MiB of uint32
SHARD = 2048  # 16 MiB of uint32: a file worth a cluster's inode, a task's unit of memory
SHARD_BYTES = 1 << 26  # many channels in one shard make it smaller
LEAST = 64  # side of a shard of thousands of channels
COARSEST = 512  # levels until the longer side is at most one chunk
COLOURS = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00", "FFFFFF")
RGB = ("FF0000", "00FF00", "0000FF")

# On 4096² dense uint32 labels and uint16 noise: 1.6 and 25 MB in 0.3 and 0.2 s; with byte shuffle
# 1.9 and 23 MB in 0.2 and 0.7 s; without, 2.1 and 29 MB. Level 5 gains 1 % of an image.
CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
# With threads of its own, Blosc cuts blocks by their number: a machine's cores in the bytes.
numcodecs.blosc.use_threads = False


@dataclass(frozen=True)
class Placement:
    """Where an array's pixels lie on the image it came from.

    Parameters
    ----------
    origin
        Level-0 pixel ``(y, x)`` where the array's first pixel begins: a region's corner.
    factor
        Array pixels per level-0 pixel, ``(y, x)``.
    mpp
        µm per level-0 pixel, ``(y, x)``, or None: then scales are in pixels, without a unit.
    z_um
        µm per slice, or None.
    """

    origin: tuple[float, float] = (0.0, 0.0)
    factor: tuple[float, float] = (1.0, 1.0)
    mpp: tuple[float, float] | None = None
    z_um: float | None = None

    def units(self, axes: str) -> dict[str, float]:
        """µm per level-0 pixel of each axis whose size is known."""
        known = dict(zip("yx", self.mpp, strict=True)) if self.mpp else {}
        if self.z_um:
            known["z"] = self.z_um
        return {a: known[a] for a in axes if a in known}

    def transform(self, axes: str, level: int) -> tuple[list[float], list[float]]:
        """Scale and translation of a pyramid level, per axis, in µm or level-0 pixels.

        Positions are of pixel centres. A pixel of level k stands for the 2^k x 2^k pixels it was
        made from, so its centre lies half their width further: labels and image line up.
        """
        um = self.units(axes)
        scale, translation = [], []
        factors = dict(zip("yx", self.factor, strict=True))
        origins = dict(zip("yx", self.origin, strict=True))
        for a in axes:
            step = 2**level / factors[a] if a in factors else 1.0
            scale.append(step * um.get(a, 1.0))
            translation.append((origins.get(a, 0.0) + (step - 1) / 2) * um.get(a, 1.0))
        return scale, translation

    def level0(self, yx: Array) -> Array:
        """Positions ``(n, 2)`` of array pixels (y, x) as positions of level-0 pixels."""
        factor = np.asarray(self.factor)
        return np.asarray(np.asarray(self.origin) + (yx + 0.5) / factor - 0.5)


def levels_for(shape: Sequence[int]) -> int:
    """How many levels halve the longer of the last two axes to at most 512 pixels."""
    return 1 + max(0, math.ceil(math.log2(max(*shape[-2:], 1) / COARSEST)))


def label_dtype(count: int) -> np.dtype[Any]:
    """The smallest unsigned integer that holds the labels 0..count."""
    return np.min_scalar_type(count)


class Pyramid:
    """One multiscale image being written: level 0 shard by shard, then the levels above.

    Made by `StoreWriter.pyramid`.
    """

    def __init__(
        self,
        levels: Sequence[zarr.Array[Any]],
        *,
        axes: str,
        method: Method,
        metadata: dict[str, Any],
    ) -> None:
        self.levels = levels
        self.axes = axes
        self.metadata = metadata
        self.channels: Sequence[str] = ()
        self._method = method

    def shards(self, level: int = 0) -> Iterator[Slices]:
        """The boxes of a level's shards, clipped to it, in row-major order."""
        array = self.levels[level]
        steps = array.shards or array.chunks
        starts = [range(0, n, s) for n, s in zip(array.shape, steps, strict=True)]
        for corner in itertools.product(*starts):
            yield tuple(
                slice(a, min(a + s, n)) for a, s, n in zip(corner, steps, array.shape, strict=True)
            )

    def write(self, box: Slices, array: Array) -> None:
        """Write level 0's pixels of a whole shard `box`; shape, axes and dtype are level 0's."""
        wanted = tuple(s.stop - s.start for s in box), self.levels[0].dtype
        if wanted != (array.shape, array.dtype.newbyteorder("=")):
            raise ValueError(f"a shard of {wanted} was given {array.shape}, {array.dtype}")
        self._put(0, box, array)

    def build(self) -> None:
        """Make levels 1 and up, each from the one below."""
        for level in range(1, len(self.levels)):
            below = self.levels[level - 1]
            for box in self.shards(level):
                block = np.asarray(below[_doubled(box, below.shape)])
                self._put(level, box, _halve(block, self._method))

    def _put(self, level: int, box: Slices, array: Array) -> None:
        with _writing(Path(str(self.levels[level].store_path))):
            self.levels[level][box] = array

    def omero(self, names: Sequence[str], rgb: bool) -> dict[str, Any]:
        """Rendering settings: a name, a colour and the range of values of each channel.

        The range is the coarsest level's; a colour picture keeps the dtype's, or its colours
        would shift.
        """
        colours: Sequence[str] = RGB if rgb else COLOURS if len(names) > 1 else COLOURS[-1:]
        windows = [_window(a, rgb) for a in self._channels()]
        return {
            "channels": [
                {"label": n, "color": c, "active": True, "window": w}
                for n, c, w in zip(names, itertools.cycle(colours), windows, strict=False)
            ]
        }

    def _channels(self) -> Iterator[Array]:
        """The coarsest level, one channel at a time."""
        top = self.levels[-1]
        at = self.axes.find("c")
        for c in range(top.shape[at] if at >= 0 else 1):
            pick = (slice(None),) * at + (slice(c, c + 1),) if at >= 0 else ()
            yield np.asarray(top[pick])


class StoreWriter:
    """Writes a store as ``<path>.part`` and renames it when it is whole.

    Used as a context manager; left by an exception, nothing is left. What makes it open, the root's
    metadata, is written last.

    Raises
    ------
    TilewrightError
        69, from any of its methods, when the disk is full or the folder can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._pyramids: dict[str, Pyramid] = {}
        with _writing(path):
            if self._part.exists():  # left by a task that was killed
                shutil.rmtree(self._part)
            self._part.mkdir(parents=True)
            self._root = zarr.create_group(self._part, zarr_format=3)

    def pyramid(
        self,
        where: str,
        shape: Sequence[int],
        dtype: np.dtype[Any] | type,
        *,
        axes: str,
        method: Method,
        placement: Placement | None = None,
        levels: int | None = None,
        name: str | None = None,
    ) -> Pyramid:
        """Begin a multiscale image.

        Parameters
        ----------
        where
            Its group: ``""`` is the root (the image itself), ``labels/<task>`` a label image,
            ``maps/<task>`` another image.
        shape, axes
            Of level 0, a subset of ``tczyx`` in that order that ends in ``yx``.
        method
            How a level is made from the one below: ``nearest`` takes the first pixel of each 2 x 2
            block, ``mean`` their mean, integers rounded half up. Other axes aren't halved.
        placement
            Where its pixels lie; None is the whole image at level 0, of unknown pixel size.
        levels
            Labels and their image must have the same number; None is `levels_for` the shape.
        name
            What people see; the group's name if None.
        """
        if [a for a in "tczyx" if a in axes] != list(axes) or not axes.endswith("yx"):
            raise ValueError(f"axes {axes!r} aren't a subset of tczyx in that order, ending in yx")
        placement = placement or Placement()
        shapes = [tuple(shape)]
        for _ in range(1, levels_for(shape) if levels is None else levels):
            *others, y, x = shapes[-1]
            shapes.append((*others, -(-y // 2), -(-x // 2)))
        metadata = {
            "name": name or where.rpartition("/")[2] or self.path.stem,
            "axes": _axes(axes, placement),
            "datasets": [_dataset(placement, axes, k) for k in range(len(shapes))],
            "type": method,
        }
        with _writing(self.path):
            group = self._root.require_group(where) if where else self._root
            arrays = [
                _create(group, str(k), s, np.dtype(dtype), axes) for k, s in enumerate(shapes)
            ]
        self._pyramids[where] = Pyramid(arrays, axes=axes, method=method, metadata=metadata)
        return self._pyramids[where]

    def table(self, name: str, table: Table) -> None:
        """Write a table of objects of ``labels/<name>`` as an AnnData group, ``tables/<name>``."""
        with _writing(self.path):
            write_table(self._root, name, table)

    def vectors(self, name: str, vectors: Vectors) -> None:
        """Write a table of tiles as an AnnData group, ``tables/<name>``."""
        with _writing(self.path):
            write_vectors(self._root, name, vectors)

    def finish(
        self,
        attributes: Mapping[str, Any],
        *,
        channels: Sequence[str] | None = None,
        rgb: bool = False,
    ) -> None:
        """Write all metadata and give the store its name; an older store of that name goes.

        Parameters
        ----------
        attributes
            JSON values, kept under ``tilewright`` in the root's attributes.
        channels
            Names of the channels of the image at the root, where known.
        rgb
            The image's channels are red, green and blue.
        """
        image = self._pyramids.get("")
        labels = [p for where, p in self._pyramids.items() if where.startswith("labels/")]
        if image and any(len(p.levels) != len(image.levels) for p in labels):
            raise ValueError("labels and their image must have the same number of levels")
        with _writing(self.path):
            self._describe_members(image is not None)
            root: dict[str, Any] = {"tilewright": json.loads(canonical(dict(attributes)))}
            if image:
                root["ome"] = _ome(multiscales=[image.metadata])
                if channels:
                    root["ome"]["omero"] = image.omero(channels, rgb)
            self._root.attrs.update(root)
            if self.path.exists():
                shutil.rmtree(self.path)
            self._part.replace(self.path)

    def _describe_members(self, has_image: bool) -> None:
        members = {where: p for where, p in self._pyramids.items() if where}
        for where, pyramid in members.items():
            ome = _ome(multiscales=[pyramid.metadata])
            if pyramid.channels:
                ome["omero"] = pyramid.omero(pyramid.channels, rgb=False)
            if where.startswith("labels/"):
                # No colours; left out altogether, ome-zarr-models 1.6 stumbles over its own None.
                source = {"source": {"image": "../../"}} if has_image else {}
                ome["image-label"] = {"colors": [], **source}
            self._root[where].attrs.update({"ome": ome})
        labels = [where.removeprefix("labels/") for where in members if where.startswith("labels/")]
        if labels:
            self._root["labels"].attrs.update({"ome": _ome(labels=labels)})

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise TilewrightError(
            f"{path}: the result can't be written ({error.strerror or error}).",
            fix="Free some space there, or choose a folder that can be written: --outdir.",
            code=UNAVAILABLE,
        ) from error


def _create(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str
) -> zarr.Array[Any]:
    """One level: a chunk is a piece of one plane of one channel, a shard holds all channels."""
    sizes = dict(zip(axes, shape, strict=True))
    side = SHARD
    while side > LEAST and side * side * sizes.get("c", 1) * dtype.itemsize > SHARD_BYTES:
        side //= 2
    chunk = {a: min(CHUNK, side, n) if a in "yx" else 1 for a, n in sizes.items()}
    shard = {a: -(-min(side, n) // chunk[a]) * chunk[a] for a, n in sizes.items() if a in "yx"}
    shard["c"] = sizes.get("c", 1)
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype.newbyteorder("="),
        chunks=tuple(chunk.values()),
        shards=tuple(shard.get(a, 1) for a in axes),
        compressors=CODEC,
        fill_value=0,
        dimension_names=tuple(axes),
    )


def _doubled(box: Slices, shape: Sequence[int]) -> Slices:
    """What of the level below makes `box`."""
    *others, y, x = box
    below = (
        slice(2 * s.start, min(2 * s.stop, n)) for s, n in zip((y, x), shape[-2:], strict=True)
    )
    return (*others, *below)


def _halve(array: Array, method: Method) -> Array:
    """Half the last two axes, the odd last row or column standing for itself."""
    if method == "nearest":
        return array[..., ::2, ::2]
    odd = [(0, 0)] * (array.ndim - 2) + [(0, n % 2) for n in array.shape[-2:]]
    padded = np.pad(array, odd, mode="edge")
    wide = _wide(array.dtype)
    total = sum(
        (padded[..., y::2, x::2].astype(wide) for y in (0, 1) for x in (0, 1)),
        start=np.zeros((), wide),
    )
    mean = total / 4 if wide.kind == "f" else (total + 2) // 4
    return np.asarray(mean).astype(array.dtype)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that holds the sum of four."""
    if dtype.kind == "f":
        return np.promote_types(dtype, np.float32)
    return np.promote_types(dtype, np.int32 if dtype.itemsize <= 2 else np.int64)


def _window(values: Array, rgb: bool) -> dict[str, float]:
    """An omero window: the dtype's (or data's) range, and the part of it to show."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    limits = (low, high)
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        limits = (float(info.min), float(info.max))
    start, end = limits if rgb else (low, max(high, low + 1e-6))
    return {"min": limits[0], "max": limits[1], "start": start, "end": end}


def _ome(**fields: Any) -> dict[str, Any]:
    return {"version": "0.5", **fields}


def _axes(axes: str, placement: Placement) -> list[dict[str, str]]:
    units = placement.units(axes)
    return [
        {"name": a, "type": AXIS_TYPES[a], **({"unit": "micrometer"} if a in units else {})}
        for a in axes
    ]


def _dataset(placement: Placement, axes: str, level: int) -> dict[str, Any]:
    scale, translation = placement.transform(axes, level)
    return {
        "path": str(level),
        "coordinateTransformations": [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": translation},
        ],
    }
