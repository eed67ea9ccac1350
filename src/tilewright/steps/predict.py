"""PREDICT: a job in, its bank out; the model runs in its own environment."""

from __future__ import annotations

from pathlib import Path

from tilewright.contract.jobs import Job, Recipe
from tilewright.predict.worker import predict

from . import run


def main(job: str, recipe: str, weights: str, bank: str) -> None:
    """Predict one job's tiles."""
    predict(Job.load(Path(job)), Recipe.load(Path(recipe)), weights, Path(bank))


if __name__ == "__main__":
    run(main)
