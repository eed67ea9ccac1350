"""A model script's end of the pipe: how a model in its own environment gets its tiles.

A script gives `serve` two functions, ``load`` and ``predict``; `serve` reads batches, calls them
and sends the answers. `predict.model_process` is the other end, `protocol` says what a message is.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
import traceback
from functools import partial
from io import FileIO
from queue import SimpleQueue
from typing import Any, Callable, Dict, Optional

import numpy as np

from .device import device_name, free_memory, is_out_of_memory
from .machine import is_of_machine
from .pooling import pool, spatial
from .precision import used
from .protocol import END_SECONDS, NO_ARRAY, Message, filler, open_pipe, receive, send

Load = Callable[[Optional[str], str, Dict[str, Any], Dict[str, Any]], object]
Predict = Callable[..., object]
Again = Callable[[Any, Dict[str, Any]], object]


def serve(load: Load, predict: Predict, again: Again | None = None) -> None:
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
        tile, is taken too. Where the spec has `takes_pixel_size`, a third argument is how big the
        tiles' pixels are: µm along (z,) y and x, None for what isn't known; or None for all.
    again
        ``again(model, params) -> model``: the model with other parameters, or None where it must
        be loaded anew, as it is without this function.
    """
    requests, answers = open_pipe()
    hello, _ = receive(filler(requests))
    batches: SimpleQueue[Message | None] = SimpleQueue()  # the worker has two under way at most
    threading.Thread(target=_read_ahead, args=(requests, batches), daemon=True).start()
    try:
        model = _load(load, hello, answers)
        for header, tiles in iter(batches.get, None):
            if "params" in header:
                hello["params"], held = header["params"], [model]
                model = None  # so that two are never in memory
                model = _load(partial(_once_more, load, again, held), hello, answers)
                continue
            told = [header["um"]] if "um" in header else []
            answer, results = _answer(partial(predict, model, tiles, *told), tiles, hello["spec"])
            send(answers, {"id": header["id"], **answer}, results)
    except BrokenPipeError:
        sys.exit(1)  # the worker is gone; there is nobody to tell


def _read_ahead(requests: FileIO, batches: SimpleQueue[Message | None]) -> None:
    """Read batches while the model works; at the pipe's end, end the process.

    The worker keeps its end open as long as it wants answers. So a model that hangs, or is in
    the middle of a batch, when the worker is killed is no orphan for longer than END_SECONDS.
    """
    fill = filler(requests)
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


def _load(load: Load, hello: dict[str, Any], answers: FileIO) -> object:
    try:
        model = load(hello["weights"], hello["device"], hello["spec"], hello["params"])
    except Exception as error:  # noqa: BLE001  # told to the worker, whatever it is
        traceback.print_exc()
        send(answers, {"error": _sentence(error)})
        sys.exit(1)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    ran = {"device": device_name(hello["device"]), "precision": used()}
    send(answers, {"ready": True, **versions, **ran})
    return model


def _once_more(load: Load, again: Again | None, held: list[object], *hello: Any) -> object:
    """The model that is held, with other parameters; loaded anew where that can't be."""
    found = again(held[0], hello[-1]) if again else None
    held.clear()
    return load(*hello) if found is None else found


def _answer(predict: Callable[[], object], tiles: np.ndarray, spec: dict[str, Any]) -> Message:
    begun = time.perf_counter()
    try:
        results = _results(predict(), spec, spatial(tiles.shape, spec))
        return {"seconds": round(time.perf_counter() - begun, 6)}, results
    except Exception as error:  # noqa: BLE001  # told to the worker, whatever it is
        if not is_out_of_memory(error):
            traceback.print_exc()
            return {"error": _sentence(error), "of_machine": is_of_machine(error)}, NO_ARRAY
    free_memory()  # out here, where the error no longer holds the batch's tensors
    return {"oom": True}, NO_ARRAY


def _results(results: object, spec: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """What predict returned, as one array of numbers; tokens are pooled."""
    if isinstance(results, (list, tuple)):
        results = np.stack([np.asarray(r) for r in results])
    array = np.asarray(results)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"predict returned {type(results).__name__}, not an array of numbers")
    if spec.get("output_kind") == "embedding" and array.ndim == 3:
        array = pool(array, spec, size)
    return array


def _sentence(error: Exception) -> str:
    *before, last = str(error).strip().splitlines() or [""]
    if any("Traceback" in line for line in before):  # TorchScript's: what it comes to is its end
        return last[:500]
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
