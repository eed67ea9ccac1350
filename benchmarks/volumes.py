"""How much memory and time Empanada's volumes take, from which its bound follows.

    ./tilewright bench volumes [--sides 64 128 256] [--wide 256 512] [--weights FOLDER]

Cubes full of balls are segmented by our script in Empanada's environment: with the made network of
`bench zoo`, which finds them, in cubes of `--sides` px; and with one as wide as the published
ones, which finds nothing, in volumes of 8 planes of `--wide` px a side. Printed are the most
memory of the script, and the processor's seconds. Of the whole volume the worker has a copy too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

import numpy as np  # noqa: E402
from zoo import runs  # noqa: E402
from zoo.cases import CASES, Case  # noqa: E402
from zoo.measure import cpu_seconds  # noqa: E402

FEW = 8  # planes of what only the network's own memory is asked of


def main() -> None:
    """Make networks, segment, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--wide", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--weights", type=Path, help="keep made weights in this folder")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # two would wait for each other at the processor's cost
    print("network   volume             objects   memory, MB   CPU s   CPU s per megavoxel")
    with tempfile.TemporaryDirectory() as own:
        folder = asked.weights or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        made = CASES["mitonet-3d"]
        for side in asked.sides:
            segment("made", replace(made, shape=(side,) * 3), runs.made_weights(made, folder))
        for side in asked.wide:
            wide = replace(
                made, shape=(FEW, side, side), params={"plane": "XY", "conf_threshold": 1.0}
            )
            segment("wide", wide, wide_weights(wide, folder))


def wide_weights(case: Case, folder: Path) -> Path:
    """A network as wide as those that are published, with chance weights."""
    if not (folder / "wide.pth").exists():
        runs.in_its_environment(case, "wide", folder, "wide.pth")
    return folder / "wide.pth"


def segment(network: str, case: Case, weights: Path) -> None:
    """Segment a case's volume, and print what it took."""
    with runs.model_process(case, weights) as model:
        labels = model.predict(runs.main_tile(case))
        status = Path(f"/proc/{model.pid}/status").read_text().splitlines()
        busy = cpu_seconds(model.pid)
    (most,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    shape, million = " x ".join(map(str, case.shape)), np.prod(case.shape) / 1e6
    objects = len(np.unique(labels)) - 1
    row = (
        f"{network:9} {shape:18} {objects:7} {most / 1024:12.0f} {busy:7.0f} {busy / million:15.1f}"
    )
    print(row, flush=True)


if __name__ == "__main__":
    main()
