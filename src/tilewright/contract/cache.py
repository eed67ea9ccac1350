"""What was read lately, as much as fits into some bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound="np.ndarray[Any, Any] | None")


class Cache(Generic[Key, Value]):
    """Arrays by their keys; those that were longest unused go first.

    Parameters
    ----------
    most
        Bytes that are held; what came last is held whatever its size.
    begin
        Bytes that are held until `grow` says that more are worth it; None is `most`.
    """

    def __init__(self, most: int, begin: int | None = None) -> None:
        self._limit = most
        self._most = most if begin is None else min(begin, most)
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self.nbytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def grow(self, nbytes: int) -> None:
        """From now on hold so many bytes, if they are more than before and not too many."""
        self._most = min(max(self._most, nbytes), self._limit)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """What is held, or made and held from now on; not to be changed. None is held, too."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        found = self._held[key] = make()
        self.nbytes += _size(found)
        while self.nbytes > self._most and len(self._held) > 1:
            self.nbytes -= _size(self._held.popitem(last=False)[1])
        return found


def _size(value: Value) -> int:
    return 0 if value is None else value.nbytes
