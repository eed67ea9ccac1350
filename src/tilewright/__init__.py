"""Tilewright: any image model over images of any size, with seams that are measured.

`ModelSpec` and `TileSpec` need the standard library only; the rest is imported when asked for.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime would tell its makers of each use

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parents[2]
"""The checkout: manifests, scripts, environments and bundled weights are found from here."""
__all__ = [
    "ModelSpec",
    "Models",
    "Registry",
    "TileSpec",
    "open_spatialdata",
    "read_objects",
    "tiles",
]

_HOMES = {
    "ModelSpec": "contract.spec",
    "Models": "api.models",
    "TileSpec": "contract.spec",
    "Registry": "registry.registry",
    "open_spatialdata": "export.elements",
    "read_objects": "api.objects",
    "tiles": "api.tiles",
}


def __getattr__(name: str) -> object:
    """The public names, imported on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tilewright' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


class _Moved(ModuleType):
    """What models' scripts imported of 0.1.0; it lies in `runtime` now."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # who looks through all modules loads none
            raise AttributeError(name)
        home = name if name == "precision" else self.__name__.rpartition(".")[2]
        return getattr(import_module(f"tilewright.runtime.{home}"), name)


for _name in ("postprocess", "serve", "tensors"):
    sys.modules[f"{__name__}.{_name}"] = _Moved(f"{__name__}.{_name}")
