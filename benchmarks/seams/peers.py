"""Peers' rules: each runs the peer's own code, on the same tiles as all others.

Only what feeds a peer its tiles and takes its result is written here. No network runs, so torch
isn't there.
"""

from __future__ import annotations

import sys
import types
from itertools import product
from typing import Any

import numpy as np

from seams.job import Array, Job, Tile, slices


def cellpose(job: Job) -> Array:
    """Cellpose, `contrib.distributed_segmentation`: shrunk labels that touch across a face."""
    theirs = _cellpose()
    merged = np.zeros(job.shape, np.uint32)
    counts = np.array(job.tiles[-1].position) + 1
    positions, faces, used = [], [], []
    for i, tile in enumerate(job.tiles):
        labels, ids = theirs.global_segment_ids(job.core(i), tile.position, counts)
        merged[slices(tile.core)] = labels
        positions.append(tile.position)
        faces.append(theirs.block_faces(labels))
        used += [n for n in ids if n]
    if len(used) == 0:
        return merged
    relabelled = theirs.determine_merge_relabeling(positions, faces, np.array(used))
    for tile in job.tiles:
        merged[slices(tile.core)] = relabelled[merged[slices(tile.core)]]
    return merged


def _cellpose() -> Any:
    """Its module; torch, and the two modules that hold the network, are empty ones."""
    sys.modules["torch"] = torch = types.ModuleType("torch")
    torch.__version__ = "none"  # type: ignore[attr-defined]
    import cellpose as package

    for name in ("io", "models"):
        sys.modules[f"cellpose.{name}"] = types.ModuleType(f"cellpose.{name}")
        setattr(package, name, sys.modules[f"cellpose.{name}"])
    from cellpose.contrib import distributed_segmentation

    return distributed_segmentation


def touching(job: Job) -> Array:
    """dask-image, `ndmeasure.label`'s second half: labels that touch across a face are one."""
    import dask.array as da
    from dask_image.ndmeasure._utils import _label as theirs

    canvas, offset = np.zeros(job.shape, theirs.LABEL_DTYPE), 0
    for i, tile in enumerate(job.tiles):
        core = job.core(i).astype(theirs.LABEL_DTYPE)
        canvas[slices(tile.core)] = np.where(core > 0, core + offset, 0)
        offset += int(core.max(initial=0))
    blocks = da.from_array(canvas, chunks=_chunks(job))
    graph = theirs.label_adjacency_graph(blocks, None, offset)
    labels = theirs.connected_components_delayed(graph)
    return np.asarray(theirs.relabel_blocks(blocks, labels).compute())


def _chunks(job: Job) -> tuple[tuple[int, ...], ...]:
    """The cores' sizes along each axis."""
    cores = [{t.core[k] for t in job.tiles} for k in range(len(job.shape))]
    return tuple(tuple(stop - start for start, stop in sorted(c)) for c in cores)


def stardist(job: Job) -> Array:
    """StarDist, `big.BlockND`: the one block that is responsible for an object's box keeps it.

    StarDist stops at an object larger than the overlap; here it is left out, and counted.
    """
    from skimage.measure import regionprops
    from stardist.big import NotFullyVisible

    chains = [_chain(job, k) for k in range(len(job.shape))]
    padded = [chain[-1].end for chain in chains]
    canvas, offset, beyond = np.zeros(padded, np.int32), 0, 0
    for i, block in enumerate(_blocks(chains)):
        seen = _at_block(job.valid(i).astype(np.int32), job.tiles[i], block)
        kept = np.zeros_like(seen)
        for found in regionprops(seen):
            try:
                if block.is_responsible(found.slice):
                    kept[found.slice][found.image] = found.label + offset
            except NotFullyVisible:
                beyond += 1
        block.write(canvas, kept)
        offset += int(seen.max(initial=0))
    if beyond:
        job.notes.append(f"it stops: {beyond} views of objects larger than the overlap")
    return canvas[tuple(slice(n) for n in job.shape)]


def _chain(job: Job, axis: int) -> list[Any]:
    """StarDist's blocks along an axis, where our tiles are; the last may reach past the image."""
    from stardist.big import Block

    first = Block(job.size[axis], 2 * job.band[axis], job.context[axis], None)
    block = first
    for _ in range(job.tiles[-1].position[axis]):
        block = block.add_succ()
    first.freeze()
    return first.chain


def _blocks(chains: list[list[Any]]) -> list[Any]:
    from stardist.big import BlockND

    axes = "ZYX"[-len(chains) :]
    return [BlockND(i, blocks, axes) for i, blocks in enumerate(product(*chains))]


def _at_block(labels: Array, tile: Tile, block: Any) -> Array:
    """A tile's labels in the block's write region, background where the image has ended."""
    region = block.slice_write()
    canvas = np.zeros([s.stop - s.start for s in region], labels.dtype)
    at = (slice(lo - s.start, hi - s.start) for (lo, hi), s in zip(tile.valid, region, strict=True))
    canvas[tuple(at)] = labels
    return canvas


def sopa(job: Job) -> Array:
    """Sopa, `vectorize` and `solve_conflicts`: polygons that overlap by half are united."""
    import pandas as pd
    from sopa import shapes
    from sopa.segmentation.resolve import solve_conflicts

    if len(job.shape) != 2:
        raise NotImplementedError("2D only")
    cells, patches = [], []
    for i, tile in enumerate(job.tiles):
        found = shapes.vectorize(job.valid(i).astype(np.int32))
        (y, _), (x, _) = tile.valid
        cells.append(found.geometry.translate(x, y))
        patches += [i] * len(found)
    if not patches:
        return np.zeros(job.shape, np.uint32)
    resolved = solve_conflicts(list(pd.concat(cells)), patch_indices=np.array(patches))
    return _painted(resolved.geometry, job.shape)


def _painted(polygons: Any, shape: tuple[int, ...]) -> Array:
    """Polygons as labels, the first to claim a pixel keeps it; Sopa's own rasteriser."""
    from sopa.shapes import pixel_outer_bounds, rasterize

    canvas = np.zeros(shape, np.uint32)
    for n, polygon in enumerate(polygons, 1):
        x0, y0, x1, y1 = pixel_outer_bounds(polygon.bounds)
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, shape[1]), min(y1, shape[0])
        mask = rasterize(polygon, (y1 - y0, x1 - x0), (x0, y0)).astype(bool)
        part = canvas[y0:y1, x0:x1]
        part[mask & (part == 0)] = n
    return canvas


def ngio(job: Job) -> Array:
    """ngio, `SegmentationIterator.with_stitch`: banked tiles, IoU of 0.3 over shared pixels."""
    from ngio import Roi, create_ome_zarr_from_array
    from ngio.iterators import SegmentationIterator, StitchConfig

    axes = "zyx"[-len(job.shape) :]
    store = job.folder / "ngio.zarr"
    image = create_ome_zarr_from_array(
        store, np.zeros(job.shape, np.uint8), pixelsize=1.0, levels=1, axes_names=list(axes)
    )
    label = image.derive_label("merged", dtype="uint32")
    rois = [
        Roi.from_values(
            name=str(i), slices={a: (lo, hi - lo) for a, (lo, hi) in zip(axes, t.core, strict=True)}
        )
        for i, t in enumerate(job.tiles)
    ]
    most = max(int(job.valid(i).max(initial=0)) for i in range(len(rois)))
    config = StitchConfig(block_size=max(10_000, most + 1))
    iterator = SegmentationIterator(image.get_image(), label, axes_order=axes).product(rois)
    halo = dict(zip(axes, job.band, strict=True))
    tiles = iter(range(len(rois)))
    iterator = iterator.with_halo(**halo).with_stitch(config)
    for _, write in iterator.iter_as_numpy():
        write(job.valid(next(tiles)))
    return label.get_as_numpy()


def elf(job: Job) -> Array:
    """elf, `stitch_segmentation`: a multicut over how much labels overlap; our tiles, its code."""
    from types import SimpleNamespace

    from elf.segmentation import stitching as theirs

    theirs.bic = SimpleNamespace(
        utils=SimpleNamespace(
            Blocking=lambda *_: _Blocking(job),
            segmentation_overlap=theirs.bic.utils.segmentation_overlap,
        ),
        segmentation=theirs.bic.segmentation,
    )
    return theirs.stitch_segmentation(
        np.zeros(job.shape, np.uint8),
        lambda _, i: job.valid(i).astype(np.uint64),
        job.shape,  # of a tile: `_Blocking` knows better
        job.band,
        verbose=False,
    )


class _Blocking:
    """Our tiles in the words of elf's `Blocking`, whose own are all of one size."""

    def __init__(self, job: Job) -> None:
        self.tiles = job.tiles
        self.number = {tile.position: i for i, tile in enumerate(job.tiles)}
        self.number_of_blocks = len(job.tiles)

    def get_block_with_halo(self, i: int, _: Any) -> Any:
        """The valid region, and the core in it."""
        tile = self.tiles[i]
        starts = [lo for lo, _ in tile.valid]
        local = [(lo - s, hi - s) for (lo, hi), s in zip(tile.core, starts, strict=True)]
        boxes = {"outer_block": tile.valid, "inner_block": tile.core, "inner_block_local": local}
        return types.SimpleNamespace(**{k: _interval(b) for k, b in boxes.items()})

    def get_neighbor_id(self, i: int, axis: int, lower: bool) -> int:
        """The tile before this one along an axis, or -1."""
        step = -1 if lower else 1
        at = tuple(p + step * (k == axis) for k, p in enumerate(self.tiles[i].position))
        return self.number.get(at, -1)


def _interval(box: Any) -> Any:
    return types.SimpleNamespace(begin=[lo for lo, _ in box], end=[hi for _, hi in box])
