"""Which precision a model computes in: the spec's, or fp32 and a word where the device can't."""

from __future__ import annotations

import sys
from typing import Any

from .device import has_bf16

PRECISIONS = {"fp32": ("cpu", "cuda", "mps"), "fp16": ("cuda", "mps"), "bf16": ("cpu", "cuda")}
"""Devices that can compute in it; of bf16 `has_bf16` knows which of them."""
_said: list[str] = []  # what `precision` said last


def precision(spec: dict[str, Any], device: str) -> str:
    """The precision a script should compute in: the spec's, or ``fp32`` where the device can't.

    Falling back is said in one line on stderr. fp16 needs a GPU, since a CPU has no fast half
    precision; of bf16 torch is asked.

    Parameters
    ----------
    spec
        `precision` is read: ``fp32``, ``fp16`` or ``bf16``.
    device
        As `load` gets it: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    str
        ``fp32``, ``fp16`` or ``bf16``. Weights stay float32 (torch's autocast), so fp16 and bf16
        are how products are computed, not how the model is kept.

    Raises
    ------
    ValueError
        When the spec names another.
    """
    wanted = spec.get("precision") or "fp32"
    if wanted not in PRECISIONS:
        raise ValueError(f"precision is {wanted!r}; it is one of {', '.join(PRECISIONS)}")
    kind = device.partition(":")[0]
    can = wanted == "fp32" or kind in PRECISIONS[wanted]
    can = can and (wanted != "bf16" or has_bf16(device))
    if not can:
        sys.stderr.write(
            f"tilewright: {device} doesn't compute in {wanted} here; it is fp32 instead.\n"
        )
    _said[:] = [wanted if can else "fp32"]
    return _said[0]


def used() -> str | None:
    """What `precision` said last, for the run's report; None where no script asked it."""
    return _said[0] if _said else None
