"""Encoders in little: what their tests share, whichever library loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tilewright import ROOT
from tilewright.api.tiles import tiles
from tilewright.environments import interpreters
from tilewright.registry.registry import ResolvedModel
from tilewright.validate.network import Network, networks
from tilewright.weights.config_files import config_values

WITHIN = 0.06  # published counts are rounded, and some leave positions out
CLASSES = 1000  # of ImageNet, whose classifier some publishers count
UNITS = {"M": 1e6, "B": 1e9}


def values(choice: ResolvedModel) -> dict[str, Any]:
    """What the script gets as parameters."""
    address = choice.config(next(iter(choice.task.locations), None))
    return choice.values({}, config_values(address, ROOT), address)


def whole(choices: list[ResolvedModel], runner: str) -> dict[str, Network]:
    """Each encoder's whole network, by its name, without weights."""
    python = interpreters.build(runner) / "bin" / "python"
    asked = [(choice.spec(), values(choice)) for choice in choices]
    made = networks(asked, python, ROOT / "bin" / f"run_{runner}.py")
    return dict(zip(names(choices), made, strict=True))


def names(choices: list[ResolvedModel]) -> list[str]:
    """The tests' ids."""
    return [choice.model_name for choice in choices]


def misfits(choice: ResolvedModel, built: Network) -> list[str]:
    """In what the network isn't as the manifest says, of the spec and of its variants."""
    specs = [choice.spec(), *(choice.spec(variant=n) for n in choice.spec().variants or {})]
    return [found for found in (built.misfit(spec) for spec in specs) if found]


def off(choice: ResolvedModel, built: Network) -> float:
    """How far the parameters are from the published number, as a share of it."""
    said = str(choice.version.parameters)
    published = float(said[:-1]) * UNITS[said[-1]]
    classifier = ((choice.spec().base_dim or 0) + 1) * CLASSES
    own = built.parameters
    return min(abs(n / published - 1) for n in (own, own + classifier))


def picture(side: int, folder: Path) -> np.ndarray:
    """Smooth colours with noise, (side, side, 3) uint8, which are written to `{side}.tif`, too."""
    rng = np.random.default_rng(side)
    y, x = np.mgrid[:side, :side] / side
    smooth = np.stack([np.sin(5 * x + 3 * y), np.cos(4 * y), x * y], axis=-1)
    made = (127 + 80 * smooth + rng.normal(0, 20, smooth.shape)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(folder / f"{side}.tif", made, photometric="rgb")
    return made


def tile_of(choice: ResolvedModel, folder: Path) -> np.ndarray:
    """What our reader makes of the picture for an encoder, (1, C, y, x)."""
    spec = choice.spec()
    side = round(spec.tile_spec.size["y"])
    mpp = spec.tile_spec.resolution.target_mpp if spec.tile_spec.resolution else None
    (one,) = tiles(folder / f"{side}.tif", spec, mpp=mpp)
    return one.pixels[None]
