"""Models that take an image in one piece: what PLAN refuses, and how a variant is chosen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import write_ome_zarr
from planning import planned
from sites import site

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.plan.plan import Plan
from tilewright.registry.registry import Registry

BOUND = Registry.load().choose("empanada").spec(variant="3d").tile_spec.size


def volume(tmp_path: Path, more: int = 0, **params: Any) -> Plan:
    """A plan for Empanada of a volume that is `more` slices deeper than it takes in one piece."""
    shape = (int(BOUND["z"]) + more, 8, 9)
    write_ome_zarr(tmp_path / "in" / "deep.zarr", [np.zeros(shape, np.uint8)], "ZYX")
    given = {"model": "empanada", "link_z": params.pop("link_z", None), **params}
    return planned(tmp_path, **given)


def with_own(tmp_path: Path, **values: object) -> dict[str, str]:
    """Parameters of the model, as a run gives them."""
    (tmp_path / "own.json").write_text(json.dumps(values))
    return {"model_config": str(tmp_path / "own.json")}


def test_a_volume_up_to_the_bound_is_one_tile_of_one_task(tmp_path: Path) -> None:
    plan = volume(tmp_path, variant="3d")
    assert plan.recipe.spec.tile_spec.whole
    assert [len(job.parts) for job in plan.jobs] == [1]
    assert (plan.tiles, plan.images[0].grid.shape) == (1, (int(BOUND["z"]), 8, 9))


def test_one_above_it_is_refused_and_goes_plane_by_plane_as_the_sentence_says(
    tmp_path: Path,
) -> None:
    z, y, x = (int(BOUND[a]) for a in "zyx")
    says = (
        f"deep.zarr: has {z + 1} x 8 x 9 px (zyx), and empanada-mitonet_v1 takes up to "
        f"{z} x {y} x {x} px in one piece. Without the variant 3d it is predicted in tiles, "
        "plane by plane; --link_z iou then joins the objects."
    )
    with pytest.raises(TilewrightError, match=re.escape(says)):
        volume(tmp_path, 1, variant="3d")
    plan = planned(tmp_path, model="empanada", link_z="iou")
    assert plan.images[0].planes == z + 1


def test_a_part_of_one_that_is_too_wide_is_taken(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "in" / "wide.zarr", [np.zeros((4, 8, 600), np.uint8)], "ZYX")
    with pytest.raises(TilewrightError, match="or take a part of it by --region"):
        planned(tmp_path, model="empanada", variant="3d")
    plan = planned(tmp_path, model="empanada", variant="3d", region="0,0,8,512")
    assert plan.tiles == 1


def test_the_bound_isnt_moved_by_a_tile_size(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"--tile_size 600: .* takes whole images\."):
        volume(tmp_path, variant="3d", tile_size=600)


def test_a_site_raises_the_bound_as_the_docs_say(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "empanada.md").read_text()
    folder = site(tmp_path / "site", page.partition("```yaml\n")[2].partition("```")[0], "own.yml")
    plan = volume(tmp_path, 1, variant="3d", manifests=str(folder))
    assert plan.tiles == 1
    assert plan.needs.memory_gb == 44


def test_one_bad_volume_leaves_the_others_be(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "in" / "small.zarr", [np.zeros((5, 8, 9), np.uint8)], "ZYX")
    plan = volume(tmp_path, 1, variant="3d")
    assert [i.ref.id for i in plan.images] == ["small"]
    assert [row.id for row, _ in plan.bad] == ["deep"]


@pytest.mark.parametrize("plane", ["All", "XZ", "YZ"])
def test_what_the_plugin_calls_a_plane_selects_the_variant(tmp_path: Path, plane: str) -> None:
    for manifests in ({}, {"manifests": "manifests/aiod"}):
        given = {k: str(ROOT / v) for k, v in manifests.items()}
        plan = volume(tmp_path, **with_own(tmp_path, plane=plane), **given)
        assert plan.recipe.spec.axes == "CZYX"
        assert plan.file.store.endswith("-mito-3d.zarr")
        assert plan.file.params.variant == "3d"


def test_planes_alone_select_none_and_the_variant_may_have_one_way(tmp_path: Path) -> None:
    assert volume(tmp_path, **with_own(tmp_path, plane="XY")).recipe.spec.axes == "CYX"
    plan = volume(tmp_path, variant="3d", **with_own(tmp_path, plane="XY"))
    assert (plan.recipe.spec.axes, plan.recipe.params["plane"]) == ("CZYX", "XY")


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [("label_erosion", 2, 0), ("median_slices", 5, 3), ("allow_one_view", True, False)],
)
def test_what_only_a_variant_heeds_is_refused_without_it(
    tmp_path: Path, name: str, value: object, default: object
) -> None:
    own = with_own(tmp_path, **{name: value})
    says = (
        f"The model parameter {name} is {value}, which only the variant 3d heeds. "
        f"Say --variant 3d, or leave it at {default}."
    )
    with pytest.raises(TilewrightError, match=re.escape(says)):
        volume(tmp_path, **own)
    assert volume(tmp_path, variant="3d", **own).recipe.params[name] == value
