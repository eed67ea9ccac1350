#!/usr/bin/env python3
"""Run an encoder in transformers' format: a class of its own, which a file of weights fills."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
import transformers

from tilewright.runtime.encoder import agree
from tilewright.runtime.tensors import ours
from tilewright.runtime.torch_network import on_arrays
from tilewright.runtime.torch_weights import read

Params = Dict[str, Any]  # no code and no pickle of a hub's is ever run: these classes alone
CLASSES = ("DINOv3ViTModel", "Dinov2Model", "Dinov2WithRegistersModel", "ViTModel")
UNUSED = ("pooler.", "embeddings.mask_token")  # layers for training alone


def build(spec: Params, params: Params) -> Any:
    """The network of the class `architecture`, by `transformers_args`, without weights."""
    name, given = spec["architecture"], params.get("transformers_args") or {}
    if name not in CLASSES:
        raise ValueError(f"architecture is {name!r}; it is one of {', '.join(CLASSES)}")
    kind = getattr(transformers, name)
    config = kind.config_class(**{"use_mask_token": False, **given})
    return kind(config, **({"add_pooling_layer": False} if name == "ViTModel" else {}))


def check(network: Any, spec: Params) -> None:
    """Refuse a spec whose numbers aren't the network's."""
    own, prefix = network.config, 1 + getattr(network.config, "num_register_tokens", 0)
    agree(spec, num_prefix_tokens=prefix, patch_size=own.patch_size, base_dim=own.hidden_size)


def encode(network: Any, spec: Params) -> Callable[[Any], Any]:
    """A function from a tensor (batch, C, H, W) to tokens (batch, T, D), after the last norm."""
    return lambda tiles: network(pixel_values=tiles).last_hidden_state


def load(weights: str, device: str, spec: Params, params: Params) -> tuple[Any, ...]:
    """Open the safetensors file `weights` on `device` ("cpu", "cuda", "cuda:1" or "mps")."""
    network = build(spec, params)
    check(network, spec)
    own = f"{network.base_model_prefix}."
    read(weights, spec["architecture"], prefix=own, pickled=False).fill(network, UNUSED)
    return on_arrays(encode(network.to(device), spec), spec, device), spec


def predict(model: tuple[Any, ...], tiles: np.ndarray) -> np.ndarray:
    """Tokens (batch, T, D) float32 of (batch, *axes) float32 tiles."""
    call, spec = model
    return call(ours(tiles, spec))


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
