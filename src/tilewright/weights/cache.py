"""The folder of weights: each file under its digest, which is verified before it is used.

A file is `<weights_dir>/<sha256>/<name>`, a local one a link. Whoever may write there may put
another file in its place: the user's own `notes` say which was read through, and nothing else does.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from pathlib import Path

from tilewright.contract.canonical import digest
from tilewright.contract.files import atomic
from tilewright.contract.reading import followed, opened
from tilewright.environments.inplace import home
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.registry.locations import NotTaken
from tilewright.registry.manifest import Form

from .notes import Heard, file_sha256, is_read

SHA256 = re.compile(r"[0-9a-f]{64}")
"""A digest's name."""
MOST_BYTES = 1 << 36
"""Of a file of weights: more takes minutes to look through, and is no model's."""
MOST_FILES = 1000
"""Of a folder of weights: one too many is somebody's home, and takes hours to read."""


def default_folder() -> Path:
    """Where weights are kept: `TILEWRIGHT_WEIGHTS`, else in `home()`."""
    given = os.environ.get("TILEWRIGHT_WEIGHTS")
    return Path(given).absolute() if given else home() / "weights"


class ChangedError(TilewrightError):
    """A file of weights that doesn't answer to its digest."""


def path_of(sha256: str, folder: Path) -> Path | None:
    """The file kept under a digest, or None for a model that brings its own.

    Raises
    ------
    TilewrightError
        When it isn't there any more, or isn't that file (69).
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
    """The file that answers to a digest; a link's own file may have changed since.

    Raises
    ------
    ChangedError
        When there is one that doesn't, and is no link, and no other that does (69).
    """
    wrong: ChangedError | None = None
    for path in entries(sha, folder):
        try:
            found = digest_of(path)
        except (OSError, NotTaken) as reason:
            said = f"can't be read: {why(reason)}"
        else:
            if found == sha:
                return path
            said = f"isn't the file that was kept: its SHA-256 is {found}, not {sha}"
        if not path.is_symlink():
            wrong = ChangedError(f"{path} {said}.", fix=remedy(path), code=UNAVAILABLE)
    if wrong:
        raise wrong
    return None


def entries(sha: str, folder: Path) -> list[Path]:
    """What is kept under a digest, whether it answers to it or not."""
    try:
        return sorted(p for p in (folder / sha).iterdir() if not p.name.startswith("."))
    except OSError:
        return []


def remedy(path: Path) -> str:
    """What to do about a file that doesn't answer to its digest, as a sentence."""
    if os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return "Remove it and run again: it is fetched anew."
    try:
        owner = path.owner()
    except (KeyError, OSError):
        owner = "its owner"
    return f"Ask {owner} to remove it, or choose another folder of weights: --weights_dir."


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
        raise NotTaken(why(error)) from None


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


def why(error: Exception) -> str:
    """Why a file can't be read, as half a sentence."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "you may not read it"
    return str(getattr(error, "strerror", None) or error)


def digest_of(local: Path, *, anew: bool = False, heard: Heard | None = None) -> str:
    """SHA-256 of a file, or over a folder's files; what hasn't changed isn't read again.

    Parameters
    ----------
    anew, heard
        As `file_sha256` has them.

    Raises
    ------
    NotTaken
        When a folder has too many files.
    OSError
        When it can't be read.
    """
    real = followed(local)
    if not real.is_dir():
        return file_sha256(real, anew=anew, heard=heard)
    names = {path.relative_to(real).as_posix(): path for path in files_in(real)}
    shas = {name: file_sha256(path, anew=anew, heard=heard) for name, path in names.items()}
    return digest(shas)


def is_noted(local: Path) -> bool:
    """Whether the digest of a file, or of all in a folder, as it is now, is noted."""
    return all(map(is_read, files_in(local))) if local.is_dir() else is_read(local)
