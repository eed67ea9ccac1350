"""What a big image needs before its tiles are read: statistics, and a tiled copy if it pays.

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
from tilewright.contract.jobs import ImageRef, Job, Scan, save
from tilewright.contract.names import job_name
from tilewright.images.damage import DamagedPixelsError
from tilewright.images.image import Image
from tilewright.stores.ome_zarr import Pyramid, Slices, StoreWriter

from .enhance import opened
from .reader import statistics

BAND_BYTES = 2**28  # read at once for the copy, where the file's own chunks allow it


def scan(asked: Path, jobs: Path, copy: Path) -> None:
    """Look at a big image's pixels once and write its jobs.

    Parameters
    ----------
    asked
        PLAN's scans/<group>.json.
    jobs
        Folder for the jobs.
    copy
        Where a tiled copy goes, if one is asked for.
    """
    wanted = Scan.load(asked)
    ref = wanted.image
    if wanted.copy:
        with suppress(DamagedPixelsError):  # which tiles meet it, only the file itself tells
            copy_tiled(ref, copy)
            ref = replace(ref, copy=os.path.abspath(copy))  # noqa: PTH100  # keep a link's own path
    ref = replace(ref, statistics=statistics(ref, wanted.spec))
    jobs.mkdir(exist_ok=True)
    for number, parts in enumerate(wanted.parts):
        job = Job(asked.stem, number, (ref,), parts)
        save(jobs / f"{job_name(asked.stem, len(wanted.parts), number)}.json", job)


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
