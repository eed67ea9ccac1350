"""What may be wrong with an image's pixels: focus, saturation, contrast, or that little is there.

Figures are of the pixels that the report shows: the whole picture, or the windows of a big image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]
BLACK_AT, WHITE_AT = 1.0, 99.8  # percentiles that are an image's black and white
CONTRAST = 10.0  # times the noise; `benchmarks/flags.py` has the rates of all these
LEAST_APART = 1.0  # % of pixels
SATURATED = 2.0  # % of pixels
EDGE = 11.0  # px from dark to bright
APART = 9.0  # times the noise of a pixel, in the mean of nine: 27 standard deviations of that
CAMERA_ENDS = (1.0, *(2.0**n - 1 for n in (8, 10, 12, 14, 16)))  # where cameras end
SMOOTHED = 1.0  # px, the standard deviation of what noise is smoothed by before edges are looked at
GAUSS = math.sqrt(2 * math.pi)  # 1 / (GAUSS * sigma) is the slope of a smoothed step
EDGE_WIDTH = 2.563  # standard deviations from 10 to 90 % of a smoothed step
MAD = 0.6745  # of a normal distribution, in standard deviations
MOST_CONTRAST = 1e6  # of contrast: pixels may be made without noise
LAPLACIAN = np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])


@dataclass(frozen=True)
class Flag:
    """Something that may be wrong with an image, and by which rule.

    Parameters
    ----------
    name
        ``out of focus``, ``saturated``, ``nearly empty`` or ``hardly any contrast``.
    figure
        What was measured, in the unit that the rule says.
    rule
        What is measured, and from where on it is a flag: a sentence.
    channel
        Of which channel, where the image has several that are looked at one by one.
    """

    name: str
    figure: float
    rule: str
    channel: str | None = None

    @property
    def said(self) -> str:
        """Its name for people: ``out of focus (DAPI)``."""
        return self.name if self.channel is None else f"{self.name} ({self.channel})"


@dataclass(frozen=True)
class LookFigures:
    """Figures of one channel of a window.

    Parameters
    ----------
    contrast
        From black to white, over the noise.
    apart
        % of pixels that stand out of the background.
    full
        % of pixels at the camera's end.
    edge
        px that the sharpest edges take from dark to bright.
    """

    contrast: float
    apart: float
    full: float
    edge: float


@dataclass
class Judge:
    """Looks at an image's windows, and says what may be wrong.

    Parameters
    ----------
    channels
        Numbers of the source's channels that the model read, without those of zeros.
    colour
        They are red, green and blue: edges and contrast are those of their mean.
    light
        A picture of transmitted light, whose glass may be as white as can be.
    end
        The value of white, where the run says it; None is where cameras end.
    names
        Of all the source's channels, where it has several.
    """

    channels: tuple[int, ...]
    colour: bool = False
    light: bool = False
    end: float | None = None
    names: tuple[str, ...] = ()
    looks: list[list[LookFigures]] = field(default_factory=list)

    def look(self, pixels: Array) -> None:
        """LookFigures at a window, (C, y, x) of any dtype."""
        if min(pixels.shape[1:]) < len(LAPLACIAN):
            return
        some = pixels[list(self.channels)]
        ends = [0.0 if self.light else full(c, self.end) for c in some]
        grain = 1.0 if pixels.dtype.kind in "biu" else 0.0
        if self.colour:
            some, ends = some.astype(np.float64).mean(axis=0, keepdims=True), [max(ends)]
        self.looks.append([look(c, e, grain) for c, e in zip(some, ends, strict=True)])

    def flags(self) -> list[Flag]:
        """Those of each channel; of several windows the best counts, of saturation the mean."""
        several = len(self.names) > 1 and not self.colour
        names = [self.names[n] if several else None for n in self.channels]
        each = zip(*self.looks, strict=True)
        found = zip(names, map(flags, each), strict=False)  # colours are looked at as one
        return [replace(flag, channel=name) for name, some in found for flag in some]


def flags(looks: tuple[LookFigures, ...]) -> list[Flag]:
    """What may be wrong with a channel, by its windows.

    One that is saturated or has no contrast isn't judged any further, nor an empty one's focus.
    """
    contrast = max(one.contrast for one in looks)
    saturated = float(np.mean([one.full for one in looks]))
    apart, edge = max(one.apart for one in looks), min(one.edge for one in looks)
    if saturated > SATURATED:
        rule = f"% of pixels are as bright as can be; over {SATURATED:g} %"
        return [Flag("saturated", _rounded(saturated), rule)]
    if contrast < CONTRAST:
        rule = f"times the noise (or one grey value) from dark to bright; under {CONTRAST:g}"
        return [Flag("hardly any contrast", _rounded(contrast), rule)]
    if apart < LEAST_APART:
        rule = f"% of pixels stand out of the background; under {LEAST_APART:g} %"
        return [Flag("nearly empty", _rounded(apart), rule)]
    if edge > EDGE:
        rule = f"px that the sharpest edges take from dark to bright; over {EDGE:g} px"
        return [Flag("out of focus", _rounded(edge), rule)]
    return []


def look(channel: Array, share_full: float, grain: float) -> LookFigures:
    """Figures of a channel.

    Parameters
    ----------
    channel
        (y, x) of any dtype.
    share_full
        % of its pixels at the camera's end.
    grain
        Between two grey values; 0 where they are real numbers.

    References
    ----------
    Noise: Immerkaer, "Fast noise variance estimation", 1996, with the median in place of the mean.
    """
    values = np.nan_to_num(channel.astype(np.float64), posinf=0, neginf=0)
    low, high = map(float, np.percentile(values, (BLACK_AT, WHITE_AT)))
    least = grain or (high - low) / MOST_CONTRAST or 1.0
    detail = ndimage.convolve(values, LAPLACIAN)[1:-1, 1:-1]
    spread = float(np.median(np.abs(detail))) / MAD
    noise = max(spread / float(np.linalg.norm(LAPLACIAN)), least)
    gap = np.abs(ndimage.uniform_filter(values, 3) - np.median(values))
    slopes = ndimage.gaussian_gradient_magnitude(values, SMOOTHED)
    steepest = float(np.percentile(slopes, WHITE_AT))
    sigma = (high - low) / (GAUSS * steepest) if steepest > 0 else 0.0
    return LookFigures(
        contrast=(high - low) / noise,
        apart=100 * float((gap > APART * noise / 3).mean()),
        full=share_full,
        edge=EDGE_WIDTH * math.sqrt(max(0.0, sigma**2 - SMOOTHED**2)),
    )


def full(channel: Array, end: float | None) -> float:
    """% of a channel's pixels at the value where cameras end, if that is its greatest.

    Parameters
    ----------
    channel
        (y, x) of any dtype; of two values alone, as a mask is, nothing is said.
    end
        That value, where the run says it.
    """
    most = float(channel.max())
    if most not in ((end,) if end else CAMERA_ENDS) or channel.dtype == bool:
        return 0.0
    share = 100 * float((channel == most).mean())
    return 0.0 if ((channel == most) | (channel == channel.min())).all() else share


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
