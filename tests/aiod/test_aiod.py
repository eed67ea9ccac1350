"""AI OnDemand's own manifests, and what PLAN makes of a manifest."""

from __future__ import annotations

import json
import re
import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from sites import site

from tilewright import ROOT
from tilewright.aiod.planning import plan_run
from tilewright.contract.jobs import EMPTY
from tilewright.errors import TilewrightError
from tilewright.plan.plan import Plan
from tilewright.registry.manifest import TASK_NAMES
from tilewright.registry.registry import Registry, ResolvedModel

# AI OnDemand's registry


def aiod() -> Path:
    """The folder of AI OnDemand's own manifests, as its package has them."""
    pytest.importorskip("aiod_registry", reason="its package is for Python 3.11 and 3.12")
    return Path(str(resources.files("aiod_registry") / "manifests"))


THEIRS = {
    "cellpose": ("cyto3 nuclei cyto1 cyto2", "cyto nuclei"),
    "cellposesam": ("cpsam", "cyto nuclei"),
    "empanada": ("MitoNet v1|MitoNet Mini v1|NucleoNet v1|DropNet v1", "mito nuclei drop"),
    "panseg": (17, "boundaries nuclei"),
    "sam": ("default vit_h vit_l vit_b MedSAM MicroSAM-Boundaries MicroSAM-Organelles",
            "everything"),
    "sam2": ("default hiera_base hiera_small hiera_large hiera_tiny", "everything"),
    "seai_unet": ("U-Net|Finetuned HU-Net|Attention U-Net|Finetuned Attention U-Net", "mito er ne"),
    "stardist": ("2D_versatile_fluo 2D_versatile_he 2D_paper_dsb2018 2D_demo 3D_demo", "nuclei"),
}  # fmt: skip
"""short_name: versions (or how many), and all tasks."""
OUT_OF_REACH = (
    "The model seai_unet (SEAI U-Net) can't be run: no library that runs it, no file of its "
    "weights and no licence can be had."
)
SCRIPTS = {path.stem.removeprefix("run_") for path in (ROOT / "bin").glob("run_*.py")}


def test_all_eight_manifests_of_ai_ondemand_load_unchanged() -> None:
    registry = Registry.load(aiod())
    files = {json.loads(p.read_text())["name"]: p for p in aiod().glob("*.json")}
    assert len(files) == len(THEIRS) == 8
    for short_name, (versions, tasks) in THEIRS.items():
        manifest = registry.manifests[short_name]
        theirs = json.loads(files[manifest.name].read_text())
        assert list(manifest.versions) == list(theirs["versions"])
        if isinstance(versions, str):
            names = versions.split("|" if "|" in versions else None)
            assert list(manifest.versions) == names
        else:
            assert len(manifest.versions) == versions
        found = [t for v in manifest.versions.values() for t in v.tasks]
        assert list(dict.fromkeys(found)) == tasks.split()
        for name, version in theirs["versions"].items():
            for task, said in version["tasks"].items():
                ours = manifest.versions[name].tasks[task]
                assert [w.location for w in ours.locations] == [
                    place["location"] for place in said["locations"]
                ]


def test_what_ai_ondemand_lists_runs_here_or_names_the_script_it_lacks() -> None:
    registry = Registry.load(aiod())
    for short_name in THEIRS:
        choice = registry.choose(short_name)
        if short_name in SCRIPTS:
            recipe = choice.recipe(choice.spec(), choice.values({}))
            assert recipe.script.name == f"run_{short_name}.py"
            continue
        says = {"seai_unet": re.escape(OUT_OF_REACH)}.get(
            short_name, f"The model {short_name} has no script bin/run_{short_name}.py yet"
        )
        with pytest.raises(TilewrightError, match=says) as caught:
            choice.recipe(choice.spec(), {})
        assert caught.value.code == 69
    assert "cellpose" in SCRIPTS


def test_cellpose_of_ai_ondemand_is_ours_with_its_own_parameters() -> None:
    theirs, ours = (r.manifests["cellpose"] for r in (Registry.load(aiod()), Registry.load()))
    pairs = {"cyto3": "cyto3", "cyto2": "cyto2", "cyto1": "cyto", "nuclei": "nuclei"}
    for name, own in pairs.items():
        task = next(iter(theirs.versions[name].tasks))
        spec, known = (ResolvedModel(m, v, task).spec() for m, v in ((theirs, name), (ours, own)))
        assert spec.to_dict() == {**known.to_dict(), "model_name": spec.model_name, "version": "0"}
        values = ResolvedModel(theirs, name, task).values({})
        assert set(values) == set(ResolvedModel(ours, own, task).values({}))
        assert (values["batch_size"], values["diameter"]) == (64, 0.0)
        assert values["diam_mean"] == (17.0 if name == "nuclei" else 0.0)
    choice = ResolvedModel(theirs, "cyto3", "cyto")
    assert choice.values({"diameter": 30.5})["diameter"] == 30.5
    with pytest.raises(TilewrightError, match=r"stitch_threshold is 0.3; it takes"):
        choice.values({"stitch_threshold": 0.3})


AXES = [
    pytest.param("2D_versatile_fluo", "CYX", 1, "MULTI", "yx", id="YX"),
    pytest.param("2D_versatile_he", "YXC", 3, "RGB", "yx", id="YXC"),
    pytest.param("3D_demo", "CZYX", 1, "MULTI", "zyx", id="ZYX"),
]


@pytest.mark.parametrize(("version", "axes", "channels", "colour", "spatial"), AXES)
def test_without_a_spec_a_versions_axes_decide(
    tmp_path: Path, version: str, axes: str, channels: int, colour: str, spatial: str
) -> None:
    theirs = json.loads((aiod() / "stardist.json").read_text())  # ours of this name has a spec
    (tmp_path / "stars.json").write_text(json.dumps({**theirs, "short_name": "stars"}))
    spec = Registry.load(tmp_path).choose("stars", version).spec()
    assert (spec.axes, spec.num_channels, spec.color_space) == (axes, channels, colour)
    assert spec.tile_spec.axes == spatial


def test_every_task_of_ai_ondemand_has_its_display_name() -> None:
    schema = pytest.importorskip("aiod_registry.schema", reason="it is for Python 3.11 and 3.12")
    assert {name: TASK_NAMES.get(name) for name in schema.TASK_NAMES} == schema.TASK_NAMES


# What PLAN makes of it


def planned(tmp_path: Path, **params: Any) -> Plan:
    """A plan of one small image of two channels."""
    (tmp_path / "in").mkdir(exist_ok=True)
    tifffile.imwrite(
        tmp_path / "in" / "a.tif", np.zeros((2, 32, 40), np.uint8), metadata={"axes": "CYX"}
    )
    given = {"input": str(tmp_path / "in"), "outdir": str(tmp_path / "out"), "axes": "CYX"}
    return plan_run(given | {"weights_dir": str(tmp_path / "weights")} | params, tmp_path)


def test_a_model_without_a_script_ends_plan_with_the_scripts_name(tmp_path: Path) -> None:
    theirs = json.loads((aiod() / "cellpose.json").read_text())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "cells.json").write_text(json.dumps({**theirs, "short_name": "cells"}))
    with pytest.raises(TilewrightError, match="has no script bin/") as caught:
        planned(tmp_path, model="cells", manifests=str(tmp_path / "site"))
    assert caught.value.code == 69
    assert str(caught.value).strip() == (
        "The model cells has no script bin/run_cells.py yet. "
        "Choose another model (./tilewright models lists them) or add the script."
    )


@pytest.mark.parametrize("listed", [True, False], ids=["in-the-plugins-list", "by-name-alone"])
def test_a_model_that_nobody_outside_can_run_says_so_and_what_to_bring(
    tmp_path: Path, listed: bool
) -> None:
    where = {"manifests": str(aiod())} if listed else {}
    with pytest.raises(TilewrightError) as caught:
        planned(tmp_path, model="seai_unet", **where)
    assert caught.value.code == 69
    assert str(caught.value).strip().startswith(OUT_OF_REACH)
    told = str(caught.value)
    assert all(word in told for word in ("TorchScript or ONNX", "scaled", "maps", "licence"))
    assert 'docs/adding-a-model.md, under "A U-Net of one\'s own"' in told
    assert "\n## A U-Net of one's own\n" in (ROOT / "docs" / "adding-a-model.md").read_text()


CHOSEN = [
    pytest.param({}, (0, 1), id="none"),
    pytest.param({"segment_channel": 2, "nucleus_channel": 1}, (1, 0), id="both"),
    pytest.param({"segment_channel": 2}, (1, EMPTY), id="segment"),
    pytest.param({"nucleus_channel": 2}, (0, 1), id="nucleus"),
]


@pytest.mark.parametrize(("values", "channels"), CHOSEN)
def test_a_models_own_parameters_choose_channels(
    tmp_path: Path, values: dict[str, int], channels: tuple[int, ...]
) -> None:
    (tmp_path / "own.yml").write_text(json.dumps(values))
    plan = planned(
        tmp_path, model="cellpose", manifests=str(aiod()), model_config=str(tmp_path / "own.yml")
    )
    assert plan.images[0].ref.channels == channels
    assert plan.recipe.params["segment_channel"] == plan.recipe.params["nucleus_channel"] == 0


def test_channels_said_twice_or_out_of_range_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("segment_channel: 2\n")
    given = {"model": "cellpose", "model_config": str(tmp_path / "own.yml")}
    with pytest.raises(TilewrightError, match=r"--channels and .*\(segment\) both name channels"):
        planned(tmp_path, **given, channels="segment=0")
    (tmp_path / "own.yml").write_text("segment_channel: 9\n")
    with pytest.raises(TilewrightError, match="has no channel '8'"):
        planned(tmp_path, **given)


@pytest.mark.parametrize("model", ["cellpose", "cellposesam"])
@pytest.mark.parametrize("whose", ["", "theirs"])
def test_3d_segmentation_of_a_plugins_form_is_the_variant_of_volumes(
    tmp_path: Path, model: str, whose: str
) -> None:
    (tmp_path / "in").mkdir()
    volume = np.zeros((5, 32, 40), np.uint8)
    tifffile.imwrite(tmp_path / "in" / "a.tif", volume, metadata={"axes": "ZYX"})
    given = {"input": str(tmp_path / "in"), "outdir": str(tmp_path / "out"), "model": model}
    given |= {"weights_dir": str(tmp_path / "weights"), "axes": "ZYX"}
    given |= {"manifests": str(aiod())} if whose else {}
    axes = {}
    for ticked in (False, True):
        (tmp_path / "own.yml").write_text(json.dumps({"do_3D": ticked}))
        plan = plan_run({**given, "model_config": str(tmp_path / "own.yml")}, tmp_path)
        axes[ticked] = plan.recipe.spec.axes
        assert plan.file.store.endswith("-3d.zarr") == ticked
    assert axes == {False: "CYX", True: "CZYX"}


def test_a_variant_reaches_the_recipe_and_the_results_name(tmp_path: Path) -> None:
    over = """\
    short_name: nuclei
    extends: true
    spec: {variants: {rough: {precision: bf16, tile_spec: {band: 16}}}}
    """
    folder = site(tmp_path / "site", textwrap.dedent(over), "nuclei.yml")
    plan = planned(tmp_path, manifests=str(folder), variant="rough", channels="0")
    assert (plan.recipe.spec.precision, plan.recipe.spec.tile_spec.band["y"]) == ("bf16", 16)
    assert plan.recipe.spec.variants is None
    assert {g.store for g in plan.groups} == {"nuclei-1.0.0-nuclei-rough.zarr"}
    assert plan.file.store == "nuclei-1.0.0-nuclei-rough.zarr"
    with pytest.raises(
        TilewrightError, match=r"no variant of nuclei called 'fine'\. Choose from: maps, rough"
    ):
        planned(tmp_path, manifests=str(folder), variant="fine", channels="0")
