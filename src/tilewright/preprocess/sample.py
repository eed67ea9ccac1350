"""The pixels of an image that its figures are of: read, and those of a damaged file passed over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tilewright.contract.faults import bears
from tilewright.errors import TilewrightError
from tilewright.images.damage import DamagedPixelsError

from . import intensity

Array = np.ndarray
Index = dict[str, int | slice]


class Sample:
    """An image's even sample, piece by piece.

    Parameters
    ----------
    read
        Gives level 0's pixels, (C, z, y, x).
    sides
        The image's, in pixels, by T, Z, Y and X.
    on_failure
        The spec's.

    Attributes
    ----------
    bears : bool
        Whether pieces that can't be read are passed over, as far as an image bears it.
    unread : set
        Timepoint and number of those that were.
    """

    def __init__(
        self, read: Callable[[Index], Array], sides: Mapping[str, int], on_failure: str
    ) -> None:
        self._read, self._on_failure = read, on_failure
        self._boxes = intensity.sampled((sides["Z"], sides["Y"], sides["X"]))
        self.squares = len(self._boxes) * sides["T"]
        self.bears = False
        self.unread: set[tuple[int, int]] = set()

    @property
    def size(self) -> int:
        """Pixels of a timepoint and channel."""
        return sum(math.prod(s.stop - s.start for s in box) for box in self._boxes)

    def of(self, time: int) -> Iterator[Array]:
        """A timepoint's pixels that count, before colour, (C, z, y, x) a piece.

        Raises
        ------
        TilewrightError
            When the file is damaged there, and that isn't borne.
        """
        for number, box in enumerate(self._boxes):
            try:
                yield self._read({"T": time, **dict(zip("ZYX", box, strict=True))})
            except DamagedPixelsError as error:
                self.unread.add((time, number))
                if not (self.bears and bears(len(self.unread), self.squares, self._on_failure)):
                    raise TilewrightError(error.what, fix=error.fix, code=error.code) from error
