"""PREDICT: a job in, its bank out; the model runs in its own environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

from tilewright.aiod.previews import Previews
from tilewright.contract.faults import last_try
from tilewright.contract.jobs import Job, Recipe
from tilewright.contract.names import note_name
from tilewright.environments import interpreters
from tilewright.environments.gpus import own_gpu
from tilewright.errors import USAGE, TilewrightError
from tilewright.predict.confinement import Confine
from tilewright.predict.model_process import ModelProcess, process_of
from tilewright.predict.timing import Timing
from tilewright.predict.worker import ProgressFile, run_job
from tilewright.weights.cache import path_of

from . import run


def main(job: str, recipe: str, weights: str, bank: str) -> None:
    """Predict one job's tiles.

    Parameters
    ----------
    job, recipe
        PLAN's JSON files.
    weights
        Their SHA-256; empty of a model that brings its own.
    bank
        The file to write.
    """
    predict(Job.load(Path(job)), Recipe.load(Path(recipe)), weights, Path(bank))


def predict(job: Job, recipe: Recipe, weights: str, out: Path) -> None:
    """Predict a job's tiles with the model's own interpreter, as this machine has it.

    Where environments and weights are, how long a model may be silent and where progress goes, the
    environment variables say (``nextflow.config``): none of it changes a number.

    Parameters
    ----------
    job, recipe
        Which tiles, and how.
    weights
        Their SHA-256; empty of a model that brings its own.
    out
        The bank; what the job took is written beside it.
    """
    prefix = interpreters.prefix(recipe.environment.name, Path(os.environ["TILEWRIGHT_ENVS"]))
    file = path_of(weights, Path(os.environ["TILEWRIGHT_WEIGHTS"]))
    folder = os.environ.get("TILEWRIGHT_PROGRESS")
    name = note_name(job.group, job.job)

    def start() -> ModelProcess:
        silent = float(os.environ.get("TILEWRIGHT_PREDICT_TIMEOUT", "600"))
        return process_of(recipe, prefix, file, silent, confine=confined())

    progress = ProgressFile(Path(folder) / name) if folder else None
    watched = os.environ.get("TILEWRIGHT_PREVIEWS")
    timing = Timing()
    forgive = last_try() and len(job.images) > 1  # one image's task fails by itself
    with own_gpu(), timing.adds("seconds"):
        run_job(
            job, recipe, out, start=start, weights=weights, progress=progress, forgive=forgive,
            timing=timing, shown=Previews(Path(watched), job, recipe.spec) if watched else None,
        )  # fmt: skip
    timing.save(out.parent)


def confined() -> Confine:
    """Whether the model's process is confined, as TILEWRIGHT_CONFINE has it; ``auto`` if not said.

    Raises
    ------
    TilewrightError
        For a word that isn't one of `Confine` (2).
    """
    said = os.environ.get("TILEWRIGHT_CONFINE", "auto")
    for how in get_args(Confine):
        if said == how:
            return cast("Confine", how)
    raise TilewrightError(
        f"TILEWRIGHT_CONFINE is {said!r}.", fix="Say auto, require or off.", code=USAGE
    )


if __name__ == "__main__":
    run(main)
