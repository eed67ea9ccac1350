"""A torch network as a function: in the spec's precision, of arrays, on the task's device.

torch is imported in the functions that need it.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Union

import numpy as np

from .precision import precision

Arrays = Union[np.ndarray, List[np.ndarray], Dict[str, np.ndarray]]


def on_arrays(
    network: Callable[..., object], spec: dict[str, Any], device: str
) -> Callable[[np.ndarray], Arrays]:
    """A network as a function from an array of tiles to arrays.

    It uses as many of the CPU's threads as OMP_NUM_THREADS says.

    Parameters
    ----------
    network
        Anything that takes one tensor; its own tensors are on `device`.
    spec, device
        As `load` gets them.

    Returns
    -------
    callable
        From an array to what the network gives: an array, a list or a dict of them. Half
        precision becomes float32.
    """
    import torch  # type: ignore[import-not-found]

    if os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    call = in_precision(network, spec, device)

    def run(tiles: np.ndarray) -> Arrays:
        with torch.inference_mode():
            outputs = float32(call(torch.from_numpy(tiles).to(device)))
        return _each(outputs, lambda tensor: tensor.cpu().numpy())  # type: ignore[no-any-return]

    return run


def in_precision(
    function: Callable[..., object], spec: dict[str, Any], device: str
) -> Callable[..., object]:
    """A function of tensors, computed in the spec's `precision` where the device can.

    Parameters
    ----------
    function
        A network, or its `forward`.
    spec, device
        As `load` gets them.

    Returns
    -------
    callable
        `function` itself in fp32; else it runs in torch's autocast, and its outputs are float32.
    """
    name = precision(spec, device)
    if name == "fp32":
        return function
    import torch

    kind, dtype = torch.device(device).type, {"fp16": torch.float16, "bf16": torch.bfloat16}[name]

    def shorter(*tensors: object) -> object:
        with torch.autocast(kind, dtype):
            outputs = function(*tensors)
        return float32(outputs)

    return shorter


def float32(outputs: object) -> object:
    """A tensor, or each in lists, tuples and dicts: float32 where it is of half precision."""
    import torch

    halves = (torch.float16, torch.bfloat16)
    return _each(outputs, lambda o: o.float() if getattr(o, "dtype", None) in halves else o)


def _each(outputs: object, change: Callable[[Any], object]) -> Any:
    if isinstance(outputs, dict):
        return {name: _each(value, change) for name, value in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_each(value, change) for value in outputs]
    return change(outputs)
