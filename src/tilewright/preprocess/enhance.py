"""AI OnDemand's preprocessing sets, read region by region: Downsample, CLAHE and Filter.

Each step is an image over an image, so that they combine in any order. A region equals that of the
whole image put through aiod-utils 0.2.0, channel by channel: blocks are cut at the same places, a
filter reads as far around as it reaches, and CLAHE's tables are those of the whole slice.

References
----------
CLAHE as OpenCV 4 computes it: Zuiderveld, "Contrast limited adaptive histogram equalization",
Graphics Gems IV (1994), 474-485.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage import filters, measure, util  # each part is loaded where it is used

from tilewright.contract.grid import slices
from tilewright.errors import USAGE, TilewrightError
from tilewright.images.image import Image, open_image

Array = np.ndarray
PrepStep = dict[str, Any]
"""A step as the plugin writes it: ``{"name": "CLAHE", "params": {"clipLimit": 3.0}}``."""
Span = tuple[int, int]

STEP_DEFAULTS: dict[str, dict[str, Any]] = {
    "Downsample": {"block_size": (1, 2, 2), "method": "median"},
    "CLAHE": {"tileGridSize": (12, 12), "clipLimit": 3.0},
    "Filter": {"footprint": "round", "size": 5, "method": "median"},
}
"""Every step's parameters, in the order in which they go into a set's name."""
SHAPES = {"disk": "round", "ball": "round", "cube": "square"}
REDUCERS = {"mean": np.mean, "median": np.median, "max": np.max, "min": np.min, "sum": np.sum}
FILTERS = ("mean", "median")  # of skimage.filters.rank
BYTES = (np.uint8, np.uint16)
SCAN_PIXELS = 1 << 26  # a bigger slice isn't looked at again by every job


def opened(
    path: Path | str,
    *,
    axes: str | None,
    scene: int | str,
    methods: Sequence[PrepStep] | None,
    kept: int | None = None,
) -> Image:
    """An image, open, after the steps of a set.

    Parameters
    ----------
    path, axes, scene, kept
        As in `open_image`.
    methods
        The steps, in their order; none is the image as it is.

    Raises
    ------
    TilewrightError
        When it can't be read, or a step can't be done on it.
    """
    image = open_image(path, axes=axes, scene=scene, kept=kept)
    try:
        for method in methods or ():
            image = STEP_CLASSES[method["name"]](image, method["params"])
    except TilewrightError:
        image.close()
        raise
    return image


def checked(methods: Sequence[Any]) -> tuple[PrepStep, ...]:
    """A set with all of its parameters, or what is wrong with it.

    Raises
    ------
    TilewrightError
        Naming the step or parameter that there isn't, or the value that can't be.
    """
    found = []
    for method in methods:
        name = method.get("name") if isinstance(method, dict) else None
        if name not in STEP_DEFAULTS:
            raise _wrong(f"There is no preprocessing called {name!r}", ", ".join(STEP_DEFAULTS))
        given = dict(method.get("params") or {})
        unknown = sorted(set(given) - set(STEP_DEFAULTS[name]))
        if unknown:
            raise _wrong(f"{name} has no parameter {unknown[0]!r}", ", ".join(STEP_DEFAULTS[name]))
        params = {k: given.get(k, v) for k, v in STEP_DEFAULTS[name].items()}
        found.append({"name": name, "params": STEP_CHECKS[name](params)})
    return tuple(found)


def _wrong(what: str, there: str) -> TilewrightError:
    return TilewrightError(f"{what}.", fix=f"Choose from: {there}.", code=USAGE)


def _numbers(name: str, value: Any, counts: tuple[int, ...], least: float = 1) -> tuple[int, ...]:
    """Whole numbers from `least`, as many as `counts` allows."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in values)
    if len(values) not in counts or not whole:
        wanted = " or ".join(map(str, counts))
        raise _wrong(f"{name} {value!r} can't be", f"{wanted} whole numbers from {least}")
    return values


def _check_downsample(params: dict[str, Any]) -> dict[str, Any]:
    block = _numbers("Downsample: block_size", params["block_size"], (2, 3))
    if params["method"] not in REDUCERS:
        raise _wrong(f"Downsample has no method {params['method']!r}", ", ".join(REDUCERS))
    return {**params, "block_size": (1, *block)[-3:]}


def _check_clahe(params: dict[str, Any]) -> dict[str, Any]:
    limit = params["clipLimit"]
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < math.inf:
        raise _wrong(f"CLAHE: clipLimit {limit!r} can't be", "numbers from 0")
    return {**params, "tileGridSize": _numbers("CLAHE: tileGridSize", params["tileGridSize"], (2,))}


def _check_filter(params: dict[str, Any]) -> dict[str, Any]:
    shape = SHAPES.get(params["footprint"], params["footprint"])
    if shape not in ("round", "square"):
        raise _wrong(f"Filter has no footprint {shape!r}", "round, square")
    if params["method"] not in FILTERS:
        raise _wrong(f"Filter has no method {params['method']!r}", ", ".join(FILTERS))
    (size,) = _numbers("Filter: size", params["size"], (1,))
    return {**params, "footprint": shape, "size": size}


STEP_CHECKS = {"Downsample": _check_downsample, "CLAHE": _check_clahe, "Filter": _check_filter}


class Prepared(Image):
    """An image after one step, with all that an `Image` has; of a pyramid its level 0 alone."""

    def __init__(self, image: Image, params: Mapping[str, Any]) -> None:
        vars(self).update(vars(image))  # all that isn't said below is that of the image below
        self._image = image
        self._params = params
        self.dtype = self._dtype(image)
        self.white = image.white if self.dtype == image.dtype else None
        self.shape = tuple(self._sized(a, n) for a, n in zip(image.axes, image.shape, strict=True))
        self.levels, self.chunks, self.steps = [self.shape], [None], [(1.0, 1.0)]
        z, *yx = factor = self._factor()
        self.mpp = (image.mpp[0] * yx[0], image.mpp[1] * yx[1]) if image.mpp else None
        self.z_um = image.z_um * z if image.z_um else None
        self.where = image.where.of_blocks((1, *factor)) if image.where else None
        as_scanned = set(yx) == {1}
        self.bounds = image.bounds if as_scanned else None
        self.magnification = image.magnification if as_scanned else None

    def read(self, level: int, index: Mapping[str, int | slice]) -> Array:
        """A region, of this image's axes and dtype; see `Image.read`."""
        spans = {
            a: _span(index.get(a, slice(None)), n)
            for a, n in zip(self.axes, self.shape, strict=True)
        }
        sizes = [max(0, stop - start) for start, stop in spans.values()]
        out = np.zeros(sizes, self.dtype)
        iterated = [a for a in self.axes if a in "TC"]
        box = tuple(spans.get(a, (0, 1)) for a in "ZYX")
        for numbers in itertools.product(*(range(*spans[a]) for a in iterated)) if out.size else ():
            part = dict(zip(iterated, numbers, strict=True))
            where = tuple(part[a] - spans[a][0] if a in part else slice(None) for a in self.axes)
            made = self._made(part, box)
            kept = [a for a in "ZYX" if a in self.axes]
            order = [kept.index(a) for a in self.axes if a in kept]
            out[where] = (made if "Z" in kept else made[0]).transpose(order)
        dropped = tuple(i for i, a in enumerate(self.axes) if isinstance(index.get(a), int))
        return out.squeeze(dropped)

    def read_around(
        self, level: int, index: Mapping[str, int | slice], fill: float = 0
    ) -> tuple[Array, int]:
        """All of a region as `read` gives it: a step sees pixels around its own."""
        del fill
        return self.read(level, index), 0

    def decode_factor(self, tile: tuple[int, ...]) -> float:
        """As of the image below, for the tile's pixels there."""
        factor = self._factor()[-len(tile) :]
        return self._image.decode_factor(tuple(n * f for n, f in zip(tile, factor, strict=True)))

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def _dtype(self, image: Image) -> np.dtype:
        return image.dtype

    def _factor(self) -> tuple[int, int, int]:
        """Pixels below per pixel, (z, y, x)."""
        return 1, 1, 1

    def _sized(self, axis: str, n: int) -> int:
        """Pixels along an axis."""
        del axis
        return n

    def _made(self, at: dict[str, int], box: tuple[Span, ...]) -> Array:
        """A box ``(z, y, x)`` of one channel and timepoint."""
        raise NotImplementedError

    def _below(self, at: dict[str, int], box: tuple[Span, ...]) -> Array:
        """The same of the image below."""
        index: dict[str, int | slice] = {a: slice(*s) for a, s in zip("ZYX", box, strict=True)}
        pixels = self._image.read(0, {**at, **index})
        axes = [a for a in self.axes if a in "ZYX"]
        ordered = pixels.transpose([axes.index(a) for a in "ZYX" if a in axes])
        return ordered if "Z" in axes else ordered[None]

    @property
    def _flat(self) -> bool:
        """Whether it is a plane: steps work in 2D there."""
        return self._image.size("Z") == 1

    def _like(self, pixels: Array) -> Array:
        """A plane without its depth of one."""
        return pixels[0] if self._flat else pixels


class Downsample(Prepared):
    """Blocks of pixels become one; of a last block that isn't whole, aiod-utils drops more."""

    def _factor(self) -> tuple[int, int, int]:
        z, y, x = self._params["block_size"]
        return 1 if self._flat else z, y, x

    def _sized(self, axis: str, n: int) -> int:
        if axis not in "ZYX":
            return n
        block = self._factor()["ZYX".index(axis)]
        return downsampled(n, block)

    def _made(self, at: dict[str, int], box: tuple[Span, ...]) -> Array:
        factor = self._factor()
        sizes = [self._image.size(a) for a in "ZYX"]
        below = tuple(
            (lo * f, min(hi * f, n)) for (lo, hi), f, n in zip(box, factor, sizes, strict=True)
        )
        pixels = self._like(self._below(at, below))
        block = factor[1:] if self._flat else factor
        found = measure.block_reduce(pixels, block, REDUCERS[self._params["method"]])  # type: ignore[no-untyped-call]
        rounded = np.round(found).astype(self.dtype)
        return np.asarray(rounded[None] if self._flat else rounded)


class Filter(Prepared):
    """The mean or median of what lies around each pixel, in the plane or, of a volume, in space."""

    def _dtype(self, image: Image) -> np.dtype:
        return image.dtype if image.dtype in BYTES else np.dtype(np.uint8)

    def _made(self, at: dict[str, int], box: tuple[Span, ...]) -> Array:
        size = self._params["size"]
        deep = 0 if self._flat else size
        wide = tuple(
            (max(0, lo - r), min(n, hi + r))
            for (lo, hi), r, n in zip(box, (deep, size, size), self.shape_zyx, strict=True)
        )
        pixels = self._like(self._below(at, wide))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lost precision, and of many grey values
            smooth = getattr(filters.rank, self._params["method"])
            found = smooth(self._bytes(pixels), self._footprint())
        found = found[None] if self._flat else found
        return np.asarray(found[slices(box, wide)])

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Pixels along z, y and x."""
        return self.size("Z"), self.size("Y"), self.size("X")

    def _bytes(self, pixels: Array) -> Array:
        if pixels.dtype in BYTES:
            return pixels
        try:
            return np.asarray(util.img_as_ubyte(pixels))  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise TilewrightError(
                f"{self.path}: Filter can't take its {pixels.dtype} pixels ({error}).",
                fix="Save it as 8 or 16 bits, or leave the filter out.",
            ) from None

    def _footprint(self) -> Array:
        size = self._params["size"]
        if self._params["footprint"] == "square":
            return np.ones((size,) * (2 if self._flat else 3), np.uint8)
        from skimage.morphology import ball, disk  # half a second, for the few who filter

        return np.asarray((disk if self._flat else ball)(size))  # type: ignore[no-untyped-call]


class Clahe(Prepared):
    """Contrast evened out by tables of the whole slice's regions, slice by slice."""

    def __init__(self, image: Image, params: Mapping[str, Any]) -> None:
        super().__init__(image, params)
        self._known: dict[tuple[int, ...], Array] = {}
        if self.dtype not in BYTES:
            raise TilewrightError(
                f"{image.path}: CLAHE can't take its {self.dtype} pixels.",
                fix="Save it as 8 or 16 bits without a sign, or leave CLAHE out.",
            )

    def decode_factor(self, tile: tuple[int, ...]) -> float:
        """Over all limits for a big slice: every job would look at all of it for its tables."""
        big = self.size("Y") * self.size("X") > SCAN_PIXELS
        return math.inf if big else super().decode_factor(tile)

    def _made(self, at: dict[str, int], box: tuple[Span, ...]) -> Array:
        depth, *plane = box
        pixels = self._below(at, box)
        y, x = (self._between(axis, span) for axis, span in enumerate(plane))
        for z, slice_ in zip(range(*depth), pixels, strict=True):
            slice_[...] = equalised(slice_, self._tables(at, z), y, x)
        return pixels

    @property
    def _grid(self) -> tuple[int, int]:
        """Regions along y and x."""
        x, y = self._params["tileGridSize"]
        return y, x

    def _region(self, axis: int) -> int:
        """Pixels of a region along y or x: the slice is filled up so that all are alike.

        OpenCV fills both axes where either needs it; one that doesn't, by a pixel for each region.
        """
        sizes = (self.size("Y"), self.size("X"))
        if all(n % count == 0 for n, count in zip(sizes, self._grid, strict=True)):
            return sizes[axis] // self._grid[axis]
        n, count = sizes[axis], self._grid[axis]
        return (n + count - n % count) // count

    def _between(self, axis: int, span: Span) -> tuple[Array, Array, Array]:
        """Of pixels along an axis: the regions before and after, and how far on they are."""
        at = np.arange(*span, dtype=np.float32)
        place = at * (np.float32(1) / np.float32(self._region(axis))) - np.float32(0.5)
        first = np.floor(place).astype(int)
        share = place - first.astype(np.float32)
        return np.maximum(first, 0), np.minimum(first + 1, self._grid[axis] - 1), share

    def _tables(self, at: dict[str, int], z: int) -> Array:
        """A slice's tables, ``(regions along y, along x, values)``; kept for the next tile."""
        key = (*at.values(), z)
        if key not in self._known:
            if len(self._known) > 1:  # tiles come slice by slice
                self._known.clear()
            self._known[key] = self._made_tables(at, z)
        return self._known[key]

    def _made_tables(self, at: dict[str, int], z: int) -> Array:
        (rows, columns), bins = self._grid, np.iinfo(self.dtype).max + 1
        height, width = self._region(0), self._region(1)
        across = reflected(np.arange(width * columns), self.size("X"))
        tables = np.empty((rows, columns, bins), self.dtype)
        for row in range(rows):
            down = reflected(np.arange(row * height, (row + 1) * height), self.size("Y"))
            span = (int(down.min()), int(down.max()) + 1)
            strip = self._below(at, ((z, z + 1), span, (0, self.size("X"))))[0]
            strip = strip[down - span[0]][:, across]
            for column in range(columns):
                region = strip[:, column * width : (column + 1) * width]
                counts = np.bincount(region.ravel(), minlength=bins)
                tables[row, column] = table(counts, self._params["clipLimit"], self.dtype)
        return tables


def table(counts: Array, limit: float, dtype: np.dtype) -> Array:
    """What each grey value of a region becomes: its histogram, clipped and summed up.

    Parameters
    ----------
    counts
        (values,) pixels per grey value.
    limit
        How many times the even share a value may have; 0 is any.
    dtype
        Of what is returned, (values,).
    """
    bins, pixels = len(counts), int(counts.sum())
    if limit > 0:
        most = max(int(limit * pixels / bins), 1)
        clipped = int(np.maximum(counts - most, 0).sum())
        counts = np.minimum(counts, most) + clipped // bins
        rest = clipped % bins
        if rest:
            counts[:: max(bins // rest, 1)][:rest] += 1
    scale = np.float32(bins - 1) / np.float32(pixels)
    scaled = np.rint(np.cumsum(counts).astype(np.float32) * scale)
    return np.asarray(np.clip(scaled, 0, bins - 1).astype(dtype))


def equalised(pixels: Array, tables: Array, y: tuple[Array, ...], x: tuple[Array, ...]) -> Array:
    """Pixels ``(y, x)`` through the tables of the four regions around each, by nearness.

    Parameters
    ----------
    tables
        ``(regions along y, along x, values)``.
    y, x
        Per row and per column: the regions before and after, and the share of the latter.
    """
    (top, bottom, down), (left, right, across) = y, x
    down, across = down[:, None], across[None]
    one = np.float32(1)

    def through(rows: Array, columns: Array) -> Array:
        found: Array = tables[rows[:, None], columns[None], pixels].astype(np.float32)
        return found

    above = through(top, left) * (one - across) + through(top, right) * across
    below = through(bottom, left) * (one - across) + through(bottom, right) * across
    mixed = np.rint(above * (one - down) + below * down)
    return np.asarray(np.clip(mixed, 0, tables.shape[-1] - 1).astype(pixels.dtype))


def _span(at: int | slice, n: int) -> Span:
    if isinstance(at, int):
        return at, at + 1
    start, stop, _ = at.indices(n)
    return start, stop


def reflected(at: Array, n: int) -> Array:
    """Positions folded back into 0 to n - 1, as `numpy.pad` does in mode ``reflect``; any shape."""
    if n == 1:
        return np.zeros_like(at)
    folded = at % (2 * n - 2)
    return np.asarray(np.minimum(folded, 2 * n - 2 - folded))


def downsampled(n: int, block: int) -> int:
    """Blocks along an axis: where the last isn't whole, as many fewer as pixels are left over."""
    return max(1, math.ceil(n / block) - n % block)


STEP_CLASSES: dict[str, type[Prepared]] = {
    "Downsample": Downsample,
    "CLAHE": Clahe,
    "Filter": Filter,
}
