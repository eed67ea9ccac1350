"""Several channels of an image as one of a model's: each scaled by itself, then put together."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import speckles
from planning import planned

from tilewright.contract.jobs import ImageRef
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.reader import TileReader

TILE = TileSpec({"y": 24, "x": 24})
RANGED = ModelSpec("ranged", "1", TILE, input_range=(0, 1))
SCORED = ModelSpec("scored", "1", TILE, normalization={"method": "zscore"})
SPREAD = ModelSpec(
    "spread", "1", TILE, normalization={"method": "percentile", "low": 1, "high": 99}
)
TILED = ModelSpec("tiled", "1", TILE, normalization={"method": "zscore", "scope": "tile"})
GRAY = dataclasses.replace(RANGED, color_space="GRAY", model_name="grey")
WINDOW = ((4, 28), (8, 32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three channels of different brightness, with names."""
    pixels = speckles((3, 37, 53)) // np.array([40, 7, 1], np.uint16)[:, None, None]
    about = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45", "PanCK"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=about, photometric="minisblack")
    return tmp_path / "a.ome.tif"


def seen(path: Path, spec: ModelSpec, said: str) -> Any:
    """What a model sees of the window; its plan goes through JSON, as in a run."""
    ref = plan_image(Row(path, "a", channels=said), Params(input="."), spec).ref
    with TileReader(ImageRef.from_dict(json.loads(json.dumps(asdict(ref)))), spec) as reader:
        return reader.read(0, WINDOW)


@pytest.mark.parametrize("spec", [RANGED, SCORED, SPREAD, TILED, GRAY], ids=lambda s: s.model_name)
@pytest.mark.parametrize("by", ["max", "mean", "sum"])
def test_channels_are_scaled_each_by_itself_and_then_put_together(
    path: Path, spec: ModelSpec, by: str
) -> None:
    alone = np.concatenate([seen(path, spec, name) for name in ("CD45", "PanCK")])
    wanted = getattr(alone, by)(axis=0)
    assert np.allclose(seen(path, spec, f"{by}(CD45,PanCK)")[0], wanted, atol=1e-6)


def test_one_of_a_models_channels_can_be_several_of_the_images(path: Path) -> None:
    two = dataclasses.replace(RANGED, num_channels=2, channel_names=("segment", "nucleus"))
    both = seen(path, two, "nucleus=DAPI,segment=max(CD45,PanCK)")
    assert np.array_equal(both[0], seen(path, RANGED, "max(CD45,PanCK)")[0])
    assert np.array_equal(both[1], seen(path, RANGED, "DAPI")[0])


def test_what_is_put_together_is_standardised_as_the_models_channel(path: Path) -> None:
    spec = dataclasses.replace(RANGED, mean=(0.25,), std=(0.5,))
    summed = seen(path, RANGED, "sum(CD45,PanCK)")
    assert np.allclose(seen(path, spec, "sum(CD45,PanCK)"), (summed - 0.25) / 0.5, atol=1e-6)


def test_a_model_of_colour_gets_what_is_put_together_three_times(path: Path) -> None:
    spec = dataclasses.replace(RANGED, num_channels=3, color_space="RGB")
    pixels = seen(path, spec, "max(CD45,PanCK)")
    assert pixels.shape == (3, 24, 24)
    assert all(np.array_equal(p, seen(path, RANGED, "max(CD45,PanCK)")[0]) for p in pixels)


@pytest.mark.parametrize(
    "more",
    [
        {"color_space": "HED", "num_channels": 3},
        {"color_space": "BGR", "num_channels": 3},
        {"color_space": "RGB", "num_channels": 3, "stain_normalization": "macenko"},
    ],
)
def test_colour_that_is_computed_with_takes_no_channels_put_together(
    path: Path, more: dict[str, Any]
) -> None:
    spec = dataclasses.replace(RANGED, **more)
    with pytest.raises(TilewrightError, match="computes with red, green and blue"):
        seen(path, spec, "red=max(CD45,PanCK),green=0,blue=1")


def test_the_sheet_can_say_it(tmp_path: Path, path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text('image,channels\na.ome.tif,"segment=max(CD45,PanCK),nucleus=DAPI"\n')
    (image,) = planned(tmp_path, input=str(sheet), model="cellpose").images
    assert image.ref.channels == (1, 2, 0)
    assert image.channels == ("segment = max(CD45 (1), PanCK (2))", "nucleus = DAPI (0)")
