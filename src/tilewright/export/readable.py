"""A store's arrays as they are exported: damage in one is a sentence that says where."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.errors import TilewrightError
from tilewright.images.damage import in_words, is_damage

Array = np.ndarray[Any, Any]


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Tell of what is damaged where a part of a store is read; what isn't there stays a KeyError.

    Parameters
    ----------
    path
        The part's folder.
    what
        What is read of it, for the sentence.

    Raises
    ------
    TilewrightError
        65, when a file of it is damaged or cut off.
    """
    try:
        yield
    except KeyError:
        raise
    except Exception as error:
        if not is_damage(error, path):
            raise
        raise TilewrightError(
            f"{path}: {what} can't be read ({in_words(error)}).",
            fix="Copy it again, or run the pipeline again.",
        ) from error


class Readable:
    """An array of a store, whose damage is told.

    Parameters
    ----------
    array
        Zarr's, or a written column; read by slices and numbers.
    path
        The part's folder.
    what
        What its values are, for the sentence.
    axes
        Of pixels: where they lie is told by these.
    """

    def __init__(self, array: Any, path: Path, what: str = "it", axes: str = "") -> None:
        self._array, self._path, self._what, self._axes = array, path, what, axes
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.chunks = getattr(array, "chunks", None)
        self.shards = getattr(array, "shards", None)

    def __getitem__(self, index: Any) -> Array:
        with reading(self._path, self._what + self._where(index)):
            return np.asarray(self._array[index])

    def _where(self, index: Any) -> str:
        """Of an array with axes, which part an index asks for."""
        spans = zip(self._axes.upper(), self.shape, _each(index, self.ndim), strict=False)
        told = [f"{a} {' to '.join(map(str, _ends(at, n)))}" for a, n, at in spans]
        return f" at {', '.join(told)}" if told else ""


def _each(index: Any, ndim: int) -> tuple[Any, ...]:
    """An index of each axis."""
    given = index if isinstance(index, tuple) else (index,)
    if Ellipsis not in given:
        return given + (slice(None),) * (ndim - len(given))
    at = given.index(Ellipsis)
    return given[:at] + (slice(None),) * (ndim - len(given) + 1) + given[at + 1 :]


def _ends(at: Any, size: int) -> tuple[int, ...]:
    return at.indices(size)[:2] if isinstance(at, slice) else (int(at),)
