"""A group's banks become its stores: checked, merged as their kind of result asks, described.

One image after the other, one plane after the other; what is held is a shard, the tiles that meet
it, and some dozens of bytes per object.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tilewright import __version__
from tilewright.bank import Bank, bank_name, open_banks
from tilewright.errors import BAD_DATA, INTERNAL, TilewrightError
from tilewright.jobs import Group, ImageRef, Recipe, save
from tilewright.preprocess import TileReader
from tilewright.store import Placement, StoreWriter

from .banked import Banked, is_deep, plane_box, stack_axes, stacked
from .embeddings import write_embeddings
from .maps import MergedMap
from .merged import Merged
from .picture import Pictured, Plain, overview, seam_picture, seam_section

Array = np.ndarray[Any, Any]
SAVE_PIXELS = 1 << 28  # an image up to this size is put beside its labels
SIZES = ("area_px", "volume_px")  # columns whose percentiles the report gives


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
    """Refuse a missing bank, one that is there twice, and one of another group or recipe."""
    of_job: dict[int, Bank] = {}
    for bank in banks:
        header, name = bank.header, bank.path.name
        if header["group"] != group.group:
            raise _stray(f"{name}: is a bank of {header['group']}, wanted are {group.group}'s")
        if header["recipe"] != recipe.digest:
            made, wanted = header["recipe"][:12], recipe.digest[:12]
            raise _stray(f"{name}: was made by another recipe ({made}…, wanted {wanted}…)")
        if header["job"] not in range(group.jobs):
            raise _stray(f"{name}: is of job {header['job']}, of 0 to {group.jobs - 1}")
        other = of_job.setdefault(header["job"], bank)
        if other is not bank:
            raise _stray(f"{name}: is of job {header['job']}, as {other.path.name} is")
        if header["weights"] != banks[0].header["weights"]:
            raise _stray(f"{name}: was made with other weights than {banks[0].path.name}")
    missing = sorted(set(range(group.jobs)) - set(of_job))
    if missing:
        names = ", ".join(bank_name(group.group, group.jobs, n) for n in missing)
        raise TilewrightError(
            f"{names}: missing; {group.group} has {len(of_job)} of its {group.jobs} banks.",
            fix="Run again with -resume.",
            code=INTERNAL,
        )


def _stray(what: str) -> TilewrightError:
    fix = "Run again, so that all tiles come from one run of one recipe."
    return TilewrightError(f"{what}.", fix=fix)


def merge_image(
    ref: ImageRef, group: Group, recipe: Recipe, banks: Sequence[Bank], out: Path, shown: Path
) -> dict[str, Any]:
    """Write one image's store; what the report says of it comes back."""
    with TileReader(ref, recipe.spec) as reader:
        banked = Banked(ref.key, reader.grid, banks)
        scene = Scene(ref, group, recipe, reader, banked, placement(ref, reader))
        with StoreWriter(out / ref.id / group.store, group.ome_zarr) as store:
            if group.save_image or (group.save_image is None and _small(reader)):
                write_image(store, reader, ref, scene.place)
            written = WRITERS[recipe.spec.result](store, scene)
            write_visited(store, reader, banked)
            store.finish(
                {
                    "version": __version__,
                    "recipe": recipe.to_dict(),
                    "recipe_digest": recipe.digest,
                    "weights": banks[0].header["weights"],
                    "image": {"id": ref.id, "file": Path(ref.path).name, "region": ref.region},
                    "merge": {k: v for k, v in group.merge.items() if k != "code"},
                    "tiles": visited(reader, banked),
                    **written.facts,
                },
                channels=_channel_names(ref, reader),
                rgb=_is_rgb(ref, reader),
            )
        picture = overview(written.drawn, out / ref.id / Path(group.store).with_suffix(".png"))
        return (
            written.facts
            | {"store": f"{ref.id}/{group.store}", **written.sizes}
            | {"weights": banks[0].header["weights"]}
            | pictures(written, scene, picture, shown)
        )


@dataclass(frozen=True)
class Scene:
    """One image on its way into its store."""

    ref: ImageRef
    group: Group
    recipe: Recipe
    reader: TileReader
    banked: Banked
    place: Placement


@dataclass(frozen=True)
class Written:
    """What was written: facts for store and report, what is drawn, sizes and a map to be shown."""

    facts: dict[str, Any]
    drawn: Pictured
    sizes: dict[str, list[float]] = field(default_factory=dict)
    mapped: Pictured | None = None


def write_labels(store: StoreWriter, scene: Scene) -> Written:
    """Labels, and their table of objects; classes that are kept are a map, and have none."""
    merged = Merged(scene.reader, scene.banked, scene.group.merge)
    axes, shape = merged.write(store, f"labels/{scene.group.task}", scene.place)
    if merged.measure is None:
        made = {"axes": axes, "shape": shape, "stride": 1, "dtype": merged.dtype.name}
        return Written({"map": made}, merged)
    table = merged.measure.table(scene.place, scene.ref.channel_names)
    store.table(scene.group.task, table)
    facts = merged.facts() | {"objects": len(table.obs["id"])}
    sizes = {name: _quantiles(table.obs[name]) for name in SIZES if name in table.obs}
    return Written(facts, merged, sizes)


def write_map(store: StoreWriter, scene: Scene) -> Written:
    """A map of classes, or of dense embeddings."""
    spec = scene.recipe.spec
    merged = MergedMap(scene.reader, scene.banked, spec, scene.group.merge["policy"])
    names = spec.classes or ()
    axes, shape = merged.write(store, f"maps/{scene.group.task}", scene.place, names)
    facts = {"axes": axes, "shape": shape, "stride": merged.stride, "dtype": merged.dtype.name}
    return Written({"map": facts}, Plain(scene.reader), mapped=Plain(merged))


def write_table(store: StoreWriter, scene: Scene) -> Written:
    """A table of embeddings, one row per tile."""
    facts = write_embeddings(
        store, scene.group.task, scene.reader, scene.banked, scene.recipe, scene.place
    )
    return Written({"embeddings": facts}, Plain(scene.reader))


WRITERS = {"labels": write_labels, "map": write_map, "table": write_table}


def write_image(store: StoreWriter, reader: TileReader, ref: ImageRef, place: Placement) -> None:
    """Write the image's own pyramid at the store's root, at the resolution of its labels."""
    axes, shape = stack_axes(reader, channels=True)
    pyramid = store.pyramid(
        "",
        shape,
        reader.dtype,
        axes=axes,
        method="mean",
        placement=place,
        name=ref.id,
        deep=is_deep(reader),
    )
    for slices in pyramid.blocks():
        plane, _, box = plane_box(reader, axes, slices)
        pixels = reader.raw(plane, box)
        pyramid.write(slices, pixels.reshape([s.stop - s.start for s in slices]))
    pyramid.build()


def placement(ref: ImageRef, reader: TileReader) -> Placement:
    """Where model pixels lie on the image."""
    origin = ref.region[:2] if ref.region else (0, 0)
    return Placement(origin, reader.scale, ref.mpp, ref.z_um)


def visited(reader: TileReader, banked: Banked) -> dict[str, Any]:
    """How many tiles there are along each axis, in all, and how many were predicted."""
    total = len(reader.planes) * len(reader.grid)
    return {"grid": reader.grid.counts, "total": total, "visited": total - banked.skipped}


def write_visited(store: StoreWriter, reader: TileReader, banked: Banked) -> None:
    """Say of each tile whether it was predicted, where some were not."""
    if not banked.skipped:
        return
    axes, shape = stacked(reader.looped, reader.grid.counts)
    tiles = np.zeros(math.prod(shape), np.uint8)
    tiles[banked.numbers] = 1
    sides = zip(axes[-len(reader.shape) :], reader.grid.axes, reader.shape, strict=True)
    starts = {a: [side.core(i, n)[0] for i in range(side.count(n))] for a, side, n in sides}
    store.visited(axes, tiles.reshape(shape), starts)


def pictures(written: Written, scene: Scene, picture: Path, shown: Path) -> dict[str, Any]:
    """Put the report's pictures into `shown`; their names by role, and where the seam's is."""
    drawn, key = written.drawn, scene.ref.key
    made: dict[str, Any] = {"overview": shutil.copyfile(picture, shown / f"{key}.png").name}
    worst = drawn.meter.worst() if isinstance(drawn, Merged) and drawn.measure else None
    if isinstance(drawn, Merged) and worst and worst[0].transitions:
        section = seam_section(drawn, worst[0], _steep(scene.place))
        made["seam_at"] = section.where
        for role, labels in (("seam", drawn.labels), ("seam_before", drawn.by_tile)):
            made[role] = seam_picture(drawn, section, labels, shown / f"{key}-{role}.png").name
    if written.mapped:
        made["mapped"] = overview(written.mapped, shown / f"{key}-map.png").name
    return made


def _steep(place: Placement) -> float:
    """How far apart slices are, in columns; 1 where it isn't known."""
    sides = place.sides()
    return sides["z"] / sides["x"]


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


def _quantiles(sizes: Array) -> list[float]:
    """The 5th, 50th and 95th percentile."""
    return [round(float(q), 1) for q in np.percentile(sizes, [5, 50, 95])] if len(sizes) else []
