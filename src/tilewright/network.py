"""What an ONNX file says of itself, and does when it is run once: what a manifest must state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BAD_DATA, TilewrightError

Array = np.ndarray[Any, Any]
SIDE = 256  # px of a trial tile, for a network that takes any size
STRIDES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Network:
    """An ONNX network that takes (batch, C, Y, X) float32.

    Parameters
    ----------
    channels
        Channels it takes, or None for any number.
    size
        (rows, columns) it takes in pixels, or None for any.
    stride
        Sizes must be multiples of it.
    output
        The result for one tile of `tile` pixels, without the batch.
    tile
        (rows, columns) of the tile that was tried.
    """

    channels: int | None
    size: tuple[int, int] | None
    stride: int
    output: Array
    tile: tuple[int, int]

    @property
    def kind(self) -> str:
        """The `output_kind` that fits the result: labels are integers, a vector has one axis."""
        if self.output.ndim == 2 and self.output.shape == self.tile:
            return "labels"
        return "map" if self.output.ndim == 3 else "embedding"


def inspect(path: Path, channels: int | None = None) -> Network:
    """Open a network and run it on noise.

    Parameters
    ----------
    path
        The ONNX file.
    channels
        How many channels to try, where the network takes any number.

    Raises
    ------
    TilewrightError
        When it can't be opened or run, or takes what `runner: onnx` doesn't give.
    """
    import onnxruntime  # type: ignore[import-untyped]  # slow: only where a file is opened

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # trials that fail are no news
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnxruntime's own have no common root
        raise _wrong(path, f"can't be opened as ONNX ({_line(error)})") from None
    takes = session.get_inputs()
    if len(takes) != 1 or takes[0].type != "tensor(float)" or len(takes[0].shape) != 4:
        told = ", ".join(f"{t.type} {t.shape}" for t in takes)
        raise _wrong(path, f"takes {told}; it should take one float32 (batch, C, Y, X)")
    batch, count, *size = (n if isinstance(n, int) else None for n in takes[0].shape)
    if batch not in (None, 1):
        raise _wrong(path, f"takes {batch} tiles at once only; it should take one")
    known = count or channels
    if known is None:
        raise TilewrightError(f"{path} takes any number of channels.", fix="Say --channels N.")
    fixed = (size[0], size[1]) if size[0] and size[1] else None
    stride, tile, output = _try(path, session, known, fixed)
    return Network(count, fixed, stride, output, tile)


def _try(
    path: Path, session: Any, channels: int, fixed: tuple[int, int] | None
) -> tuple[int, tuple[int, int], Array]:
    """The least stride whose sizes the network takes, the size tried, and the result."""
    sizes = {1: fixed} if fixed else {n: (SIDE + n, SIDE + n) for n in STRIDES}
    name, random, fault = session.get_inputs()[0].name, np.random.default_rng(0), ""
    for stride, tile in sizes.items():
        noise = random.random((1, channels, *tile), np.float32)
        try:
            output = np.asarray(session.run(None, {name: noise})[0])[0]
        except Exception as error:  # noqa: BLE001  # another size may do
            fault = _line(error)
            continue
        if output.ndim != 3 or _fits(output.shape[1:], tile):
            return stride, tile, output
        fault = f"tiles of {tile} px give maps of {output.shape[1:]}"
    raise _wrong(path, f"ran at no size that was tried ({fault})")


def _fits(shape: tuple[int, ...], tile: tuple[int, int]) -> bool:
    """Whether a map's pixels are the tile's, or whole blocks of them."""
    return all(n > 0 and side % n == 0 for n, side in zip(shape, tile, strict=True))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _wrong(path: Path, why: str) -> TilewrightError:
    return TilewrightError(
        f"{path} {why}.", fix="Export it anew, or write a script: --from script.", code=BAD_DATA
    )
