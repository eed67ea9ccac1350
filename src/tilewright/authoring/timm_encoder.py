"""What timm says of an encoder: its patches, tokens, input and normalisation.

timm is in the environment `timm`, and is asked there; no weights are made or read.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import UNAVAILABLE, USAGE, TilewrightError

ASK_TIMM = """
import json, sys, timm, torch
name = sys.argv[1]
if not timm.is_model(name):
    like = timm.list_models(f"*{name}*")[:5]
    print(json.dumps({"version": timm.__version__, "like": like}))
    sys.exit()
with torch.device("meta"):
    network = timm.create_model(name, pretrained=False, num_classes=0)
about, features = network.pretrained_cfg, network.feature_info
print(json.dumps({
    "prefix_tokens": getattr(network, "num_prefix_tokens", 0),
    "patch_size": getattr(features, "info", features)[-1]["reduction"],
    "dim": network.num_features,
    "channels": about["input_size"][0],
    "size": about["input_size"][1],
    "mean": about["mean"],
    "std": about["std"],
    "interpolation": about["interpolation"],
}))
"""
TIMM_SECONDS = 300  # seconds to import torch, at most


@dataclass(frozen=True)
class Encoder:
    """A timm encoder as its configuration has it.

    Parameters
    ----------
    prefix_tokens
        CLS and register tokens.
    patch_size
        Pixels a side of what one other token stands for.
    dim
        Numbers in a token.
    channels, size
        Of its input; pixels along y and x.
    mean, std
        Per channel, of values from 0 to 1.
    interpolation
        How its images were resampled.
    """

    prefix_tokens: int
    patch_size: int
    dim: int
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str


def ask(architecture: str) -> Encoder:
    """What timm says of an architecture; its environment is built first if it isn't there.

    Raises
    ------
    TilewrightError
        When timm has no such architecture, or can't be asked.
    """
    prefix = interpreters.build("timm")
    try:
        done = subprocess.run(
            [str(prefix / "bin" / "python"), "-c", ASK_TIMM, architecture],
            env=child_env(prefix),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMM_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _silent(f"it was silent for {TIMM_SECONDS} s", prefix) from None
    if done.returncode:
        raise _silent((done.stderr.strip().splitlines() or ["it died"])[-1], prefix)
    found = json.loads(done.stdout.splitlines()[-1])
    if "like" in found:
        known = ", ".join(found["like"]) or "https://huggingface.co/docs/timm lists them"
        raise TilewrightError(
            f"timm {found['version']} has no architecture {architecture!r}.",
            fix=f"Choose another: {known}.",
            code=USAGE,
        )
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()}
    return Encoder(**values)


def _silent(why: str, prefix: Path) -> TilewrightError:
    return TilewrightError(
        f"timm can't be asked ({why}).",
        fix=f"Try again; if it stays so, remove its environment, {prefix}: it is built anew.",
        code=UNAVAILABLE,
    )
