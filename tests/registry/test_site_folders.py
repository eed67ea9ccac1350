"""A site's folder of manifests: its tasks, and what its paths are relative to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from planning import grey, planned
from sites import site

from tilewright import ROOT
from tilewright.cli import main
from tilewright.errors import TilewrightError
from tilewright.registry.manifest import TASK_NAMES
from tilewright.registry.registry import Registry, local_path

NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"
SPINES = """
name: Spines
short_name: spines
runner: onnx
metadata: {description: Dendritic spines.}
config: settings/spines.yml
spec:
  tile_spec: {size: 64}
  num_channels: 3
versions:
  v1:
    tasks:
      spines:
        locations:
          - net.onnx
          - {location: shared/net.onnx, config_path: other.yml}
          - /else/where.onnx
          - https://example.org/net.onnx
          - hf:owner/name@main/net.onnx
"""


def spines(folder: Path, tasks: str = "spines: Dendritic Spines\n", text: str = SPINES) -> Path:
    """A folder with a task of its own and a model that has it."""
    site(folder, text, "spines.yml")
    return site(folder, tasks, "tasks.yml")


def test_a_sites_relative_paths_begin_at_its_folder(tmp_path: Path) -> None:
    choice = Registry.load(spines(tmp_path / "site")).choose("spines")
    assert [where.location for where in choice.task.locations] == [
        str(tmp_path / "site" / "net.onnx"),
        str(tmp_path / "site" / "shared" / "net.onnx"),
        "/else/where.onnx",
        "https://example.org/net.onnx",
        "hf:owner/name@main/net.onnx",
    ]
    first, second, *_ = choice.task.locations
    assert choice.config(first) == str(tmp_path / "site" / "settings" / "spines.yml")
    assert choice.config(second) == str(tmp_path / "site" / "other.yml")


def test_a_stain_target_is_beside_its_manifest(tmp_path: Path) -> None:
    target = "spec: {stain_target: {image: stain.png, sha256: abc}}\n"
    folder = site(tmp_path / "site", f"short_name: nuclei\nextends: true\n{target}", "nuclei.yml")
    fields = Registry.load(folder).choose("nuclei").fields()
    assert fields["stain_target"]["image"] == str(tmp_path / "site" / "stain.png")


def test_ours_stay_relative_to_the_checkout_also_where_a_site_extends_them(tmp_path: Path) -> None:
    text = """
short_name: nuclei
extends: true
versions: {v1: {tasks: {nuclei: {locations: mine.onnx}}}}
"""
    choice = Registry.load(site(tmp_path / "site", text, "nuclei.yml")).choose("nuclei")
    mine, ours = choice.task.locations
    assert local_path(mine) == tmp_path / "site" / "mine.onnx"
    assert ours.location == "models/nuclei/nuclei.onnx"
    assert local_path(ours) == NUCLEI


def test_a_folder_that_was_moved_still_finds_its_weights(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif", (64, 64))
    ours = yaml.safe_load((ROOT / "manifests" / "nuclei.yml").read_text())
    ours["versions"]["v1"]["tasks"]["nuclei"]["locations"] = ["net.onnx"]
    folder = site(tmp_path / "first", yaml.safe_dump(ours), "nuclei.yml")
    shutil.copy(NUCLEI, folder / "net.onnx")
    then = planned(tmp_path, manifests=str(folder))
    moved = folder.rename(tmp_path / "second")
    assert planned(tmp_path, manifests=str(moved)).weights == then.weights
    assert then.weights


# Tasks


def test_a_folders_tasks_are_tasks_for_its_manifests(tmp_path: Path) -> None:
    registry = Registry.load(spines(tmp_path / "site"))
    assert registry.tasks == TASK_NAMES | {"spines": "Dendritic Spines"}
    assert registry.choose("spines", task="SPINES").task_name == "spines"
    assert "spines" not in TASK_NAMES
    with pytest.raises(TilewrightError, match=r"unknown task 'spines'.*tasks\.yml adds another"):
        Registry.load(site(tmp_path / "without", SPINES))


def test_models_lists_a_sites_tasks_and_generate_writes_its_schema(tmp_path: Path) -> None:
    folder = spines(tmp_path / "site")
    listed = CliRunner().invoke(main.main, ["models", "--manifests", str(folder)])
    assert [line.split()[:2] for line in listed.output.splitlines() if "spines-v1" in line] == [
        ["spines-v1", "spines"]
    ]
    written = CliRunner().invoke(main.main, ["generate", "--manifests", str(folder)])
    assert written.output.strip() == str(folder / "schema.json"), written.output
    schema = json.loads((folder / "schema.json").read_text())
    names = schema["$defs"]["Version"]["properties"]["tasks"]["propertyNames"]["enum"]
    assert names == [*TASK_NAMES, "spines"]
    Registry.load(folder)  # the schema is no manifest
    checked = CliRunner().invoke(main.main, ["validate", "--manifests", str(folder), "--json"])
    report = json.loads(checked.output)["manifests"]
    (ours,) = [m for m in report if m["file"].endswith("spines.yml")]
    assert not [f for f in ours["findings"] if "unknown task" in f["message"]]


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ("Dendrites: x\n", "line 1: 'Dendrites' can't be a task's name. Take up to 50 lower-case"),
        ("a: b\nmito: Mitos\n", "line 2: mito is ours already, 'Mitochondria'. Take another name"),
        ("spines:\n", "line 1: spines has no display name. Write spines: and what people read"),
        ("spines: [a]\n", "line 1: spines has no display name"),
        ("- spines\n", "line 1: holds a list, not a mapping of names to values"),
        ("a/b: c\n", "line 1: 'a/b' can't be a task's name"),
    ],
)
def test_what_cant_be_a_task_is_named_with_its_line(tmp_path: Path, tasks: str, says: str) -> None:
    with pytest.raises(TilewrightError, match=r"tasks\.yml") as caught:
        Registry.load(spines(tmp_path / "site", tasks))
    assert says in str(caught.value)


def test_our_own_task_may_stand_in_a_sites_list(tmp_path: Path) -> None:
    folder = spines(tmp_path / "site", "mito: Mitochondria\nspines: Dendritic Spines\n")
    assert Registry.load(folder).tasks["mito"] == "Mitochondria"


def test_a_run_knows_the_display_name_of_a_sites_task(tmp_path: Path) -> None:
    from tilewright.report.page import about

    grey(tmp_path / "in" / "a.tif", (64, 64))
    data: dict[str, Any] = yaml.safe_load(SPINES)
    del data["config"]
    data["versions"]["v1"]["tasks"]["spines"]["locations"] = ["net.onnx"]
    folder = spines(tmp_path / "site", text=yaml.safe_dump(data))
    shutil.copy(NUCLEI, folder / "net.onnx")
    plan = planned(tmp_path, model="spines", manifests=str(folder))
    assert plan.file.manifests == [str(folder)]
    assert plan.groups[0].store == "spines-v1-0-spines.zarr"
    assert about(plan.file).task == "Dendritic Spines"
