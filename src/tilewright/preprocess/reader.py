"""ModelSpec's input side: what a model sees of an image, tile by tile, as if it weren't tiled.

The order is the spec's: channels, colour, stain, resample, `input_range`, mean and std or
`normalization`. Nothing here depends on where a tile was cut: `resample` samples one grid, the
whole image's; the figures of `stain` and `normalise` are the whole scene's (unless their scope is
the tile); what lies past the image's end is the image's reflection, not the tile's. A tile is
resized and cropped (`resize`, `crop`) after all that is read of it is filled, before its values
are scaled.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from tilewright.contract.blocks import Normalization
from tilewright.contract.closing import Closing
from tilewright.contract.grid import Box, Interval, slices
from tilewright.contract.jobs import EMPTY, ImageRef
from tilewright.contract.spec import ModelSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import open_image

from . import intensity, resample
from .checks import layout_of, level_sizes, no_tissue
from .colour import Colour, colour_of, combined, real, same, span_of
from .enhance import opened, reflected
from .sample import Sample
from .stain import Fit, Stain

Array = np.ndarray
Index = dict[str, int | slice]
Read = Callable[[int, Index], Array]
"""Gives a region of a level, as `Image.read` does."""
FILLS = ("zero", "white")  # ways to fill a tile up with a colour


def needs_statistics(spec: ModelSpec) -> bool:
    """Whether an image's pixels are looked at before its tiles are read."""
    of_image = spec.normalization is not None and spec.normalization.scope == "image"
    return of_image or spec.stain_normalization is not None


def statistics(ref: ImageRef, spec: ModelSpec) -> dict[str, Any] | None:
    """What the stains and `normalization` of scope ``image`` need to know; None if nothing.

    Over all pixels of the scene at level 0, whatever the region, per channel and timepoint; of
    more than 2^26 pixels, over an even grid of squares that hold about as many.

    Returns
    -------
        The normalisation's own keys, and ``values``: per timepoint, per channel (after colour and
        stain), ``[low, high]`` percentiles or ``[mean, std]``, on the scale of the file's pixels.
        ``stain``: per timepoint the stains' figures, or None where there is no tissue. ``unread``:
        how many of the squares, and of how many, don't count since the file is damaged there.

    Raises
    ------
    TilewrightError
        When the image can't be read or the spec asks for what isn't there.
    """
    with TileReader(ref, spec) as reader:
        reader.sample.bears = not ref.copy  # a copy of ours is whole
        found, sample = reader.statistics, reader.sample
        if found is None or not sample.unread:
            return found
        return {**found, "unread": [len(sample.unread), sample.squares]}


class TileReader(Closing):
    """One image as the tiles a model's spec asks for.

    Parameters
    ----------
    ref, spec
        The image, and what the model sees of it.
    kept
        Bytes of decoded pixels that are kept, as `open_image` takes them.

    Attributes
    ----------
    layout : Layout
        Its geometry.
    shape, grid, planes
        The layout's.
    image : Image
        The open file.
    lost : int
        Values of all that `raw` gave that are 0 because the file is damaged there.

    Raises
    ------
    TilewrightError
        When the image can't be read, or the spec asks for what it hasn't or what isn't known.
    """

    def __init__(self, ref: ImageRef, spec: ModelSpec, kept: int | None = None) -> None:
        self._ref = ref
        self._spec = spec
        if ref.copy:
            self.image = open_image(ref.copy, kept=kept)
        else:
            self.image = opened(
                ref.path, axes=ref.axes, scene=ref.scene, methods=ref.prep, kept=kept
            )
        try:
            self.layout = layout_of(self.image, ref, spec)
        except TilewrightError:
            self.close()
            raise
        self._sizes = level_sizes(self.image, ref)
        self.shape, self.grid = self.layout.shape, self.layout.grid
        self.planes = self.layout.planes
        self.lost = 0

    def read(self, plane: int, window: Box, counts: Callable[[Box], Array] | None = None) -> Array:
        """What the model sees in a window of the plane, filled up where the image ends.

        Parameters
        ----------
        plane
            Number in `planes`.
        window
            In pixels of `shape`.
        counts
            Which pixels of a box of `shape` count, (y, x) bool; where others are no numbers, they
            are 0, as the file has its values. None is all.

        Returns
        -------
            float32, by the axes of the spec's `array_axes`: (C, (z,) y, x) unless it says else.

        Raises
        ------
        DamagedPixelsError
            When the file is damaged there.
        TilewrightError
            When it has no tissue and the spec's `on_failure` is error.
        """
        self._check_tissue(plane)
        wanted = [self._positions(axis, interval) for axis, interval in enumerate(window)]
        fold = reflected if self._spec.tile_spec.pad == "reflect" else _clipped
        inside = [fold(at, n) for at, n in zip(wanted, self.shape, strict=True)]
        box = tuple((int(at.min()), int(at.max()) + 1) for at in inside)
        channels, colour = self._ref.channels, self._colour(self._time(plane))
        pixels = self._resampled(plane, box, channels, colour, self._kind(plane))
        figures = self._figures(plane, pixels, box, window)
        if counts is not None and not np.isfinite(pixels).all():
            pixels[~np.isfinite(pixels) & ~counts(box)] = 0
        for axis, (at, (start, stop)) in enumerate(zip(inside, box, strict=True), start=1):
            if len(at) != stop - start or at[0] != start:  # something is filled
                pixels = np.take(pixels, at - start, axis)
        pixels = self._seen(self._filled(plane, pixels, wanted))
        if len(pixels) == 1:
            pixels = np.repeat(pixels, self._spec.num_channels, axis=0)
        ordered = self._scaled(pixels, figures).transpose(_order(self._spec))
        return np.ascontiguousarray(ordered, np.float32)

    def within(self, window: Box) -> tuple[slice, ...]:
        """What of a window's tile, as `read` gives it, is the image and no colour that fills it up.

        Returns
        -------
            A slice each of (z,) y and x; all of it where a tile is filled by reflection.
        """
        lengths = [len(self._positions(axis, interval)) for axis, interval in enumerate(window)]
        if self._spec.tile_spec.pad not in FILLS:
            return tuple(slice(None) for _ in lengths)
        there = [
            min(n, m - start) for n, m, (start, _) in zip(lengths, self.shape, window, strict=True)
        ]
        whole, starts, wanted = self._placed(lengths[-2:])
        for axis in (-2, -1):
            end = there[axis] * whole[axis] // lengths[axis] - starts[axis]
            there[axis] = min(max(end, 1), wanted[axis])
        return tuple(slice(0, n) for n in there)

    def leaves_out(self, plane: int) -> bool:
        """Whether a plane has no tissue and the spec's `on_failure` is to skip it."""
        return self._spec.on_failure == "skip" and self._stainless(plane)

    def raw(self, plane: int, window: Box) -> Array:
        """All of the source's channels in a window, at the model's resolution.

        What can't be read of a damaged file is 0, and counted in `lost`.

        Returns
        -------
            The source's dtype, (C, (z,) y, x); resampled whole numbers are rounded.
        """
        channels = tuple(range(self.image.size("C")))
        dtype = self.image.dtype
        pixels = self._resampled(plane, window, channels, same, read=self._around)
        if pixels.dtype == dtype or dtype.kind == "f":
            return np.asarray(pixels, dtype)
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.uint8)
        whole = np.clip(np.rint(pixels.astype(float)), limits.min, limits.max)
        return np.asarray(whole.astype(dtype))

    @cached_property
    def statistics(self) -> dict[str, Any] | None:
        """See the function `statistics`; the reference's own where it has them."""
        if not needs_statistics(self._spec):
            return None
        if self._ref.statistics is not None:
            return self._ref.statistics
        times = range(self.image.size("T"))
        found: dict[str, Any] = {} if self._stain is None else {"stain": self._fits}
        normalization = self._spec.normalization
        if normalization is None or normalization.scope == "tile":
            return found
        values = [self._summary(normalization, t) for t in times]
        return {**asdict(normalization), "values": values, **found}

    def close(self) -> None:
        """Close the file."""
        self.image.close()

    # pixels

    def _colour(self, time: int) -> Colour:
        """What makes a timepoint's model channels of RGB; BGR is turned round after the stain."""
        space = "MULTI" if self._ref.combined else self._spec.color_space
        colour, stain = colour_of(space, self._span), self._stain
        fit = self._fits[time] if stain else None
        if stain is None or fit is None:
            return colour
        return lambda pixels: colour(stain.change(fit, pixels))

    @property
    def _span(self) -> tuple[float, float]:
        """Black and white of the file's values."""
        return span_of(self._ref.range, self.image.dtype)

    def _time(self, plane: int) -> int:
        return self.planes[plane].get("T", 0)

    # stains

    @cached_property
    def _stain(self) -> Stain | None:
        return None if self._spec.stain_normalization is None else Stain(self._spec, self._span)

    @cached_property
    def _fits(self) -> list[Fit | None]:
        """Per timepoint the figures of the stains; None where there is no tissue."""
        if self._ref.statistics is not None:
            return list(self._ref.statistics["stain"])
        times = range(self.image.size("T") if self._stain else 0)
        return [self._stain.fit(self.sample.of(t), self.sample.size) for t in times if self._stain]

    def _stainless(self, plane: int) -> bool:
        return self._stain is not None and self._fits[self._time(plane)] is None

    def _check_tissue(self, plane: int) -> None:
        if self._spec.on_failure == "error" and self._stainless(plane):
            raise no_tissue(self.image, self._ref, self._spec)

    def _resampled(
        self,
        plane: int,
        box: Box,
        channels: tuple[int, ...],
        colour: Colour,
        kind: np.dtype | None = None,
        read: Read | None = None,
    ) -> Array:
        """Coloured pixels of a box that lies in the image, (C, (z,) y, x).

        Of the dtype `kind`, in which they are resampled; None leaves them as they are, or resamples
        in one that holds them. `read` reads the image; None is its own `read`.
        """
        factor, level = self._ref.factor, self._ref.level
        index: Index = {"T": 0, "Z": 0, **self.planes[plane]}
        if len(box) == 3:
            index["Z"] = slice(*box[0])
        taps = []
        sides = zip("YX", factor, self.layout.start, box[-2:], strict=True)
        for axis, f, first, (lo, hi) in sides:
            source, weights = resample.taps(
                (first + lo, first + hi),
                factor=f,
                n=self._sizes[axis],
                interpolation=self._spec.interpolation,
                antialias=self._spec.antialias,
            )
            least = int(source.min())
            index[axis] = slice(least, int(source.max()) + 1)
            taps.append((source - least, weights))
        pixels = colour(self._pixels(level, index, channels, read))
        if kind is not None:
            pixels = pixels.astype(kind, order="C")  # a new array: values are changed in place
        for dimension, f, some in zip((-2, -1), factor, taps, strict=True):
            if f != 1:
                whole = pixels.astype(kind or real(pixels.dtype), order="C", copy=False)
                pixels = resample.weigh(whole, some, dimension)
        return pixels

    def _around(self, level: int, index: Index) -> Array:
        """The image's pixels, 0 in place of what can't be read; a copy of ours is whole."""
        if self._ref.copy:
            return self.image.read(level, index)
        pixels, lost = self.image.read_around(level, index)
        self.lost += lost
        return pixels

    def _pixels(
        self,
        level: int,
        index: Index,
        channels: tuple[int, ...],
        read: Read | None = None,
    ) -> Array:
        """The file's pixels in the order (C, z, y, x), less the axes `index` gives a number."""
        run = range(channels[0], channels[-1] + 1)
        if EMPTY not in channels and tuple(run) == channels:
            return self._ordered(level, {**index, "C": slice(run.start, run.stop)}, read)
        there = {
            c: self._ordered(level, {**index, "C": slice(c, c + 1)}, read)
            for c in set(channels) - {EMPTY}
        }
        empty = np.full_like(next(iter(there.values())), self._stored(self._span[0]))
        return np.concatenate([there.get(c, empty) for c in channels])

    def _ordered(self, level: int, index: Index, read: Read | None) -> Array:
        pixels = (read or self.image.read)(level, index)
        axes = [a for a in self.image.axes if not isinstance(index[a], int)]
        for axis in "CZ":
            if axis not in axes and not isinstance(index[axis], int):  # the file hasn't it
                pixels, axes = pixels[..., None], [*axes, axis]
        return pixels.transpose([axes.index(a) for a in "CZYX" if a in axes])

    # the image's end

    def _positions(self, axis: int, interval: Interval) -> Array:
        """Where the model's input lies along an axis; from the image's size on it is filled."""
        start, stop = interval
        tile = self._spec.tile_spec
        if tile.variable_input:
            length = math.ceil((stop - start) / tile.stride_multiple) * tile.stride_multiple
        else:
            length = self.grid.axes[axis].size
        return np.arange(start, max(stop, start + length))

    def _filled(self, plane: int, pixels: Array, wanted: list[Array]) -> Array:
        """Black or white past the image's end, where the spec fills with a colour."""
        pad = self._spec.tile_spec.pad
        if pad not in FILLS:
            return pixels
        value = self._span[pad == "white"]
        fill = self._pixel(value, self._time(plane)).astype(pixels.dtype)
        fill = fill.reshape(-1, *[1] * len(wanted))
        outside = np.zeros(pixels.shape[1:], bool)
        for axis, (at, n) in enumerate(zip(wanted, self.shape, strict=True)):
            shape = [1] * len(wanted)
            shape[axis] = -1
            outside |= (at >= n).reshape(shape)
        return np.where(outside, fill, pixels)

    def _seen(self, pixels: Array) -> Array:
        """A tile after the spec's `resize` and `crop`, (C, (z,) y, x)."""
        sides = pixels.shape[-2:]
        whole, starts, wanted = self._placed(sides)
        if whole != sides:
            for axis, n, to in zip((-2, -1), sides, whole, strict=True):
                pixels = resample.weigh(pixels, resample.scaled(n, to, self._spec), axis)
        y, x = (slice(a, a + n) for a, n in zip(starts, wanted, strict=True))
        return pixels[..., y, x]

    def _placed(self, sides: Sequence[int]) -> tuple[tuple[int, ...], list[int], tuple[int, ...]]:
        """Of a tile's (y, x): its size after `resize`; where `crop` begins in it, and its size."""
        height, width = sides
        wanted = self._spec.seen((height, width))
        whole = dataclasses.replace(self._spec, crop=None).seen((height, width))
        return whole, [(n - to) // 2 for n, to in zip(whole, wanted, strict=True)], wanted

    # values

    def _kind(self, plane: int) -> np.dtype:
        """What a plane's pixels are resampled and scaled in.

        float32 or, where that would cut off what the model sees of 32 bits and more, float64.
        """
        spec, dtype, found = self._spec, np.dtype(np.float32), False
        if self.image.dtype.itemsize < dtype.itemsize:
            return dtype
        if spec.normalization is not None and spec.normalization.scope == "tile":
            return real(self.image.dtype)
        if spec.normalization is not None and self.statistics is not None:
            figures = np.array(self.statistics["values"][self._time(plane)])
            found = intensity.is_far(*intensity.offset_and_span(spec.normalization, figures))
        elif spec.input_range is not None:
            low, high = self._span
            found = intensity.is_far(low, high - low)
        elif spec.mean is not None:
            found = intensity.is_far(np.array(spec.mean), np.array(spec.std or (1.0,)))
        return np.dtype(np.float64) if found else dtype

    def _scaled(self, pixels: Array, figures: Array | None) -> Array:
        """`input_range`, mean and std, and normalisation by `figures` (C, 2); partly in place."""
        spec, kind = self._spec, pixels.dtype.type
        slope, shift = self._to_range
        if spec.input_range is not None:
            pixels *= kind(slope)
            pixels += kind(shift)
        normalization = spec.normalization
        if normalization is None or figures is None:
            pixels = self._combined(pixels)
        if spec.mean is not None:
            pixels -= _column(spec.mean, pixels)
        if spec.std is not None:
            pixels /= _column(spec.std, pixels)
        if normalization is None or figures is None:
            return pixels
        # the figures are of the file's own values
        share = intensity.rounding(pixels.dtype)
        resampled = normalization.scope == "tile" and self._ref.factor != (1, 1)
        least = share if resampled else intensity.ROUNDING
        offset, span = intensity.offset_and_span(normalization, figures, least)
        found = pixels - _column(offset * slope + shift, pixels)
        if not span.all():  # a flat channel's own rounding isn't contrast
            noise = np.where(span > 0, -1.0, share * (np.abs(offset * slope) + abs(shift)))
            found[np.abs(found) <= _column(noise, pixels)] = 0
        span = np.where(span > 0, span * abs(slope), intensity.FLAT_SPAN)
        return self._combined(np.asarray(found / _column(span, pixels)))

    def _combined(self, pixels: Array) -> Array:
        """The model's channels of scaled ones: put together as the user says; one is repeated."""
        if not self._ref.combined:
            return pixels
        own = combined(pixels, self._ref.combined)
        return own if len(own) > 1 else np.repeat(own, self._spec.num_channels, axis=0)

    @property
    def _to_range(self) -> tuple[float, float]:
        """Slope and shift from the file's values to `input_range`."""
        if self._spec.input_range is None:
            return 1.0, 0.0
        low, high = self._spec.input_range
        black, white = (0.0, 1.0) if self._spec.color_space == "HED" else self._span
        slope = (high - low) / (white - black)
        return slope, low - black * slope

    def _figures(self, plane: int, pixels: Array, box: Box, window: Box) -> Array | None:
        """The two figures of each channel of a plane, (C, 2), or None without normalisation."""
        normalization = self._spec.normalization
        if normalization is None:
            return None
        if normalization.scope == "image" and self.statistics is not None:
            return np.array(self.statistics["values"][self._time(plane)])
        own = slices(window, box)
        return np.array([intensity.of_sample(normalization, c[own].flatten()) for c in pixels])

    def _summary(self, normalization: Normalization, time: int) -> list[list[float]]:
        """Two figures per channel of one timepoint."""
        colour = self._colour(time)

        def blocks() -> Iterator[Array]:
            return map(colour, self.sample.of(time))

        return intensity.summary(normalization, blocks, self._pixel(0, time), self.sample.size)

    @cached_property
    def sample(self) -> Sample:
        """The pixels that its figures are of."""
        sides = {axis: self.image.size(axis) for axis in "TZYX"}
        channels = self._ref.channels
        return Sample(lambda index: self._pixels(0, index, channels), sides, self._spec.on_failure)

    def _pixel(self, value: float, time: int) -> Array:
        """A pixel of one colour, as the model's channels are made of it, (C, 1, 1)."""
        shape = (len(self._ref.channels), 1, 1)
        return self._colour(time)(np.full(shape, self._stored(value), self.image.dtype))

    def _stored(self, value: float) -> float:
        """A value as near as the image's dtype has it: what is said of black may go further."""
        dtype = self.image.dtype
        if dtype.kind not in "iu":
            return value
        return min(max(value, np.iinfo(dtype).min), np.iinfo(dtype).max)


def _clipped(at: Array, n: int) -> Array:
    return np.asarray(np.minimum(at, n - 1))


def _column(values: Any, pixels: Array) -> Array:
    """A value per channel, to go with pixels (C, …) in their dtype."""
    return np.asarray(values, pixels.dtype).reshape(-1, *[1] * (pixels.ndim - 1))


def _order(spec: ModelSpec) -> list[int]:
    """Where each axis of what the model gets is among (C, (z,) y, x)."""
    return [("C" + spec.tile_spec.axes.upper()).index(a) for a in spec.array_axes]
