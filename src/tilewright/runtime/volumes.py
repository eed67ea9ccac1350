"""What scripts of models of volumes share."""

from __future__ import annotations

from typing import Optional, Sequence

Um = Optional[Sequence[Optional[float]]]


def anisotropy(said: float | None, um: Um) -> float:
    """How many times farther apart slices are than pixels are wide.

    Parameters
    ----------
    said
        What the user says, which counts; None or 0 for nothing.
    um
        µm along z, y and x of a tile's pixels, as `predict` is told; None for what isn't known.

    Returns
    -------
    float
        1 where neither says it, which PLAN has noted.
    """
    if said:
        return float(said)
    known = [size for size in um or () if size]
    if len(known) < 3:
        return 1.0
    z, y, x = known
    return float(z / (y * x) ** 0.5)
