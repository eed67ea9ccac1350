"""Which pixels lie in a polygon, by its scan lines: as by looking at every pixel."""

from __future__ import annotations

import time

import numpy as np
import pytest
from skimage import draw

from tilewright.images.fill import filled

SHAPE = (20, 24)
KINDS = {"corners": 0.0, "centres": 0.5}


def by_pixel(ring: np.ndarray) -> np.ndarray:
    """The judge: scikit-image asks for each pixel."""
    found = np.zeros(SHAPE, bool)
    found[draw.polygon(ring[:, 0], ring[:, 1], SHAPE)] = True  # type: ignore[no-untyped-call]
    return found


def on_outline(ring: np.ndarray) -> np.ndarray:
    """Pixels whose centre is within rounding of an edge."""
    at = np.stack(np.indices(SHAPE), -1)[:, :, None].astype(float)
    start, step = ring, np.roll(ring, -1, 0) - ring
    length = (step**2).sum(-1)
    share = np.clip(((at - start) * step).sum(-1) / np.where(length > 0, length, 1), 0, 1)
    nearest = start + share[..., None] * step
    return np.asarray((np.linalg.norm(at - nearest, axis=-1) < 1e-9).any(-1))


@pytest.mark.parametrize("corners", [3, 4, 7, 12])
def test_any_polygon_is_filled_as_if_each_pixel_were_asked(corners: int) -> None:
    rng = np.random.default_rng(corners)
    for _ in range(200):
        ring = rng.random((corners, 2)) * 40 - 8
        assert np.array_equal(filled(ring, SHAPE), by_pixel(ring))


@pytest.mark.parametrize("shift", KINDS.values(), ids=list(KINDS))
def test_of_whole_corners_only_pixels_on_an_outline_may_be_told_otherwise(shift: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        ring = rng.integers(-8, 30, (5, 2)) - shift
        differs = filled(ring, SHAPE) != by_pixel(ring)
        assert not (differs & ~on_outline(ring)).any()


def test_a_pixel_on_an_outline_is_inside() -> None:
    square = np.array([[2, 3], [2, 9], [7, 9], [7, 3]], float)
    wanted = np.zeros(SHAPE, bool)
    wanted[2:8, 3:10] = True
    assert np.array_equal(filled(square, SHAPE), wanted)
    assert np.array_equal(filled(np.concatenate([square, square[:1]]), SHAPE), wanted)


def test_a_slides_outline_of_20_000_corners_takes_no_seconds() -> None:
    """Pixels times corners would be 2e10."""
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    radius = 400 * (1 + 0.1 * np.sin(50 * angle))
    ring = np.stack([512 + radius * np.sin(angle), 512 + radius * np.cos(angle)], 1)
    begun = time.process_time()
    found = filled(ring, (1024, 1024))
    assert time.process_time() - begun < 2
    assert found.sum() == pytest.approx(np.pi * 400**2 * (1 + 0.1**2 / 2), rel=1e-3)
