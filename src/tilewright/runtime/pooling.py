"""A transformer's tokens become what a spec's `output_type` names: a vector, a map, or a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.outputs import DEFAULT, OUTPUT_TYPES


def pool(tokens: np.ndarray, spec: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """Reduce a transformer's tokens to what the spec's `output_type` names.

    Parameters
    ----------
    tokens
        (batch, T, D), after the last norm: CLS, then registers, then patches row by row.
    spec
        `output_type`, `patch_size` and `num_prefix_tokens` (CLS and registers) are read.
    size
        The tile's (height, width) as the model saw it, in pixels.

    Returns
    -------
    ndarray
        cls, patch_mean: (batch, D); cls+patch_mean: (batch, 2 D), CLS first; dense:
        (batch, D, height/patch, width/patch); token_sequence: `tokens`.

    Raises
    ------
    ValueError
        When T isn't ``num_prefix_tokens + (height/patch) * (width/patch)``.
    """
    prefix, rows, columns = _token_grid(tokens, spec, size)
    kind = spec.get("output_type") or DEFAULT
    form = OUTPUT_TYPES[kind]
    if form.ndim == tokens.ndim:
        return tokens
    if form.result == "map":
        grid = tokens[:, prefix:].reshape(len(tokens), rows, columns, -1)
        return np.moveaxis(grid, -1, 1)
    if "cls" in form.parts and prefix == 0:
        raise ValueError(f"output_type {kind} needs a CLS token, and num_prefix_tokens is 0")
    parts = {"cls": lambda: tokens[:, 0], "patch_mean": lambda: _mean(tokens[:, prefix:])}
    return np.concatenate([parts[name]() for name in form.parts], axis=-1)


def spatial(shape: tuple[int, ...], spec: dict[str, Any]) -> tuple[int, ...]:
    """The (depth,) height and width of a batch of tiles, in whatever order its `axes` are."""
    axes = spec.get("axes") or "ZYX"[5 - len(shape) :]
    axes = axes if "C" in axes else "C" + axes
    return tuple(shape[1 + axes.index(a)] for a in "ZYX" if a in axes)


def _mean(tokens: np.ndarray) -> np.ndarray:
    mean: np.ndarray = tokens.mean(axis=1, dtype=np.float32)  # half precision adds up badly
    return mean


def _token_grid(
    tokens: np.ndarray, spec: dict[str, Any], size: tuple[int, ...]
) -> tuple[int, int, int]:
    """Prefix tokens, rows and columns of patches; they must add up to the tokens there are."""
    patch, prefix = spec.get("patch_size"), spec.get("num_prefix_tokens") or 0
    if not patch:
        raise ValueError("predict returned tokens (batch, T, D), and the spec has no patch_size")
    rows, columns = size[0] // patch, size[1] // patch
    if tokens.shape[1] != prefix + rows * columns:
        raise ValueError(
            f"the model gives {tokens.shape[1]} tokens for a tile of {size[0]} x {size[1]} px; "
            f"num_prefix_tokens {prefix} and patch_size {patch} make "
            f"{prefix} + {rows} * {columns} = {prefix + rows * columns}"
        )
    return prefix, rows, columns
