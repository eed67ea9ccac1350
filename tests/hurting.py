"""Files hurt in any way, and what reading one may cost."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

SECONDS, MEMORY = 5.0, 500_000_000
"""Of a core, and bytes, that reading a small file may take at most."""
ODD = (None, -1, 0, 1 << 70, 1.5, float("inf"), "", "x", "9" * 5000, [], [[]], {}, {"a": 1}, True)
"""What a value of JSON may have become."""


@st.composite
def hurt(draw: st.DrawFn, data: bytes) -> bytes:
    """These bytes with bits turned, cut, repeated, zeroed or with strangers between; or any."""
    at = draw(st.integers(0, len(data) - 1))
    to = min(len(data), at + draw(st.sampled_from([1, 2, 4, 30, 500])))
    how = draw(st.sampled_from(["turned", "cut", "repeated", "zeroed", "strangers", "any"]))
    if how == "any":
        return draw(st.binary(max_size=200))
    if how == "cut":
        return data[:at] + (data[to:] if draw(st.booleans()) else b"")
    bits = draw(st.integers(1, 255))
    put = {
        "turned": bytes([data[at] ^ bits]) + data[at + 1 : to],
        "repeated": data[at:to] * 2,
        "zeroed": bytes(to - at),
        "strangers": draw(st.binary(min_size=to - at, max_size=to - at)),
    }[how]
    return data[:at] + put + data[to:]


@st.composite
def odd(draw: st.DrawFn, data: bytes) -> bytes:
    """JSON with one of its values another, or gone."""
    value = json.loads(data)
    places = list(_places(value))
    change = draw(st.sampled_from(places))
    change(draw(st.sampled_from([*ODD, _GONE])))
    return json.dumps(value).encode()


_GONE = object()


def _places(value: Any) -> Iterator[Callable[[Any], None]]:
    """What changes one value in a nested one."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):

        def change(to: Any, key: Any = key) -> None:
            if to is _GONE:
                del value[key]
            else:
                value[key] = to

        yield change
        if isinstance(inner, dict | list):
            yield from _places(inner)


@contextmanager
def in_little() -> Iterator[None]:
    """What is done inside takes little of a core's time and of memory."""
    begun, peak = time.process_time(), memory()
    yield
    assert time.process_time() - begun < SECONDS
    assert memory() - peak < MEMORY


def memory() -> int:
    """The most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB, but on a Mac
