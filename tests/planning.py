"""A run of a few grey images, planned in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from tilewright.plan.plan import Plan, make_plan


def grey(path: Path, shape: tuple[int, ...] = (32, 40)) -> Path:
    """A grey TIFF with a gradient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.arange(np.prod(shape), dtype=np.uint16).reshape(shape))
    return path


def planned(tmp_path: Path, **params: object) -> Plan:
    """A plan over `tmp_path`/in."""
    given = {"input": str(tmp_path / "in"), "outdir": str(tmp_path / "out")}
    given["weights_dir"] = str(tmp_path / "weights")
    return make_plan(given | params, tmp_path)
