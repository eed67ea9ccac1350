"""Where to look, from a picture or GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tilewright.errors import TilewrightError
from tilewright.jobs import ImageRef
from tilewright.mask import Mask, stamped

SQUARE = {"type": "Polygon", "coordinates": [[[2, 4], [10, 4], [10, 8], [2, 8], [2, 4]]]}
"""x 2 to 10, y 4 to 8, in level-0 pixels."""


def masked(path: Path, **changes: object) -> ImageRef:
    """A 20 x 40 image with a mask."""
    fields: dict[str, object] = {"key": "i000", "id": "a", "path": "a.tif", "fingerprint": ""}
    fields |= {"axes": "YX", "shape": (20, 40), "dtype": "uint8", "mask": stamped(path)}
    return ImageRef(**(fields | changes))  # type: ignore[arg-type]


def geojson(folder: Path, data: object) -> Path:
    """A GeoJSON file."""
    path = folder / "roi.geojson"
    path.write_text(json.dumps(data))
    return path


def test_a_polygon_counts_the_pixels_whose_centre_is_inside(tmp_path: Path) -> None:
    inside = Mask(masked(geojson(tmp_path, SQUARE)), (1, 1)).inside(((0, 20), (0, 40)))
    wanted = np.zeros((20, 40), bool)
    wanted[4:8, 2:10] = True
    assert np.array_equal(inside, wanted)


def test_a_windows_mask_is_the_wholes(tmp_path: Path) -> None:
    mask = Mask(masked(geojson(tmp_path, {"type": "Feature", "geometry": SQUARE})), (1, 1))
    whole = mask.inside(((0, 20), (0, 40)))
    assert np.array_equal(mask.inside(((3, 9), (5, 33))), whole[3:9, 5:33])


def test_a_hole_does_not_count(tmp_path: Path) -> None:
    hole = [[4, 5], [6, 5], [6, 7], [4, 7], [4, 5]]
    ring = {"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]}
    collection = {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": ring}]}
    inside = Mask(masked(geojson(tmp_path, collection)), (1, 1)).inside(((0, 20), (0, 40)))
    assert inside.sum() == 4 * 8 - 2 * 2


def test_region_and_scale_move_the_mask_with_the_pixels(tmp_path: Path) -> None:
    ref = masked(geojson(tmp_path, SQUARE), region=(4, 2, 8, 8))
    inside = Mask(ref, (0.5, 0.5)).inside(((0, 4), (0, 4)))
    assert np.array_equal(inside, np.repeat([True, True, False, False], 4).reshape(4, 4))


def test_a_coarse_picture_is_laid_over_the_image(tmp_path: Path) -> None:
    small = np.zeros((10, 20), np.uint8)
    small[2, 3] = 255
    tifffile.imwrite(tmp_path / "mask.tif", small)
    inside = Mask(masked(tmp_path / "mask.tif"), (1, 1)).inside(((0, 20), (0, 40)))
    assert np.array_equal(np.argwhere(inside), [[4, 6], [4, 7], [5, 6], [5, 7]])


BAD = [
    pytest.param("no json", "can't be read as GeoJSON", id="garbage"),
    pytest.param('{"type": "FeatureCollection", "features": []}', "has no polygon", id="empty"),
    pytest.param('{"type": "Point", "coordinates": [1, 2]}', "has no polygon", id="point"),
    pytest.param('{"type": "Polygon", "coordinates": [[1]]}', "can't be read", id="not-rings"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_bad_mask_is_refused_with_its_name(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "roi.geojson"
    path.write_text(text)
    with pytest.raises(TilewrightError, match=f"roi.geojson: .*{says}"):
        Mask(masked(path), (1, 1))


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((40, 20), np.uint8))
    with pytest.raises(TilewrightError, match="another shape than its image's 20 x 40 px"):
        Mask(masked(tmp_path / "mask.tif"), (1, 1))
    with pytest.raises(TilewrightError, match="no such mask"):
        stamped(tmp_path / "nothing.tif")
