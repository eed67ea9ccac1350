"""Several processes for one merge: each opens what it needs itself, results come in order.

Processes are started anew, not forked: zarr's threads don't survive a fork. One that ends by
itself, as when memory runs out, ends the merge with a sentence; when the merge is killed, its
processes end themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from tilewright.contract.closing import Closing
from tilewright.errors import INTERNAL, TilewrightError

State = TypeVar("State")
Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # tasks a process has waiting: results of later ones are held until their turn


def cpus() -> int:
    """How many processes may work: `TILEWRIGHT_CPUS`, 1 where nothing says so."""
    said = os.environ.get("TILEWRIGHT_CPUS", "")
    return max(1, int(said)) if said.isdigit() else 1


class ProcessPool(Closing, Generic[State]):
    """Calls functions with a state, what a process has open, and one item after the other.

    Parameters
    ----------
    here
        This process's state.
    processes
        1: this process does everything. More are started when there is something to do.
    make, setting
        ``make(*setting)`` is another process's state; both are pickled.
    """

    def __init__(
        self, here: State, processes: int, make: Callable[..., State], *setting: object
    ) -> None:
        self.here, self.processes = here, processes
        self._how = (make, setting)
        self._pool: ProcessPoolExecutor | None = None

    def map(
        self, function: Callable[[State, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """The function of each item, in their order, whoever is done first.

        Raises
        ------
        TilewrightError
            A process ended before its work did.
        """
        if self.processes == 1:
            yield from (function(self.here, item) for item in items)
            return
        waiting: deque[Future[Result]] = deque()
        pool = self._started()
        try:
            for item in items:
                waiting.append(pool.submit(_call, function, item))
                if len(waiting) > self.processes * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            # who submits to a broken pool isn't told why, what waits in it is
            for told in (error, *(future.exception() for future in waiting)):
                if told is not None and told.__cause__ is not None:
                    raise told from told.__cause__  # not ended: it said what can't be read here
            raise TilewrightError(
                "One of MERGE's processes ended before its work was done. If it printed no error "
                "of its own (.command.err), it was killed, as happens when memory runs out.",
                fix="Then give MERGE more memory, or one CPU.",
                code=INTERNAL,
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def each(self, function: Callable[[Item], None], items: Iterable[Item]) -> Iterator[None]:
        """Call a function that needs no state; as `map` does."""
        return self.map(partial(_alone, function), items)

    def close(self) -> None:
        """Wait for what is being done, and end the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=self._how,
            )
        return self._pool


def _alone(function: Callable[[Item], Result], _: object, item: Item) -> Result:
    """Call a function that takes no state."""
    return function(item)


_how: tuple[Callable[..., Any], tuple[object, ...]]
_state: list[Any] = []


def _begin(make: Callable[..., Any], setting: tuple[object, ...]) -> None:
    """What a process does first; its state is made with its first item, where errors are told."""
    global _how  # noqa: PLW0603 - a process has one
    _how = (make, setting)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # killed: nobody is left to tell


def _call(function: Callable[[Any, Item], Result], item: Item) -> Result:
    if not _state:
        make, setting = _how
        _state.append(make(*setting))
    return function(_state[0], item)
