"""TIFF, BigTIFF, OME-TIFF and ImageJ's by tifffile: which scenes a file has, and one opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from tilewright.images import white
from tilewright.images.orientation import ORIENTATION, stored_turned
from tilewright.images.photometric import meaning, seen, stored_axes
from tilewright.images.scenes import Scene, chosen
from tilewright.images.source import Level, Source, microns, pair, unreadable

from . import notes as noted
from .checks import PageChecks, check_stack, count_slices
from .level import TiffLevel
from .ome_set import OmeImage, OmeSet, described

FOLDER_SETS = frozenset(("mmstack", "ndtiff"))  # sets that are what lies in a folder
PLACE = re.compile(r"^(?:[cztCZT]:\d+/\d+[ ,;]*)+(?:-\s*)?")
"""What Bio-Formats puts before a slice's label: ``c:1/3 z:2/5 - ``."""


def open_tiff(path: Path, scene: int | str, kept: int) -> Source:
    """TIFF, BigTIFF, OME-TIFF and ImageJ's; only headers are read."""
    with noted.listening() as notes:
        opened = _opened(path, scene)
        try:
            stored, series = _stored(path, opened, kept)
            found = seen(
                stored, stored_axes(series[0]), [meaning(path, opened.file, s) for s in series]
            )
        except BaseException:
            opened.file.close()
            raise
        return replace(found, remarks=found.remarks + noted.remarks(path, notes))


def _stored(path: Path, opened: _Opened, kept: int) -> tuple[Source, list[tifffile.TiffPageSeries]]:
    """A scene with its values as they are stored, and the series that its levels are."""
    series, several = opened.series, len(opened.files) > 1
    is_elsewhere = opened.image is not None and path not in opened.image.files
    checks = PageChecks(path)
    check_stack(checks, opened.file, series)
    alike = [s for s in series.levels if s.axes == series.axes]
    levels = [TiffLevel(path, s, kept, several, checks) for s in alike]
    for level in levels:
        level.check()
    if opened.ome and opened.image:
        parents = {p.parent for p in series if p is not None} if several else ()
        opened.ome.check_uuids(opened.image, {Path(p.filehandle.path): p for p in parents})
    names, mpp, z_um = _tiff_metadata(opened.file, opened.image)
    turned = stored_turned(series.keyframe.tags.valueof(ORIENTATION, 1))
    bits = opened.image.significant_bits if opened.image else None
    stored = Source(
        axes=series.axes.replace("S", "C"),
        dtype=series.dtype,
        levels=tuple(Level(s.shape, s.chunks, s.read, kept) for s in levels),
        close=opened.file.close,
        channel_names=names,
        mpp=mpp,
        z_um=z_um,
        scenes=opened.scenes,
        scene=opened.scene,
        remarks=opened.remarks + checks.remarks(series.keyframe.nodata) + turned,
        files=opened.files[is_elsewhere:] if several or opened.of_set else (),
        white=white.of_tiff(bits, series.keyframe, series.dtype),
    )
    return stored, alike


@dataclass(frozen=True)
class _Opened:
    """A TIFF, and the series of it that a scene is.

    Parameters
    ----------
    files
        All that its pixels and metadata are in, after the one that was given.
    of_set
        Whether other files are or could be part of it.
    """

    file: tifffile.TiffFile
    series: tifffile.TiffPageSeries
    scenes: tuple[Scene, ...]
    scene: int
    files: tuple[Path, ...]
    of_set: bool = False
    ome: OmeSet | None = None
    image: OmeImage | None = None
    remarks: tuple[str, ...] = ()


def _opened(path: Path, scene: int | str) -> _Opened:
    file, ome, remarks = _begun(path)
    try:
        scenes = _scenes(file, ome)
        number = chosen(path, scene, scenes)
        if ome is not None and _is_by_xml(file, ome):
            return _opened_ome(file, ome, scenes, number)
        series = file.series[number]
        # What isn't tied to its pixels by the XML belongs to them where there is nothing else.
        image = ome.images[0] if ome is not None and len(ome.images) == 1 else None
        files = _files_of(path, series)
        of_set = series.kind in FOLDER_SETS
        return _Opened(file, series, scenes, number, files, of_set, ome, image, remarks)
    except BaseException:
        file.close()
        raise


def _begun(path: Path) -> tuple[tifffile.TiffFile, OmeSet | None, tuple[str, ...]]:
    """A TIFF, and what its OME-XML says."""
    file = tifffile.TiffFile(path)
    try:
        count_slices(file)
        ome, remarks = _ome(path, file)
    except BaseException:
        file.close()
        raise
    if ome is None and remarks:
        file.close()
        file = tifffile.TiffFile(path, is_ome=False)
    return file, ome, remarks


def _is_by_xml(file: tifffile.TiffFile, ome: OmeSet) -> bool:
    """Whether its images are those that its XML tells of; Micro-Manager's are what lies there."""
    return bool(ome.images) and not file.is_mmstack


def _ome(path: Path, file: tifffile.TiffFile) -> tuple[OmeSet | None, tuple[str, ...]]:
    """What its OME-XML says, or a remark where that is no XML."""
    if not file.ome_metadata:
        return None, ()
    try:
        return described(path, file.ome_metadata), ()
    except ElementTree.ParseError as error:
        said = f"Its OME-XML can't be read ({error}): it is read as a TIFF without."
        return None, (said,)


def _opened_ome(
    file: tifffile.TiffFile, ome: OmeSet, scenes: tuple[Scene, ...], number: int
) -> _Opened:
    """The planes of one image of an OME-XML, from whatever files."""
    path, image = ome.path, ome.images[number]
    files = tuple(dict.fromkeys((path, *image.files, ome.about)))
    if ome.plain:
        series = file.series
    else:
        ome.check_there(image)
        file.close()
        file = tifffile.TiffFile(image.files[0], omexml=ome.xml(image))
        try:
            series = file.series
        except BaseException:
            file.close()
            raise
    if not series or (series[0].kind != "ome" and (not ome.plain or len(series) > 1)):
        file.close()
        raise unreadable(
            path, "its pages aren't the planes that its OME-XML tells of", "Export it again."
        )
    said = ome.remarks(image)
    of_set = not ome.alone
    return _Opened(file, series[0], scenes, number, files, of_set, ome, image, said)


def _files_of(path: Path, series: tifffile.TiffPageSeries) -> tuple[Path, ...]:
    """The files of a series that a program cut up: the given one first."""
    if series.kind not in FOLDER_SETS:
        return (path,)
    pages = {page.parent.filehandle.path for page in series if page is not None}
    found = {Path(name) for name in pages if not path.samefile(name)}
    if series.kind == "ndtiff":
        found.add(path.with_name("NDTiff.index"))
    return (path, *sorted(found))


def tiff_scenes(path: Path) -> tuple[Scene, ...]:
    """The images in a TIFF: those of its OME-XML, else tifffile's series."""
    with noted.listening():
        file, ome, _ = _begun(path)
        with file:
            return _scenes(file, ome)


def _scenes(file: tifffile.TiffFile, ome: OmeSet | None) -> tuple[Scene, ...]:
    if ome is not None and _is_by_xml(file, ome):
        return tuple(Scene(image.name or "", size=image.size) for image in ome.images)
    return tuple(
        Scene(
            str(series.name or ""),
            size=_plane(series.axes, series.shape),
            reduced=bool(series.keyframe.subfiletype & 5),  # a smaller form, a mask
        )
        for series in file.series
    )


def _plane(axes: str, shape: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns, where it has both."""
    sizes = dict(zip(axes, shape, strict=False))
    return (int(sizes["Y"]), int(sizes["X"])) if {"Y", "X"} <= set(sizes) else None


FileAbout = tuple[tuple[str, ...] | None, tuple[float, float] | None, float | None]
"""Channel names, µm per pixel (y, x), µm per slice."""


def _tiff_metadata(file: tifffile.TiffFile, image: OmeImage | None) -> FileAbout:
    """What the XML says of the image that is read, else what tags do."""
    if image is not None:
        return image.channel_names, image.mpp, image.z_um
    if file.is_ome:
        return None, None, None  # images of an XML that none can be told from
    page = file.pages.first
    y, x = (_pitch(page, name) for name in ("YResolution", "XResolution"))
    if file.is_imagej:
        about = file.imagej_metadata or {}
        unit = about.get("unit")
        mpp = pair(microns(y, unit), microns(x, unit))
        return _labelled(about), mpp, microns(about.get("spacing"), unit)
    code = page.tags.valueof("ResolutionUnit", 1)
    unit = {2: "inch", 3: "cm"}.get(code) if isinstance(code, int) else None
    return None, _plausible(pair(microns(y, unit), microns(x, unit))), None


def _labelled(about: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Channel names of ImageJ's metadata: what the labels of all of a channel's slices are.

    None where a channel's differ, or the channels' don't: then they name slices or the file.
    """
    labels, channels = about.get("Labels"), about.get("channels", 1)
    if not isinstance(labels, list) or channels < 2 or len(labels) != about.get("images"):
        return None
    names = [PLACE.sub("", str(label)).strip() for label in labels]
    own = names[:channels]
    whole = own * (len(names) // channels) == names and len(set(own)) == channels
    return tuple(own) if whole else None


def _pitch(page: Any, name: str) -> float | None:
    """Length of a pixel in the tag's unit."""
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) < 2 or not tag.value[0]:
        return None
    return float(tag.value[1] / tag.value[0])


def _plausible(mpp: tuple[float, float] | None) -> tuple[float, float] | None:
    """A resolution tag's pixel size, unless it is only what a program writes for a printer.

    72, 96, 300 and 600 dpi are 353, 265, 85 and 42 µm: coarser than 20 µm says nothing about
    what was imaged, and finer than 1 nm is no optical image.
    """
    return mpp if mpp and all(1e-3 <= v <= 20 for v in mpp) else None
