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
    asked
        Hold no more than `grow` asks for.
    """

    def __init__(self, most: int, *, asked: bool = False) -> None:
        self.limit = most
        self._asked: dict[Hashable, int] | None = {} if asked else None
        self._held: OrderedDict[Key, Value] = OrderedDict()
        self.nbytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def grow(self, nbytes: int, whose: Hashable = None) -> None:
        """From now on hold so many bytes for one of those who share it, or as many as before."""
        if self._asked is not None:
            self._asked[whose] = max(self._asked.get(whose, 0), nbytes)

    @property
    def _most(self) -> int:
        return self.limit if self._asked is None else min(self.limit, sum(self._asked.values()))

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
