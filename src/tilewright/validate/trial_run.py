"""A model running on sample tiles in its own environment: what the validator's R rules look at.

Nothing is judged here. Answers are kept, so that each batch is predicted once however many rules
look at it; results that don't fit the spec are given as they are.
"""

from __future__ import annotations

import time
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tilewright.contract.spec import ModelSpec
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess, ScriptError

from . import samples

Array = np.ndarray[Any, Any]
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "no_proxy": ""} | dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
)
"""A model with its weights needs no network: here it finds none."""
TIMEOUT = 600.0  # s a model may be silent


class Unchecked(ModelProcess):
    """A model whose results are taken as they are."""

    def check(self, results: Array, tiles: Array) -> None:
        """Takes results of any shape and dtype."""


@dataclass(frozen=True)
class Outcome:
    """What a model made of a batch: results, or why there are none."""

    results: Array | None
    error: str = ""


@dataclass
class TrialRun:
    """One model, version, task and variant, and how to run it; a context manager.

    Parameters
    ----------
    spec, params
        What it declares, and its parameters' defaults.
    python, script, weights
        Its interpreter, its script and its weights (empty for a model that brings its own).
    device
        Where it runs.
    """

    spec: ModelSpec
    params: dict[str, Any]
    python: Path
    script: Path
    weights: str = ""
    device: str = "cpu"
    timeout: float = TIMEOUT
    _model: ModelProcess | None = None
    _answers: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    def __enter__(self) -> TrialRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(None)

    def start(self, *, weights: str | None = None, **fields: Any) -> ModelProcess:
        """A new process of the model, with other weights or another spec if they are given."""
        return Unchecked(
            self.python,
            self.script,
            weights=self.weights if weights is None else weights,
            device=self.device,
            spec={**self.spec.to_dict(), **fields},
            params=self.params,
            timeout=self.timeout,
            env={**child_env(self.python.parents[1]), **OFFLINE},
        )

    @cached_property
    def reading(self) -> ModelSpec:
        """The spec that sample tiles are cut by."""
        return samples.reading(self.spec)

    @cached_property
    def tiles(self) -> dict[str, Array]:
        """Sample tiles, (C, *spatial) float32.

        ``a`` and ``b`` are real; ``black`` and ``white`` empty; ``corner`` is an image's end;
        ``swapped`` is ``a`` with its first and last channel swapped.
        """
        pictures = samples.pictures(self.reading)
        found = {name: samples.first_tile(p, self.reading) for name, p in pictures.items()}
        found["corner"] = samples.corner(pictures["a"], self.reading)
        found["swapped"] = found["a"][::-1].copy()
        return found

    @cached_property
    def failure(self) -> str:
        """Why the model can't be loaded; empty if it can."""
        try:
            _ = self._running().versions
        except TilewrightError as error:
            self._stop(error)
            return str(error)
        return ""

    def answer(self, *names: str) -> Outcome:
        """What the model makes of a batch of sample tiles."""
        if names not in self._answers:
            self._answers[names] = self.ask(np.stack([self.tiles[n] for n in names]))
        return self._answers[names]

    def ask(self, tiles: Array) -> Outcome:
        """What the model makes of (batch, C, *spatial) tiles, asked anew."""
        if self.failure:
            return Outcome(None, self.failure)
        try:
            return Outcome(self._running().predict(tiles))
        except TilewrightError as error:
            if not isinstance(error, ScriptError):  # it is dead, or as good as
                self._stop(error)
            return Outcome(None, str(error))
        except ValueError as error:  # results that can't be an array
            return Outcome(None, str(error))

    def seconds(self) -> float:
        """Seconds it takes for a tile, the second time."""
        self.answer("a")
        begun = time.perf_counter()
        self.ask(self.tiles["a"][None])
        return time.perf_counter() - begun

    def memory_mb(self) -> float:
        """Most memory its process has had so far, in MB; 0 where the system doesn't say."""
        return _peak_mb(self._model.pid) if self._model is not None else 0.0

    def with_rubbish(self) -> Outcome:
        """What it makes of ``a`` with a file of zeros for its weights."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / Path(self.weights).name
            file.write_bytes(bytes(4096))
            try:  # its traceback would look like a fault
                with redirect_stderr(StringIO()), self.start(weights=str(file)) as model:
                    return Outcome(model.predict(self.tiles["a"][None]))
            except TilewrightError as error:
                return Outcome(None, str(error))

    def _running(self) -> ModelProcess:
        if self._model is None:
            self._model = self.start()
            self._model.__enter__()
        return self._model

    def _stop(self, error: Exception | None) -> None:
        model, self._model = self._model, None
        if model is not None:
            model.__exit__(type(error) if error else None, error, None)


def _peak_mb(pid: int) -> float:
    """Most memory a process had, in MB; 0 where the system doesn't say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
