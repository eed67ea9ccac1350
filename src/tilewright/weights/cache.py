"""The folder of weights: each file under its digest, and notes of what was found where.

A file is `<weights_dir>/<sha256>/<name>`, a local one a link. A file that hasn't changed isn't read
twice: its digest is noted in `by-location`, and so is that of a place that names none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zipfile
from pathlib import Path

from tilewright.contract.files import atomic, file_digest
from tilewright.contract.jobs import digest
from tilewright.contract.reading import followed, opened
from tilewright.environments.inplace import home
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.registry.locations import NotTaken
from tilewright.registry.manifest import Form

MOST_BYTES = 1 << 36
"""Of a file of weights: more takes minutes to look through, and is no model's."""
MOST_FILES = 1000
"""Of a folder of weights: one too many is somebody's home, and takes hours to read."""


def default_folder() -> Path:
    """Where weights are kept: `TILEWRIGHT_WEIGHTS`, else in `home()`."""
    given = os.environ.get("TILEWRIGHT_WEIGHTS")
    return Path(given).absolute() if given else home() / "weights"


def path_of(sha256: str, folder: Path) -> Path | None:
    """The file kept under a digest, or None for a model that brings its own.

    Raises
    ------
    TilewrightError
        When it isn't there any more (69).
    """
    if not sha256:
        return None
    found = kept(sha256, folder)
    if found is None:
        raise TilewrightError(
            f"The weights {sha256} are not in {folder} any more.",
            fix="Run again: they are fetched anew.",
            code=UNAVAILABLE,
        )
    return found


def kept(sha: str, folder: Path) -> Path | None:
    """The file that answers to a digest; a link's own file may have changed since."""
    try:
        found = sorted(p for p in (folder / sha).iterdir() if not p.name.startswith("."))
    except OSError:
        return None
    for path in found:
        with contextlib.suppress(OSError, NotTaken):
            if path.exists() and (not path.is_symlink() or digest_of(path, folder) == sha):
                return path
    return None


def link(local: Path, sha: str, folder: Path) -> None:
    """Make a local file or folder answer to its digest.

    Parameters
    ----------
    sha
        Its SHA-256.
    folder
        Of weights; ``folder/sha`` is made if need be.
    """
    if kept(sha, folder):
        return
    there = folder / sha / local.name
    there.parent.mkdir(parents=True, exist_ok=True)
    with atomic(there) as part:  # two runs may make the same link
        part.symlink_to(followed(local))


def readable_size(local: Path, form: Form = "file") -> int:
    """The bytes of a file or folder the user may read.

    Parameters
    ----------
    form
        What the model takes.

    Raises
    ------
    NotTaken
        When there is none, it may not be read, or the model takes none of its form.
    """
    try:
        mode = local.stat().st_mode
        if stat.S_ISDIR(mode):
            if form == "file":
                raise NotTaken("it is a folder, and the model takes a file")
            return sum(_size_within(path) for path in files_in(local))
        size = local.stat().st_size
        with opened(local, MOST_BYTES) as file:
            if form == "folder" and size and not zipfile.is_zipfile(file):
                raise NotTaken("the model takes a folder, or a zip of one, and it is neither")
            return size
    except (OSError, ValueError) as error:
        raise NotTaken(_why(error)) from None


def _size_within(path: Path) -> int:
    try:
        return readable_size(path)
    except NotTaken as reason:
        raise NotTaken(f"of its file {path.name}, {reason}") from None


def files_in(folder: Path) -> list[Path]:
    """The files of a folder of weights, in the order of their paths; hidden ones don't count.

    Raises
    ------
    NotTaken
        When there are more than a model's folder can have.
    OSError
        When it can't be read.
    """
    found: list[Path] = []
    for path, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(path, name) for name in names if not name.startswith("."))
        found += [file for file in files if file.is_file()]
        if len(found) > MOST_FILES:
            raise NotTaken(f"it holds more than {MOST_FILES} files, which is no model's folder")
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "you may not read it"
    return str(getattr(error, "strerror", None) or error)


def digest_of(local: Path, folder: Path) -> str:
    """SHA-256 of a file, or over a folder's files; of one that hasn't changed it is remembered."""
    real = followed(local)
    if real.is_dir():
        names = {path.relative_to(real).as_posix(): path for path in files_in(real)}
        return digest({name: digest_of(path, folder) for name, path in names.items()})
    (sha, then), now = _noted(real, folder), _times(real)
    if then == now:
        return sha
    sha = file_digest(real)
    with contextlib.suppress(OSError):  # a cache that only others may write in
        write_note(note_of(str(real), folder), f"{sha} {now}")
    return sha


def is_noted(local: Path, folder: Path) -> bool:
    """Whether the digest of a file, or of all in a folder, as it is now, is remembered."""
    if local.is_dir():
        return all(is_noted(path, folder) for path in files_in(local))
    return _noted(local, folder)[1] == _times(local)


def _noted(local: Path, folder: Path) -> tuple[str, str]:
    """The digest that is remembered of a file, and the size and times it had then."""
    sha, _, then = read_note(note_of(str(followed(local)), folder)).partition(" ")
    return sha, then


def _times(local: Path) -> str:
    """A file's size, and when it changed."""
    found = local.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def note_of(key: str, folder: Path) -> Path:
    """Where the digest of a place's file is remembered."""
    return folder / "by-location" / hashlib.sha256(key.encode()).hexdigest()


def read_note(note: Path) -> str:
    """What a note says; nothing if there is none."""
    try:
        return note.read_text().strip()
    except (OSError, ValueError):
        return ""


def write_note(note: Path, text: str) -> None:
    """Write a note, or replace it, at one stroke."""
    note.parent.mkdir(parents=True, exist_ok=True)
    with atomic(note) as part:
        part.write_text(text)
