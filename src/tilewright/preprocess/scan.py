"""What an image needs before its tiles are read: tissue, statistics, a tiled copy if it pays.

A copy pays where reading tile by tile would decode the file's strips or pages many times over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from tilewright.contract.colours import is_rgb
from tilewright.contract.cut import bounds
from tilewright.contract.jobs import ImageRef, Job, Scan
from tilewright.contract.names import job_name
from tilewright.contract.spec import ModelSpec
from tilewright.images.damage import DamagedPixelsError
from tilewright.images.image import Image
from tilewright.images.mask import Mask, stamped
from tilewright.stores.ome_zarr import Pyramid, Slices, StoreWriter

from .enhance import opened
from .reader import TileReader, statistics
from .tissue_file import NAME, write_tissue

Array = np.ndarray
LOOKS = 32  # of a tile's sides, at how many places its mask is looked at
BAND_BYTES = 2**28  # read at once for the copy, where the file's own chunks allow it


def scan(asked: Path, jobs: Path, copy: Path, found: Path) -> None:
    """Look at an image's pixels once and write its jobs.

    Parameters
    ----------
    asked
        PLAN's scans/<group>.json.
    jobs
        Folder for the jobs.
    copy
        Where a tiled copy goes, if one is asked for.
    found
        Where the image's folder goes with its tissue, if that is looked for.

    Raises
    ------
    TilewrightError
        When the image or its mask is damaged.
    """
    wanted = Scan.load(asked)
    ref = wanted.image
    if wanted.copy:
        with suppress(DamagedPixelsError):  # which tiles meet it, only the file itself tells
            copy_tiled(ref, copy)
            ref = replace(ref, copy=os.path.abspath(copy))  # noqa: PTH100  # keep a link's own path
    ref = replace(ref, statistics=statistics(ref, wanted.spec))
    if ref.tissue is not None:
        path = found / ref.id / NAME
        write_tissue(ref, path, wanted.code)
        ref = replace(ref, mask=stamped(Path(os.path.abspath(path))))  # noqa: PTH100
    cut = bounds(wanted.tiles, wanted.most, predicted(ref, wanted.spec) if ref.mask else None)
    jobs.mkdir(exist_ok=True)
    for number, (start, stop) in enumerate(cut):
        job = Job(asked.stem, number, (ref,), ((ref.key, start, stop),), len(cut))
        job.save(jobs / f"{job_name(asked.stem, len(cut), number)}.json")


def predicted(ref: ImageRef, spec: ModelSpec) -> Array:
    """About which tiles of an image with a mask are predicted, by some of the mask's pixels.

    It is for jobs of one size: PREDICT itself asks all pixels of each tile.

    Returns
    -------
        (n,) int64, ascending: numbers over all planes and then the grid.
    """
    with TileReader(ref, spec) as reader:
        layout = reader.layout
    rows, columns = (
        np.array([axis.window(i, n) for i in range(axis.count(n))])
        for axis, n in zip(layout.grid.axes[-2:], layout.shape[-2:], strict=True)
    )
    step = max(1, min(axis.size for axis in layout.grid.axes[-2:]) // LOOKS)
    scale = (layout.scale[0] / step, layout.scale[1] / step)
    width, left = layout.shape[-1] // step + 1, columns // step
    there = []
    with Mask(ref, scale, layout.origin) as mask:
        for top, bottom in rows:
            inside = mask.inside(((top // step, bottom // step + 1), (0, width)))
            sums = np.pad(np.cumsum(inside.sum(0)), (1, 0))
            counts = sums[left[:, 1] + 1] - sums[left[:, 0]]
            sizes = len(inside) * (left[:, 1] + 1 - left[:, 0])
            there.append((counts > 0) & (counts >= ref.min_tissue * sizes))
    plane = np.broadcast_to(np.stack(there), layout.grid.counts)
    return np.flatnonzero(np.tile(plane.ravel(), len(layout.planes)))


def copy_tiled(ref: ImageRef, path: Path) -> None:
    """Write the level that is read as a sharded OME-Zarr without a pyramid, band by band."""
    with (
        opened(ref.path, axes=ref.axes, scene=ref.scene, methods=ref.prep) as image,
        StoreWriter(path) as store,
    ):
        axes = "".join(a for a in "TCZYX" if a in image.axes)
        sizes = dict(zip(image.axes, image.levels[ref.level], strict=True))
        pyramid = store.pyramid(
            "",
            [sizes[a] for a in axes],
            image.dtype,
            axes=axes.lower(),
            method="mean",
            together=is_rgb(image.axes, image.size("C"), image.dtype),
            levels=1,
        )
        chunks = image.chunks[ref.level]
        across = chunks is not None and chunks[image.axes.index("X")] >= sizes["X"]
        for band, shards in bands(pyramid, None if across else BAND_BYTES):
            index = dict(zip(axes, band, strict=True))
            pixels = image.read(ref.level, index).transpose(_order(image, axes))
            for shard in shards:
                x = slice(shard[-1].start - band[-1].start, shard[-1].stop - band[-1].start)
                pyramid.write(shard, np.ascontiguousarray(pixels[..., x]))
        store.finish({})


def bands(pyramid: Pyramid, most: int | None) -> Iterator[tuple[Slices, list[Slices]]]:
    """Boxes to read at once, each with its shards, which differ along x only.

    Parameters
    ----------
    most
        Bytes of a box, though at least a shard; None is the image's whole width, so that a strip
        is decoded once.
    """
    itemsize = pyramid.levels[0].dtype.itemsize
    for rest, group in groupby(pyramid.shards(), key=lambda box: box[:-1]):
        shards = list(group)
        shard = math.prod(s.stop - s.start for s in shards[0]) * itemsize
        count = len(shards) if most is None else max(1, most // shard)
        for first in range(0, len(shards), count):
            some = shards[first : first + count]
            yield (*rest, slice(some[0][-1].start, some[-1][-1].stop)), some


def _order(image: Image, axes: str) -> list[int]:
    return [image.axes.index(a) for a in axes]
