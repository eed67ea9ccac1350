#!/usr/bin/env python3
"""Run any timm encoder: `architecture` names it, the weights file fills it, its tokens are pooled.

A network without tokens (a ResNet, a Swin) gives its last feature map, read as tokens row by row.
"""

from __future__ import annotations

import os
import zipfile
from typing import Any, Dict

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from timm import layers

from tilewright.runtime.precision import precision
from tilewright.runtime.tensors import ours

Params = Dict[str, Any]
NAMED = {  # what `timm_args` may name where timm wants a class
    "GELU": torch.nn.GELU,
    "LayerNorm": torch.nn.LayerNorm,
    "Mlp": layers.Mlp,
    "RmsNorm": layers.RmsNorm,
    "SiLU": torch.nn.SiLU,
    "SwiGLU": layers.SwiGLU,
    "SwiGLUPacked": layers.SwiGLUPacked,
}
DTYPES = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
WRAPPERS = ("state_dict", "model", "teacher")


def build(spec: Params, params: Params) -> Any:
    """The network `architecture`, changed by `timm_args`, without a classifier or weights."""
    given = dict(params.get("timm_args") or {})
    for name, value in given.items():
        if name.endswith(("_layer", "_block")) and isinstance(value, str):
            if value not in NAMED:
                raise ValueError(f"timm_args: {name} is {value!r}; it is one of {sorted(NAMED)}")
            given[name] = NAMED[value]
    if not timm.is_model(spec["architecture"]):
        raise ValueError(f"timm {timm.__version__} has no architecture {spec['architecture']!r}")
    return timm.create_model(spec["architecture"], pretrained=False, num_classes=0, **given)


def read(weights: str) -> Params:
    """A file's tensors by name: torch.save's zip, never a whole pickle, or safetensors."""
    try:
        if not zipfile.is_zipfile(weights):
            return load_file(weights)
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{weights} holds no plain tensors ({error})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{weights} holds a {type(state).__name__}, not tensors by name")
    inner = [state[name] for name in WRAPPERS if isinstance(state.get(name), dict)]
    return inner[0] if inner else state


def fill(network: Any, state: Params, weights: str) -> None:
    """Put every tensor in its place; a classifier's are left out, any other misfit is refused."""
    heads = network.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
    state = {k: v for k, v in state.items() if not (heads and k.startswith(heads))}
    own = network.state_dict()
    odd = {
        "lacks": sorted(own.keys() - state.keys()),
        "has, and shouldn't,": sorted(state.keys() - own.keys()),
        "has of another shape": sorted(
            k for k in own.keys() & state.keys() if own[k].shape != state[k].shape
        ),
    }
    for what, names in odd.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{weights} {what} {', '.join(names[:3])}{more}")
    network.load_state_dict(state)


def check(network: Any, spec: Params) -> None:
    """Refuse a spec whose numbers aren't the network's: tokens would be pooled wrongly."""
    info = getattr(network.feature_info, "info", network.feature_info)
    own = {
        "num_prefix_tokens": (getattr(network, "num_prefix_tokens", 0), "CLS and register tokens"),
        "patch_size": (info[-1]["reduction"], "px a side of what one token stands for"),
        "base_dim": (network.num_features, "numbers in a token"),
    }
    for name, (found, meaning) in own.items():
        said = spec.get(name)
        if said is not None and said != found:
            raise ValueError(
                f"{spec['architecture']} has {found} {meaning}, and the manifest's {name} is {said}"
            )


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, ...]:
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    if os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network = build(spec, params)
    check(network, spec)
    fill(network, read(weights), weights)
    return network.eval().to(device), device, DTYPES[precision(spec, device)], spec


def predict(model: tuple[Any, ...], tiles: np.ndarray) -> np.ndarray:
    """Tokens (batch, T, D) float32 of (batch, *axes) float32 tiles, after the last norm."""
    network, device, dtype, spec = model
    pixels = torch.from_numpy(ours(tiles, spec)).to(device)
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
        features = network.forward_features(pixels)
    if features.ndim == 4 and features.shape[1] == network.num_features:
        features = features.permute(0, 2, 3, 1)
    return features.float().flatten(1, -2).cpu().numpy()


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
