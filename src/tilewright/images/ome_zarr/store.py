"""A Zarr's files: a folder or one zip of it, and whether chunks lie where its metadata says."""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import zarr

from tilewright.contract.made import ZARR_METADATA
from tilewright.contract.reading import followed, read_text
from tilewright.images.source import MOST_METADATA, unreadable

from .whole import SmallFiles, WholeFiles

Text = Callable[[str], str | None]
ARRAY = re.compile(r'"node_type"\s*:\s*"array"')
"""In a zarr.json: an array's, or a group's that has copies of its arrays' metadata."""
INDEX_BYTES = 16  # of a chunk in a shard's index
DIGIT = 7  # in the key of a chunk that stands for all


@dataclass(frozen=True)
class ZarrFiles:
    """A Zarr, open.

    Parameters
    ----------
    root
        Its group or array.
    text
        The content of one of its files, by the path in it; None where there is none.
    holds
        Whether it has one of a path.
    names
        Paths, in a folder of it, of all files in there.
    close
        Closes it.
    """

    root: Any
    text: Text
    holds: Callable[[str], bool]
    names: Callable[[str], Iterator[str]]
    close: Callable[[], None]


def open_files(path: Path) -> ZarrFiles:
    """A folder, or a zip of what is in one, or of the folder itself (RFC-9's `.ozx` or any).

    Metadata is read where it belongs: consolidated copies of it may be older.

    Raises
    ------
    TilewrightError
        When a zip has no Zarr in it.
    """
    if path.is_dir():
        text: Text = partial(_text, path)
        root = _root(path, WholeFiles(path, read_only=True), "", text)
        return ZarrFiles(
            root,
            text,
            holds=lambda name: (path / name).is_file(),
            names=lambda name: _files(path / name),
            close=lambda: None,
        )
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    within = _within(path, names)
    text = partial(_zipped, path, within)
    store = SmallFiles(path, mode="r", read_only=True)
    try:
        root = _root(path, store, within.rstrip("/"), text)
    except BaseException:
        store.close()
        raise
    there = frozenset(names)
    return ZarrFiles(
        root,
        text,
        holds=lambda name: within + name in there,
        names=lambda name: _below(names, within + name),
        close=store.close,
    )


def _root(path: Path, store: Any, within: str, text: Text) -> Any:
    """The group or array at the top; zarr-python looks but once where it is told which it is."""
    new = text("zarr.json")
    told: dict[str, Any] = {"path": within, "mode": "r", "zarr_format": 2 if new is None else 3}
    maybe_array = text(".zarray") if new is None else ARRAY.search(new)
    try:
        if maybe_array is None:
            return zarr.open_group(store, **told, use_consolidated=False)
        return zarr.open(store, **told, use_consolidated=False)
    except FileNotFoundError:
        raise unreadable(
            path,
            "it has a Zarr's attributes, but no zarr.json, .zgroup or .zarray that says what it is",
            "Copy it again, hidden files too, or export it again.",
        ) from None


def _within(path: Path, names: list[str]) -> str:
    """Where in a zip the Zarr begins: at its root, or in the one folder that is there."""
    tops = {name.split("/")[0] + "/" for name in names if "/" in name and name[0] not in "._"}
    starts: list[str] = ["", *(tops if len(tops) == 1 else ())]
    for within in starts:
        if any(within + name in names for name in ZARR_METADATA):
            return within
    raise unreadable(
        path,
        "this zip isn't OME-Zarr (it has no zarr.json or .zattrs at its root)",
        "Unpack it, or zip what is in the OME-Zarr's folder, without compression.",
    )


def _text(folder: Path, name: str) -> str | None:
    path = folder / name
    return read_text(path, MOST_METADATA) if path.is_file() else None


def _zipped(path: Path, within: str, name: str) -> str | None:
    with zipfile.ZipFile(path) as file:
        if within + name not in file.namelist():
            return None
        with file.open(within + name) as entry:
            data = entry.read(MOST_METADATA + 1)
    if len(data) > MOST_METADATA:
        raise ValueError(f"its {name} unpacks to over {MOST_METADATA >> 20} MiB")
    return data.decode()


def _files(folder: Path, before: str = "", above: tuple[Path, ...] = ()) -> Iterator[str]:
    """Files below a folder, as they come: the first ones tell how all are called."""
    above = (*above, followed(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink() or followed(Path(entry)) not in above:  # back up
                    yield from _files(Path(entry), f"{before}{entry.name}/", above)
            else:
                yield before + entry.name


def _below(names: list[str], folder: str) -> Iterator[str]:
    start = folder.rstrip("/") + "/" if folder else ""
    return (n[len(start) :] for n in names if n.startswith(start) and not n.endswith("/"))


def checked_array(path: Path, files: ZarrFiles, array: Any) -> tuple[Any, tuple[str, ...]]:
    """An array whose chunks are found, and what a user should know of them.

    Zarr takes a chunk that isn't there for background; so chunks under other names than the
    metadata says would be an image of zeros.

    Parameters
    ----------
    path
        Named in errors.
    files
        Where the array is.
    array
        A `zarr.Array`.

    Raises
    ------
    TilewrightError
        When pixels are pickles, a chunk can't be decoded in this machine's memory, or files are
        there and none is called as a chunk should be.
    """
    coding = {k: v for k, v in array.metadata.to_dict().items() if k != "attributes"}
    if "pickle" in json.dumps(coding, default=str):  # decoding it could run anything
        raise unreadable(
            path, "its pixels are stored as Python pickles", "Export it again as OME-Zarr."
        )
    _check_chunks(path, array)
    inside = _inside(files, array)
    first = array.metadata.encode_chunk_key((0,) * array.ndim)
    if files.holds(f"{inside}/{first}".lstrip("/")):  # mostly, and without a look at all names
        return array, ()
    key = array.metadata.encode_chunk_key((DIGIT,) * array.ndim)
    found = _first(files.names(inside), (_form(key), _form(key, swapped=True)))
    if found is None:
        if not array.size:
            return array, ()
        value = 0 if array.fill_value is None else array.fill_value
        return array, (f"None of its chunks is there: all pixels are the fill value, {value}.",)
    name, form = found
    if form == 0:
        return array, ()
    if form == 1 and array.metadata.zarr_format == 2:
        separator = "/" if "/" in name else "."
        said = f"Its chunks are called as {name!r}, though its .zarray says otherwise"
        return _separated(array, separator), (f"{said}: they are read as they lie.",)
    raise unreadable(
        path,
        f"none of the chunks of {array.path or 'its array'!r} is called as its metadata says "
        f"({first}); there is {name!r}",
        "Copy or export it again.",
    )


def _check_chunks(path: Path, array: Any) -> None:
    """Refuse chunks that can't be: each is decoded whole, and so is the index of a shard."""
    sides = " x ".join(map(str, array.chunks))
    if 0 in array.chunks:
        raise unreadable(path, f"its chunks are {sides}, of no pixels", "Export it again.")
    outer = zip(array.shards or array.chunks, array.chunks, strict=True)
    count = math.prod(shard // chunk for shard, chunk in outer)
    decoded, index = math.prod(array.chunks) * array.dtype.itemsize, count * INDEX_BYTES
    if max(decoded, index) > memory():
        what = f"chunks of {sides} pixels" if decoded > memory() else f"{count:,} chunks in a shard"
        there, needed = (f"{n / 2**30:,.1f} GiB" for n in (memory(), max(decoded, index)))
        raise unreadable(
            path,
            f"it has {what}, of which {needed} are read at once, and this machine has {there} of "
            "memory",
            "Export it again, in chunks of about 1024 x 1024 pixels.",
        )


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _inside(files: ZarrFiles, array: Any) -> str:
    """An array's folder below the root's."""
    return str(array.path).removeprefix(str(files.root.path)).strip("/")


def _form(key: str, *, swapped: bool = False) -> re.Pattern[str]:
    """What all chunks' names are like, of one's; `swapped`, with the other separator."""
    if swapped:
        key = key.translate(str.maketrans("./", "/."))
    return re.compile(re.escape(key).replace(str(DIGIT), r"\d+"))


def _first(names: Iterator[str], forms: tuple[re.Pattern[str], ...]) -> tuple[str, int] | None:
    """The first name that has one of the forms, and which; else any name, and how many there are.

    Metadata and hidden files (a file system's, a copying program's) don't count.
    """
    other = None
    for name in names:
        if name.rpartition("/")[2].startswith((".", "zarr.json")):
            continue
        for number, form in enumerate(forms):
            if form.fullmatch(name):
                return name, number
        other = other or (name, len(forms))
    return other


def _separated(array: Any, separator: str) -> Any:
    """A Zarr 2 array, its chunks' names put together with another separator."""
    metadata = replace(array.metadata, dimension_separator=separator)
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path))
