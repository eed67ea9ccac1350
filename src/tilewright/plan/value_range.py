"""Which pixel values are black and white to a model: as the user, the file or the dtype says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.contract.spec import ModelSpec
from tilewright.contract.values import Span, needs_range, shown
from tilewright.images.image import Image
from tilewright.preprocess.colour import own_span

KNOWN_BYTES = 1
"""Pixels of no more bytes use all of their bits; of others nobody knows, unless it is said."""


@dataclass(frozen=True)
class ValueRange:
    """An image's black and white.

    Parameters
    ----------
    low, high
        Pixel values.
    by
        Who says so: ``--range``, the file's own words or the dtype's name.
    own
        Whether they are the dtype's own.
    """

    low: float
    high: float
    by: str
    own: bool = False

    @property
    def said(self) -> Span | None:
        """Black and white, where they aren't the dtype's own."""
        return None if self.own else (self.low, self.high)

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> ValueRange | None:
        """The inverse of ``dataclasses.asdict``, from JSON; None of None."""
        return None if data is None else cls(**data)


def value_range(
    image: Image, said: Span | None, spec: ModelSpec
) -> tuple[ValueRange | None, tuple[str, ...]]:
    """An image's black and white, None where its model needs none, and what a user should know.

    Parameters
    ----------
    image
        Of which the headers are read.
    said
        What the user says, as ``--range``.
    spec
        The model's.
    """
    if not needs_range(spec):
        unused = f"{spec.model_name} doesn't use it: it takes values by what they are themselves."
        return None, (f"--range is given, and {unused}",) if said else ()
    if said is not None:
        found = ValueRange(*said, "--range", own=said == own_span(image.dtype))
    elif image.white is not None:
        found = ValueRange(image.white.black, image.white.value, image.white.said)
    else:
        low, high = own_span(image.dtype)
        found = ValueRange(low, high, str(image.dtype), own=True)
    return found, tuple(filter(None, [_remark(found, image.dtype)]))


def _remark(found: ValueRange, dtype: np.dtype) -> str:
    """What to say of it; nothing where nobody would ask."""
    taken = f"{shown(found.low)} to {shown(found.high)}"
    if found.by == "--range":
        return "" if found.own else f"Values {taken} are taken as black to white, as --range says."
    if not found.own:
        return (
            f"Values {taken} are taken as black to white: the file says {found.by}; "
            "--range LOW,HIGH would win over it."
        )
    if dtype.kind == "b" or dtype.itemsize <= KNOWN_BYTES:
        return ""
    example = "--range 0,255 for 8 bits" if dtype.kind == "f" else "--range 0,4095 for 12 bits"
    return (
        f"Values {taken} are taken as black to white: nothing says how far its {dtype} values go. "
        f"If that is wrong, say it, e.g. {example}."
    )
