"""What an error says to do is done here, word by word, and works."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import speckles, write_ome_zarr
from planning import planned

from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.plan.fit import UNSPACED, plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params, check_params
from tilewright.registry.registry import Registry


def two_channels(path: Path) -> None:
    tifffile.imwrite(path / "a.tif", speckles((2, 32, 40), "uint8"), metadata={"axes": "CYX"})


def pictures(path: Path) -> None:
    tifffile.imwrite(path / "a.tif", speckles((5, 32, 40, 3), "uint8"), photometric="rgb")


def planes(path: Path) -> None:
    tifffile.imwrite(path / "a.tif", speckles((5, 32, 40), "uint8"), photometric="minisblack")


def flat(path: Path) -> None:
    tifffile.imwrite(path / "a.tif", speckles((32, 40), "uint8"))


def timed(path: Path) -> None:
    tifffile.imwrite(
        path / "a.tif", speckles((5, 32, 40), "uint8"), imagej=True, metadata={"axes": "TYX"}
    )


def below(path: Path) -> None:
    (path / "more").mkdir()
    flat(path / "more")


def fluorescence(path: Path) -> None:
    pixels = speckles((3, 32, 40))
    write_ome_zarr(path / "a.zarr", [pixels], "CYX", channels=["DAPI", "GFP", "Cy5"])


def labelled(path: Path) -> None:
    about = {"axes": "CYX", "Labels": ["c:1/3 - DAPI", "c:2/3 - GFP", "c:3/3 - Cy5"]}
    tifffile.imwrite(path / "a.tif", speckles((3, 32, 40), "uint8"), imagej=True, metadata=about)


HINTS: list[tuple[Callable[[Path], None], dict[str, Any], str]] = [
    (two_channels, {}, "--channels 0"),
    (fluorescence, {}, "--channels red=DAPI,green=GFP,blue=Cy5"),
    (fluorescence, {}, "--channels DAPI"),
    (labelled, {}, "--channels red=DAPI,green=GFP,blue=Cy5"),
    (fluorescence, {"channels": "nucleus=DAPI"}, "--channels DAPI"),
    (fluorescence, {"channels": "DPAI"}, "--channels DAPI"),
    (fluorescence, {"model": "cellpose"}, "--channels segment=DAPI,nucleus=GFP"),
    (fluorescence, {"model": "cellpose", "channels": "nuclei=DAPI"}, "--channels nucleus=DAPI"),
    (pictures, {}, "--axes ZYXC"),
    (pictures, {"axes": "ZYX"}, "--axes ZYXC"),
    (planes, {}, "--axes ZYX"),
    (flat, {"axes": "CZYX"}, "--axes YX"),
    (flat, {"region": (900, 0, 5, 5)}, "--region 0,0,32,40"),
    (flat, {"tile_size": 1001}, "--tile_size 1000"),
    (flat, {"tile_size": 100}, "--tile_size 448"),
    (flat, {"tile_size": 64}, "--tile_size 448"),
    (flat, {"model": "h0mini"}, "--mpp NUMBER"),
    (flat, {"model": "cellpose", "slurm_array": 9, "predict_memory": 9}, "--gpus 1"),
    (flat, {"model": "cellpose", "slurm_array": 9, "predict_memory": 9}, "--gpus 0"),
    (flat, {"model": "sam", "slurm_array": 9, "gpus": 1}, "--predict_memory 12"),
    (below, {}, "--recursive"),
]


@pytest.mark.parametrize(
    ("make", "given", "hint"), HINTS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_what_a_refusal_says_to_say_is_not_refused(
    tmp_path: Path, make: Callable[[Path], None], given: dict[str, Any], hint: str
) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    with pytest.raises(TilewrightError, match=re.escape(hint) + r"(?![\w=])"):
        planned(tmp_path, **given)
    name, _, value = hint.removeprefix("--").partition(" ")
    made = planned(tmp_path, **given | {name: value.replace("NUMBER", "0.5") or "true"})
    assert made.images
    assert not made.bad


def test_a_stack_for_a_model_of_volumes_is_one_by_the_axes_of_the_hint(tmp_path: Path) -> None:
    spec = ModelSpec("deep", "1", TileSpec({"z": 4, "y": 16, "x": 16}))
    timed(tmp_path)
    with pytest.raises(TilewrightError, match="If its axis T is Z, say --axes ZYX; or else choose"):
        plan_image(Row(tmp_path / "a.tif", "a"), Params(input="."), spec)
    assert plan_image(Row(tmp_path / "a.tif", "a", axes="ZYX"), Params(input="."), spec).tiles
    flat(tmp_path)
    with pytest.raises(TilewrightError, match=r"takes volumes\. Choose a 2D model\.$"):
        plan_image(Row(tmp_path / "a.tif", "a"), Params(input="."), spec)


@pytest.mark.parametrize(
    ("given", "meant"), [("modle", "model"), ("tile", "tile_size"), ("chanels", "channels")]
)
def test_a_parameter_that_is_misspelt_is_answered_with_the_nearest(given: str, meant: str) -> None:
    _, problems = check_params({"input": ".", given: "x"})
    assert [p.fix for p in problems] == [f"Did you mean --{meant}?"]


def test_a_parameter_near_none_is_answered_with_none(tmp_path: Path) -> None:
    _, problems = check_params({"input": ".", "nothing_like_it": 5})
    assert [p.fix for p in problems] == ["`./tilewright run --help` lists them."]


@pytest.mark.parametrize("written", ["1.10", "no", "010", "1e3", "Yes", "0x1F"])
@pytest.mark.parametrize("kind", ["yml", "json"])
def test_what_isnt_text_is_to_be_quoted_as_it_is_written(
    tmp_path: Path, written: str, kind: str
) -> None:
    if kind == "json" and written not in ("1.10", "1e3"):
        return
    text = {
        "yml": "name: A\nshort_name: a\nversions: {v: {axes: %s}}\n",
        "json": '{"name": "A", "short_name": "a", "versions": {"v": {"axes": %s}}}',
    }[kind]
    file = tmp_path / f"a.{kind}"
    file.write_text(text % written)
    with pytest.raises(TilewrightError, match=re.escape(f'Put it in quotes: "{written}".')):
        Registry.load(tmp_path)
    file.write_text(text % f'"{written}"')
    with pytest.raises(TilewrightError) as caught:
        Registry.load(tmp_path)
    assert "in quotes" not in str(caught.value)


@pytest.mark.parametrize(
    ("known", "told", "noted"),
    [
        ({"spacing": 2.0, "unit": "um"}, True, False),
        ({}, True, True),
        ({}, False, False),  # the model doesn't ask
    ],
)
def test_slices_of_unknown_distance_are_noted_where_the_model_asks_for_it(
    tmp_path: Path, known: dict[str, Any], told: bool, noted: bool
) -> None:
    path = tmp_path / "a.tif"
    about = {"resolution": (2.0, 2.0)} if known else {}
    tifffile.imwrite(
        path, np.zeros((3, 8, 8), np.uint8), imagej=True, metadata={"axes": "ZYX"} | known, **about
    )
    tile = TileSpec({"z": 4, "y": 8, "x": 8}, variable_input=True)
    spec = ModelSpec("deep", "1", tile, axes="CZYX", takes_pixel_size=told)
    planned = plan_image(Row(path, "a"), Params(input="."), spec)
    assert [UNSPACED in planned.remarks] == [noted]
    assert planned.ref.z_um == known.get("spacing")
