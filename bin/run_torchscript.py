#!/usr/bin/env python3
"""Run any TorchScript model: its input takes tiles, one of its outputs is the result.

An archive holds the network's own code, which runs in torch's interpreter and not in Python's; no
pickle is loaded, and code that names torch's operators on files isn't run.
`tilewright.runtime.tensors` says how tiles become its input, `tilewright.runtime.postprocess` how
maps become objects.
"""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import torch

from tilewright.runtime import tensors
from tilewright.runtime.postprocess import results
from tilewright.runtime.torch_network import on_arrays
from tilewright.runtime.torchscript import check_archive

Params = Dict[str, Any]


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, Params, Params]:
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    check_archive(weights)
    call = on_arrays(torch.jit.load(weights, map_location=device).eval(), spec, device)
    return tensors.Network(call, dtype=params.get("dtype") or "float32"), spec, params


def predict(model: tuple[Any, Params, Params], tiles: np.ndarray) -> np.ndarray:
    """Labels, maps or vectors of (batch, *axes) float32 tiles, by the spec's `output_kind`."""
    return results(*model, tiles)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
