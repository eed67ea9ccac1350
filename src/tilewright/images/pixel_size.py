"""The size of an image's pixels in µm: what can be one, when two differ, what an objective gives.

Sizes are µm per level-0 pixel, ``(y, x)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

FINEST, COARSEST = 1e-3, 20.0
"""µm per pixel of what microscopes give: finer is below electrons', coarser is a printer's dpi."""
SLIDE_FINEST, SLIDE_OBLONG = 0.02, 2.0
"""Of slides: 100x with a camera's pixels of 2 µm; how much longer one side may be."""
DIFFERENCE = 0.02
"""Share from which on two sizes are said to differ."""
TUBE = 10.0
"""µm per pixel times an objective's power, about: what scanners agree on, 0.5 at 20x."""

UNUSABLE = re.compile(r"Its pixel size of (.+) can't be a slide's and isn't used\.", re.DOTALL)

Size = tuple[float, float]


def plausible(mpp: Size, *, slide: bool = False) -> bool:
    """Whether pixels of this size can have been imaged; what can't is no size, whoever says it.

    Parameters
    ----------
    slide
        Whether they are a scanner's, which has an objective and square pixels, or nearly.
    """
    finest = SLIDE_FINEST if slide else FINEST
    if not all(math.isfinite(m) and finest <= m <= COARSEST for m in mpp):
        return False
    return not slide or max(mpp) <= SLIDE_OBLONG * min(mpp)


def differ(one: Size, other: Size) -> bool:
    """Whether two sizes of the same pixels differ by more than 2 %, along y or x."""
    return any(abs(a - b) > DIFFERENCE * min(a, b) for a, b in zip(one, other, strict=True))


def of_magnification(power: float) -> Size:
    """About what an objective of this power gives: 10 µm over it."""
    return TUBE / power, TUBE / power


def in_words(mpp: Size) -> str:
    """A size without its unit, for a sentence: ``0.499``; ``0.25 x 0.5``, y x x, of oblong ones."""
    y, x = (f"{m:.4g}" for m in mpp)
    return y if y == x else f"{y} x {x}"


def unusable(said: str, by: str) -> str:
    """The remark on a slide whose field says what isn't `plausible`; its size isn't known then.

    Parameters
    ----------
    said
        What the field says.
    by
        Which field: ``Aperio's MPP``.
    """
    return f"Its pixel size of {said} ({by}) can't be a slide's and isn't used."


def unusable_size(remarks: Iterable[str]) -> str:
    """What a field says in place of a size, as such a remark tells; nothing where there is none."""
    found = next(filter(None, map(UNUSABLE.fullmatch, remarks)), None)
    return found[1] if found else ""
