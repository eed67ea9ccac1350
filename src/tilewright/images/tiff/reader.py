"""TIFF, BigTIFF, OME-TIFF and ImageJ's by tifffile: which scenes a file has, and one opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from tilewright.contract.cache import Cache
from tilewright.images import white
from tilewright.images.orientation import ORIENTATION, stored_turned
from tilewright.images.photometric import APERIO_YCBCR, meaning, seen, stored_axes
from tilewright.images.pixel_size import Size, plausible
from tilewright.images.scenes import Scene, chosen, shows_label
from tilewright.images.slides.openslide import open_slide
from tilewright.images.slides.parts import SLIDE_SCENES
from tilewright.images.source import Level, Source, microns, pair, unreadable

from . import notes as noted
from .checks import PageChecks, check_stack, count_slices
from .intervals import IntervalLevel
from .level import Segment, TiffLevel
from .ome_set import OmeImage, OmeSet, described
from .slide import UNITS, Slide
from .slides import (
    is_foreign,
    is_scanned,
    opened_tiff,
    plain_slide,
    shown,
    vendors_slide,
    with_reduced,
)
from .sparse import SparseLevel

GLASS, GLASS_YCBCR = (255,), (255, 128, 128)  # as it is stored
FOLDER_SETS = frozenset(("mmstack", "ndtiff"))  # sets that are what lies in a folder
PLACE = re.compile(r"^(?:[cztCZT]:\d+/\d+[ ,;]*)+(?:-\s*)?")
"""What Bio-Formats puts before a slice's label: ``c:1/3 z:2/5 - ``."""


def open_tiff(path: Path, scene: int | str, kept: int) -> Source:
    """TIFF, BigTIFF, OME-TIFF and ImageJ's, slides that aren't plain ones by OpenSlide.

    Only headers are read.
    """
    with noted.listening() as notes:
        opened = _opened(path, scene)
        if opened is None:
            return open_slide(path, scene, kept)
        try:
            stored, series = _stored(path, opened, kept)
            glass = stored.is_slide
            meanings = [meaning(path, opened.file, s, on_glass=glass) for s in series]
            found = seen(stored, stored_axes(series[0]), meanings)
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
    background = _background(opened.slide, series.keyframe)
    levels: list[TiffLevel] = []
    cache: Cache[Segment, np.ndarray] = Cache(kept, asked=True)
    for number, one in enumerate(alike):
        level = _kind(opened.slide, one, number)(path, one, cache, several, checks, background)
        level.check()
        if isinstance(level, SparseLevel) and opened.slide:
            level.over(levels[-1], opened.slide.to_finer(number))
        levels.append(level)
    if opened.ome and opened.image:
        parents = {p.parent for p in series if p is not None} if several else ()
        opened.ome.check_uuids(opened.image, {Path(p.filehandle.path): p for p in parents})
    about = _tiff_metadata(opened)
    unwritten = checks.remarks(_in_words(opened.slide, background))
    turned = stored_turned(series.keyframe.tags.valueof(ORIENTATION, 1))
    bits = opened.image.significant_bits if opened.image else None
    stored = Source(
        axes=series.axes.replace("S", "C"),
        dtype=series.dtype,
        levels=tuple(_level(s, number, opened.slide, kept) for number, s in enumerate(levels)),
        close=opened.file.close,
        channel_names=about.channel_names,
        mpp=about.mpp,
        z_um=about.z_um,
        scenes=opened.scenes,
        scene=opened.scene,
        remarks=opened.remarks + about.remarks + unwritten + turned,
        files=opened.files[is_elsewhere:] if several or opened.of_set else (),
        white=white.of_tiff(bits, series.keyframe, series.dtype),
        mpp_from=about.mpp_from if about.mpp else None,
        is_slide=opened.slide is not None and opened.slide.is_bright,
        magnification=opened.slide.magnification if opened.slide else None,
    )
    return stored, alike


def _kind(slide: Slide | None, series: tifffile.TiffPageSeries, number: int) -> type[TiffLevel]:
    """What reads a level."""
    if series.keyframe.jpegheader is not None:
        return IntervalLevel
    return SparseLevel if number and slide and slide.by_finer else TiffLevel


def _level(level: TiffLevel, number: int, slide: Slide | None, kept: int) -> Level:
    """A level as it is read: of a slide, without what only fills up tiles."""
    if slide is None:
        return Level(level.shape, level.chunks, level.read, kept)
    sides = dict(zip("YX", slide.sizes[number], strict=True))
    axes = slide.series.axes
    shape = tuple(sides.get(a, n) for a, n in zip(axes, level.shape, strict=True))
    return Level(shape, level.chunks, level.read, kept, slide.steps[number])


def _background(slide: Slide | None, page: Any) -> Any:
    """What is read where nothing was ever written: of a slide glass, unless its file says else."""
    if slide is None or not slide.is_bright or "GDAL_NODATA" in page.tags:
        return page.nodata
    return GLASS if page.compression != APERIO_YCBCR else GLASS_YCBCR


def _in_words(slide: Slide | None, background: Any) -> str:
    if isinstance(background, int | float):
        return f"{background:g}"
    return "white" + ", or as a finer level shows the place" * (
        slide is not None and slide.by_finer
    )


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
    slide: Slide | None = None


def _opened(path: Path, scene: int | str) -> _Opened | None:
    """A TIFF's scene, or None where its tiles aren't those of a plain TIFF."""
    file, ome, remarks = _begun(path)
    try:
        if is_foreign(file.pages.first):
            file.close()
            return None
        slide = vendors_slide(path, file)
        if slide is not None:
            scenes = _scene_of(slide)
            number = chosen(path, scene, scenes)
            return _Opened(file, slide.series, scenes, number, (path,), slide=slide)
        scenes, numbers = _scenes(path, file, ome)
        at = chosen(path, scene, scenes)
        number = numbers[at]
        if ome is not None and _is_by_xml(file, ome):
            found = _opened_ome(file, ome, number)
        else:
            found = _opened_series(file, path, ome, number)
        file = found.file
        return _as_slide(
            path, replace(found, scenes=scenes, scene=at, remarks=found.remarks + remarks)
        )
    except BaseException:
        file.close()
        raise


def _opened_series(file: tifffile.TiffFile, path: Path, ome: OmeSet | None, number: int) -> _Opened:
    """One of tifffile's series, of a file that has no OME-XML or goes by none."""
    series = file.series[number]
    # What isn't tied to its pixels by the XML belongs to them where there is nothing else.
    image = ome.images[0] if ome is not None and len(ome.images) == 1 else None
    of_set = series.kind in FOLDER_SETS
    return _Opened(file, series, (), number, _files_of(path, series), of_set, ome, image)


def _as_slide(path: Path, opened: _Opened) -> _Opened:
    """The same, with its slide where it is one."""
    if len(opened.files) > 1 or opened.of_set:
        return opened
    slide = plain_slide(path, opened.file, opened.series, opened.ome, opened.image)
    return opened if slide is None else replace(opened, series=slide.series, slide=slide)


def _begun(path: Path) -> tuple[tifffile.TiffFile, OmeSet | None, tuple[str, ...]]:
    """A TIFF, and what its OME-XML says."""
    file = opened_tiff(path)
    try:
        count_slices(file)
        ome, remarks = _ome(path, file)
    except BaseException:
        file.close()
        raise
    if ome is None and remarks:
        file.close()
        file = opened_tiff(path, is_ome=False)
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


def _opened_ome(file: tifffile.TiffFile, ome: OmeSet, number: int) -> _Opened:
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
    return _Opened(file, series[0], (), number, files, of_set, ome, image, said)


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
            if is_foreign(file.pages.first):
                return SLIDE_SCENES
            slide = vendors_slide(path, file)
            return _scenes(path, file, ome)[0] if slide is None else _scene_of(slide)


def _scene_of(slide: Slide) -> tuple[Scene, ...]:
    return (Scene(size=slide.sizes[0], of_slide=True),)


def _scenes(
    path: Path, file: tifffile.TiffFile, ome: OmeSet | None
) -> tuple[tuple[Scene, ...], tuple[int, ...]]:
    """The images in a file, and of each its number among the XML's or tifffile's."""
    if ome is not None and _is_by_xml(file, ome):
        scenes = tuple(Scene(image.name or "", size=image.size) for image in ome.images)
        # Only names tell which are pictures of a slide: without such a name no page is looked at.
        known = ome.alone and len(scenes) > 1 and any(shows_label(s) for s in scenes)
        series = file.series if known else []
    else:
        series = file.series
        scenes = tuple(
            Scene(
                str(series.name or ""),
                size=_plane(series.axes, series.shape),
                reduced=bool(series.keyframe.subfiletype & 5),  # a smaller form, a mask
            )
            for series in file.series
        )
    numbers = tuple(range(len(scenes)))
    own = series if ome else [with_reduced(path, file, s) for s in series]
    if len(series) == len(scenes) and any(is_scanned(s) for s in own):
        numbers = shown(scenes, series)
        scenes = tuple(replace(scenes[number], of_slide=True) for number in numbers)
    return scenes, numbers


def _plane(axes: str, shape: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns, where it has both."""
    sizes = dict(zip(axes, shape, strict=False))
    return (int(sizes["Y"]), int(sizes["X"])) if {"Y", "X"} <= set(sizes) else None


@dataclass(frozen=True)
class _About:
    """What a file says of its channels and pixels' size, as a `Source` has it."""

    channel_names: tuple[str, ...] | None = None
    mpp: Size | None = None
    z_um: float | None = None
    mpp_from: str | None = None
    remarks: tuple[str, ...] = ()


def _tiff_metadata(opened: _Opened) -> _About:
    """What a slide says, or the XML of the image that is read, else what tags do."""
    slide, image, file = opened.slide, opened.image, opened.file
    if slide is not None:
        names = slide.channel_names or (image.channel_names if image else None)
        z_um = slide.z_um or (image.z_um if image else None)
        return _About(names, slide.mpp, z_um, slide.mpp_from, slide.remarks)
    if image is not None:
        return _About(image.channel_names, image.mpp, image.z_um, "OME PhysicalSize")
    if file.is_ome:
        return _About()  # images of an XML that none can be told from
    page = file.pages.first
    y, x = (_pitch(page, name) for name in ("YResolution", "XResolution"))
    if file.is_imagej:
        about = file.imagej_metadata or {}
        unit = about.get("unit")
        mpp = pair(microns(y, unit), microns(x, unit))
        z_um = microns(about.get("spacing"), unit)
        return _About(_labelled(about), mpp, z_um, "ImageJ's calibration")
    code = page.tags.valueof("ResolutionUnit", 1)
    unit = UNITS.get(code) if isinstance(code, int) else None
    mpp = pair(microns(y, unit), microns(x, unit))
    # What is none is only what a program writes for a printer, as 72 dpi: 353 µm.
    return _About(mpp=mpp if mpp and plausible(mpp) else None, mpp_from="resolution tags")


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
