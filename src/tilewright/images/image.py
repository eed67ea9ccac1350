"""Open any image lazily and read a region of it at a level; tell images apart.

A reader for each format knows the files; `preprocess` makes of the pixels what a model wants.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.closing import Closing
from tilewright.contract.made import is_zarr
from tilewright.contract.reading import NotAFileError, opened, read_bytes
from tilewright.contract.spec import ARRAY_AXES
from tilewright.errors import TilewrightError

from . import formats
from . import source as sources
from .damage import DamagedPixelsError, in_words, is_damage, is_the_files
from .pieces import cut, met, repeats
from .scenes import Scene
from .slides.dicom_files import dicom_files
from .source import MOST_CHANNELS, MOST_METADATA, Array, Level, Source, Window, unreadable

END_BYTES = 2**20  # of a file's beginning and end, in its fingerprint
END_LEAST, SET_BYTES = 2**12, 2**26  # of each of many files of a set, and of all together


def image_id(path: Path) -> str:
    """The file's name without its image extension: ``a.b.ome.tif`` is ``a.b``."""
    for extension in formats.ENDINGS:
        if path.name.lower().endswith(extension) and len(path.name) > len(extension):
            return path.name[: -len(extension)]
    return path.name


def fingerprint(path: Path) -> str:
    """SHA-256 (64 hex digits) that changes when the image does, without reading it all.

    Of a file its size, time and first and last MiB; of a folder its metadata files' content and
    the names, sizes and times of all its files, or of those of DICOM in it.

    Raises
    ------
    TilewrightError
        When it can't be read.
    """
    return fingerprinted(path)[0]


def fingerprinted(path: Path) -> tuple[str, int]:
    """The fingerprint, and when anything of the image's files last changed (ctime, in ns).

    The time is no part of the fingerprint: who copies a file or changes its rights changes it, too.

    Raises
    ------
    TilewrightError
        When it can't be read.
    """
    found, changed = hashlib.sha256(), 0
    try:
        if path.is_dir():
            dicom = [] if is_zarr(path) else dicom_files(path)
            for entry in dicom or sorted(p for p in path.rglob("*") if p.is_file()):
                about = entry.stat()
                found.update(_stamp(about, str(entry.relative_to(path))))
                changed = max(changed, about.st_ctime_ns)
                if entry.name in {"zarr.json", ".zattrs", ".zarray", ".zgroup"}:
                    found.update(read_bytes(entry, MOST_METADATA))
        else:
            changed = _add_file(found, path, "", END_BYTES)
    except OSError as error:
        raise failed(path, "it can't be read", error) from error
    return found.hexdigest(), changed


def set_fingerprint(own: str, path: Path, files: Sequence[Path]) -> str:
    """The fingerprint of an image that is in several files; `own` where it is in one.

    Parameters
    ----------
    own
        That of the file that was given.
    path
        That file.
    files
        All of its files; of each its name, size, time and both ends, of many less of these.

    Raises
    ------
    TilewrightError
        When one can't be read.
    """
    others = [file for file in files if file != path]
    if not others:
        return own
    found = hashlib.sha256(own.encode())
    ends = max(END_LEAST, min(END_BYTES, SET_BYTES // len(others)))
    try:
        for file in others:
            _add_file(found, file, file.name, ends)
    except OSError as error:
        raise failed(path, "a file of its set can't be read", error) from error
    return found.hexdigest()


def _add_file(found: Any, path: Path, name: str, ends: int) -> int:
    """Add what is seen of a file, its stamp and so many bytes of each of its ends; its ctime."""
    with opened(path) as file:
        about = os.fstat(file.fileno())
        found.update(_stamp(about, name))
        found.update(file.read(ends))
        file.seek(max(0, about.st_size - ends))
        found.update(file.read(ends))
    return about.st_ctime_ns


def _stamp(about: os.stat_result, name: str) -> bytes:
    return os.fsencode(name) + f"\0{about.st_size}\0{about.st_mtime_ns}\0".encode()


def open_image(
    path: Path | str,
    *,
    axes: str | None = None,
    scene: int | str = 0,
    kept: int | None = None,
    labels: bool = False,
) -> Image:
    """Open an image by what it contains; only its headers are read.

    Parameters
    ----------
    axes
        What the file's axes are, in its own order, where it doesn't say or is wrong: ``"ZYX"``.
    scene
        Number or name of the scene in a file that holds several.
    kept
        Bytes of decoded pixels of all levels that are kept for what is read next; None is
        `sources.CACHE_BYTES`.
    labels
        Whether a TIFF's values are labels: no palette is applied, and none is turned round.

    Raises
    ------
    TilewrightError
        When it isn't an image that can be read; the file is named.
    """
    path = Path(path)
    found = _format(path)
    source = _told(
        path, lambda: found.open(path, scene, sources.CACHE_BYTES if kept is None else kept)
    )
    source = source.labels or source if labels else source
    try:
        return Image(path, source, _axes(path, source, axes))
    except TilewrightError:
        source.close()
        raise


def list_scenes(path: Path) -> tuple[Scene, ...]:
    """The images that a file holds, whether or not each can be read; only headers are looked at.

    Raises
    ------
    TilewrightError
        When it isn't an image file, or holds none.
    """
    lister = _format(path).scenes
    return _told(path, lambda: lister(path)) if lister else (Scene(),)


def _told(path: Path, opening: Callable[[], Any]) -> Any:
    """What an opener gives, or one sentence over a bad file."""
    try:
        return opening()
    except MemoryError as error:  # headers take little
        raise unreadable(
            path, "its header asks for more memory than there is", "Copy or export it again."
        ) from error
    except Exception as error:
        if not is_damage(error, path):
            raise
        raise failed(path, "it can't be read as an image", error) from error


def _format(path: Path) -> formats.Format:
    """Of which format a file is, by what it contains."""
    try:
        if path.is_dir():
            if is_zarr(path):
                return formats.ZARR
            if dicom_files(path):
                return formats.DICOM
            raise unreadable(
                path,
                "this folder isn't OME-Zarr (it has no zarr.json or .zattrs), nor of DICOM files",
                "Give an image, or a folder of images as --input.",
            )
        with opened(path) as file:
            start = file.read(formats.START_BYTES)
    except FileNotFoundError as error:
        raise unreadable(path, "there is no such file", "Check its name.") from error
    except OSError as error:
        raise failed(path, "it can't be opened", error) from error
    if not start:
        raise unreadable(path, "the file is empty (0 bytes)", "Copy it again.")
    found = next((f for f in formats.FORMATS if f.knows(path, start)), None)
    unread = formats.unread(path, start)
    if unread and (found is None or unread.is_tiff):
        raise unreadable(path, f"it is {unread.name}, which isn't read here", unread.fix)
    if found:
        return found
    if start.startswith((b"<?xml", b"<OME")):
        raise unreadable(
            path, "it is XML, as an OME-TIFF's companion, and has no pixels", "Give the OME-TIFF."
        )
    raise unreadable(
        path,
        "its content is no image format that is known here",
        "Export it as OME-TIFF or OME-Zarr; TIFF, PNG, JPEG and scanners' slides are read, too.",
    )


def failed(path: Path, what: str, error: Exception) -> TilewrightError:
    """The sentence for an error that a file is to blame for.

    Raises
    ------
    OSError
        The error itself, where the machine is.
    """
    if isinstance(error, OSError) and not is_the_files(error):
        error.add_note(f"It came up in {path}.")
        raise error
    fix = "Give a file." if isinstance(error, NotAFileError) else "Copy or export it again."
    return unreadable(path, f"{what} ({in_words(error)})", fix)


def _axes(path: Path, source: Source, given: str | None) -> str:
    """The image's axes, checked; `given` overrides what the file says."""
    shape = source.levels[0].shape
    sizes = " x ".join(map(str, shape))
    if 0 in shape:
        raise unreadable(path, f"it has no pixels ({sizes})", "Export it again.")
    if source.dtype.kind not in "buif":
        raise unreadable(
            path, f"its pixels are {source.dtype}", "Save them as whole or real numbers."
        )
    axes = source.axes if given is None else given.upper()
    known = set(axes) <= set(ARRAY_AXES) and len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes)
    if known and len(axes) == len(shape):
        channels = shape[axes.index("C")] if "C" in axes else 1
        if channels > MOST_CHANNELS:
            found = f"it has {channels:,} channels, and at most {MOST_CHANNELS:,} are read"
            raise unreadable(path, found, "If they are slices or times, say so by --axes.")
        return axes
    if not 2 <= len(shape) <= len(ARRAY_AXES):
        found = f"it has {len(shape)} axes ({sizes} pixels)"
        raise unreadable(path, found, "Export it with two to five axes, out of T, C, Z, Y and X.")
    if given is None and axes.count("C") > 1:
        found = f"each of its channels is in colours itself ({sizes} pixels along {axes})"
        raise unreadable(path, found, "Export its channels in grey, or one of them alone.")
    example = _likely(source.axes, len(shape))
    if given is None:
        shown = "".join(a if a in ARRAY_AXES else "?" for a in axes)
        named = f"along axes {shown}" if axes else "and doesn't say along which axes"
        found, fix = f"it has {sizes} pixels {named}", "Say what they are"
    else:
        found, fix = f"axes {given} were given for {sizes} pixels", "Give one letter an axis"
    raise unreadable(path, found, f"{fix}, out of T, C, Z, Y and X: --axes {example}.")


def _likely(found: str, count: int) -> str:
    """What a file's axes may be, of which it says `found`: a letter each, Y and X among them."""
    letters = list(found if len(found) == count else "?" * count)
    sure = set(ARRAY_AXES) & {a for a in letters if letters.count(a) == 1}
    letters = [a if a in sure else "?" for a in letters]
    for axis in "XY":  # the last that nobody knows
        if axis not in letters:
            unknown = [i for i, a in enumerate(letters) if a == "?"]
            letters[unknown[-1] if unknown else -1] = axis
    spare = iter([a for a in "ZCT" if a not in letters])  # Z is next to Y and X
    return "".join(next(spare, "") if a == "?" else a for a in reversed(letters))[::-1]


class Image(Closing):
    """One scene of an image file, open; pixels are read when asked for.

    Its `read` may be called from several threads, one at a time gets in.

    Attributes
    ----------
    path : Path
    axes : str
        In the file's own order, a subset of TCZYX.
    shape : tuple of int
        Of level 0.
    dtype : numpy.dtype
        In this machine's byte order.
    channel_names : tuple of str or None
        "" for a channel that has none.
    mpp : tuple of float or None
        µm per level-0 pixel, (y, x).
    z_um : float or None
        µm per slice.
    levels : list of tuple of int
        Shape of each pyramid level, the finest first.
    steps : list of tuple of float
        Level-0 pixels per pixel of each level, along y and x.
    chunks : list of tuple of int or None
        Of each level what is decoded together; None where nothing is, or all of it once.
    where : Where or None
        Where it lies.
    scenes : tuple of Scene
        All that the file holds.
    scene : int
        The number of this one.
    remarks : tuple of str
        What a user should know of how it is read, a sentence each.
    files : tuple of Path
        All that its pixels and metadata are in, where others than `path` are or could be.
    white : White or None
        The value of white, where the file says it and it isn't the dtype's own.
    mpp_from : str or None
        Who says `mpp`, in words: ``"Aperio's MPP"``; None where it is the format's own field.
    is_slide : bool
        Whether it is a scanner's slide, by its reader's word: it has a background of glass.
    magnification : float or None
        The objective's power, where the file says it.
    bounds : tuple of int or None
        What of it was scanned, ``(y, x, height, width)`` in level-0 pixels, where the file says it.
    """

    def __init__(self, path: Path, source: Source, axes: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.path = path
        self.axes = axes
        self.levels = [level.shape for level in source.levels]
        self.chunks = [level.chunks for level in source.levels]
        self.shape = self.levels[0]
        self.steps = [self._step(level) for level in source.levels]
        self.dtype = source.dtype.newbyteorder("=")
        self.mpp = source.mpp
        self.z_um = source.z_um
        self.where = source.where
        self.scenes, self.scene = source.scenes, source.scene
        self.remarks = source.remarks
        self.files = source.files
        self.white = source.white
        self.mpp_from = source.mpp_from
        self.is_slide = source.is_slide
        self.magnification = source.magnification
        self.bounds = source.bounds
        names = source.channel_names
        fits = names is not None and len(names) == self.size("C")
        self.channel_names = names if fits else None

    def _step(self, level: Level) -> tuple[float, float]:
        y, x = (self.axes.index(a) for a in "YX")
        ratios = (self.shape[y] / level.shape[y], self.shape[x] / level.shape[x])
        return level.step or ratios

    def size(self, axis: str) -> int:
        """Pixels along an axis at level 0; 1 where the image hasn't it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def read(self, level: int, index: Mapping[str, int | slice]) -> Array:
        """A region of a level.

        Parameters
        ----------
        level
            0 is the finest.
        index
            Per axis a number, which drops the axis, or a slice of step 1; all of an axis that
            isn't named.

        Returns
        -------
            The axes that are left, in the file's order; dtype as the image, in native byte order.

        Raises
        ------
        DamagedPixelsError
            When the file is damaged there.
        """
        return self._squeezed(self._window(level, self._spans(level, index)), index)

    def read_around(
        self, level: int, index: Mapping[str, int | slice], fill: float = 0
    ) -> tuple[Array, int]:
        """A region of a level as `read` gives it, with a value in place of what can't be read.

        Parameters
        ----------
        level, index
            As of `read`.
        fill
            The value of pixels whose strip, tile or chunk is damaged.

        Returns
        -------
            The region, and how many of its values are `fill` because they can't be read.
        """
        window = self._spans(level, index)
        try:
            return self._squeezed(self._window(level, window), index), 0
        except DamagedPixelsError:
            pixels, lost = np.full([s.stop - s.start for s in window], fill, self.dtype), 0
        for part in cut(window, self.chunks[level]):
            into = tuple(
                slice(p.start - s.start, p.stop - s.start)
                for p, s in zip(part, window, strict=True)
            )
            try:
                pixels[into] = self._window(level, part)
            except DamagedPixelsError:
                lost += pixels[into].size
        return self._squeezed(pixels, index), lost

    def _spans(self, level: int, index: Mapping[str, int | slice]) -> Window:
        """What `index` says, as a slice each of a level's axes."""
        get = index.get
        sides = zip(self.axes, self.levels[level], strict=True)
        return tuple([_span(get(a), n) for a, n in sides])  # a list is made faster

    def _window(self, level: int, window: Window) -> Array:
        """A window's pixels, all axes, in native byte order."""
        try:
            with self._lock:
                return np.asarray(self._source.levels[level].read(window), self.dtype, order="C")
        except Exception as error:
            if not is_damage(error, self.path):
                raise
            at = ", ".join(
                f"{a} {s.start} to {s.stop}" for a, s in zip(self.axes, window, strict=True)
            )
            told = failed(self.path, f"its pixels at {at} can't be read", error)
            raise DamagedPixelsError(told, self.path) from error

    def _squeezed(self, pixels: Array, index: Mapping[str, int | slice]) -> Array:
        """Less the axes that `index` gives a number."""
        dropped = [i for i, a in enumerate(self.axes) if isinstance(index.get(a), int)]
        return pixels.squeeze(tuple(dropped)) if dropped else pixels

    def decode_factor(self, tile: tuple[int, ...]) -> float:
        """How many times each byte of level 0 is decoded when it is read tile by tile.

        Once, where the chunks that a row of tiles meets are kept until the row is done. Otherwise
        as if none were kept; tiles that overlap come on top.

        Parameters
        ----------
        tile
            Pixels of a tile, ((z,) y, x); axes it hasn't are read one index at a time.
        """
        level = self._source.levels[0]
        if level.chunks is None:
            return 1.0
        steps = {"C": self.size("C"), **dict(zip("ZYX"[-len(tile) :], tile, strict=True))}
        axes = [
            (axis, n, chunk, steps.get(axis, 1))
            for axis, n, chunk in zip(self.axes, level.shape, level.chunks, strict=True)
        ]
        row = [n if axis == "X" else met(n, chunk, step) for axis, n, chunk, step in axes]
        kept = math.prod(row) * self.dtype.itemsize <= level.kept
        again = "TZ" if kept else "TZYX"  # channels are read together
        times = [repeats(n, chunk, step) for axis, n, chunk, step in axes if axis in again]
        return math.prod(times, start=1.0)

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _span(index: int | slice | None, n: int) -> slice:
    if index is None:
        return slice(0, n)
    if isinstance(index, slice):
        start, stop, _ = index.indices(n)
        return slice(start, max(start, stop))
    if not 0 <= index < n:
        raise IndexError(f"{index} of {n}")
    return slice(index, index + 1)
