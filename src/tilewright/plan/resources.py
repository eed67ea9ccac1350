"""What a PREDICT task of a model asks a scheduler for, and parameters that go against it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tilewright.contract.spec import ModelSpec
from tilewright.errors import USAGE, TilewrightError

from .params import Params

MEMORY_GB = 4  # of a task whose model asks for nothing


@dataclass(frozen=True)
class Needs:
    """What a PREDICT task asks a scheduler for.

    Parameters
    ----------
    gpus
        1, or 0 of a model that runs without.
    memory_gb
        Memory in GB.
    """

    gpus: int
    memory_gb: int


def needs(spec: ModelSpec, environment: str) -> Needs:
    """What a PREDICT task asks for, by the model alone.

    A model in the `base` environment runs without a GPU; one in its own wants one, unless its
    manifest says ``device: cpu`` (or ``min_vram_gb: 0``, its older form). What goes to the GPU
    passes through memory, too.

    Parameters
    ----------
    environment
        Name of the model's environment.
    """
    vram = spec.min_vram_gb
    wants = environment != "base" if vram is None else vram > 0
    wants = wants if spec.device is None else spec.device == "gpu"
    return Needs(int(wants), MEMORY_GB + math.ceil(vram or 0))


def contradictions(params: Params, wanted: Needs) -> list[TilewrightError]:
    """What can't be had together, before a job is sent in vain.

    Nextflow asks for the resources of a job array before it knows the model.
    """
    wrong = {}
    if params.slurm_array and params.gpus is None and wanted.gpus:
        wrong["--slurm_array: a job array can't know that this model wants a GPU."] = (
            "Say --gpus 1, or --gpus 0."
        )
    gb = wanted.memory_gb
    if params.slurm_array and params.predict_memory is None and gb > MEMORY_GB:
        wrong[f"--slurm_array: a job array can't know that this model wants {gb} GB."] = (
            f"Say --predict_memory {gb}."
        )
    most = params.slurm_max_memory
    if most and (params.predict_memory or 0) > most:
        wrong[
            f"--predict_memory {params.predict_memory} is more than --slurm_max_memory {most}."
        ] = "Ask for less, or raise the limit."
    if params.slurm_max_minutes and params.slurm_minutes > params.slurm_max_minutes:
        said = f"--slurm_minutes {params.slurm_minutes} is more than --slurm_max_minutes"
        wrong[f"{said} {params.slurm_max_minutes}."] = "Say at most as many."
    return [TilewrightError(what, fix=fix, code=USAGE) for what, fix in wrong.items()]
