"""TorchScript files, looked into before torch opens them: no pickle, nothing that opens files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from .archives import CUT_OFF, is_cut_off

FILES = re.compile(rb"\b(save|from_file)\b|\bgetattr\b[^\"'\n]*[\"'][^\"'\n]*\\")
"""torch.save writes any file, torch.from_file reads any; getattr could spell their names anew."""


def check_archive(weights: str, called: str = "") -> None:
    """Refuse what isn't TorchScript, a pickle above all, or touches files, before it is opened.

    Parameters
    ----------
    weights
        Path of the file.
    called
        What a refusal names, where that is another file: the zip it came in.

    Raises
    ------
    ValueError
        With what it is instead, and what to do.
    """
    parts, code, called = set(), [], called or weights
    if Path(weights).is_dir():
        raise ValueError(f"{called} is a folder; a TorchScript archive is one file")
    if zipfile.is_zipfile(weights):
        with zipfile.ZipFile(weights) as archive:
            parts = {name.partition("/")[2].partition("/")[0] for name in archive.namelist()}
            code = [archive.read(m) for m in archive.infolist() if m.filename.endswith(".py")]
    elif Path(weights).stat().st_size == 0:
        raise ValueError(f"{called} is empty")
    elif is_cut_off(weights):
        raise ValueError(f"{called} isn't a TorchScript archive: {CUT_OFF}")
    if not {"code", "constants.pkl"} <= parts:
        raise ValueError(
            f"{called} isn't a TorchScript archive but what torch.save writes, or something else; "
            "such a file isn't opened, since it may run any code. Save the network by "
            "torch.jit.script(network).save(file)"
        )
    if any(map(FILES.search, code)):
        raise ValueError(
            f"{called} isn't opened: its code has the words save or from_file, by which torch "
            "writes and reads files. A network needs neither; take them out of it"
        )
