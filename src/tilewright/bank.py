"""A job's results in one file: a zip of plain .npy arrays and a JSON header, never a pickle.

The worker writes it tile by tile, `merge` reads any tile of it. The bytes depend on nothing but
what is put in: no times, no paths. `numpy.load` opens it too.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .errors import TilewrightError

Array = np.ndarray[Any, Any]
HEADER = "header.json"


class BankWriter:
    """Writes a bank under a temporary name and renames it when it is whole.

    Used as a context manager; left by an exception, no file is left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def put(self, name: str, array: Array, *, pack: bool = True) -> None:
        """Add one array under `name`; `pack` compresses it, which noise isn't worth."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
        self._write(f"{name}.npy", buffer.getvalue(), pack)

    def close(self, header: dict[str, Any]) -> None:
        """Add the header and give the file its name."""
        self._write(HEADER, json.dumps(header, sort_keys=True).encode())
        self._zip.close()
        self._part.replace(self._path)

    def _write(self, name: str, data: bytes, pack: bool = True) -> None:
        info = zipfile.ZipInfo(name)  # dated 1980: no time in the bytes
        info.compress_type = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
        self._zip.writestr(info, data)

    def __enter__(self) -> BankWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._part.exists():
            self._zip.close()
            self._part.unlink()


class Bank:
    """A finished bank, read by name."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._names = set(self._zip.namelist())
        self.path = path
        self.header: dict[str, Any] = json.loads(self._zip.read(HEADER))

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._names

    def names(self, start: str) -> list[str]:
        """Names of the arrays that begin with `start`, sorted."""
        found = (n.removesuffix(".npy") for n in self._names if n.startswith(start))
        return sorted(found)

    def get(self, name: str) -> Array:
        """The array put under `name`."""
        buffer = io.BytesIO(self._zip.read(f"{name}.npy"))
        return np.lib.format.read_array(buffer, allow_pickle=False)


def tile_name(image: str, plane: int, tile: int, what: str) -> str:
    """Where a tile's array is: `image` is the image's key in its group."""
    return f"{image}/{plane:05d}/{tile:07d}/{what}"


def rows_name(image: str, first: int) -> str:
    """Where a run of tiles' vectors is: `first` is its first tile's number, over all planes."""
    return f"{image}/rows/{first:010d}"


def check_shape(found: tuple[int, ...], first: tuple[int, ...] | None) -> None:
    """Refuse vectors of one image that aren't of one shape: they make no table."""
    if first is not None and found != first:
        raise TilewrightError(
            f"The model gives {' x '.join(map(str, first))} numbers for one tile and "
            f"{' x '.join(map(str, found))} for another of the same image.",
            fix="Give it tiles of one size: variable_input false in the manifest.",
        )


def open_banks(paths: Iterable[Path]) -> list[Bank]:
    """Every bank, in the order of its job's number."""
    return sorted((Bank(p) for p in paths), key=lambda b: b.header["job"])
