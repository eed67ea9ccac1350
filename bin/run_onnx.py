#!/usr/bin/env python3
"""Run any ONNX model: its input takes tiles, one of its outputs is the result.

`tilewright.runtime.tensors` says how tiles become its input, `tilewright.runtime.postprocess` how
maps become objects.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict

import numpy as np
import onnxruntime

from tilewright.runtime import tensors
from tilewright.runtime.postprocess import results, with_params

Params = Dict[str, Any]
DTYPES = {"float": "float32", "float16": "float16", "double": "float64"}
DTYPES.update({f"{u}int{n}": f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)})
"""What ONNX calls a dtype, and numpy."""


def threads(params: Params) -> int:
    """Threads to use: `threads`, else OMP_NUM_THREADS, else the CPUs this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(params.get("threads") or os.environ.get("OMP_NUM_THREADS") or allowed)


def providers(device: str) -> list[str]:
    """CUDA if it is asked for and there, then the CPU."""
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    wanted = device.startswith("cuda") and cuda in onnxruntime.get_available_providers()
    return [cuda, cpu] if wanted else [cpu]


def network(session: Any) -> tensors.Network:
    """A session as a function of its only input."""
    inputs, names = session.get_inputs(), [o.name for o in session.get_outputs()]
    if len(inputs) != 1:
        found = ", ".join(i.name for i in inputs)
        raise ValueError(f"the network takes {len(inputs)} inputs ({found}); it can have one only")
    (first,) = inputs
    dtype = DTYPES.get(first.type[len("tensor(") : -1])
    if dtype is None:
        raise ValueError(f"the network's input is a {first.type}, which can't be made of a tile")
    return tensors.Network(
        lambda array: dict(zip(names, session.run(None, {first.name: array}))), first.shape, dtype
    )


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, Params, Params]:
    """Open the file `weights` on `device` ("cpu" or "cuda")."""
    if spec.get("precision", "fp32") != "fp32":
        sys.stderr.write(
            "tilewright: an ONNX file computes in its own types, not as precision says.\n"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(params)
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(weights, options, providers=providers(device))
    return network(session), spec, params


def predict(model: tuple[Any, Params, Params], tiles: np.ndarray) -> np.ndarray:
    """Labels, maps or vectors of (batch, *axes) float32 tiles, by the spec's `output_kind`."""
    return results(*model, tiles)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict, lambda model, params: with_params(model, params, "threads"))
