"""What is measured of each object: one row of area, place and intensity, streamed box by box.

Memory grows with the objects, never with the pixels: some 50 bytes each, 90 with shapes. Columns
are computed while they are written, some rows at a time. Areas, places and integer intensities are
sums of integers, so they don't depend on how the image was cut into boxes. Floating-point
intensities are summed in float64 in the order of the boxes (the store's shards, row-major): the
same store gives the same bytes, another cut agrees to about 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tilewright.stores.anndata import Computed, Table
from tilewright.stores.columns import OBJECT_COLUMNS, PX
from tilewright.stores.ome_zarr import Placement

from .runs import Runs
from .shapes import (
    RIM,
    STEPS,
    axes_of,
    covariance,
    eccentricity,
    moved,
    orientation,
    pairs,
    steps,
)

Array = np.ndarray[Any, Any]
Plane = tuple[int, int]
"""Time point and slice, both from 0."""
SPOTS = 1 << 20  # ids that are looked at at once
Figure = Callable[[Array], Array]
"""What is said of some ids, in their order."""


@dataclass(frozen=True)
class BoxMeasures:
    """What was measured of the objects in one box: n of them, whatever its pixels.

    Parameters
    ----------
    plane
        The box's time point and slice.
    ids
        (n,) labels, ascending.
    area, sums, first, stop
        Pixels; per axis the sum of their positions, the first and the one after the last; int64.
    light
        (n, C) sums of intensities, or None where none were given.
    second, steps
        Of shapes: sums of products of positions from `first`, (n, pairs), and of objects that have
        an outline how many steps of each kind it has, (n, 3); None where they aren't asked for.
    """

    plane: Plane
    ids: Array
    area: Array
    sums: Array
    first: Array
    stop: Array
    light: Array | None
    second: Array | None = None
    steps: Array | None = None


@dataclass(frozen=True)
class ObjectBoxes:
    """Where objects are.

    Parameters
    ----------
    ids
        (n,) labels, ascending.
    first, stop
        (n, axes) int64: bounding boxes in pixels of the label array, (z,) y and x.
    planes
        (n, 2) int64: time point and slice; of volumes the slice is 0.
    """

    ids: Array
    first: Array
    stop: Array
    planes: Array

    def only(self, rows: Array) -> ObjectBoxes:
        """Some of them."""
        return ObjectBoxes(self.ids[rows], self.first[rows], self.stop[rows], self.planes[rows])


class Measure:
    """Sums over the objects of one image, box by box.

    Parameters
    ----------
    count
        Labels are 1..count, each in one plane only or, of volumes, in one time point.
    channels
        Channels of the intensity image; 0 measures shapes only.
    dtype
        Of the intensity image: integers are summed as int64, others as float64.
    volumes
        A label may be in several slices.
    side
        Pixels of the label array's longest side, at most: boxes are held in as few bits.
    shapes
        Shapes are measured too.

    Attributes
    ----------
    axes : int
        Of an object: 3 of volumes, else 2.
    rim : int
        Pixels around a box that what is measured in it depends on.
    """

    def __init__(
        self,
        count: int,
        *,
        channels: int = 0,
        dtype: np.dtype[Any] | type = np.uint8,
        volumes: bool = False,
        side: int = 2**32 - 1,
        shapes: bool = False,
    ) -> None:
        kind = np.int64 if np.dtype(dtype).kind in "biu" else np.float64
        axes, pixel = 3 if volumes else 2, np.min_scalar_type(side)
        self._planes: dict[Plane, int] = {}
        self._plane = np.full(count + 1, -1, np.int32)  # their numbers
        self._area = np.zeros(count + 1, np.int64)
        self._sums = np.zeros((count + 1, axes), np.int64)  # of (z,) y and x, in array pixels
        self._first = np.full((count + 1, axes), np.iinfo(pixel).max, pixel)
        self._stop = np.zeros((count + 1, axes), pixel)
        self._light = np.zeros((count + 1, channels), kind)
        self._volumes = volumes
        self.axes = axes
        self._shapes = shapes
        self.rim = RIM if shapes and not volumes else 0
        rows = count + 1 if shapes else 0
        self._second = np.zeros((rows, len(pairs(axes))), np.int64)  # from `_first`
        self._steps = np.zeros((0 if volumes else rows, len(STEPS)), np.uint32)

    def part(
        self,
        labels: Array,
        image: Array | None,
        origin: Sequence[int],
        plane: Plane = (0, 0),
        around: tuple[Array, Sequence[slice]] | None = None,
    ) -> BoxMeasures:
        """Measure one box by itself: what another process sends to the one that includes it.

        Parameters
        ----------
        labels
            ``(y, x)`` integer labels, 0 the background; of volumes ``(z, y, x)``, or ``(y, x)`` of
            the slice that `plane` says.
        image
            ``(C, *labels.shape)`` intensities of the same pixels, or None.
        origin
            The box's first pixel in the label array, one number per axis of `labels`.
        plane
            Its time point and slice; the slice is 0 where `labels` have several.
        around
            Labels of the box and `RIM` pixels around it, and where in them it is; None is that the
            image has no more.
        """
        runs = Runs(labels)
        light = None if image is None else runs.light(image, self._light.dtype)
        area, *places = runs.shapes()
        second, outlines = self._shaped(runs, places[1], around or (labels, [slice(None)] * 2))
        if self._volumes and labels.ndim == 2:
            places = [np.insert(p, 0, at, axis=1) for p, at in zip(places, (0, 0, 1), strict=True)]
            origin = (plane[1], *origin)
        sums, first, stop = places
        corner = np.asarray(origin)
        sums = sums + area[:, None] * corner
        first, stop = first + corner, stop + corner
        return BoxMeasures(plane, runs.ids, area, sums, first, stop, light, second, outlines)

    def _shaped(
        self, runs: Runs, first: Array, around: tuple[Array, Sequence[slice]]
    ) -> tuple[Array | None, Array | None]:
        """A box's sums of second order, and its outlines' steps."""
        if not self._shapes:
            return None, None
        second = runs.second(first)
        if not self._volumes:
            return second, steps(*around, runs.ids)
        if first.shape[1] == 2:  # of one slice: along z there is nothing
            second = np.concatenate([np.zeros_like(second), second], axis=1)
        return second, None

    def include(self, part: BoxMeasures) -> None:
        """Add what was measured of a box; floats are summed in the order of these calls."""
        ids = part.ids
        self._place(ids, part.plane)
        if part.second is not None:
            self._second[ids] = self._second_with(part, part.second)
        if part.steps is not None:
            self._steps[ids] += part.steps.astype(np.uint32)
        self._area[ids] += part.area
        self._sums[ids] += part.sums
        self._first[ids] = np.minimum(self._first[ids], part.first)
        self._stop[ids] = np.maximum(self._stop[ids], part.stop)
        if part.light is not None:
            self._light[ids] += part.light

    def _second_with(self, part: BoxMeasures, second: Array) -> Array:
        """Sums of second order with a part's, from the first pixel of both."""
        area, first = self._area[part.ids], self._first[part.ids].astype(np.int64)
        first = np.where(area[:, None] > 0, first, part.first)
        both = np.minimum(first, part.first)
        own = self._sums[part.ids] - area[:, None] * first
        new = part.sums - part.area[:, None] * part.first
        return moved(self._second[part.ids], own, area, first - both) + moved(
            second, new, part.area, part.first - both
        )

    def table(
        self,
        placement: Placement | None = None,
        channel_names: Sequence[str] | None = None,
        agreement: Array | None = None,
    ) -> Table:
        """One row per object that has a pixel, in the order of its id.

        Parameters
        ----------
        placement
            Where the label array lies on the image; columns are in level-0 pixels, and in µm too
            when its `mpp` is known.
        channel_names
            Names for the columns of mean intensities; a missing or repeated name gets the channel's
            number.
        agreement
            (count + 1,) how far tiles agreed on each label; None leaves the column out.
        """
        ids = np.flatnonzero(self._area).astype(np.min_scalar_type(len(self._area)))
        place = placement or Placement()
        figures = self._figures(place) | (self._shape_figures(place) if self._shapes else {})
        if agreement is not None:
            figures["agreement"] = lambda some: agreement[some]
        centre = [f"centroid_{axis}" for axis in ("x_px", "y_px", *("z" if self._volumes else ""))]
        return Table(
            obs={name: Computed(ids, of) for name, of in figures.items()},
            x=Computed(ids, self._means),
            var=_names(channel_names, self._light.shape[1]),
            spatial=Computed(
                ids, lambda some: np.stack([figures[c](some) for c in centre], axis=1)
            ),
            columns={
                **{name: OBJECT_COLUMNS[name] for name in figures},
                "X": "mean intensity per channel, in the image's own values",
                "obsm/spatial": f"centroid (x, y) in {PX}; of a volume (x, y, slice)",
            },
        )

    def boxes(self) -> ObjectBoxes:
        """Where the objects are, in the order of ids."""
        ids = np.flatnonzero(self._area)
        first, stop = (held[ids].astype(np.int64) for held in (self._first, self._stop))
        planes = np.array(list(self._planes), np.int64).reshape(-1, 2)[self._plane[ids]]
        return ObjectBoxes(ids, first, stop, planes)

    def means(self, channel: int) -> Array:
        """Mean intensities of the objects in one channel, (n,) float32, in the order of ids."""
        there = self._area > 0
        return np.asarray(self._light[there, channel] / self._area[there], np.float32)

    def per_slice(self, times: int, slices: int) -> Array:
        """How many objects each slice of each time point has, (times, slices) int64.

        Parameters
        ----------
        times, slices
            How many there are of each.
        """
        here = self._plane >= 0
        t, z = np.array(list(self._planes), np.int64).reshape(-1, 2)[self._plane[here]].T
        if not self._volumes:
            found = np.bincount(t * slices + z, minlength=times * slices)
            return found.reshape(times, slices)
        row, size = t * (slices + 1), times * (slices + 1)
        begin, end = (
            np.bincount(row + held[here, 0], minlength=size) for held in (self._first, self._stop)
        )
        return np.asarray((begin - end).reshape(times, -1)[:, :-1].cumsum(axis=1))

    def spots(self, plane: Plane, most: int = SPOTS) -> Iterator[tuple[Array, Array]]:
        """Where a plane's objects are or, of volumes, a time point's: some at a time.

        Parameters
        ----------
        plane
            Its time point and slice.
        most
            Ids that are looked at at once.

        Yields
        ------
            Centres (n, 2) (y, x) in pixels of the label array, and of volumes the first slice and
            the one after the last, (n, 2); else (n, 0).
        """
        number = self._planes.get((plane[0], 0) if self._volumes else plane, -2)
        for at in range(0, len(self._area), most):
            ids = at + np.flatnonzero(self._plane[at : at + most] == number)
            centre = self._sums[ids, -2:] / self._area[ids, None]
            deep = np.stack([held[ids, :-2] for held in (self._first, self._stop)], axis=1)
            yield centre, deep.reshape(len(ids), 2 * deep.shape[-1])

    def _place(self, present: Array, plane: Plane) -> None:
        """Note the plane of labels; refuse one that is elsewhere already."""
        key = (plane[0], 0) if self._volumes else plane  # a volume's slices may differ
        number = self._planes.setdefault(key, len(self._planes))
        before = self._plane[present]
        if np.any((before >= 0) & (before != number)):
            raise ValueError("a label is in two planes; ids must be unique over all planes")
        self._plane[present] = number

    def _figures(self, placement: Placement) -> dict[str, Figure]:
        """What gives each column, in their order."""
        found: dict[str, Figure] = {"id": lambda ids: ids.astype(np.int64)}
        for i, name in enumerate("tz"):
            if len({plane[i] for plane in self._planes}) > 1:
                found[name] = partial(self._plane_of, i)
        um2 = (placement.mpp[0] * placement.mpp[1],) if placement.mpp else ()
        if not self._volumes:
            found["area_px"] = partial(self._size, placement, ())
        if um2 and not self._volumes:
            found["area_um2"] = partial(self._size, placement, um2)
        for axis, name in enumerate("yx"):
            found[f"centroid_{name}_px"] = partial(self._centroid, placement, axis, 1.0)
        for axis, um in enumerate(placement.mpp or ()):
            found[f"centroid_{'yx'[axis]}_um"] = partial(self._centroid, placement, axis, um)
        for edge, held, rounded in (("0", self._first, np.floor), ("1", self._stop, np.ceil)):
            for axis, name in enumerate("yx"):
                found[f"bbox_{name}{edge}_px"] = partial(_edge, held, rounded, placement, axis)
        return found | (self._depths(placement, um2) if self._volumes else {})

    def _depths(self, placement: Placement, um2: tuple[float, ...]) -> dict[str, Figure]:
        """What a volume has in place of an area, and its slices."""
        found: dict[str, Figure] = {"volume_px": partial(self._size, placement, ())}
        if um2 and placement.z_um:
            found["volume_um3"] = partial(self._size, placement, (*um2, placement.z_um))
        found["centroid_z"] = partial(self._depth, 1.0)
        found["bbox_z0"] = lambda ids: self._first[ids, 0].astype(np.int64)
        found["bbox_z1"] = lambda ids: self._stop[ids, 0].astype(np.int64)
        if placement.z_um:
            found["centroid_z_um"] = partial(self._depth, placement.z_um)
        return found

    def _shape_figures(self, placement: Placement) -> dict[str, Figure]:
        """What is said of shapes; of volumes what scikit-image has of them."""
        found: dict[str, Figure] = {}
        sides = _sides(placement, 3 if self._volumes else 2)
        if not self._volumes:
            for unit, lengths in sides.items():
                found[f"perimeter_{unit}"] = partial(self._perimeter, lengths)
        for n, name in enumerate(("axis_major", "axis_minor")):
            for unit, lengths in sides.items():
                found[f"{name}_{unit}"] = partial(self._axis, n, lengths)
        lengths = list(sides.values())[-1]
        if not self._volumes:
            found["eccentricity"] = lambda ids: eccentricity(self._spread(lengths, ids))
            found["orientation_rad"] = lambda ids: orientation(self._spread(lengths, ids))
        found["extent"] = self._extent
        return found

    def _spread(self, sides: Sequence[float], ids: Array) -> Array:
        """Covariances of places, (n, axes, axes)."""
        area = self._area[ids]
        first = self._sums[ids] - area[:, None] * self._first[ids].astype(np.int64)
        return covariance(self._second[ids], first, area, sides)

    def _axis(self, which: int, sides: Sequence[float], ids: Array) -> Array:
        """The longest axis, or the shortest."""
        return axes_of(self._spread(sides, ids))[which]

    def _perimeter(self, sides: Sequence[float], ids: Array) -> Array:
        """An outline's length; of pixels that aren't square by their sides' mean."""
        return np.asarray(self._steps[ids] @ np.array(STEPS) * math.sqrt(math.prod(sides)))

    def _extent(self, ids: Array) -> Array:
        """The share of the bounding box."""
        box = self._stop[ids].astype(np.int64) - self._first[ids]
        return np.asarray(self._area[ids] / box.prod(axis=1))

    def _plane_of(self, which: int, ids: Array) -> Array:
        """Time point, or slice."""
        return np.array([plane[which] for plane in self._planes], np.int32)[self._plane[ids]]

    def _size(self, placement: Placement, units: tuple[float, ...], ids: Array) -> Array:
        """Area or volume, in level-0 pixels times each of the units."""
        fy, fx = placement.factor
        size: Array = self._area[ids]
        if not fy == fx == 1:
            size = size / (fy * fx)
        for unit in units:
            size = size * unit
        return size

    def _centroid(self, placement: Placement, axis: int, um: float, ids: Array) -> Array:
        """Row or column of the centre of mass, in level-0 pixels of `um`."""
        centre = self._sums[ids, -2:] / self._area[ids, None]
        return np.asarray(placement.level0(centre)[:, axis] * um)

    def _depth(self, um: float, ids: Array) -> Array:
        """Slice of the centre of mass, times `um`."""
        return np.asarray(self._sums[ids, 0] / self._area[ids] * um)

    def _means(self, ids: Array) -> Array:
        """Mean intensities, (n, C) float32."""
        return (self._light[ids] / self._area[ids, None]).astype(np.float32)


def _sides(placement: Placement, axes: int) -> dict[str, list[float]]:
    """How long a pixel's sides are, in each unit that there is.

    In level-0 pixels and, where they are known, in µm; a volume's in µm, or else in voxels.
    """
    um = placement.units("zyx"[-axes:])
    known = len(um) == axes
    if axes == 3:
        sides = placement.sides()
        return {"um" if known else "px": [sides[a] for a in "zyx"]}
    pixel = [1 / f for f in placement.factor[-2:]]
    found = {"px": pixel}
    if known:
        found["um"] = [p * um[a] for p, a in zip(pixel, "yx", strict=True)]
    return found


def _edge(
    held: Array, rounded: Callable[[Array], Array], placement: Placement, axis: int, ids: Array
) -> Array:
    """A side of the bounding box, in whole level-0 pixels."""
    at = placement.origin[axis] + held[ids, axis - 2] / placement.factor[axis]
    return rounded(at).astype(np.int64)


def _names(names: Sequence[str] | None, channels: int) -> tuple[str, ...]:
    """``mean_<channel>``, each once."""
    given = list(names or [])[:channels]
    given += [""] * (channels - len(given))
    return tuple(
        f"mean_{name}" if name and given.count(name) == 1 else f"mean_{name or 'channel'}_{c}"
        for c, name in enumerate(given)
    )
