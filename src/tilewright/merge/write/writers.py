"""What a store is made of: labels, a map or a table, and the image; written block by block.

Blocks are composed and written by any of the pool's processes, each by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from tilewright.contract.colours import RGB, is_rgb
from tilewright.contract.jobs import Group, ImageRef, Recipe
from tilewright.contract.layout import Layout
from tilewright.merge.measure.histograms import Histogram, histograms
from tilewright.merge.measure.picture import Pictured, Plain
from tilewright.merge.measure.principal import Axes
from tilewright.merge.measure.tables import Measure
from tilewright.stores.anndata import Table
from tilewright.stores.ome_zarr import Placement, Slices, StoreWriter
from tilewright.stores.pyramid import Handle, Pyramid

from .bank_reader import BankReader, plane_box, stack_axes, stacked
from .context import MergeContext
from .embeddings import write_embeddings
from .facts import EmbeddingFacts, MapFacts, UnreadFacts
from .features import with_light
from .merged import Merged
from .pool import ProcessPool

Array = np.ndarray
SIZES = ("area_px", "volume_px")  # columns whose percentiles the report gives


@dataclass(frozen=True)
class MergeInput:
    """One image on its way into its store."""

    ref: ImageRef
    group: Group
    recipe: Recipe
    context: MergeContext
    pool: ProcessPool[MergeContext]
    place: Placement
    unread: UnreadFacts | None = None

    @property
    def layout(self) -> Layout:
        """Its geometry."""
        return self.context.layout

    @property
    def rgb(self) -> bool:
        """Whether it is a colour picture, whose channels are looked at together."""
        return is_rgb(self.ref.axes, self.layout.channels, self.ref.dtype)

    @property
    def names(self) -> list[str]:
        """What its channels are called, for people: colours, or ``channel 0`` without a name."""
        names = list(self.ref.channel_names or ())
        if len(names) == self.layout.channels:
            return [name or f"channel {i}" for i, name in enumerate(names)]
        return list(RGB) if self.rgb else [f"channel {i}" for i in range(self.layout.channels)]

    @property
    def said(self) -> dict[str, str]:
        """What a sheet says of it besides, by the names of its columns."""
        return {pair[0]: pair[1] for pair in self.group.columns.get(self.ref.id, ())}

    @property
    def notes(self) -> dict[str, str]:
        """What its table must say of itself: what couldn't be read isn't in it."""
        return {"unread": self.unread.sentence} if self.unread else {}


@dataclass(frozen=True)
class Written:
    """What was written: what is drawn, a map to be shown, and facts for store and report.

    Parameters
    ----------
    drawn, mapped
        What pictures are of.
    objects, sbe, sizes, map, embeddings
        The facts.
    measure, table, intensities, histograms, too_wide
        The objects, their table, percentiles of their mean intensities, how these and their sizes
        are spread, and how many are too wide for all that was to be measured.
    pyramid
        Of labels, or of a map.
    axes, scores
        Of a big image's embeddings the principal axes, and where each row lies along them, (n, 3).
    """

    drawn: Pictured
    mapped: Pictured | None = None
    objects: int | None = None
    sbe: float | None = None
    sizes: dict[str, list[float]] = field(default_factory=dict)
    map: MapFacts | None = None
    embeddings: EmbeddingFacts | None = None
    measure: Measure | None = None
    table: Table | None = None
    intensities: dict[str, list[float]] | None = None
    too_wide: int = 0
    histograms: list[Histogram] = field(default_factory=list)
    pyramid: Pyramid | None = None
    axes: Axes | None = None
    scores: Array | None = None

    def attributes(self) -> dict[str, object]:
        """What the store says of itself."""
        for name, facts in (("map", self.map), ("embeddings", self.embeddings)):
            if facts is not None:
                return {name: asdict(facts)}
        return {"objects": self.objects, "sbe": self.sbe}


def write_labels(store: StoreWriter, scene: MergeInput) -> Written:
    """Labels, and their table of objects; classes that are kept are a map, and have none."""
    merged = Merged(scene.context, scene.pool, store.scratch)
    axes, shape = merged.write(store, f"labels/{scene.group.task}", scene.place)
    if merged.measure is None:
        facts = MapFacts(axes, merged.dtype.name, shape, stride=1)
        return Written(merged, map=facts, pyramid=merged.pyramid)
    names = scene.ref.channel_names
    table = merged.measure.table(scene.place, names, merged.agreement)
    means, spread, too_wide = table.var, histograms(table, scene.ref.channels, scene.names), 0
    if scene.group.merge.features == "all" and merged.pyramid is not None:
        table, too_wide = with_light(
            table, merged.measure, scene.pool, merged.pyramid.handle(), axes, store.scratch,
            _apart(scene.place, merged.measure.axes),
        )  # fmt: skip
    scene.pool.close()  # what its processes hold is room for the table
    table = replace(table, said=scene.said, notes=scene.notes)
    store.table(scene.group.task, table)
    sizes = {name: _quantiles(table.obs[name][:]) for name in SIZES if name in table.obs}
    return Written(
        merged,
        objects=len(table),
        sbe=merged.sbe(),
        sizes=sizes,
        measure=merged.measure,
        table=table,
        intensities=_intensities(merged.measure, means),
        too_wide=too_wide,
        histograms=spread,
        pyramid=merged.pyramid,
    )


def write_map(store: StoreWriter, scene: MergeInput) -> Written:
    """A map of classes, or of dense embeddings."""
    merged, place, deep = scene.context.map, scene.place, scene.layout.deep
    axes, shape = merged.cut()
    factor = (*([1.0] if deep else []), *place.factor)
    pyramid = store.pyramid(
        f"maps/{scene.group.task}",
        shape,
        merged.dtype,
        axes=axes,
        method="mean",
        placement=replace(place, factor=tuple(f / merged.stride for f in factor)),
        deep=deep,
    )
    pyramid.channels = scene.recipe.spec.classes or ()
    write_blocks(pyramid, scene, axes, of_map=True)
    facts = MapFacts(axes, merged.dtype.name, shape, merged.stride)
    return Written(Plain(scene.context), mapped=Plain(merged), map=facts, pyramid=pyramid)


def write_table(store: StoreWriter, scene: MergeInput) -> Written:
    """A table of embeddings, one row per tile."""
    task, banked = scene.group.task, scene.context.banked
    made = write_embeddings(
        store, task, scene.layout, banked, scene.recipe, scene.place, scene.said, scene.notes
    )
    drawn = Plain(scene.context)
    return Written(drawn, embeddings=made.facts, axes=made.axes, scores=made.scores)


WRITERS = {"labels": write_labels, "map": write_map, "table": write_table}


def write_image(store: StoreWriter, scene: MergeInput) -> int:
    """Write the image's own pyramid at the store's root, at the resolution of its labels.

    How many of its values are 0 since the file is damaged there comes back.
    """
    axes, shape = stack_axes(scene.layout, channels=True)
    pyramid = store.pyramid(
        "",
        shape,
        scene.layout.dtype,
        axes=axes,
        method="mean",
        placement=scene.place,
        name=scene.ref.id,
        deep=scene.layout.deep,
        together=scene.rgb,
    )
    return write_blocks(pyramid, scene, axes, of_map=False)


@dataclass(frozen=True)
class PixelBlock:
    """What one process reads or composes, and writes."""

    handle: Handle
    axes: str
    slices: Slices
    of_map: bool


def write_blocks(pyramid: Pyramid, scene: MergeInput, axes: str, *, of_map: bool) -> int:
    """Write a pyramid of the map, or of the image; how many values couldn't be read comes back.

    Parameters
    ----------
    pyramid
        What is written; its levels are made at the end.
    scene
        The image, and whose processes write.
    axes
        The pyramid's, in lower case: ``tczyx``.
    of_map
        The map; else the image's own pixels.
    """
    blocks = (PixelBlock(pyramid.handle(), axes, s, of_map) for s in pyramid.blocks())
    unread = sum(scene.pool.map(write_block, blocks))
    pyramid.build(scene.pool.each)
    return unread


def write_block(context: MergeContext, block: PixelBlock) -> int:
    """Write one block's pixels; how many of their values couldn't be read comes back."""
    before = context.unread
    plane, _, box = plane_box(context.layout, block.axes, block.slices)
    pixels = context.map.compose(plane, box) if block.of_map else context.raw(plane, box)
    block.handle.write(block.slices, pixels.reshape([s.stop - s.start for s in block.slices]))
    return context.unread - before


def write_visited(store: StoreWriter, layout: Layout, banked: BankReader) -> None:
    """Say of each tile whether it was predicted, where some were not.

    Parameters
    ----------
    store
        Where it is said.
    layout, banked
        The image's geometry, and its tiles.
    """
    if not banked.skipped:
        return
    axes, shape = stacked(layout.iterated, layout.grid.counts)
    tiles = np.zeros(math.prod(shape), np.uint8)
    tiles[banked.numbers] = 1
    sides = zip(axes[-len(layout.shape) :], layout.grid.axes, layout.shape, strict=True)
    starts = {a: [side.core(i, n)[0] for i in range(side.count(n))] for a, side, n in sides}
    store.visited(axes, tiles.reshape(shape), starts)


def _apart(place: Placement, axes: int) -> tuple[float, ...]:
    """How far pixels are apart along an object's axes, in columns; 1 where it isn't known."""
    sides = place.sides()
    return (*([sides["z"] / sides["x"]] if axes == 3 else []), 1.0, 1.0)


def _intensities(measure: Measure, names: Sequence[str]) -> dict[str, list[float]]:
    """The 5th, 50th and 95th percentile over objects of each channel's means, by their names."""
    found = {}
    for channel, name in enumerate(names):
        means = measure.means(channel)
        quantiles = np.nanpercentile(means, [5, 50, 95]) if len(means) else ()
        found[name] = [float(f"{q:.6g}") for q in quantiles]
    return {name: values for name, values in found.items() if values}


def _quantiles(sizes: Array) -> list[float]:
    """The 5th, 50th and 95th percentile."""
    return [round(float(q), 1) for q in np.percentile(sizes, [5, 50, 95])] if len(sizes) else []
