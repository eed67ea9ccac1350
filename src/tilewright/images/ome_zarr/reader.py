"""OME-Zarr 0.1 to 0.5, and plain arrays, in a folder or zip of Zarr 2 or 3, by zarr-python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from tilewright.contract.cache import Cache
from tilewright.images import white
from tilewright.images.scenes import LISTED, OF_BIOFORMATS, Scene, chosen
from tilewright.images.source import Level, Source, Where, microns, named, pair, unreadable

from . import ngff
from .chunks import Chunks, Position
from .ngff import Axis, Geometry, MetadataError
from .store import ZarrFiles, checked_array, open_files

LAYOUT = "bioformats2raw.layout"
HCS = ("plate", "well")
NO_SIZE = "so its pixel size isn't known"
MOST_IMAGES = 10_000
NAMED = 5  # folders that a sentence names
Found = list[tuple[Scene, str, int]]
"""Each scene, its group's path, and which of that group's `multiscales` it is."""


def zarr_scenes(path: Path) -> tuple[Scene, ...]:
    """The images in a Zarr.

    Raises
    ------
    TilewrightError
        When it holds none.
    """
    files = open_files(path)
    try:
        return tuple(scene for scene, _, _ in _scenes(path, files))
    except MetadataError as error:
        raise unreadable(path, str(error), error.fix) from error
    finally:
        files.close()


def open_zarr(path: Path, scene: int | str, kept: int) -> Source:
    """One image of an OME-Zarr, or a plain array; only its metadata is read.

    Raises
    ------
    TilewrightError
        When there is no such scene, or metadata isn't as its version of OME-Zarr wants it.
    """
    files = open_files(path)
    try:
        found = _scenes(path, files)
        scenes = tuple(each for each, _, _ in found)
        number = chosen(path, scene, scenes)
        _, where, entry = found[number]
        if isinstance(files.root, zarr.Array):
            source = _plain(path, files, kept)
        else:
            source = _image(path, files, where, entry, kept)
    except MetadataError as error:
        files.close()
        raise unreadable(path, str(error), error.fix) from error
    except BaseException:
        files.close()
        raise
    return replace(source, scenes=scenes, scene=number)


def _scenes(path: Path, files: ZarrFiles) -> Found:
    """Every image that is there: a bioformats2raw folder has several, `multiscales` may, too."""
    root = files.root
    if isinstance(root, zarr.Array):
        return [(Scene(), "", 0)]
    attributes = root.attrs.asdict()
    about = ngff.about(attributes)
    multiscales = ngff.blocks(about, "multiscales")
    if multiscales:
        _check_count(path, len(multiscales))
        found = [(Scene(str(m.get("name") or "")), "", i) for i, m in enumerate(multiscales)]
        return _without_pictures(found, files)
    if LAYOUT in {**about, **attributes} and not set(HCS) & set(about):
        return _without_pictures(_series(path, files), files)
    raise _no_image(path, root, about)


def _check_count(path: Path, count: int) -> None:
    if count > MOST_IMAGES:
        raise unreadable(
            path,
            f"it lists {count:,} images, and at most {MOST_IMAGES:,} of one Zarr are taken",
            "Give the folders of its images in a sheet.",
        )


def _series(path: Path, files: ZarrFiles) -> Found:
    """The images of a bioformats2raw folder: as `OME` lists them, else numbered from 0."""
    root = files.root
    about = ngff.about(root["OME"].attrs.asdict()) if "OME" in root else {}
    paths = about.get("series")
    if paths is None:
        paths = sorted((n for n, _ in _groups(root) if n.isdigit()), key=int)
    if not isinstance(paths, list) or not all(isinstance(p, str) for p in paths):
        raise MetadataError("`series` in its OME folder isn't a list of paths")
    if not paths:
        raise MetadataError(
            "it is laid out as bioformats2raw does it, but its OME folder lists no `series`, and "
            "no image in it is called 0, as it then must",
            "Give the folder of one of its images.",
        )
    _check_count(path, len(paths))
    names = _ome_names(files.text("OME/METADATA.ome.xml"))
    names = names if len(names) == len(paths) else [""] * len(paths)
    looked = paths if 1 < len(paths) <= LISTED else []
    sizes = [_size(root, p) for p in looked] or [None] * len(paths)
    return [(Scene(name, p, size), p, 0) for name, p, size in zip(names, paths, sizes, strict=True)]


def _without_pictures(found: Found, files: ZarrFiles) -> Found:
    """The images of a converted slide: none is its label, or a picture that may show it."""
    if len(found) < 2:
        return found
    looked = len(found) <= LISTED  # into each
    names = [s.name or (_own_name(files.root, where) if looked else "") for s, where, _ in found]
    kept = [
        one
        for one, name in zip(found, names, strict=True)
        if name.strip().lower() not in OF_BIOFORMATS
    ]
    if len(kept) in (0, len(found)):
        return found
    return [(replace(scene, of_slide=True), where, entry) for scene, where, entry in kept]


def _own_name(root: Any, where: str) -> str:
    """What an image's own metadata calls it, or nothing."""
    try:
        about = ngff.about(root[where].attrs.asdict())
        return str(ngff.blocks(about, "multiscales")[0].get("name") or "")
    except (LookupError, ValueError, AttributeError, TypeError):
        return ""


def _size(root: Any, where: str) -> tuple[int, int] | None:
    """Rows and columns of an image by its last two axes; None where it can't be read."""
    try:
        about = ngff.about(root[where].attrs.asdict())
        first, _ = ngff.datasets(ngff.blocks(about, "multiscales")[0])[0]
        y, x = root[f"{where}/{first}"].shape[-2:]
    except (LookupError, ValueError, AttributeError, TypeError):
        return None
    return int(y), int(x)


def _ome_names(xml: str | None) -> list[str]:
    """What an OME-XML calls its images; nothing where it can't be read."""
    try:
        images = tifffile.xml2dict(xml or "")["OME"]["Image"]
    except (KeyError, TypeError, ValueError, SyntaxError):
        return []
    listed = images if isinstance(images, list) else [images]
    return [str(i.get("Name") or "") if isinstance(i, dict) else "" for i in listed]


def _no_image(path: Path, root: Any, about: dict[str, Any]) -> Exception:
    """The error for a group that is no image: what is in it, if that is one."""
    found = "it is Zarr, but its metadata has no `multiscales`, so it isn't an OME-Zarr image"
    for kind in HCS:
        if kind in about:
            fix = "Give the folder of one of its images."
            return unreadable(path, f"{found} but a {kind}", fix)
    inner = [name for name, _ in zip(_images_in(root), range(NAMED), strict=False)]
    if inner:
        return unreadable(path, f"{found}; it holds {', '.join(inner)}", "Give one of these.")
    return unreadable(path, found, "Give the folder of an image, or export it as OME-Zarr.")


def _groups(group: Any) -> list[tuple[str, Any]]:
    """The groups in a group; folders that are none are passed over without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(group.groups())


def _images_in(group: Any, depth: int = 2) -> Any:
    """Paths of the OME-Zarr images in a group and in groups of it."""
    for name, inner in sorted(_groups(group)):
        if inner.attrs.asdict().keys() & {"multiscales", "ome"} and ngff.about(
            inner.attrs.asdict()
        ).get("multiscales"):
            yield name
        elif depth > 1:
            yield from (f"{name}/{below}" for below in _images_in(inner, depth - 1))


def _image(path: Path, files: ZarrFiles, where: str, entry: int, kept: int) -> Source:
    """An OME-Zarr image."""
    group = _member(files.root, where, "image", zarr.Group) if where else files.root
    attributes = group.attrs.asdict()
    about = ngff.about(attributes)
    multiscales = ngff.blocks(about, "multiscales")
    if not multiscales:
        raise MetadataError(f"its image {where!r} has no `multiscales`")
    multiscale = multiscales[entry]
    version = ngff.version(attributes, multiscale)
    listed = ngff.datasets(multiscale)
    found = [
        checked_array(path, files, _member(group, name, "level", zarr.Array)) for name, _ in listed
    ]
    arrays = [array for array, _ in found]
    axes = ngff.axes(multiscale, version, arrays[0].ndim)
    _check_levels([name for name, _ in listed], arrays, axes)
    geometry = ngff.geometry(multiscale, listed[0][1], version, arrays[0].ndim)
    of_levels = [
        said if not number else f"Level {number}: {said[0].lower()}{said[1:]}"
        for number, (_, remarks) in enumerate(found)
        for said in remarks
    ]
    remarks = [*of_levels, *_remarks(axes, geometry, version)]
    return replace(
        _source(arrays, axes, kept, files, geometry),
        channel_names=named([c.get("label") for c in ngff.channels(about)]),
        remarks=tuple(dict.fromkeys(remarks)),
        white=white.of_greatest(
            ngff.window_ends(about), np.dtype(arrays[0].dtype), "omero's window.max"
        ),
    )


def _plain(path: Path, files: ZarrFiles, kept: int) -> Source:
    """An array without an image's metadata: it may name its axes, as Zarr 3 or xarray do."""
    array, remarks = checked_array(path, files, files.root)
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    axes: tuple[Axis, ...] = ()
    if names and all(isinstance(name, str) for name in names):
        axes = ngff.axes({"axes": list(names)}, None, array.ndim)
    source = _source([array], axes, kept, files, Geometry(None, (0.0,) * array.ndim))
    return replace(source, remarks=remarks)


def _member(group: Any, name: str, what: str, kind: type) -> Any:
    """A group's image or level."""
    try:
        found = group[name]
    except KeyError:
        raise MetadataError(
            f"its metadata lists the {what} {name!r}, which isn't there",
            "Copy it again, whole, or take that out of its metadata.",
        ) from None
    if not isinstance(found, kind):
        held, wanted = ("a group", "an array") if kind is zarr.Array else ("an array", "a group")
        raise MetadataError(f"its {what} {name!r} is {held} and not {wanted}")
    return found


def _check_levels(paths: Sequence[str], arrays: Sequence[Any], axes: Sequence[Axis]) -> None:
    """Raise where levels don't go from fine to coarse, or differ in what they may not."""
    letters = "".join(a.letter for a in axes)
    for (fine_path, fine), (path, level) in pairwise(zip(paths, arrays, strict=True)):
        if level.ndim != fine.ndim or level.dtype != fine.dtype:
            raise MetadataError(
                f"its levels {fine_path!r} and {path!r} have other axes or another type of pixel"
            )
        for i, (a, b) in enumerate(zip(fine.shape, level.shape, strict=True)):
            letter = letters[i : i + 1]
            if b > a:
                raise MetadataError(
                    f"its level {path!r} has more pixels than {fine_path!r}, before it "
                    f"({_by(level.shape)} and {_by(fine.shape)}), and OME-Zarr lists the finest "
                    "level first",
                    "Sort `datasets` in its metadata, or export it again.",
                )
            if letter in {"T", "C"} and a != b:
                raise MetadataError(f"its levels {fine_path!r} and {path!r} differ along {letter}")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _source(
    arrays: Sequence[Any], axes: Sequence[Axis], kept: int, files: ZarrFiles, geometry: Geometry
) -> Source:
    """Arrays as an image's levels, with where they lie."""
    letters = "".join(axis.letter for axis in axes)
    lengths = dict(zip(letters, _lengths(axes, geometry), strict=True))
    held: Cache[Position, np.ndarray] = Cache(kept, asked=True)
    mpp, z_um = pair(lengths.get("Y"), lengths.get("X")), lengths.get("Z")
    return Source(
        axes=letters,
        dtype=np.dtype(arrays[0].dtype),
        levels=tuple(
            Level(tuple(a.shape), tuple(a.chunks), Chunks(a, held, letters).read, kept)
            for a in arrays
        ),
        close=files.close,
        mpp=mpp,
        mpp_from="OME-Zarr's scale" if mpp else None,
        z_um=z_um,
        where=_where(axes, geometry, {"Z": z_um, "Y": mpp, "X": mpp}) if geometry.scale else None,
    )


def _lengths(axes: Sequence[Axis], geometry: Geometry) -> list[float | None]:
    """µm per level-0 pixel and axis; None without a unit, since a bare 1.0 is no measurement."""
    if geometry.scale is None:
        return [None] * len(axes)
    return [microns(s, a.unit) for s, a in zip(geometry.scale, axes, strict=False)]


def _where(axes: Sequence[Axis], geometry: Geometry, known: dict[str, Any]) -> Where:
    """Place and lengths along t, z, y and x: in µm, or as they stand where no µm are known."""
    position, steps = dict.fromkeys("TZYX", 0.0), dict.fromkeys("TZYX", 1.0)
    if geometry.scale is not None:
        for axis, s, t in zip(axes, geometry.scale, geometry.translation, strict=False):
            if axis.letter in position:
                factor = microns(1.0, axis.unit) if known.get(axis.letter) else None
                position[axis.letter] = t * (factor or 1.0)
                steps[axis.letter] = s * (factor or 1.0) or 1.0  # a length of 0 is none
    t_unit = next((a.unit for a in axes if a.letter == "T"), None)
    return Where(tuple(position.values()), tuple(steps.values()), t_unit)


def _remarks(axes: Sequence[Axis], geometry: Geometry, version: str | None) -> list[str]:
    """What isn't known or followed."""
    found = []
    units = list(dict.fromkeys(a.unit for a in axes if a.letter in "YX" and a.unit))
    if units and geometry.scale is None:
        found.append(f"Its metadata gives a unit ({units[0]}) without a scale, {NO_SIZE}.")
    unknown = [unit for unit in units if microns(1.0, unit) is None]
    if unknown and geometry.scale is not None:
        found.append(f"Its unit of length {unknown[0]!r} isn't known here, {NO_SIZE}.")
    if geometry.passed_over:
        kinds = ", ".join(sorted(set(geometry.passed_over)))
        found.append(f"Its coordinate transformations of type {kinds} aren't followed.")
    if version == ngff.DRAFT:
        found.append("Its metadata is OME-Zarr 0.6, a draft: a level's scale and translation are "
                     "read.")  # fmt: skip
    return found
