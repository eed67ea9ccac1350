"""A group's banks become its stores: checked, matched, painted shard by shard, measured.

One image after the other, one plane after the other; what is held is a shard, the tiles that meet
it, and some dozens of bytes per object.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tilewright import __version__
from tilewright.bank import Bank, open_banks, tile_name
from tilewright.errors import BAD_DATA, INTERNAL, TilewrightError
from tilewright.jobs import Group, ImageRef, Recipe, save
from tilewright.preprocess import TileReader
from tilewright.store import Placement, Slices, StoreWriter, label_dtype
from tilewright.tiling import Box, Grid

from .labels import Resolved, link
from .objects import empty_table
from .picture import overview, seam_picture
from .seam import SeamMeter, grown
from .tables import Measure

Array = np.ndarray[Any, Any]
KEPT = 16  # tiles: those that meet a shard, and its neighbour's
SAVE_PIXELS = 1 << 28  # an image up to this size is put beside its labels


class Banked:
    """One image's tiles, wherever they are among a group's banks.

    Parameters
    ----------
    key
        The image's key in its group.
    grid
        The tiles of each of its planes.
    banks
        All of the group's.
    """

    def __init__(self, key: str, grid: Grid, banks: Sequence[Bank]) -> None:
        self._key, self._grid = key, grid
        parts = [(b, part) for b in banks for part in b.header["parts"] if part[0] == key]
        self._bank = {n: bank for bank, (_, start, stop) in parts for n in range(start, stop)}
        self._skipped = {n for b in banks for n in b.header["skipped"].get(key, [])}

    @property
    def skipped(self) -> int:
        """Tiles outside the mask."""
        return len(self._skipped)

    def labels(self, plane: int, tile: int) -> Array:
        """A tile's labels on its valid region; none where it was outside the mask."""
        found = self._get(plane, tile, "labels")
        shape = [stop - start for start, stop in self._grid.tile(tile).valid]
        return np.zeros(shape, np.uint8) if found is None else found

    def objects(self, plane: int, tile: int) -> Array:
        """A tile's object table."""
        found = self._get(plane, tile, "objects")
        return empty_table(len(self._grid.shape)) if found is None else found

    def _get(self, plane: int, tile: int, what: str) -> Array | None:
        number = plane * len(self._grid) + tile
        if number in self._skipped:
            return None
        if number not in self._bank:
            raise TilewrightError(
                f"Tile {tile} of plane {plane} is in no bank.", fix="Run again.", code=INTERNAL
            )
        return self._bank[number].get(tile_name(self._key, plane, tile, what))


def merge_group(
    group: Group, recipe: Recipe, banks: Sequence[Path], out: Path, shown: Path
) -> None:
    """Merge every image of a group.

    Parameters
    ----------
    group, recipe
        How, and of which numbers.
    banks
        All of the group's banks, in any order.
    out
        Folder for the stores, ``<id>/<store>``.
    shown
        Folder for merged.json and the report's pictures.

    Raises
    ------
    TilewrightError
        When a bank is missing or of another recipe. An image that can't be merged is named in
        merged.json, and the others are written.
    """
    opened = open_banks(banks)
    check_banks(group, recipe, opened)
    shown.mkdir(parents=True, exist_ok=True)
    failures = {k: why for b in opened for k, why in b.header["failures"].items()}
    left_out = {k: why for b in opened for k, why in b.header["left_out"].items()}
    results = []
    for data in opened[0].header["images"]:
        ref = ImageRef.from_dict(data)
        result: dict[str, Any] = {"id": ref.id, "path": ref.path}
        try:
            if ref.key in failures:
                raise TilewrightError(failures[ref.key], fix="")
            result |= merge_image(ref, group, recipe, opened, out, shown)
            result |= {"note": left_out[ref.key]} if ref.key in left_out else {}
        except TilewrightError as error:
            if error.code != BAD_DATA:
                raise
            result["why"] = str(error).strip()
        results.append(result)
    save(shown / "merged.json", {"group": group.group, "images": results})


def check_banks(group: Group, recipe: Recipe, banks: Sequence[Bank]) -> None:
    """Refuse a missing bank, or one whose numbers another recipe made."""
    there = [b.header["job"] for b in banks]
    missing = sorted(set(range(group.jobs)) - set(there))
    if missing or len(there) != group.jobs:
        raise TilewrightError(
            f"{group.group}: has {len(there)} banks and needs {group.jobs}; job "
            f"{', '.join(map(str, missing)) or '(twice)'} is wrong.",
            fix="Run again with -resume.",
            code=INTERNAL,
        )
    for bank in banks:
        if bank.header["recipe"] != recipe.digest:
            raise TilewrightError(
                f"{bank.path.name}: was made by another recipe "
                f"({bank.header['recipe'][:12]}…, wanted {recipe.digest[:12]}…).",
                fix="Run again, so that all tiles come from one recipe.",
            )
    if len({b.header["weights"] for b in banks}) > 1:
        raise TilewrightError(
            f"{group.group}: its banks were made with different weights.", fix="Run again."
        )


def merge_image(
    ref: ImageRef, group: Group, recipe: Recipe, banks: Sequence[Bank], out: Path, shown: Path
) -> dict[str, Any]:
    """Write one image's store; what the report says of it comes back."""
    with TileReader(ref, recipe.spec) as reader:
        banked = Banked(ref.key, reader.grid, banks)
        merged = Merged(reader, banked, group.merge)
        place = placement(ref, reader)
        with StoreWriter(out / ref.id / group.store) as store:
            merged.write(store, f"labels/{group.task}", place)
            if group.save_image or (group.save_image is None and _small(reader)):
                write_image(store, reader, ref, place)
            table = merged.measure.table(place, ref.channel_names)
            store.table(group.task, table)
            facts = merged.facts() | {"objects": len(table.obs["id"])}
            store.finish(
                {
                    "version": __version__,
                    "recipe": recipe.to_dict(),
                    "recipe_digest": recipe.digest,
                    "weights": banks[0].header["weights"],
                    "image": {"id": ref.id, "file": Path(ref.path).name, "region": ref.region},
                    "merge": {k: v for k, v in group.merge.items() if k != "code"},
                    "tiles": visited(reader, banked),
                    **facts,
                },
                channels=_channel_names(ref, reader),
                rgb=_is_rgb(ref, reader),
            )
        picture = overview(merged, out / ref.id / Path(group.store).with_suffix(".png"))
        return (
            facts
            | {"store": f"{ref.id}/{group.store}", "area_px": _quantiles(table.obs["area_px"])}
            | pictures(merged, ref, picture, shown)
        )


class Merged:
    """An image's matched tiles: painted, counted and measured once, in the order of shards."""

    def __init__(self, reader: TileReader, banked: Banked, merge: dict[str, Any]) -> None:
        self.reader = reader
        self.grid = reader.grid
        self.banked = banked
        self._labels = lru_cache(maxsize=KEPT)(banked.labels)  # boxes share tiles
        self.planes = [self._link(p, merge["min_iou"]) for p in range(len(reader.planes))]
        counts = [p.count for p in self.planes]
        self.offsets = [sum(counts[:i]) for i in range(len(counts))]
        self.count = sum(counts)
        self.dtype = label_dtype(self.count)
        self.meter = SeamMeter(self.grid)
        self.measure = Measure(self.count, channels=reader.channels, dtype=reader.dtype)

    def _link(self, plane: int, min_iou: float) -> Resolved:
        tables = [self.banked.objects(plane, t) for t in range(len(self.grid))]
        return link(self.grid, partial(self._labels, plane), tables, min_iou)

    def labels(self, plane: int, box: Box) -> Array:
        """Global labels of a box of a plane."""
        labels = self.planes[plane].compose(box, partial(self._labels, plane)).astype(self.dtype)
        labels[labels > 0] += self.dtype.type(self.offsets[plane])
        return labels

    def write(self, store: StoreWriter, where: str, place: Placement) -> None:
        """Write the label pyramid; the seam meter and the measurements see every box once."""
        axes, shape = stack_axes(self.reader)
        pyramid = store.pyramid(
            where, shape, self.dtype, axes=axes, method="nearest", placement=place
        )
        for slices in pyramid.shards():
            plane, position, box = plane_box(self.reader, axes, slices)
            wide = self.labels(plane, grown(box, self.grid))
            self.meter.add(box, wide)
            mine = wide[tuple(slice(b - a) for a, b in box)]
            pixels = self.reader.raw(plane, box)
            self.measure.add(mine, pixels, (box[0][0], box[1][0]), plane=position)
            pyramid.write(slices, mine.reshape([s.stop - s.start for s in slices]))
        pyramid.build()

    def facts(self) -> dict[str, Any]:
        """What the report and the store say of the merge."""
        sbe = self.meter.value()
        return {"sbe": None if sbe is None else round(sbe, 4)}


def write_image(store: StoreWriter, reader: TileReader, ref: ImageRef, place: Placement) -> None:
    """Write the image's own pyramid at the store's root, at the resolution of its labels."""
    axes, shape = stack_axes(reader, channels=True)
    pyramid = store.pyramid(
        "", shape, reader.dtype, axes=axes, method="mean", placement=place, name=ref.id
    )
    for slices in pyramid.shards():
        plane, _, box = plane_box(reader, axes, slices)
        pixels = reader.raw(plane, box)
        pyramid.write(slices, pixels.reshape([s.stop - s.start for s in slices]))
    pyramid.build()


def stack_axes(reader: TileReader, *, channels: bool = False) -> tuple[str, list[int]]:
    """Axes and shape of a result: looped axes, channels if asked for, then y and x."""
    sizes = reader.looped
    if channels and reader.channels > 1:
        sizes = {**sizes, "C": reader.channels}
    axes = "".join(a for a in "TCZ" if a in sizes)
    return axes.lower() + "yx", [*(sizes[a] for a in axes), *reader.shape]


def plane_box(reader: TileReader, axes: str, slices: Slices) -> tuple[int, tuple[int, int], Box]:
    """The one plane that a shard is of: its number, its (t, z) and the box in it."""
    at = {a: s.start for a, s in zip(axes, slices, strict=True)}
    position = (at.get("t", 0), at.get("z", 0))
    plane = position[0] * reader.looped.get("Z", 1) + position[1]
    return plane, position, tuple((s.start, s.stop) for s in slices[-2:])


def placement(ref: ImageRef, reader: TileReader) -> Placement:
    """Where model pixels lie on the image."""
    origin = ref.region[:2] if ref.region else (0, 0)
    return Placement(origin, reader.scale, ref.mpp, ref.z_um)


def visited(reader: TileReader, banked: Banked) -> dict[str, Any]:
    """How many tiles there are along each axis, in all, and how many were predicted."""
    total = len(reader.planes) * len(reader.grid)
    return {"grid": reader.grid.counts, "total": total, "visited": total - banked.skipped}


def pictures(merged: Merged, ref: ImageRef, picture: Path, shown: Path) -> dict[str, str]:
    """Put the report's pictures into `shown`; their names by role."""
    made = {"overview": shutil.copyfile(picture, shown / f"{ref.key}.png").name}
    worst = merged.meter.worst()
    if worst and worst[0].transitions:
        made["seam"] = seam_picture(merged, worst[0], shown / f"{ref.key}-seam.png").name
    return made


def _small(reader: TileReader) -> bool:
    return len(reader.planes) * math.prod(reader.shape) <= SAVE_PIXELS


def _is_rgb(ref: ImageRef, reader: TileReader) -> bool:
    return reader.channels in (3, 4) and ref.dtype == "uint8" and ref.axes.endswith("C")


def _channel_names(ref: ImageRef, reader: TileReader) -> list[str]:
    names = list(ref.channel_names or ())
    if len(names) == reader.channels:
        return names
    if _is_rgb(ref, reader):
        return ["red", "green", "blue", "alpha"][: reader.channels]
    return [f"channel {i}" for i in range(reader.channels)]


def _quantiles(areas: Array) -> list[float]:
    """The 5th, 50th and 95th percentile of areas in px."""
    return [round(float(q), 1) for q in np.percentile(areas, [5, 50, 95])] if len(areas) else []
