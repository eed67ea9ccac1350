"""Figures of what reaches the model: gathered tile by tile, banked, and summed over an image.

Tiles with content count by themselves: much of an image may be background, of which a model expects
no usual values. The same tiles in the same order give the same figures, however they were batched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tilewright.contract.spec import ModelSpec
from tilewright.contract.values import expected, least_spread

from .bank import Bank, BankWriter

Array = np.ndarray
LEFT_OUT = 18  # of a float32's bits, the lowest: a bin is 3 % wide
BINS = 1 << (32 - LEFT_OUT)
COUNTED = 1 << 15  # of a tile's pixels, in its histogram; of more, an even sample
SMALLEST = float(np.finfo(np.float32).tiny)
SIDE = 192  # px, of the tile that is shown
COUNT, MEAN, SQUARES, LEAST, MOST = range(5)
"""Columns of `Figures.moments`: SQUARES is the sum of squared deviations from the mean."""


@dataclass
class Figures:
    """What a model saw of one image, tiles without content and tiles with it apart.

    Parameters
    ----------
    moments
        (2, C, 5) float64, by the columns above.
    bins
        (2, C, BINS) int64: pixels by the highest bits of their float32.
    tiles
        (2,) int64.
    number
        Of the tile that is shown; -1 is none.
    shown
        That tile, (1 or 3, y, x) uint8, black to white as the model expects it.
    """

    moments: Array
    bins: Array
    tiles: Array = field(default_factory=lambda: np.zeros(2, np.int64))
    number: int = -1
    shown: Array = field(default_factory=lambda: np.zeros((1, 0, 0), np.uint8))

    @classmethod
    def none(cls, channels: int) -> Figures:
        """Those of no tile."""
        return cls(_nothing((2, channels)), np.zeros((2, channels, BINS), np.int64))

    def include(
        self, number: int, pixels: Array, spec: ModelSpec, within: tuple[slice, ...] = ()
    ) -> None:
        """Add a tile.

        Parameters
        ----------
        number
            The tile's, over all planes of the image.
        pixels
            What the model sees: float32, by the spec's `array_axes`.
        within
            Of (z,) y and x: what counts; the rest is filled up with a colour.
        """
        axes = [spec.array_axes.index(a) for a in "CZYX" if a in spec.array_axes]
        ordered = pixels.transpose(axes)
        flat = ordered[(slice(None), *within)].reshape(len(ordered), -1)
        found = _moments(flat)
        content = int((found[:, SQUARES] > least_spread(spec) ** 2 * flat.shape[1]).any())
        if self.number < 0 or (content and not self.tiles[1]):
            self.number, self.shown = number, picture(ordered, spec)
        self.moments[content] = joined(self.moments[content], found)
        self.tiles[content] += 1
        for c, channel in enumerate(flat):
            some = np.ascontiguousarray(channel[:: 1 + channel.size // COUNTED], np.float32)
            counts = np.bincount(some.view(np.uint32) >> LEFT_OUT, minlength=BINS)
            self.bins[content, c] += counts

    def add(self, other: Figures) -> None:
        """Add those of later tiles."""
        if self.number < 0 or (other.tiles[1] and not self.tiles[1]):
            self.number, self.shown = other.number, other.shown
        self.moments = joined(self.moments, other.moments)
        self.bins = self.bins + other.bins
        self.tiles = self.tiles + other.tiles

    def packed(self) -> dict[str, Array]:
        """What is banked, by name: of the histogram the bins that have something."""
        at = np.flatnonzero(self.bins)
        return {
            "moments": self.moments,
            "bins": np.stack([at, self.bins.ravel()[at]]),
            "tiles": np.array([*self.tiles, self.number]),
            "shown": self.shown,
        }

    @classmethod
    def unpacked(cls, found: dict[str, Array]) -> Figures:
        """The inverse of `packed`."""
        made = cls.none(found["moments"].shape[1])
        at, counts = found["bins"]
        made.bins.ravel()[at] = counts
        *tiles, number = found["tiles"].tolist()
        return cls(found["moments"], made.bins, np.array(tiles), number, found["shown"])

    def high(self, which: int, channel: int, share: float) -> float:
        """The value that a share of pixels is at most, as near as its bin is wide.

        Parameters
        ----------
        which
            1 of tiles with content, 0 of the others.
        channel
            Its number.
        share
            0 to 1.
        """
        half = BINS // 2  # the bins of negative numbers follow, from 0 downwards
        own = self.bins[which, channel]
        counts = np.concatenate([own[: half - 1 : -1], own[:half]])
        edges = np.concatenate([-_edges()[::-1], _edges()[1:]])
        up_to = counts.cumsum()
        wanted = share * up_to[-1]
        k = int(np.searchsorted(up_to, wanted))
        part = 1 - (up_to[k] - wanted) / counts[k]
        if max(abs(edges[k]), abs(edges[k + 1])) < SMALLEST:  # the bins that hold 0
            return 0.0
        found = edges[k] + (edges[k + 1] - edges[k]) * part
        return float(np.clip(found, *self.moments[which, channel, [LEAST, MOST]]))


class Seen:
    """Gathers the figures of a job's images, one after the other.

    Parameters
    ----------
    spec
        The model's.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._key = ""
        self._figures = Figures.none(0)
        self._done: dict[str, dict[str, Array]] = {}

    def include(
        self, image: str, number: int, pixels: Array, within: tuple[slice, ...] = ()
    ) -> None:
        """Add a tile; an image's tiles come together.

        Parameters
        ----------
        image
            Its key.
        number, pixels, within
            As `Figures.include` takes them.
        """
        if image != self._key:
            self._close()
            self._key, self._figures = image, Figures.none(self._spec.num_channels)
        self._figures.include(number, pixels, self._spec, within)

    def bank(self, bank: BankWriter) -> None:
        """Bank what was gathered."""
        self._close()
        for image, arrays in self._done.items():
            for name, array in arrays.items():
                bank.put(f"{image}/seen/{name}", array)

    def _close(self) -> None:
        if self._figures.tiles.any():
            self._done[self._key] = self._figures.packed()
        self._figures = Figures.none(0)


def seen_of(image: str, banks: list[Bank]) -> Figures | None:
    """An image's figures, of all its banks in the order of jobs; None where no tile was predicted.

    Parameters
    ----------
    image
        Its key.
    banks
        All of its group's.
    """
    whole: Figures | None = None
    for bank in banks:
        if f"{image}/seen/tiles" not in bank:
            continue
        names = ("moments", "bins", "tiles", "shown")
        part = Figures.unpacked({name: bank.get(f"{image}/seen/{name}") for name in names})
        if whole is None:
            whole = part
        else:
            whole.add(part)
    return whole


def picture(pixels: Array, spec: ModelSpec) -> Array:
    """A tile for people, (1 or 3, y, x) uint8, at most `SIDE` px: from black to white as expected.

    Parameters
    ----------
    pixels
        (C, (z,) y, x); of a volume, the middle slice is shown.
    spec
        The model's; where it takes values as they are, those of the tile are black and white.
    """
    flat = pixels[:3, pixels.shape[1] // 2] if pixels.ndim == 4 else pixels[:3]
    step = math.ceil(max(flat.shape[1:]) / SIDE)
    small = flat[:, ::step, ::step].astype(float)
    own = (float(flat.min()), float(flat.max()))
    spans = np.array(expected(spec) or [own] * spec.num_channels)[: len(small)]
    low, high = spans.T[:, :, None, None]
    shares = (small - low) / np.where(high > low, high - low, 1)
    grey = np.asarray((np.clip(shares, 0, 1) * 255).round().astype(np.uint8))
    if len(grey) == 2:
        grey = np.concatenate([grey, np.zeros_like(grey[:1])])
    return grey[::-1] if spec.color_space == "BGR" else grey


def joined(one: Array, other: Array) -> Array:
    """The moments (..., 5) of two sets of pixels together.

    References
    ----------
    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """
    count = one[..., COUNT] + other[..., COUNT]
    share = other[..., COUNT] / np.maximum(count, 1)
    apart = other[..., MEAN] - one[..., MEAN]
    squares = one[..., SQUARES] + other[..., SQUARES] + apart**2 * one[..., COUNT] * share
    least = np.minimum(one[..., LEAST], other[..., LEAST])
    most = np.maximum(one[..., MOST], other[..., MOST])
    mean = one[..., MEAN] + apart * share
    return np.stack([count, mean, squares, least, most], axis=-1)


def _moments(flat: Array) -> Array:
    """Of each channel (C, n): (C, 5) float64."""
    found = _nothing((len(flat),))
    for row, channel in zip(found, flat, strict=True):
        exact = channel.astype(float)
        mean = exact.mean()
        exact -= mean
        row[:] = exact.size, mean, np.square(exact, out=exact).sum(), channel.min(), channel.max()
    return found


def _nothing(shape: tuple[int, ...]) -> Array:
    found = np.zeros((*shape, 5))
    found[..., LEAST], found[..., MOST] = np.inf, -np.inf
    return found


def _edges() -> Array:
    """Where the bins of positive numbers begin, and the last one ends; float64, from 0."""
    starts = (np.arange(BINS // 2, dtype=np.uint32) << LEFT_OUT).view(np.float32)
    most = float(np.finfo(np.float32).max)
    known = np.isfinite(starts)
    return np.append(np.where(known, np.where(known, starts, 0).astype(float), most), most)
