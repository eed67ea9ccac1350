#!/usr/bin/env python3
"""Run any TorchScript model: its input takes tiles, one of its outputs is the result.

An archive holds the network's own code, which runs in torch's interpreter and not in Python's; no
pickle is loaded, and code that names anything but operators that compute isn't run.
`tilewright.runtime.tensors` says how tiles become its input, `tilewright.runtime.postprocess` how
maps become objects.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch

from tilewright.runtime import tensors
from tilewright.runtime.postprocess import results, with_params
from tilewright.runtime.torch_network import on_arrays
from tilewright.runtime.torchscript import check_archive

Params = Dict[str, Any]


def network_file(weights: str, folder: str) -> str:
    """The archive itself, or the only ``.pt`` in a zip, as bioimage.io's packages have it."""
    if not zipfile.is_zipfile(weights):
        return weights
    with zipfile.ZipFile(weights) as archive:
        inside = [m for m in archive.infolist() if m.filename.endswith(".pt")]
        if len(inside) != 1:
            return weights
        file = Path(folder, "network.pt")
        with archive.open(inside[0]) as packed, file.open("wb") as bare:
            shutil.copyfileobj(packed, bare)
    return str(file)


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, Params, Params]:
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    with tempfile.TemporaryDirectory() as folder:
        file = network_file(weights, folder)
        check_archive(file, weights, spec.get("allow_operators", ()))
        call = on_arrays(torch.jit.load(file, map_location=device).eval(), spec, device)
    return tensors.Network(call, dtype=params.get("dtype") or "float32"), spec, params


def predict(model: tuple[Any, Params, Params], tiles: np.ndarray) -> np.ndarray:
    """Labels, maps or vectors of (batch, *axes) float32 tiles, by the spec's `output_kind`."""
    return results(*model, tiles)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict, lambda model, params: with_params(model, params, "dtype"))
