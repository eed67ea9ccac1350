"""Which rules there are, whose code each is, and how one is run on a folder of tiles.

    from seams.rules import RULES, run          # with benchmarks/ on the path
    outcome = run("ngio", [folder], seconds=600)[0]

where `job.Job.write(folder, grid, labels)` made the folder. Standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SRC = HERE.parents[1] / "src"


@dataclass(frozen=True)
class Rule:
    """How one tool makes one image of tiles.

    Parameters
    ----------
    title
        As the tables name it.
    place
        Its function here, ``module.name``.
    package
        On PyPI: the peer's own code runs, in the peers' environment; None: it is written here.
    imports
        What is imported ahead of the clock.
    volumes
        Whether it takes 3D.
    """

    title: str
    place: str
    package: str | None = None
    imports: tuple[str, ...] = ()
    volumes: bool = True

    def function(self) -> Callable[[Any], Any]:
        """The rule itself."""
        module, name = self.place.split(".")
        return getattr(importlib.import_module(f"seams.{module}"), name)  # type: ignore[no-any-return]


DASK = ("dask.array", "dask_image.ndmeasure", "scipy.sparse.csgraph")
RULES = {
    "tilewright": Rule("Tilewright", "ours.match", imports=("seams.ours",)),
    "cut": Rule("hard cut", "plain.hard_cut", imports=("seams.plain",)),
    "sum": Rule("summed (Segment-Flow, overlap > 0)", "plain.summed", imports=("seams.plain",)),
    "best": Rule(
        "mutual best on a face (cluster_tools)", "plain.mutual_best", imports=("seams.plain",)
    ),
    "touch": Rule("touching on a face (dask-image)", "peers.touching", "dask-image", DASK),
    "cellpose": Rule(
        "Cellpose distributed", "peers.cellpose", "cellpose", (*DASK, "distributed", "zarr")
    ),
    "stardist": Rule(
        "StarDist big", "peers.stardist", "stardist", ("stardist.big", "skimage.measure")
    ),
    "sopa": Rule(
        "Sopa", "peers.sopa", "sopa", ("sopa.segmentation.resolve", "sopa.shapes"), volumes=False
    ),
    "ngio": Rule("ngio", "peers.ngio", "ngio", ("ngio.iterators",)),
    "elf": Rule("elf multicut", "peers.elf", "python-elf", ("elf.segmentation.stitching",)),
}


@dataclass(frozen=True)
class Outcome:
    """What came of a rule on one job.

    Parameters
    ----------
    labels
        The merged image, a .npy file; None if it failed.
    seconds
        Wall time from tiles on disk to labels in memory; imports don't count.
    cpu
        Seconds of the cores in that time: other work on the machine matters less.
    peak_mb
        Memory it took above that of its imports.
    version
        Of the peer's package; None for what is written here.
    note, error
        What else to know; why there is no result.
    """

    labels: Path | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    version: str | None = None
    note: str = ""
    error: str = ""


def run(
    name: str, folders: Sequence[Path], seconds: float = 120, python: Path | None = None
) -> list[Outcome]:
    """Run a rule on jobs, each for at most so many seconds; what fails says so in its outcome.

    Parameters
    ----------
    python
        The interpreter; by default this one, or that of the peers' environment, which is built.
    """
    if python is None:
        python = Path(sys.executable)
        if RULES[name].package:
            from seams.environment import peers_python

            python = peers_python()
    env = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-P", HERE / "child.py", name, seconds, *folders]
    done = subprocess.run(
        [str(c) for c in command],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    said = done.stderr.strip().splitlines() or ["nothing was said"]
    return [_outcome(name, folder, said[-1]) for folder in folders]


def _outcome(name: str, folder: Path, said: str) -> Outcome:
    told, labels = folder / f"{name}.json", folder / f"{name}.npy"
    if not told.exists():
        return Outcome(error=said[:200])
    known = json.loads(told.read_text())
    return Outcome(labels if labels.exists() else None, **known)
