"""Do a model's results fit its spec? Their number, shape, kind and values, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tilewright.contract.words import counted
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.runtime.outputs import DEFAULT, OUTPUT_TYPES
from tilewright.runtime.pooling import spatial

Array = np.ndarray


def check_results(results: Array, tiles: Array, spec: Mapping[str, Any], script: str) -> None:
    """Refuse results that don't fit the spec.

    Parameters
    ----------
    results
        What the model gave for `tiles`.
    tiles
        (batch, C, *spatial).
    spec
        ModelSpec's fields, of which those on the output are read.
    script
        The script's name, for the sentence.

    Raises
    ------
    TilewrightError
        65, with what was found and what was wanted.
    """
    kind = spec.get("output_kind", "labels")
    shape = _expected_shape(kind, results, tiles, spec)
    problem = _misfit(results, shape, "iu" if kind == "labels" else "f")
    if problem is not None:
        numbers = "whole numbers from 0" if kind == "labels" else "finite floats"
        if kind != "labels" and len(shape) >= 4:
            deep = "slices, " if len(shape) == 5 else ""
            numbers += f"; {deep}rows and columns may be fewer by one whole factor"
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise TilewrightError(
            f"{script}: predict gave {problem} for {described(tiles)}; {_declared(kind, spec)} in "
            f"the manifest wants ({wanted}) of {numbers}.",
            fix="Change predict in the script, or the spec in the manifest.",
            code=BAD_DATA,
        )


def _declared(kind: str, spec: Mapping[str, Any]) -> str:
    """What the manifest says of the output, for the sentence."""
    names = ("output_type", "embedding_dim", "base_dim", "output_spatial_dims", "patch_size")
    said = [f"{n} {spec[n]}" for n in names if kind == "embedding" and spec.get(n)]
    return ", ".join([f"output_kind {kind}", *said])


def _expected_shape(
    kind: str, results: Array, tiles: Array, spec: Mapping[str, Any]
) -> tuple[int | None, ...]:
    """Lengths per axis; None where any will do."""
    batch, size = len(tiles), spatial(tiles.shape, dict(spec))
    if kind == "labels":
        return (batch, *size)
    if kind == "map":
        return (batch, len(spec.get("classes") or ()) or None, *_strided(results, size))
    form = OUTPUT_TYPES[spec.get("output_type") or DEFAULT]
    length = spec.get("embedding_dim")
    if not length and spec.get("base_dim"):
        length = len(form.parts) * spec["base_dim"]
    if form.result == "map":
        return (batch, length, *_grid(results, size, spec))
    if not form.pooled:
        return (batch, _tokens(size, spec), length)
    return (batch, length)


def _tokens(size: tuple[int, ...], spec: Mapping[str, Any]) -> int | None:
    """Tokens of a tile, if the spec says enough: the prefix, and one for each patch."""
    patch: int | None = spec.get("patch_size")
    prefix: int | None = spec.get("num_prefix_tokens")
    if not patch or prefix is None:
        return None
    return prefix + math.prod(n // patch for n in size)


def _grid(results: Array, size: tuple[int, ...], spec: Mapping[str, Any]) -> tuple[int, ...]:
    """Rows and columns of a dense embedding: by patches, else as declared, else any that fit."""
    if spec.get("patch_size"):
        return tuple(n // spec["patch_size"] for n in size)
    return tuple(spec.get("output_spatial_dims") or _strided(results, size))


def _strided(results: Array, size: tuple[int, ...]) -> tuple[int, ...]:
    """The map's own lengths if the tile is a whole number of times as large, else the tile's."""
    found = results.shape[2:]
    if len(found) != len(size) or not all(found):
        return size
    strides = {n / m for n, m in zip(size, found, strict=True)}
    return found if len(strides) == 1 and strides.pop().is_integer() else size


def _misfit(results: Array, shape: tuple[int | None, ...], kinds: str) -> str | None:
    """What is wrong with the results, as it continues "predict gave", or None."""
    fits = len(shape) == results.ndim and all(
        wanted in (None, found) for wanted, found in zip(shape, results.shape, strict=True)
    )
    if not fits or results.dtype.kind not in kinds:
        return f"{results.shape} {results.dtype}"
    if results.dtype.kind == "i" and results.min(initial=0) < 0:
        return f"labels down to {results.min()}"
    if results.dtype.kind == "f":
        bad = np.asarray(~np.isfinite(results).reshape(len(results), -1).all(axis=1))
        return f"NaN or infinity in {bad.sum()} of {len(bad)} results" if bad.any() else None
    return None


def described(tiles: Array) -> str:
    """A batch (batch, C, *spatial) in words: "2 tiles of 1 x 64 x 64"."""
    count, *size = tiles.shape
    return f"{counted(count, 'tile')} of {' x '.join(map(str, size))}"
