"""A file's digest, writing one at one stroke, and what the system refuses as a sentence."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tilewright.errors import UNAVAILABLE, TilewrightError

from .reading import opened

MORE_ROOM = "Free some space on that disk, or choose another: --work_dir."
"""What to do where a task, which writes in its own folder, can't write."""


def file_digest(path: Path, most: int | None = None) -> str:
    """SHA-256 (64 hex digits) of a file's content.

    Parameters
    ----------
    most
        Its bytes, at most.

    Raises
    ------
    OSError
        When it isn't a file that can be read, or is larger.
    """
    with opened(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Where to write a file, or make a link, that becomes `path` at one stroke.

    It lies beside it, hidden and this writer's own; left by an exception, it goes and `path` stays
    as it was.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # a process' number is another node's, too
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(where: Path | str, fix: str, code: int = UNAVAILABLE) -> Iterator[None]:
    """What the system refuses while something is written, as a sentence.

    Parameters
    ----------
    where
        What is written, for the sentence.
    fix
        What to do about it, as a sentence.
    code
        The error's exit code.

    Raises
    ------
    TilewrightError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(where, error, fix, code) from error


def unwritable(
    where: Path | str, error: OSError, fix: str, code: int = UNAVAILABLE
) -> TilewrightError:
    """The error for what the system didn't let us write.

    Parameters
    ----------
    where
        What was written.
    error
        What the system said.
    fix
        What to do about it, as a sentence.
    code
        The error's exit code.
    """
    return TilewrightError(
        f"{where}: can't be written ({error.strerror or error}).", fix=fix, code=code
    )


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there; of a folder that is read, what can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def take_place(part: Path, target: Path, aside: Path) -> None:
    """Give what was written its name; whatever had it before goes, at no time half of it.

    Parameters
    ----------
    part
        A file or folder.
    target
        Its name.
    aside
        Beside it: where an older one lies until it is removed. A folder can't be renamed onto one
        that isn't empty.
    """
    if part.is_dir() or target.is_dir():
        with suppress(FileNotFoundError):
            target.rename(aside)
        part.rename(target)
        remove(aside)
    else:
        part.replace(target)
