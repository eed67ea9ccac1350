"""Reports and stores tell a model's declared parameters, and of a config file nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from planning import grey, planned

from tilewright import ROOT
from tilewright.contract.jobs import Recipe
from tilewright.plan.plan import Plan, write_plan
from tilewright.report.run_json import Results, describe

SECRET = "0123456789abcdef"
MANIFEST = (ROOT / "manifests" / "nuclei.yml").read_text(encoding="utf-8")
WHERE = "location: models/nuclei/nuclei.onnx"


def by_config(tmp_path: Path, *, of_location: bool) -> Plan:
    """A plan by a site's manifest whose config file says a declared value and another."""
    grey(tmp_path / "in" / "a.tif")
    config = tmp_path / "machine.yml"
    config.write_text(f"min_area: 77\ndatabase: {{password: {SECRET}}}\n")
    (tmp_path / "manifests").mkdir()
    place = f"location: {ROOT}/models/nuclei/nuclei.onnx"
    text = MANIFEST.replace(WHERE, f"{place}, config_path: {config}" if of_location else place)
    text = text if of_location else text.replace("runner: onnx", f"runner: onnx\nconfig: {config}")
    (tmp_path / "manifests" / "nuclei.yml").write_text(text)
    return planned(tmp_path, manifests=str(tmp_path / "manifests"))


@pytest.mark.parametrize("of_location", [True, False], ids=["config_path", "config"])
def test_what_isnt_declared_reaches_the_script_and_nothing_that_is_shown(
    tmp_path: Path, of_location: bool
) -> None:
    plan = by_config(tmp_path, of_location=of_location)
    given: dict[str, Any] = plan.recipe.given
    assert (given["min_area"], given["database"]) == (77, {"password": SECRET})
    assert plan.recipe.params["min_area"] == 77
    context: Any = {"launch_dir": str(tmp_path), "trace": "none", "work_dir": ".",
                    "nextflow": "25", "params": {}}  # fmt: skip
    run = describe(plan.file, plan.recipe, Results({}, []), context).to_dict()
    for shown in (run, plan.recipe.shown, plan.file.to_dict()):
        assert SECRET not in json.dumps(shown)
    assert run["model_params"] == plan.recipe.params
    assert len(plan.recipe.shown["config"]) == 64


def test_another_value_that_isnt_shown_is_another_recipe(tmp_path: Path) -> None:
    plan = by_config(tmp_path, of_location=True)
    write_plan(plan, tmp_path / "plan")
    recipe = Recipe.load(tmp_path / "plan" / "recipe.json")
    assert recipe == plan.recipe
    (tmp_path / "machine.yml").write_text("min_area: 77\ndatabase: {password: other}\n")
    other = planned(tmp_path, manifests=str(tmp_path / "manifests")).recipe
    assert other.digest != recipe.digest
    assert other.made_by["model parameters"] != recipe.made_by["model parameters"]
    assert other.shown["config"] != recipe.shown["config"]
