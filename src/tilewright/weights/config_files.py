"""A model's own config file: read where it is, or downloaded once and kept beside the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tilewright import ROOT
from tilewright.environments.inplace import locked, say
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.registry.documents import LARGEST, read_document
from tilewright.registry.locations import NotTaken, is_remote, shown, source

from .download import Download
from .notes import believed


def config_values(address: str | None, folder: Path) -> dict[str, Any]:
    """What a config file says; nothing where there is none.

    Parameters
    ----------
    address
        A path, in the checkout where it is relative, or an https address.
    folder
        Of downloaded weights.

    Raises
    ------
    TilewrightError
        When it can't be had or read.
    """
    if address is None:
        return {}
    path = downloaded(address, folder) if is_remote(address) else ROOT / address
    return read_document(path).data


def downloaded(address: str, folder: Path) -> Path:
    """The file of an address, downloaded if it isn't here yet; no token is shown.

    Raises
    ------
    TilewrightError
        When it can't be had, or is too large for a config file.
    """
    ending = PurePosixPath(urlsplit(address).path).suffix
    name = hashlib.sha256(address.encode()).hexdigest() + (ending if ending == ".json" else ".yml")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = believed(folder, "configs")
        if there is None:
            raise NotTaken(f"others may write in {folder} and in your cache")
        kept = there / name
        if not kept.is_file():
            _download(address, kept)
    except (NotTaken, OSError) as reason:
        raise TilewrightError(
            f"The config file {shown(address)} can't be had: {reason}.",
            fix="Try again, or give its content as --model_config.",
            code=UNAVAILABLE,
        ) from None
    return kept


def _download(address: str, kept: Path) -> None:
    there = source(address, with_token=False)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locked(kept.with_suffix(".lock"), say, f"fetching {there.name}"):
        if not kept.is_file():
            part = kept.with_suffix(".part")
            Download(there, part, limit=LARGEST).run()
            part.replace(kept)
