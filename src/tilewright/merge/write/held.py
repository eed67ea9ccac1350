"""What was read of tiles lately, as much as fits into some bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROOM = 1 << 26  # bytes: boxes share the tiles at their sides


class Held:
    """Remembers what `read` gave of tiles or their slabs; the longest unused go first.

    Parameters
    ----------
    read
        Called with a plane, a tile and, of slabs, a number; None is nothing, and remembered too.
    room
        Bytes that are held; the last one read is held whatever its size.
    """

    def __init__(self, read: Callable[..., Array | None], room: int = ROOM) -> None:
        self._read, self._room = read, room
        self._held: OrderedDict[tuple[int, ...], Array | None] = OrderedDict()
        self._bytes = 0

    def __call__(self, *at: int) -> Array | None:
        """What `read` gives; not to be changed."""
        if at in self._held:
            self._held.move_to_end(at)
            return self._held[at]
        found = self._read(*at)
        self._held[at] = found
        self._bytes += 0 if found is None else found.nbytes
        while self._bytes > self._room and len(self._held) > 1:
            _, old = self._held.popitem(last=False)
            self._bytes -= 0 if old is None else old.nbytes
        return found
