"""A job's results in one file: a zip of plain .npy arrays and a JSON header, never a pickle.

The worker writes it tile by tile, `merge` reads any tile of it. The bytes depend on nothing but
what is put in: no times, no paths. Arrays are packed by Zstandard, which MERGE unpacks several
times as fast as a zip's own deflate; the zip's checksums are of the packed bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numcodecs import zstd  # type: ignore[import-untyped]

from tilewright.contract import files
from tilewright.contract.jobs import TileRange
from tilewright.errors import UNAVAILABLE, TilewrightError

from .strips import cut

Array = np.ndarray
HEADER = "header.json"
PLAIN, PACKED = ".npy", ".npy.zst"


class MapHeader(TypedDict):
    """What a bank says of maps; `stride` is model pixels per map pixel."""

    channels: int
    stride: int
    dtype: str


class Header(TypedDict, total=False):
    """What a bank says of itself."""

    group: str
    job: int
    jobs: int | None
    recipe: str
    weights: str
    images: list[dict[str, Any]]
    parts: Sequence[TileRange]
    failures: dict[str, str]
    faults: list[str]
    left_out: dict[str, str]
    skipped: dict[str, list[int]]
    unread: dict[str, dict[str, str]]
    precision: str | None
    map: MapHeader | None
    classes: dict[str, int]
    arrays: str


SAYS = {"group": str, "job": int, "recipe": str, "weights": str, "images": list, "parts": list}
SAYS |= {"failures": dict, "left_out": dict, "skipped": dict}
"""What every header says, and as which kind of value."""
ENTRY = ("header_offset", "compress_size", "file_size", "CRC", "compress_type", "flag_bits")
"""What finds and reads an array in its zip."""
DAMAGED = (
    KeyError, ValueError, EOFError, OSError, RuntimeError, OverflowError, zipfile.BadZipFile,
    zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip
"""What reading a bank raises where its bytes are not what was written."""
_writing = partial(files.writing, fix=files.MORE_ROOM)


class BankWriter:
    """Writes a bank under a temporary name and renames it when it is whole.

    Used as a context manager; left by an exception, no file is left.

    Raises
    ------
    TilewrightError
        69, from any of its methods, when the disk is full or the folder can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        with _writing(path):
            self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED)

    def put(self, name: str, array: Array, *, pack: bool = True) -> None:
        """Add one array.

        Parameters
        ----------
        name
            By which `get` finds it.
        array
            Any shape and dtype but objects.
        pack
            Whether to compress it, which noise isn't worth.
        """
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        if pack:
            self._write(name + PACKED, zstd.compress(buffer.getbuffer(), 1))
        else:
            self._write(name + PLAIN, buffer.getvalue())

    def put_strips(self, name: str, array: Array) -> None:
        """Add one array, of any shape of an axis or more, whose strips can be read one by one."""
        for number, strip in enumerate(cut(array)):
            self.put(strip_name(name, number), strip)

    def close(self, header: Header) -> None:
        """Add the header and give the file its name."""
        header = {**header, "arrays": _told_apart(self._zip.infolist())}
        self._write(HEADER, json.dumps(header, sort_keys=True).encode())
        with _writing(self._path):
            self._zip.close()
            self._part.replace(self._path)

    def _write(self, name: str, data: bytes) -> None:
        with _writing(self._path):
            self._zip.writestr(zipfile.ZipInfo(name), data)  # dated 1980: no time in the bytes

    def __enter__(self) -> BankWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part.exists():
            with contextlib.suppress(OSError, ValueError):  # on a full disk it can't end the file
                self._zip.close()
            self._part.unlink()


class Bank:
    """A finished bank, read by name.

    Raises
    ------
    TilewrightError
        69, from any of its methods, naming the file and, where one can't be read, the array: it
        is damaged, or no bank at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading("its end or its header"):
            self._zip = zipfile.ZipFile(path)
            self.header: Header = json.loads(self._zip.read(HEADER))
            arrays = _told_apart(self._zip.infolist())
            self._names, self._entries = _index(self._zip)
        lacks = [k for k, kind in SAYS.items() if not isinstance(self._said(k), kind)]
        if lacks:
            raise self._damaged(f"its header says no {', '.join(lacks)}")
        if self._said("arrays") != arrays:
            raise self._damaged("its arrays aren't those of its header")

    def __contains__(self, name: str) -> bool:
        return any(self._place(name + ending) is not None for ending in (PACKED, PLAIN))

    def names(self, start: str) -> list[str]:
        """Names of the arrays that begin with `start`, sorted."""
        begin = start.encode()
        after = self._names[np.searchsorted(self._names, begin) :].tolist()
        found = itertools.takewhile(lambda name: name.startswith(begin), after)
        return [name.decode().removesuffix(PACKED).removesuffix(PLAIN) for name in found]

    def get(self, name: str) -> Array:
        """The array put under `name`, its shape and dtype as they were; not to be written to."""
        with self._reading(f"its array {name}"):
            if self._place(name + PLAIN) is not None:
                return _array(self._zip.read(self._entry(name + PLAIN)))
            return _array(zstd.decompress(self._zip.read(self._entry(name + PACKED))))

    def _place(self, name: str) -> int | None:
        key = name.encode()
        at = int(np.searchsorted(self._names, key))
        return at if at < len(self._names) and self._names[at] == key else None

    def _entry(self, name: str) -> zipfile.ZipInfo:
        at = self._place(name)
        if at is None:
            raise KeyError(name)
        entry = zipfile.ZipInfo(name)
        for field, value in zip(ENTRY, self._entries[at].tolist(), strict=True):
            setattr(entry, field, value)
        return entry

    def _said(self, key: str) -> object:
        return self.header.get(key) if isinstance(self.header, dict) else None

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Whatever is wrong with the bytes, as a sentence."""
        try:
            yield
        except DAMAGED as error:
            why = " ".join(str(error).split())
            raise self._damaged(f"{what} can't be read ({type(error).__name__}: {why})") from error

    def _damaged(self, why: str) -> TilewrightError:
        return TilewrightError(
            f"{self.path.name}: this is no whole bank; {why}.",
            fix=f"Delete {self.path.resolve()} and run again: its job is then done anew.",
            code=UNAVAILABLE,
        )


def _told_apart(entries: Iterable[zipfile.ZipInfo]) -> str:
    """SHA-256 over the names and checksums of a bank's arrays: a zip guards no names itself."""
    said = sorted(f"{e.filename} {e.CRC:08x}" for e in entries if e.filename != HEADER)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _index(file: zipfile.ZipFile) -> tuple[Array, Array]:
    """A zip's names, sorted, and what is known of each: ``(n,)`` bytes, ``(n, 6)`` int64.

    It forgets its own index, of a kilobyte or more for each name: an image has many tiles.
    """
    found = sorted(file.infolist(), key=lambda entry: entry.filename.encode())
    names = np.array([entry.filename.encode() for entry in found])
    entries = np.array([[getattr(e, field) for field in ENTRY] for e in found], np.int64)
    file.filelist.clear()
    file.NameToInfo.clear()
    return names, entries


def _array(data: bytes) -> Array:
    """What a .npy file's bytes hold, without a copy of them."""
    buffer = io.BytesIO(data)
    np.lib.format.read_magic(buffer)
    shape, _, dtype = np.lib.format.read_array_header_1_0(buffer)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return np.frombuffer(data, dtype, offset=buffer.tell()).reshape(shape)


def tile_name(image: str, plane: int, tile: int, what: str) -> str:
    """Where a tile's array is.

    Parameters
    ----------
    image
        The image's key in its group.
    plane, tile
        Numbers of the looped plane in the image and of the tile in its grid, from 0.
    what
        Which of its arrays, e.g. ``labels``.
    """
    return f"{image}/{plane:05d}/{tile:07d}/{what}"


def strip_name(name: str, number: int) -> str:
    """Where one of an array's strips is; the first is where an array in one piece would be."""
    return f"{name}.{number:05d}" if number else name


def rows_start(image: str) -> str:
    """How the names of all of an image's vectors begin."""
    return f"{image}/rows/"


def rows_name(image: str, first: int) -> str:
    """Where a run of tiles' vectors is: `first` is its first tile's number, over all planes."""
    return f"{rows_start(image)}{first:010d}"


def check_shape(found: tuple[int, ...], first: tuple[int, ...] | None) -> None:
    """Refuse vectors of one image that aren't of one shape: they make no table.

    Raises
    ------
    TilewrightError
        65, naming both shapes.
    """
    if first is not None and found != first:
        raise TilewrightError(
            f"The model gives {' x '.join(map(str, first))} numbers for one tile and "
            f"{' x '.join(map(str, found))} for another of the same image.",
            fix="Give it tiles of one size: variable_input false in the manifest.",
        )


def open_banks(paths: Iterable[Path]) -> list[Bank]:
    """Every bank, in the order of its job's number."""
    return sorted((Bank(p) for p in paths), key=lambda b: b.header["job"])
