"""What is measured of each object: one row of area, place and intensity, streamed box by box.

Memory grows with the objects, never with the pixels. Areas, places and integer intensities are
sums of integers, so they don't depend on how the image was cut into boxes. Floating-point
intensities are summed in float64 in the order of the boxes (the store's shards, row-major): the
same store gives the same bytes, another cut agrees to about 1e-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.frames import Table
from tilewright.store import Placement

from .runs import Runs

Array = np.ndarray[Any, Any]
Plane = tuple[int, int]
"""Time point and slice, both from 0."""

PX = "level-0 px"
COLUMNS = {
    "id": "label value, also the row's name",
    "t": "time point, from 0",
    "z": "slice, from 0",
    "area_px": f"area in {PX}",
    "area_um2": "area in µm²",
    "volume_px": f"of a volume, its area in {PX} summed over slices",
    "volume_um3": "volume in µm³",
    "centroid_z": "of a volume, centre of mass, slice (0 is the first slice's centre)",
    "centroid_z_um": "centroid_z in µm",
    "bbox_z0": "of a volume, first slice of the bounding box",
    "bbox_z1": "of a volume, slice after the bounding box's last",
    "centroid_y_px": f"centre of mass, row, in {PX} (0 is the first pixel's centre)",
    "centroid_x_px": f"centre of mass, column, in {PX} (0 is the first pixel's centre)",
    "centroid_y_um": "centroid_y_px in µm",
    "centroid_x_um": "centroid_x_px in µm",
    "bbox_y0_px": f"first row of the bounding box, in {PX}",
    "bbox_x0_px": f"first column of the bounding box, in {PX}",
    "bbox_y1_px": f"row after the bounding box's last, in {PX}",
    "bbox_x1_px": f"column after the bounding box's last, in {PX}",
}


@dataclass(frozen=True)
class Part:
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
    """

    plane: Plane
    ids: Array
    area: Array
    sums: Array
    first: Array
    stop: Array
    light: Array | None


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
    """

    def __init__(
        self,
        count: int,
        *,
        channels: int = 0,
        dtype: np.dtype[Any] | type = np.uint8,
        volumes: bool = False,
    ) -> None:
        kind = np.int64 if np.dtype(dtype).kind in "biu" else np.float64
        axes = 3 if volumes else 2
        self._planes: set[Plane] = set()
        self._plane = np.full((count + 1, 2), -1, np.int32)
        self._area = np.zeros(count + 1, np.int64)
        self._sums = np.zeros((count + 1, axes), np.int64)  # of (z,) y and x, in array pixels
        self._first = np.full((count + 1, axes), np.iinfo(np.int64).max)
        self._stop = np.zeros((count + 1, axes), np.int64)
        self._light = np.zeros((count + 1, channels), kind)
        self._volumes = volumes

    def add(
        self, labels: Array, image: Array | None, origin: Sequence[int], *, plane: Plane = (0, 0)
    ) -> None:
        """Add one box, as `part` takes it; boxes of a plane don't overlap."""
        self.include(self.part(labels, image, origin, plane))

    def part(
        self, labels: Array, image: Array | None, origin: Sequence[int], plane: Plane = (0, 0)
    ) -> Part:
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
        """
        runs = Runs(labels)
        light = None if image is None else runs.light(image, self._light.dtype)
        area, *places = runs.shapes()
        if self._volumes and labels.ndim == 2:
            places = [np.insert(p, 0, at, axis=1) for p, at in zip(places, (0, 0, 1), strict=True)]
            origin = (plane[1], *origin)
        sums, first, stop = places
        corner = np.asarray(origin)
        sums = sums + area[:, None] * corner
        return Part(plane, runs.ids, area, sums, first + corner, stop + corner, light)

    def include(self, part: Part) -> None:
        """Add what was measured of a box; floats are summed in the order of these calls."""
        self._planes.add(part.plane)
        ids = part.ids
        self._place(ids, part.plane)
        self._area[ids] += part.area
        self._sums[ids] += part.sums
        self._first[ids] = np.minimum(self._first[ids], part.first)
        self._stop[ids] = np.maximum(self._stop[ids], part.stop)
        if part.light is not None:
            self._light[ids] += part.light

    def table(
        self, placement: Placement | None = None, channel_names: Sequence[str] | None = None
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
        """
        placement = placement or Placement()
        ids = np.flatnonzero(self._area)
        centre = self._sums[ids] / self._area[ids, None]
        centroid = placement.level0(centre[:, -2:])
        obs: dict[str, Array] = {"id": ids.astype(np.int64)}
        for i, axis in enumerate("tz"):
            several = len({plane[i] for plane in self._planes}) > 1
            if several and not (axis == "z" and self._volumes):
                obs[axis] = self._plane[ids, i]
        obs |= self._shapes(ids, centroid, placement)
        spatial = centroid[:, ::-1]
        if self._volumes:
            area, um2 = obs.pop("area_px"), obs.pop("area_um2", None)
            obs |= self._depths(ids, centre[:, 0], placement, area, um2)
            spatial = np.column_stack([spatial, obs["centroid_z"]])
        names = _names(channel_names, self._light.shape[1])
        means = self._light[ids] / self._area[ids, None]
        return Table(
            obs=obs,
            x=means.astype(np.float32),
            var=names,
            spatial=spatial.copy(),
            columns={
                **{c: COLUMNS[c] for c in obs},
                "X": "mean intensity per channel, in the image's own values",
                "obsm/spatial": f"centroid (x, y) in {PX}; of a volume (x, y, slice)",
            },
        )

    def _place(self, present: Array, plane: Plane) -> None:
        """Note the plane of labels, or the first of them; refuse one that is elsewhere already."""
        first = self._plane[present, 0] < 0
        before = self._plane[present[~first]]
        same = 1 if self._volumes else 2  # a volume's slices may differ
        if np.any(before[:, :same] != plane[:same]):
            raise ValueError("a label is in two planes; ids must be unique over all planes")
        self._plane[present[first]] = plane

    def _shapes(self, ids: Array, centroid: Array, placement: Placement) -> dict[str, Array]:
        """Columns of area, centroid and bounding box."""
        fy, fx = placement.factor
        area = self._area[ids] if fy == fx == 1 else self._area[ids] / (fy * fx)
        shapes: dict[str, Array] = {"area_px": area}
        if placement.mpp:
            shapes["area_um2"] = area * (placement.mpp[0] * placement.mpp[1])
        for axis, name in enumerate("yx"):
            shapes[f"centroid_{name}_px"] = centroid[:, axis]
        for axis, name in enumerate("yx" if placement.mpp else ""):
            shapes[f"centroid_{name}_um"] = centroid[:, axis] * (placement.mpp or (1, 1))[axis]
        for edge, found, rounded in (("0", self._first, np.floor), ("1", self._stop, np.ceil)):
            at = rounded(
                np.asarray(placement.origin) + found[ids, -2:] / np.asarray(placement.factor)
            )
            for axis, name in enumerate("yx"):
                shapes[f"bbox_{name}{edge}_px"] = at[:, axis].astype(np.int64)
        return shapes

    def _depths(
        self, ids: Array, centre: Array, placement: Placement, area: Array, um2: Array | None
    ) -> dict[str, Array]:
        """What a volume has in place of an area, and its slices."""
        found: dict[str, Array] = {"volume_px": area}
        if um2 is not None and placement.z_um:
            found["volume_um3"] = um2 * placement.z_um
        slices = self._first[ids, 0], self._stop[ids, 0]
        found |= {"centroid_z": centre, "bbox_z0": slices[0], "bbox_z1": slices[1]}
        if placement.z_um:
            found["centroid_z_um"] = centre * placement.z_um
        return found


def _names(names: Sequence[str] | None, channels: int) -> tuple[str, ...]:
    """``mean_<channel>``, each once."""
    given = list(names or [])[:channels]
    given += [""] * (channels - len(given))
    return tuple(
        f"mean_{name}" if name and given.count(name) == 1 else f"mean_{name or 'channel'}_{c}"
        for c, name in enumerate(given)
    )
