"""A file of the matrix: how it was made, and the pixels that are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Specimen:
    """One file.

    Parameters
    ----------
    case
        Each factor's value.
    axes
        Of `levels` and `stored`.
    levels
        What a model must be given, a level each.
    stored
        The samples as the file has them, before any meaning of colour; a level each.
    tolerance
        How far from `levels` a value may be: lossy coding.
    given
        The axes that a user must say, in the file's order.
    refused
        What the sentence says by which it is refused; None where it is read.
    """

    case: dict[str, str]
    axes: str
    levels: list[Array]
    stored: list[Array]
    tolerance: float = 0
    given: str | None = None
    refused: str | None = None


Maker = Callable[[dict[str, str], Path], Specimen]


def noise(shape: tuple[int, ...], dtype: str, bits: int | None = None) -> Array:
    """Noise over all values of a dtype, or those of so many bits; real numbers from 0 to 1."""
    rng = np.random.default_rng(sum(shape))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.random(shape).astype(kind)
    if kind.kind == "b" or bits == 1:
        return rng.integers(0, 2, shape).astype(kind)
    low = np.iinfo(kind).min
    high = 2**bits - 1 if bits else np.iinfo(kind).max
    return rng.integers(low, high, shape, kind, endpoint=True)


def smooth(shape: tuple[int, ...]) -> Array:
    """Slow waves, (…, y, x, sample) uint8, that lossy coding keeps."""
    at = np.indices(shape)
    phase = at[-3] / 21 + at[-2] / 33 + at[-1] + sum(at[:-3])
    return (128 + 80 * np.sin(phase)).astype(np.uint8)
