"""A running model script: bytes to it, bytes from it, what it prints, and how it ended.

It is somebody else's code in an environment of its own: it may stop reading or answering, die, or
be killed because memory ran out.
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
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import IO, cast

from tilewright.contract.faults import MachineError
from tilewright.errors import INTERNAL, UNAVAILABLE, TilewrightError
from tilewright.runtime.machine import oom_kills
from tilewright.runtime.protocol import END_SECONDS, FD_IN, FD_OUT

from .confinement import Confinement

PIPE_BYTES = 1 << 20  # what Linux lets anybody ask for
TICK_SECONDS = 0.2  # how often a silent model is looked at
CLOSE_SECONDS = END_SECONDS + 2  # for the model to end by itself
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # by a shell between us, the second
TAIL_CHARACTERS = 4000  # of what the model printed, about 20 lines


class ModelError(TilewrightError):
    """A model script raised, died or hung over a batch, and nothing says that memory ran out."""


def _widen(end: int) -> None:
    """Let a pipe hold more at a time, where the system lets us: fewer, longer writes."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Child:
    """The running script: bytes to it, bytes from it, and whether it shows a sign of life.

    Both of our ends are non-blocking, so that a model that stops reading is noticed as well as
    one that stops answering.
    """

    def __init__(
        self,
        python: Path,
        script: Path,
        called: str,
        env: Mapping[str, str],
        timeout: float,
        log: Path | None,
        confinement: Confinement,
    ) -> None:
        self.doing, self.loaded = "loading the model", False
        self._kills = oom_kills()
        self._name, self.timeout, self._log = called, timeout, log
        child_in, write_end = os.pipe()
        read_end, child_out = os.pipe()
        self._requests, self._answers = FileIO(write_end, "wb"), FileIO(read_end, "rb")
        for end in (write_end, read_end):
            os.set_blocking(end, False)
            _widen(end)
        try:
            self._process = subprocess.Popen(
                confinement.command(python, script, child_out),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(child_in, child_out),
                env={**env, **confinement.env, FD_IN: str(child_in), FD_OUT: str(child_out)},
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
        self._echo = Echo(cast(IO[bytes], self._process.stdout), log)

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
        if code not in KILLED:
            return self._fault()(
                what, fix=f"All that it printed is {printed(self._log)}.", code=INTERNAL
            )
        kind = MachineError if self._kills is None or self._kills != oom_kills() else self._fault()
        return kind(what, fix="Give it more memory, or smaller tiles or batches.", code=INTERNAL)

    def _hung(self) -> TilewrightError:
        return self._fault()(
            f"{self._name} gave no sign of life for {self.timeout:g} s (--predict_timeout) while "
            f"{self.doing}: no answer, and nothing printed.{self._echo.last_words()}",
            fix="If it may take that long, raise --predict_timeout (seconds).",
            code=INTERNAL,
        )

    def _fault(self) -> type[TilewrightError]:
        """What its end is: over a batch, or of the model itself."""
        return ModelError if self.loaded else TilewrightError


def printed(log: Path | None) -> str:
    """Where what a model printed can be found, by who reads of it elsewhere.

    Parameters
    ----------
    log
        The file that it goes to; None is our stderr.
    """
    if log is not None:
        return f"in {log.name}"
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


class Echo:
    """Copies what the model prints to our stderr or the log, as it comes, and keeps its end."""

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
        """Its last line, as a sentence to be added; or nothing."""
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
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(text)
            return
        sys.stderr.write(text)
        sys.stderr.flush()
