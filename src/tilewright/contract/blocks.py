"""Parts of a spec that are dataclasses of their own: resolution, normalisation, resize and crop.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

MPP_TOLERANCE = 0.05
"""Relative deviation of µm per pixel that is as good as none, where a resolution says no other."""
STRICT: dict[str, Any] = {"extra": "forbid"}  # for whoever validates with pydantic


@dataclass(frozen=True)
class Resolution:
    """The resolution a model reads at; one of the first three, in the unit its name says.

    Parameters
    ----------
    mpp
        µm per pixel.
    magnification
        Objective power; taken as 10 / magnification µm per pixel.
    level
        A pyramid level of the file, 0 the finest.
    tolerance
        Relative deviation of mpp within which pixels are taken as they are.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    mpp: float | None = None
    magnification: float | None = None
    level: int | None = None
    tolerance: float = MPP_TOLERANCE

    def __post_init__(self) -> None:
        """Refuse none or several of the first three, and numbers that aren't a resolution."""
        given = [v for v in (self.mpp, self.magnification) if v is not None]
        if len(given) + (self.level is not None) != 1:
            raise ValueError("give one of mpp, magnification and level")
        if any(not (math.isfinite(v) and v > 0) for v in given) or (self.level or 0) < 0:
            raise ValueError("mpp and magnification are over 0, level is 0 or more")
        if not 0 <= self.tolerance < 1:
            raise ValueError("tolerance is a share from 0 to 1, e.g. 0.05")

    @property
    def target_mpp(self) -> float | None:
        """µm per pixel that is wanted, or None for a level."""
        if self.mpp is not None:
            return self.mpp
        return 10.0 / self.magnification if self.magnification is not None else None


@dataclass(frozen=True)
class Normalization:
    """How intensities are scaled by statistics of the pixels themselves.

    Parameters
    ----------
    method
        ``percentile``: `low` becomes 0 and `high` 1; ``zscore``: less the mean, over the deviation.
    low, high
        Percentiles, 0 to 100.
    scope
        ``image``: statistics of a whole image, per channel and timepoint; ``tile``: of each tile.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    method: Literal["percentile", "zscore"]
    low: float = 1.0
    high: float = 99.0
    scope: Literal["image", "tile"] = "image"

    def __post_init__(self) -> None:
        """Refuse what there isn't, and percentiles that aren't in order."""
        if self.method not in ("percentile", "zscore") or self.scope not in ("image", "tile"):
            raise ValueError("its method is percentile or zscore, its scope image or tile")
        if not 0 <= self.low < self.high <= 100:
            raise ValueError("low is under high, and both are percentiles from 0 to 100")


@dataclass(frozen=True)
class Resize:
    """How large a tile becomes before the model sees it: by one edge, or by y and x.

    Parameters
    ----------
    shortest_edge, longest_edge
        Its length in px; the other edge follows.
    y, x
        Height and width in px.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    shortest_edge: int | None = None
    longest_edge: int | None = None
    y: int | None = None
    x: int | None = None

    def __post_init__(self) -> None:
        """Refuse what isn't one size."""
        given = {name for name, value in vars(self).items() if value is not None}
        if given not in ({"shortest_edge"}, {"longest_edge"}, {"y", "x"}):
            raise ValueError("resize is one of shortest_edge and longest_edge, or y and x, in px")

    def of(self, height: int, width: int) -> tuple[int, int]:
        """What becomes of a tile's height and width.

        The other edge follows, cut to whole pixels, as torchvision's Resize does.
        """
        if self.y is not None and self.x is not None:
            return self.y, self.x
        by = max(height, width) if self.shortest_edge is None else min(height, width)
        wanted = self.shortest_edge or self.longest_edge or by
        return height * wanted // by, width * wanted // by


@dataclass(frozen=True)
class Crop:
    """The middle of a tile, which is all that the model sees: a square, or y by x.

    Parameters
    ----------
    size
        Side of a square, in px.
    y, x
        Height and width in px.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    size: int | None = None
    y: int | None = None
    x: int | None = None

    def __post_init__(self) -> None:
        """Refuse what isn't one size."""
        given = {name for name, value in vars(self).items() if value is not None}
        if given not in ({"size"}, {"y", "x"}):
            raise ValueError("crop is size, or y and x, in px")

    @property
    def extent(self) -> tuple[int, int]:
        """Its height and width."""
        return self.size or self.y or 0, self.size or self.x or 0


BLOCKS: dict[str, type] = {"normalization": Normalization, "resize": Resize, "crop": Crop}


def block(kind: type, name: str, given: Mapping[str, Any]) -> Any:
    """A block of a spec that is written as a mapping.

    Parameters
    ----------
    kind
        Its dataclass, e.g. one of `BLOCKS`.
    name
        Its key in the spec, for the sentences.
    given
        The mapping.

    Raises
    ------
    ValueError
        When it has other keys, lacks one or has values that can't be.
    """
    known = [f.name for f in dataclasses.fields(kind)]
    if unknown := set(given) - set(known):
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}, but {', '.join(known)}")
    try:
        return kind(**given)
    except TypeError:
        raise ValueError(f"{name} lacks its {known[0]}") from None
