"""What a user names, opened: a regular file, and never more of it than there may be.

A pipe nobody writes into would be waited for, a device read without an end. What isn't taken is an
OSError whose `strerror` says it, as for a file that may not be read.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

MOST_TEXT = 1 << 29
"""Bytes of a text, at most, that is read whole: a table, GeoJSON or what a run tells of itself."""
PIECE = 1 << 16  # bytes of a file that doesn't know its size, as those in /proc
OTHERS = {
    stat.S_IFIFO: "it is a pipe, and no file",
    stat.S_IFSOCK: "it is a socket, and no file",
    stat.S_IFCHR: "it is a device, and no file",
    stat.S_IFBLK: "it is a device, and no file",
}
"""What isn't read, by its kind."""


class NotAFileError(OSError):
    """What is named is a pipe, a socket or a device."""


def opened(path: Path, most: int | None = None) -> io.BufferedReader:
    """A regular file, open to be read.

    Parameters
    ----------
    most
        Its bytes, at most.

    Raises
    ------
    OSError
        When there is none, it may not be read, is something else than a file, or larger.
    """
    try:
        check(path, most)  # a device may do something when it is opened
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:
        shown = str(path).replace("\0", "\\0")
        raise OSError(errno.EINVAL, "its name has a zero byte", shown) from None
    try:
        _fits(path, os.fstat(number), most)  # it may be another one now
    except OSError:
        os.close(number)
        raise
    return os.fdopen(number, "rb")


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """All of a regular file.

    Parameters
    ----------
    most
        Its bytes, at most.

    Raises
    ------
    OSError
        As `opened`.
    """
    with opened(path, most) as file:
        found = bytearray()
        while data := file.read(max(PIECE, os.fstat(file.fileno()).st_size + 1)):
            found += data
            if len(found) > most:
                raise _too_large(path, len(found), most)
    if data is None:  # it would have to be waited for
        raise NotAFileError(errno.EINVAL, "it gives nothing, and is no usual file", str(path))
    return bytes(found)


def read_text(
    path: Path, most: int = MOST_TEXT, *, encoding: str = "utf-8", errors: str = "strict"
) -> str:
    """All of a regular file as text, each line's end a single line feed.

    Parameters
    ----------
    most
        Its bytes, at most.
    encoding, errors
        As `open` has them.

    Raises
    ------
    OSError
        As `opened`.
    UnicodeDecodeError
        When it isn't text of that encoding.
    """
    data = io.BytesIO(read_bytes(path, most))
    return io.TextIOWrapper(data, encoding, errors).read()


def check(path: Path, most: int | None = None) -> None:
    """Refuse what isn't a regular file, without opening it.

    Parameters
    ----------
    most
        Its bytes, at most.

    Raises
    ------
    OSError
        As `opened`.
    """
    _fits(path, path.stat(), most)


def _fits(path: Path, about: os.stat_result, most: int | None) -> None:
    said = OTHERS.get(stat.S_IFMT(about.st_mode))
    if said:
        raise NotAFileError(errno.EINVAL, said, str(path))
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if most is not None and about.st_size > most:
        raise _too_large(path, about.st_size, most)


def _too_large(path: Path, size: int, most: int) -> OSError:
    told = f"it has {size:,} bytes, and at most {most:,} are read"
    return OSError(errno.EINVAL, told, str(path))


def followed(path: Path) -> Path:
    """A path with its links followed, as far as they lead somewhere; of a link to itself it."""
    try:
        return Path(os.path.realpath(path))  # pathlib's raises where a link leads to itself
    except ValueError:  # a zero byte
        return path.absolute()
