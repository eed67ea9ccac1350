"""The worker's end of the pipe: runs a model in its own interpreter and answers for it.

Starts the script, sends tiles, takes results and checks them; a model that dies, hangs, returns
nonsense or runs out of memory becomes one sentence or a smaller batch. `serve` is the other end,
`protocol` says what a message is, `worker` which tiles.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np

from tilewright.errors import BAD_DATA, INTERNAL, UNAVAILABLE, TilewrightError
from tilewright.runtime.protocol import END_SECONDS, FD_IN, FD_OUT, encode, receive
from tilewright.tile_results.check import check_results, described

Array = np.ndarray
Answer = tuple[dict[str, Any], Array]
BatchKey = TypeVar("BatchKey")

UNDER_WAY = 2  # batches sent and not yet answered: one the model works on, one read ahead
PIPE_BYTES = 1 << 20  # what Linux lets anybody ask for
TICK_SECONDS = 0.2  # how often a silent model is looked at
CLOSE_SECONDS = END_SECONDS + 2  # for the model to end by itself
TAIL_CHARACTERS = 4000  # of what the model printed, about 20 lines
SOURCE = Path(__file__).resolve().parents[2]
NOT_FOR_MODELS = ("VIRTUAL_ENV", "PYTHONHOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def child_env(prefix: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables of a program that runs in the environment at `prefix`.

    Parameters
    ----------
    prefix
        The environment's folder, which has ``bin/python``.
    base
        The variables to start from.
    """
    env = {k: v for k, v in base.items() if k not in NOT_FOR_MODELS}
    return {
        **env,
        "PATH": os.pathsep.join([str(prefix / "bin"), base.get("PATH", os.defpath)]),
        "CONDA_PREFIX": str(prefix),
        "PYTHONPATH": str(SOURCE),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # nor does its library show a token kept in a file
    }


class ScriptError(TilewrightError):
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
        A file that what it prints is added to, besides our own stderr.

    Attributes
    ----------
    batch_limit
        Tiles in the largest batch worth sending; None until memory has run out.
    device_name, precision
        What people call the device, and what the model computes in, or None: its script asked for
        none, so it is its own; known when the first result is there.
    seconds
        That the script has spent in `predict`, by its own clock.

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
    ) -> None:
        self.python, self.script = Path(python).absolute(), Path(script).absolute()
        self.weights, self.device = weights, device
        self.spec = spec
        self._hello = {"weights": weights or None, "device": device, "spec": spec, "params": params}
        self.timeout, self.log = timeout, log
        self.env = child_env(self.python.parents[1]) if env is None else env
        self.batch_limit: int | None = None
        self.device_name, self.seconds = device, 0.0
        self.precision: str | None = None
        self._versions: dict[str, str] | None = None
        self._sent = 0
        self._waiting: dict[int, Answer | None] = {}

    def __enter__(self) -> ModelProcess:
        _check_is_there(self.python, "the model's interpreter", "Build its environment again.")
        _check_is_there(self.script, "the model's script", "Put it there, or choose another model.")
        if self.weights:
            fix = "Fetch them again, or give another location in the manifest."
            _check_is_there(Path(self.weights), "the model's weights", fix)
        self._child = _Child(self.python, self.script, self.env, self.timeout, self.log)
        try:
            self._child.write(*encode(self._hello))
        except BaseException:
            self._child.close(0)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._child.close(CLOSE_SECONDS if kind is None else 0)

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
            70, when it can't be loaded, says nothing in time or dies.
        """
        if self._versions is None:
            answer, _ = receive(self._child.fill)
            if "error" in answer:
                raise self._failed(answer["error"])
            self._versions = {k: answer[k] for k in ("python", "numpy")}
            self.device_name, self.precision = answer["device"], answer["precision"]
        return self._versions

    def predict(self, tiles: Array) -> Array:
        """The model's results for one batch, in its order.

        Parameters
        ----------
        tiles
            (batch, C, *spatial) float32. When memory runs out it is sent again in halves.

        Returns
        -------
        ndarray
            Labels (batch, *spatial) integer, a map (batch, class, *spatial) float, or an
            embedding, (batch, D) float unless the spec's `output_type` is dense or
            token_sequence; checked.
        """
        return self._finish(tiles, self._begin(tiles))

    def map(
        self, batches: Iterable[tuple[BatchKey, Array]], *, forgive: bool = False
    ) -> Iterator[tuple[BatchKey, Array | TilewrightError]]:
        """Predict many batches; the next is sent while the model works on one.

        Parameters
        ----------
        batches
            Any key, and tiles (batch, C, *spatial) as in `predict`; two are held at a time.
        forgive
            What the script raised is given back, too, and not raised: nothing else will be tried.

        Yields
        ------
        tuple
            The key and its results, in the order given; or why they don't fit the spec.
        """
        sent: deque[tuple[BatchKey, Array, int | None]] = deque()
        try:
            for key, tiles in batches:
                sent.append((key, tiles, self._begin(tiles)))
                if len(sent) == UNDER_WAY:
                    yield self._finish_first(sent, forgive)
            while sent:
                yield self._finish_first(sent, forgive)
        finally:
            for *_, number in sent:
                if number is not None:
                    self._waiting.pop(number, None)  # nobody wants the answer any more

    def _finish_first(
        self, sent: deque[tuple[BatchKey, Array, int | None]], forgive: bool
    ) -> tuple[BatchKey, Array | TilewrightError]:
        key, tiles, number = sent.popleft()
        try:
            return key, self._finish(tiles, number)
        except ScriptError as error:
            if not forgive:
                raise
            return key, error
        except TilewrightError as error:
            if error.code != BAD_DATA:
                raise
            return key, error

    def _begin(self, tiles: Array) -> int | None:
        """Send a batch that can be expected to fit in memory: its number, or None."""
        if self.batch_limit is not None and len(tiles) > self.batch_limit:
            return None
        return self._send(tiles)

    def _finish(self, tiles: Array, number: int | None) -> Array:
        results = None if number is None else self._answer(tiles, number)
        return self._in_pieces(tiles) if results is None else results

    def _in_pieces(self, tiles: Array) -> Array:
        parts: list[Array] = []
        start = 0
        while start < len(tiles):
            piece = tiles[start:][: self.batch_limit]
            results = self._answer(piece, self._send(piece))
            if results is not None:
                parts.append(results)
                start += len(piece)
        return np.concatenate(parts)

    def _send(self, tiles: Array) -> int:
        _ = self.versions  # a model that can't be loaded says so before it is sent anything
        self._sent += 1
        self._waiting[self._sent] = None
        self._child.doing = f"sending {described(tiles)}"
        self._child.write(*encode({"id": self._sent}, tiles))
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
            raise self._failed(header["error"])
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
            raise TilewrightError(
                f"{self.script.name}: memory of {self.device} ran out on {described(tiles)} alone.",
                fix="Give it a device with more memory, or smaller tiles.",
                code=INTERNAL,
            )
        self.batch_limit = min(self.batch_limit or len(tiles), len(tiles) // 2)

    def _failed(self, error: str) -> ScriptError:
        return ScriptError(
            f"{self.script.name} failed while {self._child.doing}: {error}.",
            fix=f"The traceback is {_printed()}.",
            code=INTERNAL,
        )


def _widen(end: int) -> None:
    """Let a pipe hold more at a time, where the system lets us: fewer, longer writes."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _check_is_there(path: Path, what: str, fix: str) -> None:
    if not path.exists():
        raise TilewrightError(f"{path}: {what} is missing.", fix=fix, code=UNAVAILABLE)


class _Child:
    """The running script: bytes to it, bytes from it, and whether it shows a sign of life.

    Both of our ends are non-blocking, so that a model that stops reading is noticed as well as
    one that stops answering.
    """

    def __init__(
        self, python: Path, script: Path, env: Mapping[str, str], timeout: float, log: Path | None
    ) -> None:
        self.doing = "loading the model"
        self._name, self.timeout = script.name, timeout
        child_in, write_end = os.pipe()
        read_end, child_out = os.pipe()
        self._requests, self._answers = FileIO(write_end, "wb"), FileIO(read_end, "rb")
        for end in (write_end, read_end):
            os.set_blocking(end, False)
            _widen(end)
        try:
            self._process = subprocess.Popen(
                [python, script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(child_in, child_out),
                env={**env, FD_IN: str(child_in), FD_OUT: str(child_out)},
            )
        except OSError as error:
            self._close_ends()
            raise TilewrightError(
                f"{python}: the model's interpreter can't be started ({error.strerror}).",
                fix=f"Remove its environment, {Path(python).parents[1]}: it is built again.",
                code=UNAVAILABLE,
            ) from error
        finally:
            os.close(child_in)
            os.close(child_out)
        self.pid = self._process.pid
        self._echo = _Echo(cast(IO[bytes], self._process.stdout), log)

    def write(self, *runs: bytes | memoryview) -> None:
        """Send all bytes of all `runs`."""
        for data in runs:
            view = memoryview(data)
            while view:
                self._wait(self._requests)
                try:
                    view = view[self._requests.write(view) or 0 :]
                except BrokenPipeError:
                    raise self._dead() from None

    def fill(self, view: memoryview) -> None:
        """Fill `view` with the next bytes of its answers."""
        while view:
            self._wait(self._answers)
            count = self._answers.readinto(view)
            if count == 0:
                raise self._dead()
            view = view[count or 0 :]

    def close(self, seconds: float) -> None:
        """End it: by the end of its pipe and, after `seconds`, by force."""
        self._close_ends()
        self._end(seconds)
        self._echo.join()

    def _wait(self, end: FileIO) -> None:
        since = time.monotonic()
        while not _is_ready(end, TICK_SECONDS):
            if self._process.poll() is not None and not _is_ready(end, 0):
                raise self._dead()
            if time.monotonic() - max(since, self._echo.heard) > self.timeout:
                self._end(0)
                raise self._hung()

    def _end(self, seconds: float) -> int | None:
        """Its exit code, after `seconds` at most by force; None if even that doesn't end it."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(CLOSE_SECONDS)
        return None  # stuck in the kernel, as on a dead network disk or GPU

    def _close_ends(self) -> None:
        self._requests.close()
        self._answers.close()

    def _dead(self) -> TilewrightError:
        code = self._end(CLOSE_SECONDS)
        self._echo.join()
        what = f"{self._name} {_how_it_ended(code)} while {self.doing}.{self._echo.last_words()}"
        fix = f"All that it printed is {_printed()}."
        if code == -signal.SIGKILL:
            fix = "Give it more memory, or smaller tiles or batches."
        return TilewrightError(what, fix=fix, code=INTERNAL)

    def _hung(self) -> TilewrightError:
        return TilewrightError(
            f"{self._name} gave no sign of life for {self.timeout:g} s while {self.doing}: no "
            f"answer, and nothing printed.{self._echo.last_words()}",
            fix="If it may take that long, raise --predict_timeout (seconds).",
            code=INTERNAL,
        )


def _printed() -> str:
    """Where what a model printed can be found, by who reads of it elsewhere."""
    if Path(".command.err").exists():
        return "in its task's .command.err; trace.txt says in which folder"
    return "on standard error"


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        return "was killed by signal 9 (out of memory?)"
    return f"was killed by signal {-code} ({signal.strsignal(-code)})"


def _is_ready(end: FileIO, seconds: float) -> bool:
    """Whether our end of a pipe can be read or written (or its other end is closed)."""
    poll = select.poll()
    poll.register(end, select.POLLIN if end.readable() else select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


class _Echo:
    """Copies what the model prints to our stderr and the log, as it comes, and keeps its end."""

    def __init__(self, printed: IO[bytes], log: Path | None) -> None:
        self.heard = time.monotonic()
        self._tail = ""
        self._printed, self._log = printed, log
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last words; a grandchild may keep the pipe open, so not for long."""
        self._thread.join(timeout=1)

    def last_words(self) -> str:
        lines = [line.strip() for line in self._tail.splitlines() if line.strip()]
        return f" Its last words: {lines[-1][:300]}." if lines else ""

    def _copy(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._printed as printed:
            while data := os.read(printed.fileno(), 1 << 16):
                self.heard = time.monotonic()
                text = decoder.decode(data)
                self._tail = (self._tail + text)[-TAIL_CHARACTERS:]
                with contextlib.suppress(OSError, ValueError):  # a full disk must not stop it
                    self._repeat(text)

    def _repeat(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(text)
