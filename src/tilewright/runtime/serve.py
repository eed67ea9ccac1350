"""A model script's end of the pipe: how a model in its own environment gets its tiles.

A script gives `serve` two functions, ``load`` and ``predict``; `serve` reads batches, calls them
and sends the answers. `pipe` is the other end. Standard library and numpy only, Python >= 3.8,
since it runs in the model's environment.

A message is 4 bytes (a big-endian length), that many bytes of JSON ending in a newline, and the
bytes, in C order, of the array whose ``shape`` and ``dtype`` the JSON gives. Messages have two file
descriptors of their own, so whatever is printed, by Python or by C, never gets among them.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import struct
import sys
import threading
import time
import traceback
from io import FileIO
from queue import SimpleQueue
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

FD_IN = "TILEWRIGHT_FD_IN"
FD_OUT = "TILEWRIGHT_FD_OUT"
END_SECONDS = 2.0  # from the end of the pipe to the end of the process, at most
OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS, HIP
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "failed to allocate memory",  # onnxruntime's arena
    "bad_alloc",
    "resource_exhausted",  # JAX, TensorFlow
    "oom when allocating",  # TensorFlow
)

Load = Callable[[Optional[str], str, Dict[str, Any], Dict[str, Any]], Any]
Predict = Callable[[Any, np.ndarray], Any]
Message = Tuple[Dict[str, Any], np.ndarray]
"""The JSON's values, and the array that follows them."""
NOTHING = np.empty(0, np.uint8)
PRECISIONS = {"fp32": ("cpu", "cuda", "mps"), "fp16": ("cuda", "mps"), "bf16": ("cpu",)}
"""Devices that always compute in it."""


def serve(load: Load, predict: Predict) -> None:
    """Load the model, then answer batches of tiles until there are no more.

    Parameters
    ----------
    load
        ``load(weights, device, spec, params) -> model``: `weights` is a path or None, `device`
        e.g. ``"cpu"`` or ``"cuda:0"``, `spec` ModelSpec's fields as a dict, `params` the user's.
    predict
        ``predict(model, tiles) -> results``: `tiles` is (batch, C, *spatial) float32. Labels are
        integers (batch, *spatial), a map is (batch, class, *spatial), an embedding vectors
        (batch, D) or tokens (batch, T, D), which `pool` reduces. A list of arrays, one per
        tile, is taken too.
    """
    requests, answers = _open_pipe()
    hello, _ = receive(_filler(requests))
    batches: SimpleQueue[Message | None] = SimpleQueue()  # the worker has two under way at most
    threading.Thread(target=_read_ahead, args=(requests, batches), daemon=True).start()
    try:
        model = _load(load, hello, answers)
        for header, tiles in iter(batches.get, None):
            answer, results = _answer(predict, model, tiles, hello["spec"])
            _send(answers, {"id": header["id"], **answer}, results)
    except BrokenPipeError:
        sys.exit(1)  # the worker is gone; there is nobody to tell


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
    kind = spec.get("output_type") or "cls"
    if kind == "token_sequence":
        return tokens
    if kind == "dense":
        grid = tokens[:, prefix:].reshape(len(tokens), rows, columns, -1)
        return np.moveaxis(grid, -1, 1)
    if "cls" in kind and prefix == 0:
        raise ValueError(f"output_type {kind} needs a CLS token, and num_prefix_tokens is 0")
    parts = {"cls": lambda: tokens[:, 0], "patch_mean": lambda: _mean(tokens[:, prefix:])}
    return np.concatenate([parts[name]() for name in kind.split("+")], axis=-1)


def precision(spec: dict[str, Any], device: str) -> str:
    """The precision a script should compute in: the spec's, or ``fp32`` where the device can't.

    Falling back is said in one line on stderr. fp16 needs a GPU, since a CPU has no fast half
    precision; bf16 works on a CPU, and on NVIDIA GPUs of compute capability 8 or more.

    Parameters
    ----------
    spec
        `precision` is read: ``fp32``, ``fp16`` or ``bf16``.
    device
        As `load` gets it: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    str
        ``fp32``, ``fp16`` or ``bf16``. Weights stay float32 (torch's autocast), so fp16 and bf16
        are how products are computed, not how the model is kept.
    """
    wanted = spec.get("precision") or "fp32"
    if wanted not in PRECISIONS:
        raise ValueError(f"precision is {wanted!r}; it is one of {', '.join(PRECISIONS)}")
    kind = device.partition(":")[0]
    if wanted == "fp32" or kind in PRECISIONS[wanted] or (kind == "cuda" and _has_bf16(device)):
        return wanted
    sys.stderr.write(
        f"tilewright: {device} doesn't compute in {wanted} here; it is fp32 instead.\n"
    )
    return "fp32"


def spatial(shape: tuple[int, ...], spec: dict[str, Any]) -> tuple[int, ...]:
    """The (depth,) height and width of a batch of tiles, in whatever order its `axes` are."""
    axes = spec.get("axes") or "ZYX"[5 - len(shape) :]
    axes = axes if "C" in axes else "C" + axes
    return tuple(shape[1 + axes.index(a)] for a in "ZYX" if a in axes)


def encode(header: dict[str, Any], array: np.ndarray = NOTHING) -> tuple[bytes, memoryview]:
    """A message as two runs of bytes: its length and JSON, and the array's own."""
    header = {**header, "shape": array.shape, "dtype": array.dtype.str}
    text = json.dumps(header).encode() + b"\n"
    return struct.pack(">I", len(text)) + text, _bytes_of(np.ascontiguousarray(array))


def receive(fill: Callable[[memoryview], None]) -> Message:
    """Read one message.

    Parameters
    ----------
    fill
        Fills a view with the next bytes, or raises EOFError where there are no more.
    """
    size = bytearray(4)
    fill(memoryview(size))
    text = bytearray(struct.unpack(">I", size)[0])
    fill(memoryview(text))
    header = json.loads(text.decode())
    array = np.empty(header["shape"], np.dtype(header["dtype"]))
    fill(_bytes_of(array))
    return header, array


def _bytes_of(array: np.ndarray) -> memoryview:
    """The bytes of a C-ordered array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def _open_pipe() -> tuple[FileIO, FileIO]:
    """Take the two descriptors over, so that no child of the script inherits them."""
    if FD_IN not in os.environ:
        sys.exit("This script is started by tilewright; run `tilewright run --help`.")
    descriptors = int(os.environ.pop(FD_IN)), int(os.environ.pop(FD_OUT))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return FileIO(descriptors[0], "rb"), FileIO(descriptors[1], "wb")


def _filler(file: FileIO) -> Callable[[memoryview], None]:
    def fill(view: memoryview) -> None:
        while view:
            count = file.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]

    return fill


def _send(file: FileIO, header: dict[str, Any], array: np.ndarray = NOTHING) -> None:
    for data in encode(header, array):
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _read_ahead(requests: FileIO, batches: SimpleQueue[Message | None]) -> None:
    """Read batches while the model works; at the pipe's end, end the process.

    The worker keeps its end open as long as it wants answers. So a model that hangs, or is in
    the middle of a batch, when the worker is killed is no orphan for longer than END_SECONDS.
    """
    fill = _filler(requests)
    try:
        while True:
            batches.put(receive(fill))
    except EOFError:
        pass
    except Exception:  # noqa: BLE001  # whatever it is, the main thread must not wait for ever
        traceback.print_exc()
    batches.put(None)
    time.sleep(END_SECONDS)
    os._exit(1)


def _load(load: Load, hello: dict[str, Any], answers: FileIO) -> Any:
    try:
        model = load(hello["weights"], hello["device"], hello["spec"], hello["params"])
    except Exception as error:  # noqa: BLE001  # told to the worker, whatever it is
        traceback.print_exc()
        _send(answers, {"error": _sentence(error)})
        sys.exit(1)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    _send(answers, {"ready": True, **versions, "device": _device_name(hello["device"])})
    return model


def _answer(predict: Predict, model: Any, tiles: np.ndarray, spec: dict[str, Any]) -> Message:
    begun = time.perf_counter()
    try:
        results = _results(predict(model, tiles), spec, spatial(tiles.shape, spec))
        return {"seconds": round(time.perf_counter() - begun, 6)}, results
    except Exception as error:  # noqa: BLE001  # told to the worker, whatever it is
        if not _is_out_of_memory(error):
            traceback.print_exc()
            return {"error": _sentence(error)}, NOTHING
    _free_memory()  # out here, where the error no longer holds the batch's tensors
    return {"oom": True}, NOTHING


def _results(results: Any, spec: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """What predict returned, as one array of numbers; tokens are pooled."""
    if isinstance(results, (list, tuple)):
        results = np.stack([np.asarray(r) for r in results])
    array = np.asarray(results)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"predict returned {type(results).__name__}, not an array of numbers")
    if spec.get("output_kind") == "embedding" and array.ndim == 3:
        array = pool(array, spec, size)
    return array


def _is_out_of_memory(error: Exception) -> bool:
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind in ("OutOfMemoryError", "ResourceExhaustedError"):
        return True
    text = str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY)


def _has_bf16(device: str) -> bool:
    """Whether an NVIDIA or AMD GPU has bf16 units; without torch nobody here can tell."""
    torch = sys.modules.get("torch")
    if torch is None or torch.version.hip:
        return torch is not None
    return bool(torch.cuda.get_device_capability(device)[0] >= 8)


def _device_name(device: str) -> str:
    """What people call the device, where torch knows it."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_available():
        return device
    return str(torch.cuda.get_device_name(device))


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")  # never imported here: only where the model has it
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


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
