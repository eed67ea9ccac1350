"""Do a model's results fit its spec? Their number, shape, kind and values, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import BAD_DATA, TilewrightError
from .serve import spatial

Array = np.ndarray[Any, Any]


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
    shape = _expected_shape(kind, tiles, spec)
    problem = _misfit(results, shape, "iu" if kind == "labels" else "f")
    if problem is not None:
        numbers = "whole numbers from 0" if kind == "labels" else "finite floats"
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise TilewrightError(
            f"{script}: predict gave {problem} for {described(tiles)}; output_kind {kind} in the "
            f"manifest wants ({wanted}) of {numbers}.",
            fix="Change predict in the script, or the spec in the manifest.",
            code=BAD_DATA,
        )


def _expected_shape(kind: str, tiles: Array, spec: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Lengths per axis; None where any will do."""
    batch, size = len(tiles), spatial(tiles.shape, dict(spec))
    if kind == "labels":
        return (batch, *size)
    if kind == "map":
        return (batch, len(spec.get("classes") or ()) or None, *size)
    length = spec.get("embedding_dim")
    if spec.get("output_type") == "dense":
        return (batch, length, *(spec.get("output_spatial_dims") or (None, None)))
    if spec.get("output_type") == "token_sequence":
        return (batch, None, length)
    return (batch, length)


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
    """A batch in words: "2 tiles of 1 x 64 x 64"."""
    count, *size = tiles.shape
    return f"{count} tile{'s' * (count != 1)} of {' x '.join(map(str, size))}"
