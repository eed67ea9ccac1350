"""Zip archives, as most files of weights are: told whole from cut off."""

from __future__ import annotations

import struct
import zipfile
import zlib

BEGINS = b"PK\x03\x04"
CUT_OFF = "it is cut off; fetch or copy it anew"
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, RuntimeError,
    UnicodeDecodeError,
)  # fmt: skip
"""What reading a zip raises where its bytes aren't what was written, or are locked."""


def is_cut_off(path: str) -> bool:
    """Whether a file begins as a zip and lacks its end, where a zip says what is in it."""
    with open(path, "rb") as file:  # noqa: PTH123  # the OSError names the path as it was given
        begins = file.read(len(BEGINS))
    return begins == BEGINS and not zipfile.is_zipfile(path)
