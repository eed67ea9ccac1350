"""The value of white, where a file says it: how far its pixels go, if not as far as their dtype."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile

MOST = 2**64  # no pixel's value is greater
PALETTE = tifffile.PHOTOMETRIC.PALETTE  # its pixels are no intensities


@dataclass(frozen=True)
class White:
    """A value of white that a file gives.

    Parameters
    ----------
    value
        In the pixels' own numbers.
    said
        The file's words for it, e.g. ``SignificantBits 12``.
    black
        The value of black.
    """

    value: float
    said: str
    black: float = 0.0

    def turned(self, most: int) -> White:
        """The same of values that were turned round, of 0 to `most`."""
        return White(most - self.black, self.said, most - self.value)


def of_bits(bits: Any, dtype: np.dtype, said: str) -> White | None:
    """White of whole numbers that use so many bits; None where those are all of the dtype's.

    Parameters
    ----------
    bits
        As the file has them: what isn't a count of bits says nothing.
    """
    if dtype.kind not in "iu" or not isinstance(bits, int) or not 0 < bits < 8 * dtype.itemsize:
        return None
    return _less(2**bits - 1, dtype, said)


def of_greatest(values: Iterable[Any], dtype: np.dtype, said: str) -> White | None:
    """White where all channels' greatest value is one full count of bits, 2^n - 1.

    Any other greatest value is one that was found in the image: it says nothing of its range.

    Parameters
    ----------
    values
        Of each channel, as the file has them.
    """
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if any(not abs(v) <= MOST for v in numbers):  # NaN, too
        return None
    if len(set(numbers)) != 1 or not float(numbers[0]).is_integer() or dtype.kind not in "iuf":
        return None
    most = int(numbers[0])
    if most < 1 or most & (most + 1):
        return None
    return _less(most, dtype, f"{said} {most}")


def of_tiff(significant: Any, page: Any, dtype: np.dtype) -> White | None:
    """What a TIFF says: OME's SignificantBits, BitsPerSample less than the dtype's, MaxSampleValue.

    Parameters
    ----------
    significant
        The first of these, as the XML has it; None where there is none.
    page
        One that its pixels are in.
    """
    if str(significant).isdecimal():
        return of_bits(int(significant), dtype, f"SignificantBits {significant}")
    if page.photometric == PALETTE:
        return None
    bits = page.bitspersample
    found = of_bits(bits, dtype, f"BitsPerSample {bits}")
    if found is not None:
        return found
    greatest = page.tags.valueof("MaxSampleValue")
    values = greatest if isinstance(greatest, tuple) else (greatest,)
    return of_greatest(values, dtype, "MaxSampleValue")


def _less(most: int, dtype: np.dtype, said: str) -> White | None:
    """None where that is the dtype's own white."""
    own = np.iinfo(dtype).max if dtype.kind in "iu" else 1
    beyond = most >= own if dtype.kind in "iu" else most == own
    return None if beyond else White(float(most), said)
