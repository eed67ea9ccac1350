"""The worker's end of the pipe: runs a model in its own interpreter and answers for it.

Starts the script, sends tiles, takes results and checks them; a model that dies, hangs, returns
nonsense or runs out of memory becomes one sentence or a smaller batch. `child` is the process,
`serve` the other end, `protocol` says what a message is, `worker` which tiles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tilewright import ROOT
from tilewright.contract.faults import MachineError
from tilewright.contract.jobs import Recipe
from tilewright.environments.gpus import device, make_devices
from tilewright.environments.interpreters import child_env
from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, TilewrightError
from tilewright.runtime.protocol import encode, receive
from tilewright.tile_results.check import check_results, described

from .child import CLOSE_SECONDS, Child, ModelError, printed
from .confinement import Confine, Confinement

Array = np.ndarray
Um = Sequence[float | None] | None
"""How big a tile's pixels are, in µm along (z,) y and x; None is unknown."""
Answer = tuple[dict[str, Any], Array]
BatchKey = TypeVar("BatchKey")

OF_THE_SCRIPT = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "MemoryError",
                 "NotImplementedError", "AttributeError")  # fmt: skip
"""What no file of weights is to blame for, where a script raises it while it loads a model."""
REFUSED = ("Permission denied", "Operation not permitted")  # what the system says of it
UNDER_WAY = 2  # batches sent and not yet answered: one the model works on, one read ahead


@dataclass(frozen=True)
class Batch:
    """What a script is sent at once.

    Parameters
    ----------
    tiles
        (batch, C, *spatial) float32.
    um
        Of their pixels.
    """

    tiles: Array
    um: Um = None

    def part(self, start: int, count: int | None) -> Batch:
        """Some of its tiles; None is all from `start` on."""
        return Batch(self.tiles[start:][:count], self.um)


class ScriptError(ModelError):
    """What a model script raised in `predict`; its process goes on."""


class ModelProcess:
    """A model script running in its own environment; a context manager.

    Entering starts it and doesn't wait: the first result does, so tiles are read while the
    model loads. Leaving ends it.

    Parameters
    ----------
    python
        The model environment's interpreter, ``<prefix>/bin/python``.
    script
        The model's script, which calls `serve`.
    weights
        Path of the weights; empty for a model that has none.
    device
        Where the model runs, e.g. ``"cpu"`` or ``"cuda:0"``.
    spec, params
        JSON values: ModelSpec's fields, and the user's parameters.
    timeout
        Seconds without an answer and without anything printed after which it counts as hung.
    env
        Its environment variables; by default those of `child_env`.
    log
        A file that what it prints is added to, in place of our own stderr.
    confine
        Whether it has no network and writes to its scratch alone: ``auto`` where this machine can
        see to that, ``require`` or not at all, ``off`` never.

    Attributes
    ----------
    batch_limit
        Tiles in the largest batch worth sending; None until memory has run out.
    device_name, precision
        What people call the device, and what the model computes in, or None: its script asked for
        none, so it is its own; known when the first result is there.
    unconfined
        Why it isn't confined, in words; empty if it is, None until the first result is there.
    seconds
        That the script has spent in `predict` with its parameters, by its own clock.

    Raises
    ------
    TilewrightError
        69 for a missing interpreter, script or weights, 65 for results that don't fit the spec,
        70 for a model that fails, dies or hangs. After results that don't fit, or an error that
        predict raised, the process is still good for other tiles.
    """

    def __init__(
        self,
        python: Path,
        script: Path,
        *,
        weights: str,
        device: str,
        spec: dict[str, Any],
        params: dict[str, Any],
        timeout: float = 600,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        confine: Confine = "auto",
    ) -> None:
        self.python, self.script = Path(python).absolute(), Path(script).absolute()
        self.weights, self.device = weights, device
        self.spec = spec
        self._hello = {"weights": weights or None, "device": device, "spec": spec, "params": params}
        self.timeout, self.log, self.confine = timeout, log, confine
        self.unconfined: str | None = None
        self.env = child_env(self.python.parents[1]) if env is None else env
        self.batch_limit: int | None = None
        self.device_name, self.seconds = device, 0.0
        self.precision: str | None = None
        self._versions: dict[str, str] | None = None
        self._is_over = False
        self._sent = 0
        self._waiting: dict[int, Answer | None] = {}

    def __enter__(self) -> ModelProcess:
        _check_is_there(self.python, "the model's interpreter", "Build its environment again.")
        _check_is_there(self.script, "the model's script", "Put it there, or choose another model.")
        if self.weights:
            fix = "Fetch them again, or give another location in the manifest."
            _check_is_there(Path(self.weights), "the model's weights", fix)
        self._confinement = Confinement(self.confine, self.python.parents[1])
        try:
            self._begin_process()
        except BaseException:
            self._confinement.close()
            raise
        return self

    def _begin_process(self) -> None:
        self._child = Child(
            self.python, self.script, self.called, self.env, self.timeout, self.log,
            self._confinement,
        )  # fmt: skip
        self._is_over, self.unconfined = False, None
        try:
            self._child.write(*encode(self._hello))
        except BaseException:
            self._child.close(0)
            raise

    def begin_anew(self) -> None:
        """End the process; the next batch starts another, and answers that are due are asked again.

        Whatever the last batch did to the old one, e.g. to its GPU, is gone with it.
        """
        self._child.close(0)
        self._waiting.clear()
        self._versions, self._is_over = None, True

    def change(self, params: dict[str, Any]) -> None:
        """Go on with other parameters; the model stays loaded where its script can do that.

        Parameters
        ----------
        params
            All of the user's.
        """
        self._hello = {**self._hello, "params": params}
        self.seconds = 0.0
        if self._is_over:  # the next batch starts another process
            return
        _ = self.versions
        self._child.doing = "taking other parameters"
        self._child.write(*encode({"params": params}))
        self._versions = None  # as after a start

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._child.close(CLOSE_SECONDS if kind is None else 0)
        self._confinement.close()

    @property
    def called(self) -> str:
        """Its script and its weights, for sentences: either may be at fault."""
        weights = f" with {Path(self.weights).name}" if self.weights else ""
        return f"{self.script.name}{weights}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def versions(self) -> dict[str, str]:
        """Versions of its ``python`` and ``numpy``; waits until the model is loaded.

        Raises
        ------
        TilewrightError
            69, when its weights can't be loaded; 70, when it says nothing in time or dies.
        """
        if self._versions is None:
            if self._is_over:
                self._begin_process()
            if self.unconfined is None:
                self.unconfined = self._confined()
            answer, _ = receive(self._child.fill)
            if "error" in answer:
                raise self._failed(answer)
            self._child.loaded = True
            self._versions = {k: answer[k] for k in ("python", "numpy")}
            self.device_name, self.precision = answer["device"], answer["precision"]
        return self._versions

    def _confined(self) -> str:
        """Why the process isn't confined, as it says itself before the script begins."""
        if self.confine == "off":
            return "--confine off is said"
        answer, _ = receive(self._child.fill)
        why: str = answer["unconfined"]
        if why and self.confine == "require":
            raise TilewrightError(
                f"The model wasn't started, since --confine require is said and {why}.",
                fix="Run it where the kernel has Landlock, Linux 6.2 and later; or trust the model "
                "and say --confine auto.",
                code=UNAVAILABLE,
            )
        return why

    def predict(self, tiles: Array, um: Um = None) -> Array:
        """The model's results for one batch, in its order.

        Parameters
        ----------
        tiles
            (batch, C, *spatial) float32. When memory runs out it is sent again in halves.
        um
            Of their pixels, which a spec with `takes_pixel_size` asks for.

        Returns
        -------
        ndarray
            Labels (batch, *spatial) integer, a map (batch, class, *spatial) float, or an
            embedding, (batch, D) float unless the spec's `output_type` is dense or
            token_sequence; checked.
        """
        batch = Batch(tiles, um)
        return self._finish(batch, self._begin(batch))

    def map(
        self,
        batches: Iterable[tuple[BatchKey, Array]],
        *,
        forgive: bool = False,
        um: Callable[[BatchKey], Um] = lambda _: None,
    ) -> Iterator[tuple[BatchKey, Array | TilewrightError]]:
        """Predict many batches; the next is sent while the model works on one.

        Parameters
        ----------
        batches
            Any key, and tiles (batch, C, *spatial) as in `predict`; two are held at a time.
        forgive
            A batch over which the script raises, dies or hangs is given back, too, and the others
            go on in a process of their own: nothing else will be tried.
        um
            Tells of a batch's key how big its pixels are.

        Yields
        ------
        tuple
            The key and its results, in the order given; or why they don't fit the spec. What is
            forgiven may be the fault of the batch after it: `alone` tells.
        """
        sent: deque[tuple[BatchKey, Batch, int | None]] = deque()
        try:
            for key, tiles in batches:
                batch = Batch(tiles, um(key))
                sent.append((key, batch, self._begin_early(batch, forgive)))
                if len(sent) == UNDER_WAY:
                    yield self._finish_first(sent, forgive)
            while sent:
                yield self._finish_first(sent, forgive)
        finally:
            for *_, number in sent:
                if number is not None:
                    self._waiting.pop(number, None)  # nobody wants the answer any more

    def alone(
        self, tiles: Array, *, forgive: bool = False, um: Um = None
    ) -> Array | TilewrightError:
        """Predict one image's tiles by themselves, or say why that can't be.

        Parameters
        ----------
        tiles
            (batch, C, *spatial), as in `predict`.
        forgive
            As of `map`.
        um
            Of their pixels.

        Returns
        -------
            As `predict`, (batch, ...); or why they don't fit the spec or, if it is forgiven, what
            the script did over them.
        """
        return self._given_back(partial(self.predict, tiles, um), forgive)

    def _finish_first(
        self, sent: deque[tuple[BatchKey, Batch, int | None]], forgive: bool
    ) -> tuple[BatchKey, Array | TilewrightError]:
        key, batch, number = sent.popleft()
        return key, self._given_back(partial(self._finish, batch, number), forgive)

    def _given_back(
        self, predicting: Callable[[], Array], forgive: bool
    ) -> Array | TilewrightError:
        """Results, or why there are none, where the job goes on without."""
        try:
            return predicting()
        except ModelError as error:
            if not forgive:
                raise
            self.begin_anew()
            return error
        except TilewrightError as error:
            if error.code != BAD_DATA:
                raise
            return error

    def _begin_early(self, batch: Batch, forgive: bool) -> int | None:
        """`_begin`; where the process ended over an earlier batch, its turn will tell."""
        try:
            return self._begin(batch)
        except ModelError:
            if not forgive:
                raise
            return None

    def _begin(self, batch: Batch) -> int | None:
        """Send a batch that can be expected to fit in memory: its number, or None."""
        if self.batch_limit is not None and len(batch.tiles) > self.batch_limit:
            return None
        return self._send(batch)

    def _finish(self, batch: Batch, number: int | None) -> Array:
        """Its results; an answer that was due from a process that is over is asked for again."""
        due = number is not None and number in self._waiting
        results = self._answer(batch.tiles, number) if due and number is not None else None
        return self._in_pieces(batch) if results is None else results

    def _in_pieces(self, batch: Batch) -> Array:
        parts: list[Array] = []
        start = 0
        while start < len(batch.tiles):
            piece = batch.part(start, self.batch_limit)
            results = self._answer(piece.tiles, self._send(piece))
            if results is not None:
                parts.append(results)
                start += len(piece.tiles)
        return np.concatenate(parts)

    def _send(self, batch: Batch) -> int:
        _ = self.versions  # a model that can't be loaded says so before it is sent anything
        self._sent += 1
        self._waiting[self._sent] = None
        self._child.doing = f"sending {described(batch.tiles)}"
        told = {"um": batch.um} if self.spec.get("takes_pixel_size") else {}
        self._child.write(*encode({"id": self._sent, **told}, batch.tiles))
        return self._sent

    def _answer(self, tiles: Array, number: int) -> Array | None:
        """Checked results of the batch sent as `number`, or None if memory ran out."""
        self._child.doing = f"predicting {described(tiles)}"  # of two under way, the one waited for
        while (answer := self._waiting[number]) is None:
            header, results = receive(self._child.fill)
            if header["id"] in self._waiting:
                self._waiting[header["id"]] = header, results
        del self._waiting[number]
        header, results = answer
        if "error" in header:
            raise self._failed(header)
        if "oom" in header:
            self._halve(tiles)
            return None
        self.seconds += header["seconds"]
        self.check(results, tiles)
        return results

    def check(self, results: Array, tiles: Array) -> None:
        """Refuse results that don't fit the spec and tiles (batch, C, *spatial).

        Raises
        ------
        TilewrightError
            65, by `check_results`.
        """
        check_results(results, tiles, self.spec, self.script.name)

    def _halve(self, tiles: Array) -> None:
        if len(tiles) == 1:
            raise MachineError(
                f"{self.called}: memory of {self.device} ran out on {described(tiles)} alone.",
                fix="Give it a device with more memory, or smaller tiles.",
                code=INTERNAL,
            )
        self.batch_limit = min(self.batch_limit or len(tiles), len(tiles) // 2)

    def _failed(self, answer: dict[str, Any]) -> TilewrightError:
        kind = ScriptError if self._versions else TilewrightError  # else it isn't loaded
        said = answer["error"].rstrip(".")
        if not self._child.loaded and self.weights and is_of_weights(said):
            return TilewrightError(
                f"{self.weights}: {self.script.name} can't load these weights: {said}.",
                fix="If the file is damaged, or another model's, fetch or give another one. "
                f"{self._hint(answer)}The traceback is {printed(self.log)}.",
                code=UNAVAILABLE,
            )
        return (MachineError if answer.get("of_machine") else kind)(
            f"{self.called} failed while {self._child.doing}: {said}.",
            fix=f"{self._hint(answer)}The traceback is {printed(self.log)}.",
            code=INTERNAL,
        )

    def _hint(self, answer: dict[str, Any]) -> str:
        """What to know of a refusal that may be the confinement's."""
        if self.unconfined or not any(words in answer["error"] for words in REFUSED):
            return ""
        return (
            "A model has no network and writes to its scratch alone; one that you trust may have "
            "more by --confine off. "
        )


def is_of_weights(said: str) -> bool:
    """Whether what a script says while it loads a model may be its file's fault."""
    return said.partition(":")[0] not in OF_THE_SCRIPT


def process_of(
    recipe: Recipe,
    prefix: Path,
    file: Path | None,
    timeout: float,
    log: Path | None = None,
    confine: Confine = "auto",
) -> ModelProcess:
    """A recipe's model on this machine, to be entered.

    Parameters
    ----------
    recipe
        Says the script, the spec and the parameters.
    prefix
        Of the model's environment.
    file
        Its weights; None of a model that brings its own.
    timeout, log, confine
        As of `ModelProcess`.
    """
    where = "cpu" if recipe.spec.device == "cpu" else device()
    if confine != "off" and where.startswith("cuda"):
        make_devices()
    return ModelProcess(
        prefix / "bin" / "python",
        ROOT / "bin" / recipe.script.name,
        weights=str(file or ""),
        device=where,
        spec=replace(recipe.spec, weights_source=str(file) if file else None).to_dict(),
        params=recipe.given,
        timeout=timeout,
        env=child_env(prefix),
        log=log,
        confine=confine,
    )


def _check_is_there(path: Path, what: str, fix: str) -> None:
    if not path.exists():
        raise TilewrightError(f"{path}: {what} is missing.", fix=fix, code=UNAVAILABLE)
