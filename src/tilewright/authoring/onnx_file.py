"""What an ONNX file says of itself, and does when it is run once: what a manifest must state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.errors import BAD_DATA, USAGE, TilewrightError
from tilewright.runtime import tensors

Array = np.ndarray
SIDE = 256  # px of a trial tile, for a network that takes any size
STRIDES = (1, 2, 4, 8, 16, 32, 64)
FEW = 4  # channels at most that a last axis is taken for


@dataclass(frozen=True)
class OnnxNetwork:
    """An ONNX network that takes tiles, as `bin/run_onnx.py` gives them to it.

    Parameters
    ----------
    channels
        Channels it takes.
    size
        (rows, columns) it takes in pixels, or None for any.
    stride
        Sizes must be multiples of it.
    output
        The result for one tile: maps (class, y, x), tokens (T, D) or a vector (D,).
    """

    channels: int
    size: tuple[int, int] | None
    stride: int
    output: Array

    @property
    def labels(self) -> bool:
        """Whether it gives labels itself: one map of whole numbers."""
        return self.output.ndim == 3 and len(self.output) == 1 and self.output.dtype.kind in "iu"

    @property
    def kind(self) -> str:
        """The `output_kind` that fits the result."""
        if self.labels:
            return "labels"
        return "map" if self.output.ndim == 3 else "embedding"


def inspect(path: Path, channels: int | None = None) -> OnnxNetwork:
    """Open a network and run it on noise.

    Parameters
    ----------
    path
        The ONNX file.
    channels
        How many channels to give it, where it takes any number.

    Raises
    ------
    TilewrightError
        When it can't be opened or run, or takes what a tile can't be made into.
    """
    session = _open(path)
    takes = session.get_inputs()
    shape, dtype = takes[0].shape, _dtype(takes[0].type)
    if len(takes) != 1 or dtype is None or len(shape) not in (3, 4):
        told = ", ".join(f"{t.type} {t.shape}" for t in takes)
        raise _wrong(path, f"takes {told}; it should take tiles, (batch, C, y, x)")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise _wrong(path, f"takes {shape[0]} tiles at once only; it should take one")
    declared, fixed = _axes(shape)
    count = declared or channels
    if count is None:
        raise TilewrightError(
            f"{path.name} takes any number of channels.", fix="Say --channels N.", code=USAGE
        )
    name = takes[0].name
    network = tensors.Network(lambda a: session.run(None, {name: a}), shape, dtype)
    stride, output = _try(path, network, count, fixed)
    return OnnxNetwork(count, fixed, stride, output)


def _open(path: Path) -> Any:
    import onnxruntime  # type: ignore[import-untyped]  # slow: only where a file is opened

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # trials that fail are no news
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnxruntime's own have no common root
        raise _wrong(path, f"can't be opened as ONNX ({_line(error)})") from None


def _dtype(told: str) -> str | None:
    """The dtype of ``tensor(float)``; None where a tile can't be cast to it."""
    name = told.removeprefix("tensor(").removesuffix(")")
    name = {"float": "float32", "double": "float64"}.get(name, name)
    try:
        return name if np.dtype(name).kind in "iuf" else None
    except TypeError:
        return None


def _axes(shape: list[object]) -> tuple[int | None, tuple[int, int] | None]:
    """Channels, None for any number, and (rows, columns), None for any size."""
    lengths = [n if isinstance(n, int) else None for n in shape[1:]]
    if len(lengths) == 2:
        channels: int | None = 1
    else:
        last = lengths[2] is not None and lengths[2] <= FEW < (lengths[0] or FEW + 1)
        channels = lengths.pop(2 if last else 0)
    rows, columns = lengths
    return channels, (rows, columns) if rows and columns else None


def _try(
    path: Path, network: tensors.Network, channels: int, fixed: tuple[int, int] | None
) -> tuple[int, Array]:
    """The least stride whose sizes the network takes, and the result for a tile."""
    sizes = {1: fixed} if fixed else {n: (SIDE + n, SIDE + n) for n in STRIDES}
    random, fault = np.random.default_rng(0), ""
    for stride, tile in sizes.items():
        noise = random.random((1, channels, *tile), np.float32)
        try:
            output = _result(network, noise)
        except Exception as error:  # noqa: BLE001  # another size may do
            fault = _line(error)
            continue
        if output.ndim != 3 or _fits(output.shape[1:], tile):
            return stride, output
        fault = f"tiles of {tile} px give maps of {output.shape[1:]}"
    raise _wrong(path, f"ran at no size that was tried ({fault})")


def _result(network: tensors.Network, tiles: Array) -> Array:
    """The first output for one tile: a picture is brought to (class, y, x)."""
    raw = np.asarray(tensors.run(network, tiles, {}, "embedding")[0])
    if raw.ndim == 3 or raw.shape == tiles.shape[2:]:
        return np.asarray(tensors.run(network, tiles, {}, "map")[0], raw.dtype)
    return raw


def _fits(shape: tuple[int, ...], tile: tuple[int, int]) -> bool:
    """Whether a map's pixels are the tile's, or whole blocks of them."""
    return all(n > 0 and side % n == 0 for n, side in zip(shape, tile, strict=True))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _wrong(path: Path, why: str) -> TilewrightError:
    return TilewrightError(
        f"{path.name} {why}.",
        fix="Export it anew, or write a script: --from script.",
        code=BAD_DATA,
    )
