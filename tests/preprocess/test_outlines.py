"""A mask's outlines are GeoJSON that gives the mask back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tilewright.contract.jobs import ImageRef
from tilewright.images.mask import Mask, stamped
from tilewright.preprocess.outlines import to_geojson

Array = np.ndarray[Any, Any]


def speckled(share: float, smooth: float = 0.0) -> Array:
    """A mask (61, 47) of noise, of pieces and holes that touch at corners, or of larger ones."""
    noise = np.random.default_rng(int(100 * share)).random((61, 47))
    if smooth:
        noise = ndimage.gaussian_filter(noise, smooth)
    return np.asarray(noise < np.quantile(noise, share))


def back(folder: Path, features: list[dict[str, Any]], scale: float, shape: Any) -> Array:
    """What `images.mask` makes of features at a mask's own resolution."""
    path = folder / "tissue.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    size = tuple(int(np.ceil(n * scale)) for n in shape)
    ref = ImageRef("i000", "a", "a.tif", "", "YX", size, "uint8", mask=stamped(path))
    with Mask(ref, (1 / scale, 1 / scale)) as mask:
        return mask.inside(tuple((0, n) for n in shape))


@pytest.mark.parametrize("scale", [1.0, 16.0, 15.9973])
@pytest.mark.parametrize(("share", "smooth"), [(0.1, 0), (0.5, 0), (0.9, 0), (0.5, 2), (1, 0)])
def test_outlines_give_back_the_mask(
    tmp_path: Path, share: float, smooth: float, scale: float
) -> None:
    mask = speckled(share, smooth)
    found = back(tmp_path, to_geojson(mask, (scale, scale)), scale, mask.shape)
    assert np.array_equal(found, mask)


def area(ring: list[list[float]]) -> float:
    """The area a closed ring goes round, negative clockwise (y down)."""
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


@pytest.mark.parametrize(("share", "smooth"), [(0.3, 0), (0.6, 0), (0.8, 0), (0.5, 1.5)])
def test_rings_are_closed_meet_themselves_nowhere_and_have_the_masks_area(
    share: float, smooth: float
) -> None:
    mask = speckled(share, smooth)
    features = to_geojson(mask)
    total = 0.0
    for feature in features:
        for number, ring in enumerate(feature["geometry"]["coordinates"]):
            assert ring[0] == ring[-1]
            corners = [tuple(p) for p in ring[:-1]]
            assert len(set(corners)) == len(corners) >= 4
            assert (area(ring) < 0) == (number > 0)  # holes go the other way round
            total += area(ring)
    assert total == mask.sum()
    assert len(features) == ndimage.label(mask)[1]


def test_a_ring_has_corners_alone_in_x_and_y_of_level_0() -> None:
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    [feature] = to_geojson(mask, (2, 4), (100, 10), {"objectType": "annotation"})
    assert feature["properties"] == {"objectType": "annotation"}
    [ring] = feature["geometry"]["coordinates"]
    assert len(ring) == 5
    assert {tuple(p) for p in ring} == {(18, 102), (38, 102), (38, 108), (18, 108)}
    assert all(isinstance(v, int) for p in ring for v in p)


def test_the_largest_piece_comes_first() -> None:
    mask = np.zeros((20, 20), bool)
    mask[1, 1], mask[5:15, 5:15], mask[17:19, 17:19] = True, True, True
    sizes = [area(f["geometry"]["coordinates"][0]) for f in to_geojson(mask)]
    assert sizes == [100, 4, 1]


def test_outlines_end_with_the_image() -> None:
    [feature] = to_geojson(np.ones((3, 3), bool), (16, 16), extent=(40, 45))
    assert np.max(feature["geometry"]["coordinates"][0], 0).tolist() == [45, 40]


def test_an_empty_mask_has_no_outline() -> None:
    assert to_geojson(np.zeros((5, 5), bool)) == []
