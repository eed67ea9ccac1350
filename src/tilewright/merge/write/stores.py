"""A group's banks become its stores: checked, merged as their kind of result asks, described.

A big image is several processes' work, a pack's images are each one's. What is held by each is a
block of the store, the tiles that meet it, and where in the banks each tile is: under 200 bytes.
The first holds the sums of the objects' table, too: some 50 to 70 bytes for each object.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tilewright import __version__
from tilewright.contract.canonical import save
from tilewright.contract.checksums import ENDING, write_checksums
from tilewright.contract.commands import AGAIN
from tilewright.contract.faults import mark
from tilewright.contract.jobs import EMPTY, Group, ImageRef, Recipe
from tilewright.contract.layout import SAVE_PIXELS, Layout
from tilewright.contract.names import bank_name
from tilewright.errors import BAD_DATA, INTERNAL, TilewrightError
from tilewright.merge.measure.flags import Judge
from tilewright.merge.measure.picture import (
    Array,
    is_big,
    overview,
    seam_picture,
    seam_section,
    shown_seam,
)
from tilewright.merge.measure.whole import white_of
from tilewright.stores.csv_parts import gather, write_part
from tilewright.stores.ome_zarr import Placement, StoreWriter
from tilewright.tile_results.bank import Bank, open_banks
from tilewright.tile_results.figures import seen_of

from .bank_reader import BankReader
from .context import MergeContext, MergeSource, another
from .facts import MergedImage
from .looked import looked_px
from .merged import Merged
from .pool import ProcessPool, cpus
from .seen import summed, tile_picture
from .unread import unread_of, why_none
from .whole import place_of, show_whole, view_of
from .writers import WRITERS, MergeInput, Written, write_image, write_visited

PAYS_PIXELS = 1 << 25  # from so many on an image is merged by several processes
PAYS_IMAGES = 32  # from so many on a pack's images are


def merge_group(
    group: Group,
    recipe: Recipe,
    banks: Sequence[Path],
    out: Path,
    shown: Path,
    processes: int | None = None,
    *,
    forgive: bool = False,
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
    processes
        How many; None is up to `pool.cpus`, as many as pay. The same bytes come out.
    forgive
        This won't be tried again: of several images, one over which we fail is named, too.

    Raises
    ------
    TilewrightError
        When a bank is missing or of another recipe. An image that can't be merged is named in
        merged.json, and the others are written.
    """
    paths = tuple(banks)
    pack = Pack(group, recipe, open_banks(paths), out, shown, processes)
    check_banks(group, recipe, pack.banks)
    shown.mkdir(parents=True, exist_ok=True)
    refs = [ImageRef.from_dict(data) for data in pack.banks[0].header["images"]]
    if len(refs) == 1:
        results = [merge_one(pack, refs[0])]
    else:
        several = min(processes or (cpus() if len(refs) >= PAYS_IMAGES else 1), len(refs))
        alone = replace(pack, processes=1, forgive=forgive)
        setting = (group, recipe, paths, out, shown, forgive)
        with ProcessPool(alone, several, open_pack, *setting) as pool:
            results = list(pool.map(merge_one, refs))
    ran = [bank.header.get("precision") for bank in pack.banks]
    gather((shown / f"{ref.key}.rows" for ref in refs), shown / f"{group.group}.objects")
    images = [each.to_dict() for each in results]
    save(shown / "merged.json", {"group": group.group, "precision": ran, "images": images})
    made = {path.name: path for path in sorted(shown.iterdir()) if path.suffix != ENDING}
    write_checksums(shown / f"merged{ENDING}", made)


@dataclass(frozen=True)
class Pack:
    """What a process needs to merge any image of a group."""

    group: Group
    recipe: Recipe
    banks: list[Bank]
    out: Path
    shown: Path
    processes: int | None
    forgive: bool = False


def open_pack(
    group: Group, recipe: Recipe, banks: Sequence[Path], out: Path, shown: Path, forgive: bool
) -> Pack:
    """Another process's, which merges each image by itself.

    Parameters
    ----------
    group, recipe, banks, out, shown, forgive
        As of `merge_group`.
    """
    return Pack(group, recipe, open_banks(banks), out, shown, 1, forgive)


def merge_one(pack: Pack, ref: ImageRef) -> MergedImage:
    """Write one image's store, if that can be; what the report says of it comes back.

    Raises
    ------
    Exception
        What isn't this image's alone, and before the last try what is a fault of ours.
    """
    why, notes = ({} for _ in range(2))  # type: dict[str, str], dict[str, str]
    faults: set[str] = set()
    for bank in pack.banks:
        why |= bank.header["failures"]
        faults |= set(bank.header.get("faults", ()))
        notes |= bank.header["left_out"]
    if ref.key in why:
        code = INTERNAL if ref.key in faults else BAD_DATA
        return MergedImage(ref.id, ref.path, why=why[ref.key], code=code, step="PREDICT")
    lacks = why_none(ref, pack.recipe.spec, pack.banks)
    if lacks:
        return MergedImage(ref.id, ref.path, why=lacks, code=BAD_DATA, step="PREDICT")
    try:
        merged = replace(merge_image(pack, ref), note=notes.get(ref.key))
        _seal(pack.out / ref.id / pack.group.store)
        return merged
    except Exception as error:  # noqa: BLE001  # raised again, unless it is this image's
        told = mark(error, forgive=pack.forgive)
        _take_away(pack, ref)
        return MergedImage(ref.id, ref.path, why=str(told), code=told.code, step="MERGE")


def _seal(store: Path) -> None:
    """Note the digests of a store's files and its picture's."""
    made = (store, store.with_suffix(".png"))
    write_checksums(store.with_suffix(ENDING), {path.name: path for path in made})


def _take_away(pack: Pack, ref: ImageRef) -> None:
    """Leave no picture of an image that has no store."""
    shutil.rmtree(pack.out / ref.id, ignore_errors=True)
    for picture in pack.shown.glob(f"{ref.key}[.-]*"):
        picture.unlink()


def check_banks(group: Group, recipe: Recipe, banks: Sequence[Bank]) -> None:
    """Refuse a missing bank, one that is there twice, and one of another group or recipe.

    Parameters
    ----------
    group, recipe
        Whose banks are wanted, one for each of the group's jobs.
    banks
        What there is, in any order.

    Raises
    ------
    TilewrightError
        One is missing (exit code 70), or is not of this group, recipe, weights or jobs (65).
    """
    of_job: dict[int, Bank] = {}
    jobs = group.jobs or banks[0].header.get("jobs") or 1
    for bank in banks:
        header, name = bank.header, bank.path.name
        if header["group"] != group.group:
            raise _stray(f"{name}: is a bank of {header['group']}, wanted are {group.group}'s")
        if header["recipe"] != recipe.digest:
            made, wanted = header["recipe"][:12], recipe.digest[:12]
            raise _stray(f"{name}: was made by another recipe ({made}…, wanted {wanted}…)")
        if header.get("jobs") not in (None, jobs):
            raise _stray(f"{name}: is of {header['jobs']} jobs, wanted are {jobs}")
        if header["job"] not in range(jobs):
            raise _stray(f"{name}: is of job {header['job']}, of 0 to {jobs - 1}")
        other = of_job.setdefault(header["job"], bank)
        if other is not bank:
            raise _stray(f"{name}: is of job {header['job']}, as {other.path.name} is")
        if header["weights"] != banks[0].header["weights"]:
            raise _stray(f"{name}: was made with other weights than {banks[0].path.name}")
    missing = sorted(set(range(jobs)) - set(of_job))
    if missing:
        names = ", ".join(bank_name(group.group, jobs, n) for n in missing)
        raise TilewrightError(
            f"{names}: missing; {group.group} has {len(of_job)} of its {jobs} banks.",
            fix=f"{AGAIN}.",
            code=INTERNAL,
        )


def _stray(what: str) -> TilewrightError:
    fix = "Run again, so that all tiles come from one run of one recipe."
    return TilewrightError(f"{what}.", fix=fix)


def merge_image(pack: Pack, ref: ImageRef) -> MergedImage:
    """Write one image's store; what the report says of it comes back."""
    group, recipe, weights = pack.group, pack.recipe, pack.banks[0].header["weights"]
    path = pack.out / ref.id / group.store
    found = seen_of(ref.key, pack.banks)  # first: where a bank is damaged, nothing is written
    source = MergeSource(ref, recipe.spec, tuple(b.path for b in pack.banks), group.merge)
    with (
        MergeContext(source, pack.banks) as context,
        StoreWriter(path, group.ome_zarr) as store,
        ProcessPool(context, pack.processes or suited(context), another, source) as pool,
    ):
        layout = context.layout
        place = placement(ref, layout)
        scene = MergeInput(ref, group, recipe, context, pool, place)
        saves = group.save_image or (group.save_image is None and layout.pixels <= SAVE_PIXELS)
        lost = write_image(store, scene) if saves else 0
        scene = replace(scene, unread=unread_of(ref, layout, context.banked, place, lost))
        written = WRITERS[recipe.spec.result](store, scene)
        write_visited(store, layout, context.banked)
        made = pictures(written, scene, path.with_suffix(".png"), pack.shown)
        if written.table is not None:
            write_part(pack.shown / f"{ref.key}.rows", ref.id, written.table)
        pool.close()
        shutil.rmtree(store.scratch, ignore_errors=True)
        store.finish(
            {
                "version": __version__,
                "recipe": recipe.shown,
                "recipe_digest": recipe.digest,
                "weights": weights,
                **({"weights_file": group.weights_file} if group.weights_file else {}),
                "image": provenance(ref, scene.said),
                "merge": group.merge.to_dict(),
                "tiles": visited(layout, context.banked),
                **({"unread": asdict(scene.unread)} if scene.unread else {}),
                **written.attributes(),
            },
            channels=scene.names,
            rgb=scene.rgb,
        )
        result = told(ref, written, store=f"{ref.id}/{group.store}", weights=weights)
        seen = looked_px(ref, layout, context.banked) if written.table is not None else None
        result = replace(result, unread=scene.unread, looked_px=seen)
        result = replace(result, mask=ref.masked, predicted=context.banked.predicted)
        if found is None:
            return replace(result, **made)
        tile = tile_picture(found, pack.shown / f"{ref.key}-tile.png").name
        return replace(result, **made, seen=summed(found), tile=tile)


def told(ref: ImageRef, written: Written, store: str, weights: str) -> MergedImage:
    """What the report says of an image's store.

    Parameters
    ----------
    ref
        The image.
    written
        What its store has.
    store
        The store's path in the output folder.
    weights
        The digest of what was loaded.
    """
    return MergedImage(
        ref.id,
        ref.path,
        store=store,
        weights=weights,
        objects=written.objects,
        sbe=written.sbe,
        area_px=written.sizes.get("area_px"),
        volume_px=written.sizes.get("volume_px"),
        intensities=written.intensities,
        too_wide=written.too_wide or None,
        histograms=written.histograms,
        map=written.map,
        embeddings=written.embeddings,
    )


def suited(context: MergeContext) -> int:
    """How many processes an image pays: starting some takes about a second."""
    return cpus() if context.layout.pixels >= PAYS_PIXELS else 1


def provenance(ref: ImageRef, said: Mapping[str, str]) -> dict[str, Any]:
    """Which image a store is of; its scene where it isn't the first, its mask, a sheet's words.

    Its rows and columns at level 0; where its pixel size is known, that, and who says so.
    """
    scene = {"scene": ref.scene} if ref.scene else {}
    mask = {"mask": asdict(ref.masked)} if ref.masked else {}
    columns = {"columns": dict(said)} if said else {}
    size = {"mpp": ref.mpp, "mpp_from": ref.mpp_from} if ref.mpp else {}
    sides = [ref.shape[ref.axes.index(axis)] for axis in "YX"]
    about = {"id": ref.id, "file": Path(ref.path).name, "size_px": sides, "region": ref.region}
    return {**about, **scene, **size, **mask, **columns}


def placement(ref: ImageRef, layout: Layout) -> Placement:
    """Where model pixels lie on the image."""
    place = Placement(layout.origin, layout.scale, ref.mpp, ref.z_um, t_unit=ref.t_unit)
    return replace(place, position=ref.position or place.position, steps=ref.steps or place.steps)


def visited(layout: Layout, banked: BankReader) -> dict[str, object]:
    """How many tiles there are along each axis, in all, and how many were predicted."""
    total = len(layout.planes) * len(layout.grid)
    unread = {"unread": len(banked.unread)} if banked.unread else {}
    seen = total - banked.skipped
    return {"grid": layout.grid.counts, "total": total, "visited": seen, **unread}


def pictures(written: Written, scene: MergeInput, picture: Path, shown: Path) -> dict[str, Any]:
    """Make the report's pictures; their names by role, and where those are that show a part.

    Parameters
    ----------
    written, scene
        What is drawn, and over which image.
    picture
        Where the overview goes; the report has a copy.
    shown
        An existing folder.
    """
    made: dict[str, Any]
    white, judge = None, judge_of(scene)
    if is_big(scene.layout.shape):
        made, white = show_whole(written, scene, picture, shown, judge)
    else:
        made = _small_pictures(written, scene, picture, shown, judge)
    made["flags"] = judge.flags()
    drawn = written.drawn
    if isinstance(drawn, Merged) and drawn.measure is not None:
        made |= _seam_pictures(drawn, scene, shown, white)
    return made


def judge_of(scene: MergeInput) -> Judge:
    """What looks at the channels that the model read."""
    ref = scene.ref
    read = tuple(sorted({n for n in ref.channels if n != EMPTY}))
    colour = scene.rgb and len(read) == len(scene.names)
    return Judge(read, colour, end=ref.range[1] if ref.range else None, names=tuple(scene.names))


def _small_pictures(
    written: Written, scene: MergeInput, picture: Path, shown: Path, judge: Judge
) -> dict[str, Any]:
    """All of a plane, and of its map."""
    key, view = scene.ref.key, view_of(scene.context, written.measure)

    def look(pixels: Array) -> None:
        judge.light = judge.colour and white_of(pixels, scene.layout.dtype) is not None
        judge.look(pixels)

    overview(written.drawn, picture, view.plane, view.z, look)
    made: dict[str, Any] = {"overview": shutil.copyfile(picture, shown / f"{key}.png").name}
    if at := place_of(view, scene.layout):
        made["shown_at"] = at
    if written.mapped:
        made["mapped"] = overview(written.mapped, shown / f"{key}-map.png", view.plane, view.z).name
    return made


def _seam_pictures(
    drawn: Merged, scene: MergeInput, shown: Path, white: float | None
) -> dict[str, Any]:
    """A seam before and after the merge, and where it is; none where no object is at any."""
    seam = shown_seam(drawn.meter.worst())
    if seam is None:
        return {}
    section = seam_section(drawn, seam, _steep(scene.place))
    plane = {axis.lower(): n for axis, n in scene.layout.planes[seam.plane].items()}
    made: dict[str, Any] = {"seam_at": plane | section.where | {"meet": seam.transitions}}
    for role, labels in (("seam", drawn.labels), ("seam_before", drawn.by_tile)):
        file = shown / f"{scene.ref.key}-{role}.png"
        made[role] = seam_picture(drawn, section, labels, file, white).name
    return made


def _steep(place: Placement) -> float:
    """How far apart slices are, in columns; 1 where it isn't known."""
    sides = place.sides()
    return sides["z"] / sides["x"]
