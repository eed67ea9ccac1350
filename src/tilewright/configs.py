"""A model's own config file: read where it is, or downloaded once and kept beside the weights."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from .documents import LARGEST, read_document
from .errors import BAD_DATA, UNAVAILABLE, TilewrightError
from .registry import Choice

PATIENCE = 60  # seconds


def config_values(choice: Choice, folder: Path) -> dict[str, Any] | None:
    """What a choice's config file says; None where `Choice.values` reads it, or there is none.

    Parameters
    ----------
    folder
        Of downloaded weights.

    Raises
    ------
    TilewrightError
        When it can't be had or read.
    """
    address = choice.config
    if address is None or "://" not in address:
        return None
    return read_document(downloaded(address, folder)).data


def downloaded(address: str, folder: Path) -> Path:
    """The file of an address, downloaded if it isn't here yet.

    Raises
    ------
    TilewrightError
        When it can't be had, or is too large for a config file.
    """
    ending = PurePosixPath(urlsplit(address).path).suffix
    name = hashlib.sha256(address.encode()).hexdigest() + (ending if ending == ".json" else ".yml")
    kept = folder / "configs" / name
    if kept.is_file():
        return kept
    try:
        text = _download(address)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as part:
            part.write(text)
        os.replace(part.name, kept)  # noqa: PTH105  # two runs may download the same file
    except (OSError, ValueError) as error:
        raise TilewrightError(
            f"The config file {address} can't be had ({error}).",
            fix="Try again, or give its content as --model_config.",
            code=UNAVAILABLE,
        ) from None
    return kept


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=PATIENCE) as source:  # noqa: S310  # manifests: https
        if address.startswith("https:") and not source.url.startswith("https:"):
            raise ValueError("it leads to an address without https")
        text: bytes = source.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise TilewrightError(
            f"The config file {address} is larger than {LARGEST >> 20} MiB.",
            fix="A config file holds parameters only.",
            code=BAD_DATA,
        )
    return text
