"""TorchScript files, looked into before torch opens them: no pickle, no code but a network's.

While a file is opened torch unpickles ``data.pkl`` and ``constants.pkl`` by a reader of its own,
which makes plain values and objects of classes that the file's ``code/`` defines, and runs their
``__setstate__``; both are bounded by what that code may name. ``….debug_pkl``, by which errors find
their lines, holds plain values alone and no class is looked up for it, so it isn't read here.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Collection

from .archives import BEGINS, CUT_OFF, UNREADABLE, is_cut_off
from .torchscript_code import unlisted

CLASSES = re.compile(rb"torch\s*[.\n]\s*classes\s*[.\n]\s*(\w+)")
"""torch's classes of C++ in a pickle, which breaks names off at a dot by a new line."""
OTHER_ENTRY, OTHER_MARK = "model.json", b"PTMF"
"""The entry, and the bytes 4 to 8, by which torch reads a file in another way."""
MOST_CODE = 1 << 28  # bytes, those of objects with it; the largest network of timm has under 1 MiB
SAVE_ANEW = "Save the network by torch.jit.script(network).save(file)"


def check_archive(weights: str, called: str = "", allowed: Collection[str] = ()) -> None:
    """Refuse what isn't TorchScript, a pickle above all, or whose code does more than compute.

    Parameters
    ----------
    weights
        Path of the file.
    called
        What a refusal names, where that is another file: the zip it came in.
    allowed
        Names that its code may have besides those of `torchscript_operators`, as its manifest
        gives them by `allow_operators`: ``ops.torchvision.nms``.

    Raises
    ------
    ValueError
        With what it is instead, or what its code names, and what to do.
    """
    called = called or weights
    if Path(weights).is_dir():
        raise ValueError(f"{called} is a folder; a TorchScript archive is one file")
    if Path(weights).stat().st_size == 0:
        raise ValueError(f"{called} is empty")
    if is_cut_off(weights):
        raise ValueError(f"{called} isn't a TorchScript archive: {CUT_OFF}")
    try:
        _check_zip(weights, called, allowed)
    except UNREADABLE as error:
        why = f"{called} isn't opened: it is damaged ({type(error).__name__}: {error})"
        raise ValueError(f"{why}; fetch or copy it anew") from error


def _check_zip(weights: str, called: str, allowed: Collection[str]) -> None:
    if not _is_one(weights):
        raise ValueError(
            f"{called} isn't a TorchScript archive but what torch.save writes, or something else; "
            f"such a file isn't opened, since it may run any code. {SAVE_ANEW}"
        )
    with zipfile.ZipFile(weights) as archive:
        _check_entries(archive, called, allowed)


def _is_one(path: str) -> bool:
    """Whether a file is a zip for every reader alike, with what TorchScript's archives have."""
    if not zipfile.is_zipfile(path):
        return False
    with open(path, "rb") as file:  # noqa: PTH123  # the OSError names the path as it was given
        begins = file.read(8)
    if begins[:4] != BEGINS or begins[4:] == OTHER_MARK:
        return False
    with zipfile.ZipFile(path) as archive:
        names = [name.lower().partition("/")[2] for name in archive.namelist()]
        parts = {name.partition("/")[0] for name in names}
        odd = archive.comment or OTHER_ENTRY in names
    return not odd and {"code", "constants.pkl"} <= parts


def _check_entries(archive: zipfile.ZipFile, called: str, allowed: Collection[str]) -> None:
    """Look into every entry that torch may read as code, or as objects."""
    size = 0
    for entry in archive.infolist():
        name = entry.filename.lower()  # torch finds entries in any case, whatever their ending
        is_code = "code" in name.split("/")[:-1] and not name.endswith(".debug_pkl")
        size += entry.file_size if is_code or name.endswith(".pkl") else 0
        if size > MOST_CODE:
            raise ValueError(
                f"{called} isn't opened: it says that it has {size} bytes of code and objects"
            )
        if is_code:
            _check_code(archive.read(entry), entry.filename, called, allowed)
        elif name.endswith(".pkl"):
            spaces = {found.decode() for found in CLASSES.findall(archive.read(entry))}
            for space in sorted(spaces - {"quantized"}):
                _refuse(f"__torch__.torch.classes.{space}", entry.filename, called, allowed)


def _check_code(code: bytes, entry: str, called: str, allowed: Collection[str]) -> None:
    try:
        for name in unlisted(code, allowed):
            _refuse(name, entry, called, allowed)
    except SyntaxError as error:
        raise ValueError(
            f"{called} isn't opened: {entry} in it isn't code as torch writes it ({error.msg}). "
            f"{SAVE_ANEW}"
        ) from error


def _refuse(name: str, entry: str, called: str, allowed: Collection[str]) -> None:
    if name not in allowed:
        raise ValueError(
            f"{called} isn't opened: {entry} in it names {name}, which isn't among the operators "
            "that compute alone, so it might touch files or other machines. Use a network without "
            f"it, or, where you trust its author, write allow_operators: [{name}] into the spec in "
            "its manifest"
        )
