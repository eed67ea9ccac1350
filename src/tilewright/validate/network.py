"""What an encoder's network is without its weights: built where tensors have shapes only.

On torch's `meta` device a network of a billion parameters is built in a second and takes no memory.
`ENCODER_RUNNERS` can be asked.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.spec import ModelSpec
from tilewright.environments.interpreters import child_env
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.runtime.pooling import pool

SECONDS = 300  # to import torch and build every network, at most
ASK = """
import contextlib, json, runpy, sys, torch, torch._dynamo
torch.autocast = lambda *_, **__: contextlib.nullcontext()  # there is none of shapes
script = runpy.run_path(sys.argv[1])
for line in sys.stdin:
    spec, params, tile = json.loads(line)
    try:
        with torch.device("meta"), torch.inference_mode():
            network = script["build"](spec, params).eval()
            script["check"](network, spec)
            shape = tuple(script["encode"](network, spec)(torch.zeros(tile)).shape)
        count = sum(p.numel() for p in network.parameters())
        print(json.dumps({"shape": shape, "parameters": count}))
    except Exception as error:
        print(json.dumps({"error": str(error) or type(error).__name__}))
"""


@dataclass(frozen=True)
class Network:
    """What was built of a spec, or why nothing could be.

    Parameters
    ----------
    shape
        Of what it gives for one tile: (1, T, D) tokens, or (1, D) a vector.
    parameters
        How many it has, without a classifier.
    error
        Empty where it was built.
    """

    shape: tuple[int, ...] = ()
    parameters: int = 0
    error: str = ""

    @property
    def tokens(self) -> int | None:
        """Tokens of a tile, prefix and all; None of a network without."""
        return self.shape[1] if len(self.shape) == 3 else None

    def misfit(self, spec: ModelSpec) -> str:
        """In what it isn't as the spec says, as a sentence's middle; empty if it is."""
        if self.error:
            return self.error
        size = spec.seen(tuple(spec.tile_spec.pixels(spec.tile_spec.size, a) for a in "yx"))
        results: np.ndarray = np.broadcast_to(np.float32(0), self.shape)
        try:
            given = pool(results, spec.to_dict(), size) if self.tokens else results
        except ValueError as error:
            return str(error)
        axis = 2 if spec.form == "token_sequence" else 1
        wanted = spec.embedding_dim
        if wanted is not None and given.shape[axis] != wanted:
            return f"gives {given.shape[axis]} numbers, and embedding_dim is {wanted}"
        return ""


def networks(
    asked: Sequence[tuple[ModelSpec, dict[str, Any]]], python: Path, script: Path
) -> list[Network]:
    """Build networks, all in one process: torch takes seconds to import.

    Parameters
    ----------
    asked
        Specs, and the values of each one's parameters.
    python, script
        The runner's interpreter and script.

    Raises
    ------
    TilewrightError
        When it can't be asked.
    """
    keys = [json.dumps([_network_of(spec), params, _tile(spec)]) for spec, params in asked]
    each = list(dict.fromkeys(keys))  # variants share a network
    try:
        done = subprocess.run(
            [str(python), "-c", ASK, str(script)],
            env=child_env(python.parents[1]),
            input="\n".join(each),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _silent(script, f"it was silent for {SECONDS} s") from None
    if done.returncode:
        raise _silent(script, (done.stderr.strip().splitlines() or ["it died"])[-1])
    told = dict(zip(each, map(json.loads, done.stdout.splitlines()[-len(each) :]), strict=True))
    return [Network(**{**told[k], "shape": tuple(told[k].get("shape", ()))}) for k in keys]


def _network_of(spec: ModelSpec) -> dict[str, Any]:
    """What of a spec the scripts' `build`, `check` and `encode` look at."""
    names = ("architecture", "num_prefix_tokens", "patch_size", "base_dim")
    own = "patch_mean" if spec.form == "patch_mean" else None  # the network may pool by itself
    return {**{name: getattr(spec, name) for name in names}, "output_type": own}


def _tile(spec: ModelSpec) -> list[int]:
    """The shape of a batch of one tile, as the network sees it."""
    tile = spec.tile_spec
    return [1, spec.num_channels, *spec.seen(tuple(tile.pixels(tile.size, a) for a in tile.axes))]


def _silent(script: Path, why: str) -> TilewrightError:
    return TilewrightError(
        f"bin/{script.name} can't build a network without weights ({why}).",
        fix="Look at its environment: ./tilewright validate --level 3.",
        code=UNAVAILABLE,
    )
