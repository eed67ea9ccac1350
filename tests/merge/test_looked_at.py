"""How much of an image was looked at: by hand, of tiles, masks, regions and planes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from inprocess import written

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.merge.write.looked import looked_px
from tilewright.preprocess.reader import TileReader

SHAPE = (700, 900)


def looked(ref: Any, spec: ModelSpec, without: tuple[int, ...] = ()) -> float:
    """What was looked at, had all tiles been predicted but some."""
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
        numbers: Any = np.setdiff1d(np.arange(total), without)
        return looked_px(ref, reader.layout, SimpleNamespace(numbers=numbers))  # type: ignore[arg-type]


def model(axes: str = "CYX", size: int = 256, **more: Any) -> ModelSpec:
    sides = {"y": size, "x": size} | ({"z": 4} if "Z" in axes else {})
    tiles = TileSpec(sides, band=dict.fromkeys(sides, 1), variable_input=True, **more)
    return ModelSpec("m", "1", tiles, axes=axes, merge={"policy": "match"})


def test_all_of_a_plane_and_of_a_stack(tmp_path: Path) -> None:
    assert looked(written(tmp_path, np.zeros(SHAPE, "u1")), model()) == 700 * 900
    stack = written(tmp_path, np.zeros((3, *SHAPE), "u1"))
    assert looked(stack, model()) == 3 * 700 * 900
    volume = written(tmp_path, np.zeros((5, 90, 80), "u1"))
    assert looked(volume, model("CZYX", 64)) == 5 * 90 * 80


def test_a_tile_that_was_not_predicted_lacks_its_core(tmp_path: Path) -> None:
    ref, spec = written(tmp_path, np.zeros(SHAPE, "u1")), model()
    with TileReader(ref, spec) as reader:
        (top, bottom), (left, right) = reader.grid.tile(0).core
    assert looked(ref, spec, (0,)) == 700 * 900 - (bottom - top) * (right - left)


def test_a_region_counts_for_itself(tmp_path: Path) -> None:
    ref = written(tmp_path, np.zeros(SHAPE, "u1"), region=(100, 50, 300, 400))
    assert looked(ref, model()) == 300 * 400


def test_of_a_mask_what_lies_inside(tmp_path: Path) -> None:
    """A disc, as an image and as a GeoJSON: of pi r² pixels, to half a percent."""
    y, x = np.indices(SHAPE)
    tifffile.imwrite(tmp_path / "mask.tif", (np.hypot(y - 350, x - 500) < 300).astype("u1"))
    angles = np.linspace(0, 2 * np.pi, 400)
    ring = [[500 + 300 * np.cos(a), 350 + 300 * np.sin(a)] for a in [*angles[:-1], 0]]
    text = f'{{"type": "Polygon", "coordinates": [{ring}]}}'
    (tmp_path / "mask.geojson").write_text(text.replace("np.float64(", "").replace(")", ""))
    from tilewright.images.mask import stamped

    for name in ("mask.tif", "mask.geojson"):
        mask = stamped(tmp_path / name)
        ref = written(tmp_path, np.zeros(SHAPE, "u1"), mask=mask)
        assert looked(ref, model()) == pytest.approx(np.pi * 300**2, rel=5e-3)
        assert looked(ref, model(size=64)) == pytest.approx(np.pi * 300**2, rel=5e-3)
