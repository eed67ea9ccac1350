"""GeoJSON that is hurt in any way: polygons, or one sentence that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hurting import hurt, in_little, odd
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.contract.jobs import ImageRef
from tilewright.errors import BAD_DATA, TilewrightError
from tilewright.images.mask import Mask, stamped

RING = [[[1, 1], [1, 30], [30, 30], [30, 1], [1, 1]], [[5, 5], [5, 9], [9, 9], [5, 5]]]
WHOLE = json.dumps({"type": "FeatureCollection", "features": [
    {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": RING},
     "properties": {"classification": {"name": "Tumor", "names": ["a", "Ignore*"]}}},
    {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [RING]}},
]}).encode()  # fmt: skip


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_hurt_geojson_is_polygons_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "m.geojson"
    path.write_bytes(data.draw(hurt(WHOLE) | odd(WHOLE)))
    shape = (40, 40)
    ref = ImageRef("i000", "a", str(Path("a.tif")), "f", "YX", shape, "uint8", mask=stamped(path))
    with in_little():
        try:
            with Mask(ref, (1.0, 1.0)) as mask:
                mask.check()
                inside = mask.inside(((0, 40), (0, 40)))
        except TilewrightError as error:
            inside = error
    if isinstance(inside, TilewrightError):
        assert inside.code == BAD_DATA
        assert inside.what.startswith(str(path))
        assert inside.fix
    else:
        assert inside.shape == shape
        assert inside.dtype == np.bool_
