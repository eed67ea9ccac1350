"""What is known of files of weights, kept where nobody else can write it.

A file that was read through isn't read again while its size, times and inode are the same: its
digest is noted in the user's own cache. What can't be checked by a digest, such as which file a
place without one gave, is kept beside the weights where only that folder's owner may write, else
in the user's own cache, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

from tilewright.contract.files import atomic
from tilewright.contract.reading import followed, opened
from tilewright.environments.private import only_its_owner_fills, own_folder
from tilewright.registry.locations import NotTaken

BLOCK = 1 << 20  # bytes read at a time
TICK = 0.1  # s, more than a file system's clock stands still: two changes in one look like one

Heard = Callable[[int], None]
"""Takes how many bytes were just read."""


def file_sha256(path: Path, *, anew: bool = False, heard: Heard | None = None) -> str:
    """SHA-256 (64 hex digits) of a file, as noted if it is the same still.

    Parameters
    ----------
    anew
        Whether it is read in any case.
    heard
        Told of each block.

    Raises
    ------
    OSError
        When it isn't a file that can be read.
    """
    real = followed(path)
    with opened(real) as file:  # once it is open a network disk has told its latest times
        sha, then = _noted(real)
        if then == _state(os.fstat(file.fileno())) and not anew:
            return sha
        with contextlib.suppress(OSError):  # else who maps it may write on, its times as they were
            os.fsync(file.fileno())
        now = os.fstat(file.fileno())
        if abs(time.time() - now.st_ctime) < TICK:
            time.sleep(TICK)
        sha = read_through(file, heard or (lambda count: None))
        same = _state(os.fstat(file.fileno())) == _state(now)
    notes = own_folder("weights", "digests")
    if notes and same:
        with contextlib.suppress(OSError):  # a cache that can't be written: it is read each time
            write(_note(real, notes), f"{sha} {_state(now)}")
    return sha


def read_through(file: io.BufferedReader, heard: Heard) -> str:
    """SHA-256 of an open file."""
    sha = hashlib.sha256()
    while block := file.read(BLOCK):
        sha.update(block)
        heard(len(block))
    return sha.hexdigest()


def is_read(path: Path) -> bool:
    """Whether the digest of a file, as it is now, is noted."""
    real = followed(path)
    return _noted(real)[1] == _state(real.stat())


def _noted(real: Path) -> tuple[str, str]:
    """The digest that is noted of a file, and what it was then."""
    notes = own_folder("weights", "digests")
    sha, _, then = read(_note(real, notes)).partition(" ") if notes else ("", "", "")
    return sha, then


def _state(about: os.stat_result) -> str:
    """A file's size, times (ns) and inode; its device's number is another on each node."""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def _note(key: object, folder: Path) -> Path:
    return folder / hashlib.sha256(str(key).encode()).hexdigest()


def believed(folder: Path, name: str) -> Path | None:
    """Where what no digest checks is kept of a folder of weights; None where nowhere is safe.

    Parameters
    ----------
    folder
        Of weights.
    name
        Of what is kept: a folder in it, where only its owner may write, else one of the user's own.
    """
    if only_its_owner_fills(folder, name):
        return folder / name
    return own_folder("weights", _note(followed(folder), Path()).name, name)


def first_use(place: str, folder: Path) -> Path:
    """Where it is noted which file a place gave that names no digest.

    Parameters
    ----------
    place
        What tells it from others.
    folder
        Of weights.

    Raises
    ------
    NotTaken
        Where nowhere is safe.
    """
    kept = believed(folder, "by-location")
    if kept is None:
        raise NotTaken(f"it has no sha256, and others may write in {folder} and in your cache")
    return _note(place, kept)


def noted_first(place: str, folder: Path) -> str:
    """The digest that a place's file had at first use; nothing if that isn't known."""
    with contextlib.suppress(NotTaken):
        return read(first_use(place, folder))
    return ""


def noted_by_others(place: str, folder: Path) -> str:
    """The digest that a note beside the weights gives, whoever wrote it; nothing without one."""
    return read(_note(place, folder / "by-location"))


def read(note: Path) -> str:
    """What a note says; nothing if there is none."""
    try:
        return note.read_text().strip()
    except (OSError, ValueError):
        return ""


def write(note: Path, text: str) -> None:
    """Write a note, or replace it, at one stroke."""
    note.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with atomic(note) as part:
        part.write_text(text)
