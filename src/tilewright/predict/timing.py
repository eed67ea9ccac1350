"""Where a job's time went.

These numbers vary, so they lie beside the bank, never in it; REPORT collects them.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
NAME = "timing.json"
"""The file in a PREDICT task's folder."""


@dataclass
class Timing:
    """A job's tiles and seconds.

    Parameters
    ----------
    tiles, batch
        Tiles predicted, and how many at a time; fewer than asked for when memory ran out.
    pixels
        Of these tiles as the model saw them (of a volume, voxels), overlaps counted.
    seconds
        From start to end.
    load
        Until the model was ready.
    forward
        The model's own: in its process, of the batches that fitted.
    read
        Reading and preparing tiles, in a thread of its own.
    read_wait
        That the model waited for tiles.
    write
        Banking results.
    device, host, versions
        What computed, e.g. ``cpu`` or ``NVIDIA H100``, the machine's name, and the versions of
        Python and numpy in the model's environment.
    unconfined
        Why the model's process wasn't confined; empty if it was.
    """

    tiles: int = 0
    pixels: int = 0
    batch: int = 0
    seconds: float = 0.0
    load: float = 0.0
    forward: float = 0.0
    read: float = 0.0
    read_wait: float = 0.0
    write: float = 0.0
    device: str = ""
    host: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unconfined: str = ""

    @contextmanager
    def adds(self, what: str) -> Iterator[None]:
        """Add the seconds of what is done inside to one of the numbers."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + time.perf_counter() - begun)

    def each(self, items: Iterable[T], what: str) -> Iterator[T]:
        """The items, adding the seconds that each takes to come."""
        them = iter(items)
        while True:
            try:
                with self.adds(what):
                    item = next(them)
            except StopIteration:
                return
            yield item

    def save(self, folder: Path) -> None:
        """Write it into a task's folder."""
        self.host = socket.gethostname()
        values = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}
        (folder / NAME).write_text(json.dumps(values) + "\n", encoding="utf-8")
