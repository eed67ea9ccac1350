"""A cache holds what fits, and what was used last the longest."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tilewright.contract.cache import Cache

Array = np.ndarray[Any, Any]


def made(log: list[str], key: str, size: int = 10) -> Array:
    log.append(key)
    return np.zeros(size, np.uint8)


def test_the_longest_unused_goes_first_and_is_made_again() -> None:
    cache: Cache[str, Array] = Cache(30)
    log: list[str] = []
    for key in "abcadb":
        cache.get(key, partial(made, log, key))
    assert log == list("abcdb")  # d drove b out: a had been used since
    assert ("a" in cache, "b" in cache, "c" in cache) == (True, True, False)
    assert cache.nbytes == 30


@pytest.mark.parametrize(("most", "held"), [(100, 1), (4000, 4), (10**6, 9)])
def test_arrays_are_held_by_their_bytes(most: int, held: int) -> None:
    """Nine arrays of 1,000 bytes are read, then the last ones again."""
    cache: Cache[int, Array] = Cache(most)
    reads: list[int] = []

    def read(key: int) -> Array:
        reads.append(key)
        return np.full(1000, key, np.uint8)

    for key in [*range(9), *reversed(range(9))]:
        assert (cache.get(key, partial(read, key)) == key).all()
    assert len(reads) == 18 - held


def test_what_is_bigger_than_all_there_may_be_is_held_alone_until_the_next_comes() -> None:
    cache: Cache[str, Array] = Cache(30)
    log: list[str] = []
    for key, size in (("a", 10), ("big", 100), ("big", 100)):
        cache.get(key, partial(made, log, key, size))
    assert (log, len(cache)) == (["a", "big"], 1)
    cache.get("c", partial(made, log, "c"))
    assert (cache.nbytes, "big" in cache) == (10, False)


def test_that_there_is_nothing_is_held_too() -> None:
    cache: Cache[int, Array | None] = Cache(30)
    asked: list[int] = []
    for _ in range(2):
        assert cache.get(1, lambda: asked.append(1)) is None
    assert asked == [1]


def test_those_who_share_a_cache_hold_what_they_ask_for_and_no_more_than_its_limit() -> None:
    cache: Cache[tuple[str, int], Array] = Cache(70, asked=True)
    for whose, asks, holds in (("a", 20, 20), ("a", 10, 20), ("b", 30, 50), ("c", 90, 70)):
        cache.grow(asks, whose)
        for number in range(20):
            cache.get((whose, number), lambda: np.zeros(10, np.uint8))
        assert cache.nbytes == holds
