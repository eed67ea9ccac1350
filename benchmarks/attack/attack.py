"""One bad input: what is written, what is said to `plan`, and what the answer must name."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

MOST_DIGESTED = 1 << 26
"""Bytes of a file whose content is looked at."""
Make = Callable[[Path], list[str]]
"""Writes a bad input into a folder, and gives the words for ``tilewright``."""


@dataclass(frozen=True)
class Attack:
    """A bad input.

    Parameters
    ----------
    kind
        What is tried, of many.
    name
        Of this one.
    make
        Writes it.
    names
        What the sentence must name; "" where it may do no harm and be passed over.
    steps
        Tasks of a run, after PLAN, that are to meet it; without any, the command itself does.
    user
        The number of the user who tries it, where root's rights would hide what is wrong.
    """

    kind: str
    name: str
    make: Make
    names: str
    steps: tuple[str, ...] = ()
    user: int | None = None

    @property
    def label(self) -> str:
        """Kind and name."""
        return f"{self.kind}/{self.name}"


def image(folder: Path, name: str = "good.tif") -> Path:
    """A small picture that can be read."""
    tifffile.imwrite(folder / name, np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 251)
    return folder / name


def said(*, input: Path | str, **more: object) -> list[str]:
    """The command ``plan`` with its options."""
    given = {"input": input, "outdir": "out", **more}
    return ["plan", *(w for key, value in given.items() for w in (f"--{key}", str(value)))]


def fifo(path: Path) -> None:
    """A pipe that nobody writes into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def sock(path: Path) -> None:
    """A socket; its path may be long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    """A link to a device that never ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    """A link to itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    """A file of 20 TB that has no bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        try:
            file.truncate(2 * 10**13)
        except OSError:
            file.truncate(10**12)


ODD: dict[str, Callable[[Path], None]] = {
    "fifo": fifo, "socket": sock, "device": device, "loop": loop, "huge": huge,
}  # fmt: skip
"""Things that aren't files, or no usual ones."""


def zarr3(folder: Path, shape: Any, chunks: Any, **more: Any) -> Path:
    """An OME-Zarr 0.5 by hand: metadata alone."""
    inner = folder / "0"
    inner.mkdir(parents=True, exist_ok=True)
    axes = "tczyx"[-len(shape) :]
    ome = {"version": "0.5", "multiscales": [{"axes": [
        {"name": a, "type": {"t": "time", "c": "channel"}.get(a, "space")} for a in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "scale", "scale": [1.0] * len(shape)}]}]}]}  # fmt: skip
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(group))
    array = {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
             "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
             "fill_value": 0, "codecs": [{"name": "bytes"}], "attributes": {}, **more}  # fmt: skip
    (inner / "zarr.json").write_text(json.dumps(array))
    return folder


def entries(folder: Path) -> Iterator[str]:
    """All that lies in a folder, links not followed, by the path in it."""
    for path, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            yield os.path.relpath(os.path.join(path, name), folder)  # noqa: PTH118


def contents(folder: Path) -> dict[str, str]:
    """What each of a folder's entries is: a link's target, a small file's digest, its kind."""
    found = {}
    for name in entries(folder):
        path = folder / name
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            found[name] = f"link to {path.readlink()}"
        elif stat.S_ISREG(about.st_mode) and about.st_size < MOST_DIGESTED:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = f"kind {stat.S_IFMT(about.st_mode):o}"
    return found
