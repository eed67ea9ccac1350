"""How a result is written: one OME-Zarr store with pyramids, tables and the recipe.

OME-Zarr 0.5 (Zarr 3, sharded) or, for older readers, 0.4 (Zarr 2, a file per chunk).

With `pyramid` and `frames`, the only module that writes Zarr. Same input, same bytes of every
file; memory is bounded by a block of some shards. Which pixels go in is `merge`'s business.

References
----------
OME-Zarr 0.5, https://ngff.openmicroscopy.org/0.5, and 0.4, https://ngff.openmicroscopy.org/0.4.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from tilewright.contract.canonical import canonical
from tilewright.contract.files import take_place

from .anndata import Table, Vectors, read_rows, write_table, write_vectors
from .pyramid import (
    Array,
    Handle,
    LevelCut,
    Method,
    Placement,
    Pyramid,
    Slices,
    plan_levels,
    writing,
)

__all__ = ["Placement", "Pyramid", "Slices", "StoreWriter", "label_dtype"]

StoreVersion = Literal["0.5", "0.4"]
"""Of OME-Zarr."""

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}

# By measurement (docs/measured.md): labels are repeats, which a shuffle only breaks up. Each chunk
# of 0.5 has a checksum.
CODECS: dict[tuple[StoreVersion, Method], Any] = {
    ("0.5", "nearest"): [ZstdCodec(level=1, checksum=True)],
    ("0.5", "mean"): [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()],
    # older readers know Blosc alone
    ("0.4", "nearest"): numcodecs.Blosc("zstd", clevel=1, shuffle=numcodecs.Blosc.NOSHUFFLE),
    ("0.4", "mean"): numcodecs.Blosc("zstd", clevel=1, shuffle=numcodecs.Blosc.SHUFFLE),
}
# With threads of its own, Blosc cuts blocks by their number: a machine's cores in the bytes.
numcodecs.blosc.use_threads = False


def label_dtype(count: int) -> np.dtype:
    """The smallest unsigned integer that holds the labels 0..count."""
    return np.dtype(np.min_scalar_type(count).name)  # Zarr knows one of numpy's two 64-bit types


class StoreWriter:
    """Writes a store as ``<path>.part`` and renames it when it is whole.

    Used as a context manager; left by an exception, nothing is left. What makes it open, the root's
    metadata, is written last.

    Parameters
    ----------
    path
        The store's folder.
    version
        Of OME-Zarr.

    Raises
    ------
    TilewrightError
        69, from any of its methods, when the disk is full or the folder can't be written.
    """

    def __init__(self, path: Path, version: StoreVersion = "0.5") -> None:
        self.path = path
        self._version = version
        self._part = path.with_name(path.name + ".part")
        self._old = path.with_name(path.name + ".old.part")
        self._pyramids: dict[str, Pyramid] = {}
        with writing(path):
            for left in (self._part, self._old):  # by a task that was killed
                if left.exists():
                    shutil.rmtree(left)
            self._part.mkdir(parents=True)
            self._root = zarr.create_group(self._part, zarr_format=3 if version == "0.5" else 2)

    @property
    def scratch(self) -> Path:
        """A folder for what is needed while the store is written; to be removed before its end."""
        return self._part / "scratch"

    def pyramid(
        self,
        where: str,
        shape: Sequence[int],
        dtype: np.dtype | type,
        *,
        axes: str,
        method: Method,
        placement: Placement | None = None,
        deep: bool = False,
        together: bool = False,
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
            (x 2) box, ``mean`` their mean, integers rounded half up.
        placement
            Where its pixels lie; None is the whole image at level 0, of unknown pixel size.
        deep
            It is tiled in z: z is cut and halved like y and x, as `plan_levels` says. Otherwise a
            shard is of one plane.
        together
            All channels of a pixel are in one chunk: of colours, which are read together.
        levels
            Labels and their image must have the same number; None is as many as `plan_levels` says.
        name
            What people see; the group's name if None.

        Raises
        ------
        ValueError
            When `axes` are others.
        TilewrightError
            69, when the store can't be written.
        """
        if [a for a in "tczyx" if a in axes] != list(axes) or not axes.endswith("yx"):
            raise ValueError(f"axes {axes!r} aren't a subset of tczyx in that order, ending in yx")
        placement = placement or Placement()
        dtype = np.dtype(dtype).newbyteorder("=")
        kinds = {"deep": deep, "together": together}
        cut = plan_levels(axes, shape, dtype.itemsize, placement=placement, count=levels, **kinds)
        metadata = {
            "name": name or where.rpartition("/")[2] or self.path.stem,
            "axes": _axes(axes, placement),
            "datasets": [_dataset(placement, axes, str(k), c) for k, c in enumerate(cut)],
            "type": method,
        }
        with writing(self.path):
            group = self._root.require_group(where) if where else self._root
            codec = CODECS[self._version, method]
            arrays = [_create(group, str(k), c, dtype, axes, codec) for k, c in enumerate(cut)]
        handle = Handle(self._part / where, cut, dtype, method)
        self._pyramids[where] = Pyramid(handle, arrays, axes, metadata)
        return self._pyramids[where]

    def table(self, name: str, table: Table) -> None:
        """Write a table of objects of ``labels/<name>`` as an AnnData group, ``tables/<name>``."""
        with writing(self.path):
            write_table(self._root, name, table)

    def vectors(self, name: str, vectors: Vectors) -> None:
        """Write a table of tiles as an AnnData group, ``tables/<name>``."""
        with writing(self.path):
            write_vectors(self._root, name, vectors)

    def rows(self, name: str) -> Iterator[Array]:
        """X of a written table of tiles, some rows at a time, (some, v) float32."""
        return read_rows(self._root, name)

    def visited(self, axes: str, tiles: Array, starts: Mapping[str, Sequence[int]]) -> None:
        """Write which tiles were predicted, as the array ``visited``.

        Parameters
        ----------
        axes, tiles
            1 where a tile was predicted, uint8: looped axes, then tiles along those of the grid.
        starts
            Where the cores of these tiles begin along each axis of the grid, in model pixels.
        """
        with writing(self.path):
            array = self._root.create_array(
                "visited",
                shape=tiles.shape,
                dtype=np.uint8,
                chunks=tiles.shape,
                compressors=CODECS[self._version, "nearest"],
                fill_value=0,
            )
            array[...] = tiles
            array.attrs.update(
                {"axes": list(axes), "starts": {a: list(s) for a, s in starts.items()}}
            )

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

        Raises
        ------
        ValueError
            When labels have another number of levels than their image.
        TilewrightError
            69, when the store can't be written.
        """
        image = self._pyramids.get("")
        labels = [p for where, p in self._pyramids.items() if where.startswith("labels/")]
        if image and any(len(p.levels) != len(image.levels) for p in labels):
            raise ValueError("labels and their image must have the same number of levels")
        with writing(self.path):
            self._describe_members(image is not None)
            root: dict[str, Any] = {"tilewright": json.loads(canonical(dict(attributes)))}
            if image:
                omero = {"omero": image.omero(channels, rgb)} if channels else {}
                root |= self._ome(multiscales=[image.metadata], **omero)
            self._root.attrs.update(root)
            take_place(self._part, self.path, self._old)

    def _describe_members(self, has_image: bool) -> None:
        members = {where: p for where, p in self._pyramids.items() if where}
        for where, pyramid in members.items():
            fields: dict[str, Any] = {"multiscales": [pyramid.metadata]}
            if pyramid.channels:
                fields["omero"] = pyramid.omero(pyramid.channels, rgb=False)
            if where.startswith("labels/"):
                # No colours: with an empty list of them napari-ome-zarr 0.11 shows no label at all.
                fields["image-label"] = {"source": {"image": "../../"}} if has_image else {}
            self._root[where].attrs.update(self._ome(**fields))
        labels = [where.removeprefix("labels/") for where in members if where.startswith("labels/")]
        if labels:
            self._root["labels"].attrs.update(self._ome(labels=labels))

    def _ome(self, **fields: Any) -> dict[str, Any]:
        """The attributes that say `fields`: 0.4 gives each its version, 0.5 all of them one."""
        if self._version == "0.5":
            return {"ome": {"version": "0.5", **fields}}
        version = {"version": "0.4"}
        if "multiscales" in fields:
            fields["multiscales"] = [version | m for m in fields["multiscales"]]
        return fields | {k: version | fields[k] for k in ("omero", "image-label") if k in fields}

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_why: object) -> None:
        for _ in range(40):  # zarr's own threads may still be writing
            shutil.rmtree(self._part, ignore_errors=True)
            if not self._part.exists():
                return
            time.sleep(0.05)


def _create(
    group: zarr.Group, name: str, level: LevelCut, dtype: np.dtype, axes: str, codec: Any
) -> zarr.Array[Any]:
    sharded = group.metadata.zarr_format == 3
    return group.create_array(
        name,
        shape=level.shape,
        dtype=dtype,
        chunks=level.chunk,
        shards=level.shard if sharded else None,
        compressors=codec,
        fill_value=0,
        chunk_key_encoding={"name": "default" if sharded else "v2", "separator": "/"},
        dimension_names=tuple(axes) if sharded else None,
    )


def _axes(axes: str, placement: Placement) -> list[dict[str, str]]:
    units = dict.fromkeys(placement.units(axes), "micrometer")
    if placement.t_unit:
        units["t"] = placement.t_unit
    return [
        {"name": a, "type": AXIS_TYPES[a], **({"unit": units[a]} if a in units else {})}
        for a in axes
    ]


def _dataset(placement: Placement, axes: str, path: str, level: LevelCut) -> dict[str, Any]:
    scale, translation = placement.transform(axes, dict(zip(axes, level.shrunk, strict=True)))
    return {
        "path": path,
        "coordinateTransformations": [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": translation},
        ],
    }
