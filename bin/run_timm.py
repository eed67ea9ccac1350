#!/usr/bin/env python3
"""Run any timm encoder: `architecture` names it, the weights file fills it, its tokens are pooled.

A network without tokens (a ResNet, a ConvNeXt) pools its last feature map itself for `patch_mean`;
of another output type that map is read as tokens row by row.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
import timm
import torch
from timm import layers

from tilewright.runtime.encoder import agree
from tilewright.runtime.tensors import ours
from tilewright.runtime.torch_network import on_arrays
from tilewright.runtime.torch_weights import read

Params = Dict[str, Any]
NAMED = {  # what `timm_args` may name where timm wants a class
    **{name: getattr(torch.nn, name) for name in ("GELU", "LayerNorm", "SiLU")},
    **{name: getattr(layers, name) for name in ("Mlp", "RmsNorm", "SwiGLU", "SwiGLUPacked")},
}
INSIDE = ("state_dict", "model", "teacher")  # where a file may have the layers


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


def classifier(network: Any) -> list[str]:
    """How the names of its classifier's layers begin, which no encoder needs."""
    heads = network.pretrained_cfg.get("classifier") or ()
    return [f"{name}." for name in ([heads] if isinstance(heads, str) else heads)]


def check(network: Any, spec: Params) -> None:
    """Refuse a spec whose numbers aren't the network's."""
    info = getattr(network.feature_info, "info", network.feature_info)
    own = {"patch_size": info[-1]["reduction"], "base_dim": network.num_features}
    agree(spec, num_prefix_tokens=getattr(network, "num_prefix_tokens", 0), **own)


def encode(network: Any, spec: Params) -> Callable[[Any], Any]:
    """A function from a tensor (batch, C, H, W) to tokens (batch, T, D), or vectors (batch, D)."""
    if not hasattr(network, "num_prefix_tokens") and spec.get("output_type") == "patch_mean":
        return network  # with its own pooling, and the norm that some have after it

    def tokens(tiles: Any) -> Any:
        features = network.forward_features(tiles)
        if features.ndim == 4 and features.shape[1] == network.num_features:
            features = features.movedim(1, -1)
        return features.reshape(len(features), -1, features.shape[-1])

    return tokens


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, ...]:
    """Open the file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    network = build(spec, params)
    check(network, spec)
    prefix = params.get("weights_prefix") or ""
    found = read(weights, spec["architecture"], INSIDE, prefix)
    found.fill(network, ignore=classifier(network))
    return on_arrays(encode(network.to(device), spec), spec, device), spec


def predict(model: tuple[Any, ...], tiles: np.ndarray) -> np.ndarray:
    """Tokens (batch, T, D) or vectors (batch, D), float32, of (batch, *axes) float32 tiles."""
    call, spec = model
    return call(ours(tiles, spec))


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
