"""How embeddings become a table: one row per tile, in tile order, with its place on the image.

Vectors go from the banks to the store some megabytes at a time; what is held for the whole image
is some dozens of bytes per tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from tilewright.contract.canonical import canonical
from tilewright.contract.grid import Grid
from tilewright.contract.jobs import Recipe
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ModelSpec
from tilewright.merge.measure.picture import is_big
from tilewright.merge.measure.principal import Axes, Means
from tilewright.runtime.outputs import OUTPUT_TYPES
from tilewright.stores.anndata import Blocks, Vectors
from tilewright.stores.columns import TILE_COLUMNS
from tilewright.stores.ome_zarr import Placement, StoreWriter

from .bank_reader import BankReader
from .facts import EmbeddingFacts

Array = np.ndarray
Tokens = tuple[Blocks, tuple[int, int]] | None
"""Blocks of whole token sequences, and the length of their axes (T, D)."""
MEANS = {
    "mean_embedding": "mean of X's rows: one embedding for the whole image; NaN of no tile",
    "mean_embedding_tiles": "how many tiles it is the mean of",
    "plane_mean_embeddings": "the same of each plane, T and then Z, (planes, D)",
    "plane_mean_embedding_tiles": "how many tiles each of these is the mean of",
}
"""What ``uns`` says of an image's, and of its planes' embeddings."""


@dataclass(frozen=True)
class WrittenEmbeddings:
    """A table of embeddings, written.

    Parameters
    ----------
    facts
        What it came to.
    axes
        Of a big image, the axes on which its rows differ most.
    scores
        Where each row lies along them, (n, 3) float32.
    """

    facts: EmbeddingFacts
    axes: Axes | None = None
    scores: Array | None = None


def write_embeddings(
    store: StoreWriter,
    name: str,
    layout: Layout,
    banked: BankReader,
    recipe: Recipe,
    place: Placement,
    said: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> WrittenEmbeddings:
    """Write ``tables/<name>``: a row per predicted tile; what it came to comes back.

    X is float32. Of token sequences it is the mean over the patches' tokens, and
    ``obsm["tokens"]`` has them all, ``(tiles, T, D)``. ``uns`` has the mean of X's rows.

    Parameters
    ----------
    store
        Where it is written.
    name
        The table's.
    layout, banked
        The image's geometry and its tiles.
    recipe
        Its spec says what a vector is; the table carries its digest.
    place
        Where model pixels lie on the image: positions are in level-0 pixels and, if known, in µm.
    said
        What a sheet says of the image besides, by the names of its columns.
    notes
        Texts for ``uns``, besides the recipe's.
    """
    numbers, spec = banked.numbers, recipe.spec
    shape = banked.vector_shape or (spec.embedding_dim or 0,)
    obs, centres = places(numbers, layout, place)
    x, tokens, about = (
        _whole_tokens(banked, spec, shape) if len(shape) == 2 else _plain(banked, spec)
    )
    means = Means(
        numbers // len(layout.grid), shape[-1], len(layout.planes), sampled=is_big(layout.shape)
    )
    table = Vectors(
        obs=obs,
        names=numbers.astype(str),
        x=partial(_watched, x, means),
        var=columns_of(spec, shape[-1]),
        spatial=place.level0(centres)[:, ::-1].copy(),
        columns={
            **{c: TILE_COLUMNS[c] for c in (*obs, "obsm/spatial")},
            **about,
            **{f"uns/{c}": MEANS[c] for c in _mean_names(layout)},
        },
        notes={
            "recipe": canonical(recipe.shown),
            "recipe_digest": recipe.digest,
            **(notes or {}),
        },
        tokens=tokens,
        said=said or {},
        figures=lambda: dict(zip(_mean_names(layout), means.figures(), strict=False)),
    )
    store.vectors(name, table)
    facts = EmbeddingFacts(
        dim=shape[-1],
        rows=len(numbers),
        tokens=shape[0] if len(shape) == 2 else None,
        type=spec.form,
    )
    axes = means.axes()
    if axes is None:
        return WrittenEmbeddings(facts)
    scores = np.concatenate([axes.places(rows) for rows in store.rows(name)])
    return WrittenEmbeddings(facts, axes, scores)


def _watched(x: Blocks, means: Means) -> Iterator[Array]:
    """The same blocks as they are written; each is added to the means."""
    for block in x():
        rows = block.astype(np.float32, copy=False)
        means.include(rows)
        yield rows


def _mean_names(layout: Layout) -> list[str]:
    """What of the means a table has."""
    return list(MEANS)[: None if len(layout.planes) > 1 else 2]


def _plain(banked: BankReader, spec: ModelSpec) -> tuple[Blocks, Tokens, dict[str, str]]:
    """X and what it is, where a tile has one vector."""
    meaning = f"the tile's embedding, {spec.form}, as the model gives it"
    return banked.vectors, None, {"X": meaning}


def _whole_tokens(
    banked: BankReader, spec: ModelSpec, shape: tuple[int, ...]
) -> tuple[Blocks, Tokens, dict[str, str]]:
    """X, the tokens and what they are, where a tile has a sequence of them."""
    prefix = spec.num_prefix_tokens or 0

    def means() -> Iterator[Array]:
        return (block[:, prefix:].mean(axis=1) for block in banked.vectors())

    meaning = {
        "X": "mean of the tokens of the tile's patches",
        "obsm/tokens": f"all tokens (tiles, T, D): the first {prefix} stand for the whole tile "
        "(CLS, registers), the others for its patches, row by row",
    }
    return means, (banked.vectors, (shape[0], shape[1])), meaning


def places(numbers: Array, layout: Layout, place: Placement) -> tuple[dict[str, Array], Array]:
    """Where tiles are: the columns of `obs`, and centres ((z,) y, x) in model pixels.

    Parameters
    ----------
    numbers
        (n,) int64, over all planes.
    layout, place
        The image, and where its model pixels lie on it.
    """
    plane, tile = np.divmod(numbers, len(layout.grid))
    obs: dict[str, Array] = {"tile": tile}
    slices = layout.iterated.get("Z", 1)
    for axis, at in (("T", plane // slices), ("Z", plane % slices)):
        if layout.iterated.get(axis, 1) > 1:
            obs[axis.lower()] = at
    windows = _windows(tile, layout.grid)
    centres = (windows.sum(axis=-1) - 1) / 2
    if layout.deep:
        obs |= _depths(windows[:, 0], place.z_um)
    windows = windows[:, -2:]
    start = np.asarray(place.origin) + windows[..., 0] / np.asarray(place.factor)
    size = (windows[..., 1] - windows[..., 0]) / np.asarray(place.factor)
    for unit, scale in (("px", (1.0, 1.0)), ("um", place.mpp)):
        if scale is not None:
            obs |= {f"{a}_{unit}": start[:, i] * scale[i] for i, a in enumerate("yx")}
            sides = enumerate(("height", "width"))
            obs |= {f"{side}_{unit}": size[:, i] * scale[i] for i, side in sides}
    return obs, centres


def _depths(slices: Array, z_um: float | None) -> dict[str, Array]:
    """Columns of where tiles (n, 2) begin and end along z."""
    found = {"z": slices[:, 0], "depth": slices[:, 1] - slices[:, 0]}
    return found | ({f"{name}_um": n * z_um for name, n in found.items()} if z_um else {})


def columns_of(spec: ModelSpec, width: int) -> tuple[str, ...]:
    """Names of X's columns: ``cls_0``, …; of ``cls+patch_mean`` the CLS token's come first."""
    parts = OUTPUT_TYPES[spec.form].parts
    if width % len(parts):
        parts = ("embedding",)
    each = width // len(parts)
    return tuple(chain.from_iterable((f"{p}_{i}" for i in range(each)) for p in parts))


def _windows(tile: Array, grid: Grid) -> Array:
    """(n, axes, 2): start and stop, in model pixels, of each tile along (z,) y and x."""
    positions = np.unravel_index(tile, grid.counts)
    sides = [
        np.array([axis.window(i, n) for i in range(axis.count(n))])[at]
        for axis, n, at in zip(grid.axes, grid.shape, positions, strict=True)
    ]
    return np.stack(sides, axis=1)
