"""What tells that a file is bad: the errors that libraries raise for it, by name.

Anything else is a bug of ours and goes up with its trace; so does what is the machine's fault, as
a disk that fails or memory that is full.
"""

from __future__ import annotations

import errno
import json
import re
import struct
import traceback
import zlib
from lzma import LZMAError
from pathlib import Path
from types import FrameType
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from tilewright.errors import TilewrightError

Kinds = tuple[type[Exception], ...]

OURS: Kinds = (ValueError, ArithmeticError, struct.error, zlib.error)
"""In our own lines, and in those of numpy and Python that we call with a file's values."""
# What a library makes of bytes that aren't as they should be comes from all over it.
WRONG_SHAPE: Kinds = (*OURS, LookupError, TypeError, AttributeError, AssertionError, RuntimeError)
LIBRARIES: dict[str, Kinds] = {
    "tifffile": WRONG_SHAPE,  # TiffFileError is a ValueError; a tag of another type, a TypeError
    "imagecodecs": (*OURS, RuntimeError, ImportError),  # its errors; a codec that wasn't built
    # BaseZarrError is a ValueError; metadata of another form, a TypeError; then gzip's and LZMA's
    "zarr": (*WRONG_SHAPE, EOFError, LZMAError),
    "numcodecs": (*WRONG_SHAPE, EOFError, LZMAError),
    "xml": (*OURS, ParseError),
    "json": (*OURS, RecursionError),
    "zipfile": (*OURS, LookupError, RuntimeError, BadZipFile),
}
"""In the lines of what we call to read a file, and in what these call."""
PYTHONS: Kinds = (LookupError, TypeError, AttributeError, AssertionError, ArithmeticError,
                  RecursionError, struct.error, UnicodeError)  # fmt: skip
"""Whose words are about Python's values, and not about a file."""
LIBRARIES_WORDS = (
    (
        re.compile("reshape|dtype|broadcast|buffer size"),
        "a strip, tile or chunk has another size than its header says",
    ),
    (re.compile("[Cc]hecksums? do|CRC"), "a checksum doesn't match its data"),
    (
        re.compile("_[A-Z]+_DATA|returned -?[0-9]|ecompression error"),
        "its compressed data is damaged or cut off",
    ),
    (re.compile("No Zarr data type.*'pickle'"), "its pixels are stored as Python pickles"),
    (re.compile("No Zarr data type"), "its pixels are of a type that isn't known here"),
    (re.compile("invalid literal|could not convert"), "what should be a number in it is none"),
    (re.compile("incompatible keyframe"), "its pages aren't alike"),
    (re.compile("Expected dict|<class"), "its metadata isn't built as its format wants it"),
)
"""What libraries say in words of programs, and what that is."""
NOT_THE_DISK = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EINVAL,
     errno.ENAMETOOLONG, errno.ELOOP, errno.EOVERFLOW, errno.EFBIG}
)  # fmt: skip
"""Numbers of the errors of an operating system that a file, its name or its rights are to blame
for; of any other, as EIO, ESTALE, ENOSPC or EMFILE, trying again may be the remedy."""


class DamagedPixelsError(TilewrightError):
    """A region of an image can't be read; others may.

    Parameters
    ----------
    told
        What is said of it.
    path
        The image's file.
    """

    def __init__(self, told: TilewrightError, path: Path) -> None:
        super().__init__(told.what, fix=told.fix, code=told.code)
        self.path = path


def is_damage(error: Exception, path: Path) -> bool:
    """Whether an error tells that a file is bad, and is neither told already nor a bug of ours.

    Parameters
    ----------
    error
        As it was caught.
    path
        The image; an error that isn't its fault gets a note that names it.
    """
    if isinstance(error, TilewrightError):
        return False
    kinds = _kinds(error)
    found = is_the_files(error) if isinstance(error, OSError) else isinstance(error, kinds)
    if not found:
        error.add_note(f"It came up in {path}.")
    return found


def is_the_files(error: OSError) -> bool:
    """Whether a file is to blame for what the operating system, or a library, says of it."""
    return error.errno is None or error.errno in NOT_THE_DISK


def in_words(error: Exception) -> str:
    """What an error says of a file, for people; what Python says of its values tells them nothing.

    Returns
    -------
        Without a full stop, at most 200 letters.
    """
    told = (error.strerror if isinstance(error, OSError) else None) or error
    said = " ".join(str(told).split()).rstrip(".")
    if isinstance(error, json.JSONDecodeError):
        return f"its metadata is no JSON from line {error.lineno}, column {error.colno} on"
    if isinstance(error, PYTHONS):
        return "its header or metadata is cut off, or not built as its format wants it"
    for pattern, words in LIBRARIES_WORDS:
        if pattern.search(said):
            return words
    return said[:200] or "its data is damaged"


def _kinds(error: Exception) -> Kinds:
    """What tells of bad data where an error came up: that of each library below our last line."""
    names = [_package(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = max((i for i, name in enumerate(names) if name == "tilewright"), default=-1)
    below = [LIBRARIES[name] for name in names[ours + 1 :] if name in LIBRARIES]
    return tuple(kind for kinds in below for kind in kinds) or OURS


def _package(frame: FrameType) -> str:
    """The package of a frame's module; a Cython module's frames know their file alone."""
    name = frame.f_globals.get("__name__") or frame.f_code.co_filename.replace("/", ".")
    return str(name).partition(".")[0]
