"""Where an image lies, its result lies: labels, map and image are on it in any viewer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from pictures import write_ome_zarr
from test_merge_policies import merged, patches, spec

from tilewright.contract.jobs import ImageRef
from tilewright.images.image import open_image
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.enhance import checked, opened

Array = np.ndarray[Any, Any]
UM = "micrometer"


def placed(path: Path, axes: str, scale: list[float], move: list[float], unit: str | None) -> None:
    """An OME-Zarr at a place, of 130 x 97 px (y, x) in two levels."""
    pixels = patches((130, 97))
    whole = np.broadcast_to(pixels, (2,) * (len(axes) - 2) + pixels.shape)
    levels = [whole, whole[..., ::2, ::2]]
    write_ome_zarr(path, levels, axes, unit=unit)
    group = zarr.open_group(path, mode="a")
    about: Any = group.attrs["ome"]
    for number, dataset in enumerate(about["multiscales"][0]["datasets"]):
        steps = [s * (2**number if a in "YX" else 1) for a, s in zip(axes, scale, strict=True)]
        dataset["coordinateTransformations"] = [
            {"type": "scale", "scale": steps},
            {"type": "translation", "translation": move},
        ]
    group.attrs["ome"] = about


def reference(path: Path, **params: Any) -> ImageRef:
    """A plan's reference to it."""
    given = Params(input=str(path), **params)
    row = Row(path, "a", mpp=given.mpp)
    return replace(plan_image(row, given, spec("labels", policy="keep")).ref, key="i000")


def transforms(store: Path, where: str = "") -> tuple[list[dict[str, Any]], Array, Array]:
    """Axes, and scales and translations ``(level, axis)``."""
    group = zarr.open_group(store, mode="r")
    about: Any = (group[where] if where else group).attrs["ome"]
    found = [
        [t[t["type"]] for t in d["coordinateTransformations"]]
        for d in about["multiscales"][0]["datasets"]
    ]
    return about["multiscales"][0]["axes"], *np.array(found).transpose(1, 0, 2)


def test_blocks_that_become_pixels_lie_where_they_were(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "YX", [3.0, 5.0], [100.0, 200.0], None)
    steps = checked([{"name": "Downsample", "params": {"block_size": [1, 2, 4]}}])
    with opened(tmp_path / "a.zarr", axes="YX", scene=0, methods=steps) as image:
        assert image.where is not None
        assert image.where.steps == (1, 1, 6, 20)
        assert image.where.position == (0, 0, 101.5, 207.5)  # of the first block's middle


def test_an_image_after_a_step_has_all_that_an_image_has(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "YX", [3.0, 5.0], [100.0, 200.0], None)
    with open_image(tmp_path / "a.zarr") as image:
        for name in ("Downsample", "CLAHE", "Filter"):
            steps = checked([{"name": name, "params": {}}])
            with opened(image.path, axes="YX", scene=0, methods=steps) as prepared:
                assert vars(image).keys() <= vars(prepared).keys()


@pytest.mark.parametrize("region", [None, (20, 30, 64, 60)])
@pytest.mark.parametrize(
    ("unit", "scale", "move", "um"),
    [
        (UM, [0.5, 0.25], [100.0, 200.0], 1.0),
        ("millimeter", [5e-4, 2.5e-4], [0.1, -0.2], 1e3),
        ("nanometer", [500.0, 250.0], [7.0, 0.0], 1e-3),
        (None, [0.5, 0.25], [100.0, 200.0], 1.0),
        ("parsec", [3.0, 3.0], [1.0, 2.0], 1.0),
    ],
)
def test_a_result_lies_on_its_image(
    tmp_path: Path, region: Any, unit: str | None, scale: list[float], move: list[float], um: float
) -> None:
    placed(tmp_path / "a.zarr", "YX", scale, move, unit)
    ref = reference(tmp_path / "a.zarr", region=region)
    store = merged(tmp_path, ref, spec("labels", policy="keep"), "classes")
    start = np.array(region[:2] if region else (0, 0))
    for where in ("", "labels/everything"):
        axes, scales, moves = transforms(store, where)
        known = unit in (UM, "millimeter", "nanometer")
        assert [a.get("unit") for a in axes] == [UM if known else None] * 2
        np.testing.assert_allclose(scales[0], np.array(scale) * um)
        np.testing.assert_allclose(moves[0], (np.array(move) + start * scale) * um)
        corners = moves - scales / 2
        np.testing.assert_allclose(corners, np.broadcast_to(corners[0], corners.shape))


def test_a_map_of_each_slice_lies_where_its_slice_does(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "ZYX", [2.0, 0.5, 0.25], [-4.0, 10.0, 20.0], UM)
    made = replace(spec("map", policy="core"), classes=("one", "two"))
    store = merged(tmp_path, reference(tmp_path / "a.zarr"), made, "pixels")
    for where in ("", "maps/everything"):
        axes, scales, moves = transforms(store, where)
        space = [i for i, a in enumerate(axes) if a["type"] == "space"]
        assert [float(scales[0][i]) for i in space] == [2.0, 0.5, 0.25]
        assert [float(moves[0][i]) for i in space] == [-4.0, 10.0, 20.0]


def test_a_pixel_size_by_hand_gives_a_place_without_a_unit_its_unit(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "YX", [1.0, 1.0], [100.0, 200.0], None)
    assert reference(tmp_path / "a.zarr", mpp=0.5).position == (0, 0, 50, 100)
    placed(tmp_path / "b.zarr", "YX", [1.0, 1.0], [100.0, 200.0], UM)
    assert reference(tmp_path / "b.zarr", mpp=0.5).position == (0, 0, 100, 200)


def test_a_result_of_a_time_lapse_keeps_its_times(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "TYX", [30.0, 0.5, 0.25], [600.0, 10.0, 20.0], UM)
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    about: Any = group.attrs["ome"]
    about["multiscales"][0]["axes"][0]["unit"] = "second"
    group.attrs["ome"] = about
    made = spec("labels", policy="keep")
    store = merged(tmp_path, reference(tmp_path / "a.zarr"), made, "classes")
    for where in ("", "labels/everything"):
        axes, scales, moves = transforms(store, where)
        at = [i for i, a in enumerate(axes) if a["name"] in "tyx"]
        assert axes[0] == {"name": "t", "type": "time", "unit": "second"}
        assert [float(scales[0][i]) for i in at] == [30.0, 0.5, 0.25]
        assert moves[:, 0].tolist() == [600.0] * len(moves)


def test_an_image_at_the_origin_has_no_place_of_its_own(tmp_path: Path) -> None:
    placed(tmp_path / "a.zarr", "YX", [0.5, 0.25], [0.0, 0.0], UM)
    ref = reference(tmp_path / "a.zarr")
    assert (ref.position, ref.steps) == (None, None)
