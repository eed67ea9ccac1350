"""How libraries say that a device's memory is full, and what it computes in."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tilewright.runtime.device import has_bf16, is_out_of_memory

OUT_OF_MEMORY = [
    MemoryError(),
    type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Failed to allocate memory for requested buffer of size 33554432"),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: str(e)[:25])
def test_the_ways_libraries_say_that_memory_ran_out_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_another_error_is_not_taken_for_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch: memory format"))


@pytest.mark.parametrize(
    ("ops", "has"),
    [
        ({"_is_mkldnn_bf16_supported": lambda: True}, True),
        ({"_is_mkldnn_bf16_supported": lambda: False}, False),
        ({}, False),  # a torch without oneDNN
    ],
)
def test_a_cpu_has_bf16_if_torch_says_so(
    ops: dict[str, object], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or if there is no torch to ask; this machine's own answer is one of the two."""
    assert has_bf16("cpu")
    mkldnn = SimpleNamespace(mkldnn=SimpleNamespace(**ops))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(ops=mkldnn))
    assert has_bf16("cpu") is has
