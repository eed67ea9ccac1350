"""Shapes equal scikit-image's on labels read whole, however the image was cut into boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops

from tilewright.merge.measure.shapes import RIM
from tilewright.merge.measure.tables import Measure
from tilewright.stores.ome_zarr import Placement

Array = np.ndarray
DEGENERATE = 1e-3  # of the axes' difference, px: there an orientation is rounding


def blobs(seed: int, shape: tuple[int, ...] = (61, 83)) -> Array:
    """Smooth objects that touch, with holes and in pieces, up to the image's edges; 0 between."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    found = ndimage.label(noise > 0.02)[0]
    parts = rng.integers(0, 3, shape) if seed % 2 else np.zeros(shape, int)
    return np.where(found > 0, found * 3 + parts, 0)


def cuts(shape: tuple[int, ...], step: int) -> Iterator[tuple[slice, ...]]:
    starts = np.indices([-(-n // step) for n in shape]).reshape(len(shape), -1).T * step
    return (
        tuple(slice(a, min(a + step, n)) for a, n in zip(at, shape, strict=True)) for at in starts
    )


def measured(labels: Array, step: int, place: Placement) -> dict[str, Array]:
    """The columns of shapes, measured in boxes."""
    side = max(labels.shape)
    measure = Measure(int(labels.max()), volumes=labels.ndim == 3, side=side, shapes=True)
    for box in cuts(labels.shape, step):
        rim = [slice(max(0, s.start - RIM), s.stop + RIM) for s in box]
        inner = [slice(s.start - r.start, s.stop - r.start) for s, r in zip(box, rim, strict=True)]
        around = labels[tuple(rim)], inner
        origin = [s.start for s in box]
        measure.include(measure.part(labels[box], None, origin, around=around))
    table = measure.table(place)
    return {name: np.asarray(values[:]) for name, values in table.obs.items()}


def agree(found: dict[str, Array], name: str, expected: list[float]) -> None:
    assert found[name] == pytest.approx(expected, rel=1e-6, abs=1e-6), name


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 90))
def test_flat_shapes_are_scikit_images(seed: int, step: int) -> None:
    labels = blobs(seed)
    found = measured(labels, step, Placement(factor=(0.5, 0.5), mpp=(0.25, 0.25)))
    props = regionprops(labels, spacing=(2, 2))
    agree(found, "perimeter_px", [p.perimeter for p in props])
    agree(found, "perimeter_um", [p.perimeter / 4 for p in props])
    agree(found, "axis_major_px", [p.axis_major_length for p in props])
    agree(found, "axis_minor_px", [p.axis_minor_length for p in props])
    agree(found, "axis_major_um", [p.axis_major_length / 4 for p in props])
    agree(found, "extent", [p.extent for p in props])
    long = [p.axis_major_length - p.axis_minor_length > DEGENERATE for p in props]
    for name, values in (
        ("eccentricity", [p.eccentricity for p in props]),
        ("orientation_rad", [p.orientation for p in props]),
    ):
        turned = (found[name] - np.array(values))[long]
        if name == "orientation_rad":
            turned = (turned + np.pi / 2) % np.pi - np.pi / 2
        assert np.abs(turned).max(initial=0) < 1e-6, name


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), step=st.integers(3, 40))
def test_volumes_have_what_scikit_image_has_of_them(seed: int, step: int) -> None:
    labels = blobs(seed, (11, 23, 31))
    found = measured(labels, step, Placement(mpp=(0.5, 0.25), z_um=2.0))
    props = regionprops(labels, spacing=(2.0, 0.5, 0.25))
    agree(found, "axis_major_um", [p.axis_major_length for p in props])
    agree(found, "axis_minor_um", [p.axis_minor_length for p in props])
    agree(found, "extent", [p.extent for p in props])
    assert not {"perimeter_px", "eccentricity", "orientation_rad", "axis_major_px"} & found.keys()


def test_slices_that_are_linked_have_a_volumes_shape() -> None:
    labels = blobs(4, (9, 21, 30))
    measure = Measure(int(labels.max()), volumes=True, side=30, shapes=True)
    for z, one in enumerate(labels):
        measure.include(measure.part(one, None, (0, 0), (0, z)))
    table = measure.table()
    found = {name: np.asarray(values[:]) for name, values in table.obs.items()}
    props = regionprops(labels)
    agree(found, "axis_major_px", [p.axis_major_length for p in props])
    agree(found, "axis_minor_px", [p.axis_minor_length for p in props])


def test_far_from_the_origin_nothing_is_lost() -> None:
    """A nucleus in the far corner of a slide of 200,000 px: sums are about its own corner."""
    nucleus = np.zeros((40, 40), np.uint32)
    nucleus[5:25, 8:14] = 1
    measure = Measure(1, side=200_000, shapes=True)
    for half in (slice(0, 20), slice(20, 40)):
        rim = slice(max(0, half.start - RIM), half.stop + RIM)
        around = nucleus[rim], [slice(half.start - rim.start, half.stop - rim.start), slice(None)]
        origin = (199_000 + half.start, 199_500)
        measure.include(measure.part(nucleus[half], None, origin, around=around))
    (props,) = regionprops(nucleus.astype(int))
    row = {name: float(values[:][0]) for name, values in measure.table().obs.items()}
    assert row["axis_minor_px"] == pytest.approx(props.axis_minor_length, rel=1e-12)
    assert row["perimeter_px"] == pytest.approx(props.perimeter, rel=1e-12)
    assert row["eccentricity"] == pytest.approx(props.eccentricity, rel=1e-12)


def test_where_pixels_are_not_square_axes_are_in_micrometres() -> None:
    labels = blobs(2)
    found = measured(labels, 20, Placement(mpp=(1.0, 0.5)))
    props = regionprops(labels, spacing=(1.0, 0.5))
    agree(found, "axis_major_um", [p.axis_major_length for p in props])
    agree(found, "eccentricity", [p.eccentricity for p in props])
