"""What is generated: true to manifests, tasks and parameters, and never stale."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import written
import yaml
from jsonschema import Draft202012Validator
from running import Checkout, copy_checkout

from tilewright import ROOT, Models, Registry
from tilewright.authoring import encoders, measured
from tilewright.authoring.parameter_files import TABLES_END
from tilewright.authoring.schemas import manifest_schema, nextflow_schema
from tilewright.cli import generate
from tilewright.contract.canonical import canonical
from tilewright.errors import TilewrightError
from tilewright.plan.params import FIRST, Params, plain
from tilewright.registry.documents import read_document
from tilewright.registry.manifest import TASK_NAMES, Manifest
from tilewright.registry.registry import ResolvedModel

SHIPPED = sorted((ROOT / "manifests").glob("*.yml"))
CHOICES = list(Registry.load())
SCHEMA = manifest_schema(TASK_NAMES)
REGISTRY = generate.registry_json(Registry.load())
MINIMAL: dict[str, Any] = {
    "name": "Toy",
    "metadata": {"description": "A toy."},
    "versions": {"v1": {"tasks": {"nuclei": {"locations": []}}}},
}


def faults(manifest: Any) -> list[str]:
    """What schema.json has against a manifest."""
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(manifest)]


def changed(where: str, value: Any) -> dict[str, Any]:
    """The minimal manifest with a value put at ``a/b/c``."""
    manifest: dict[str, Any] = json.loads(json.dumps(MINIMAL))
    block, *keys = manifest, *where.split("/")
    for key in keys[:-1]:
        block = block.setdefault(key, {})
    block[keys[-1]] = value
    return manifest


# The schemas of the files that we write


@pytest.mark.parametrize("name", generate.SCHEMAS)
def test_the_schema_of_a_file_is_one_and_refuses_keys_at_every_depth(name: str) -> None:
    schema = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    blocks = [schema, *schema["$defs"].values()]
    assert [b for b in blocks if "properties" in b and b["additionalProperties"]] == []
    fields = [f for b in blocks for f in b.get("properties", {}).values()]
    assert [f for f in fields if "description" not in f] == []


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: c.model_name)
def test_the_recipe_of_every_model_of_ours_fits_its_schema(choice: ResolvedModel) -> None:
    recipe = choice.recipe(choice.spec(), choice.values({}))
    assert written.faults("recipe", json.loads(canonical(recipe.to_dict()))) == []


# The schema of a manifest


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_schema_takes_every_manifest_of_ours(path: Path) -> None:
    assert faults(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_the_schema_takes_every_manifest_of_ai_on_demand() -> None:
    package = pytest.importorskip("aiod_registry", reason="its package is for Python 3.11 and 3.12")
    found = sorted((Path(package.__file__).parent / "manifests").glob("*.json"))
    assert len(found) == 8
    assert {p.stem: faults(json.loads(p.read_text())) for p in found} == {p.stem: [] for p in found}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_editors_find_the_schema_by_a_manifests_first_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schema.json"


GOOD = [
    pytest.param("spec/tile_spec/size", 512, id="one-number"),
    pytest.param("spec/tile_spec/size", {"z": 8, "y": 64, "x": 64}, id="per-axis"),
    pytest.param("spec/tile_spec/stride", 400, id="stride"),
    pytest.param("spec/variants", {"dense": {"output_type": "dense"}}, id="variants"),
    pytest.param("versions/v1/tasks/nuclei/locations", "net.pt", id="location"),
    pytest.param("versions/v1/tasks/nuclei/locations", {"location": "n.pt"}, id="one-location"),
    pytest.param("versions/v1/tasks/nuclei/locations", ["a.pt", {"location": "b"}], id="mixed"),
]


@pytest.mark.parametrize(("where", "value"), GOOD)
def test_the_schema_takes_what_the_registry_takes(where: str, value: Any) -> None:
    manifest = changed(where, value)
    Manifest.model_validate(manifest)
    assert faults(manifest) == []


BAD = [
    pytest.param("discription", "x", "'discription' was unexpected", id="root"),
    pytest.param("spec/num_chanels", 3, "'num_chanels' was unexpected", id="spec"),
    pytest.param("spec/tile_spec/sise", 3, "'sise' was unexpected", id="tile"),
    pytest.param("spec/tile_spec/size", "big", "not valid under any", id="size"),
    pytest.param("spec/variants", {"a": {"output_tipe": "cls"}}, "'output_tipe' was", id="variant"),
    pytest.param("spec/output_kind", "boxes", "'boxes' is not one of", id="kind"),
    pytest.param("versions/v1/tasks/nucleii", {"locations": []}, "'nucleii' is not", id="task"),
    pytest.param("versions/v1/tasks/nuclei", {}, "'locations' is a required", id="locations"),
    pytest.param("params", [{"name": "A", "vlaue": 1}], "'vlaue' was unexpected", id="param"),
    pytest.param("versions/v1/model_name", "A b", "not valid under any", id="name"),
]


@pytest.mark.parametrize(("where", "value", "says"), BAD)
def test_the_schema_refuses_a_typo_as_the_registry_does(where: str, value: Any, says: str) -> None:
    assert any(says in fault for fault in faults(changed(where, value)))
    with pytest.raises((ValueError, TilewrightError), match=re.escape(where.replace("/", "."))):
        load(changed(where, value))


def load(manifest: dict[str, Any]) -> None:
    """Take a manifest as the registry does, with each of its variants."""
    choice = ResolvedModel(Manifest.model_validate(manifest), "v1", "nuclei")
    for name in (None, *choice.manifest.spec.get("variants", {})):
        choice.spec(variant=name)


def test_a_manifest_that_extends_another_may_be_a_part() -> None:
    part = {"versions": {"v1": {"tasks": {"nuclei": {"params": []}}}}}
    assert faults({"short_name": "toy", "extends": True, **part}) == []
    assert any("'name' is a required" in fault for fault in faults({"short_name": "toy", **part}))


@pytest.mark.parametrize("block", ["root", *SCHEMA["$defs"]])
def test_every_field_is_explained_in_the_schema(block: str) -> None:
    fields = (SCHEMA if block == "root" else SCHEMA["$defs"][block])["properties"]
    assert [name for name, field in fields.items() if "description" not in field] == []


# The registry for user interfaces


def of_registry(choice: ResolvedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """The version and the task that registry.json has for a choice."""
    models = REGISTRY["models"]
    (base,) = [m for m in models if m["short_name"] == choice.manifest.short_name]
    (version,) = [v for v in base["versions"] if v["name"] == choice.version_key]
    (task,) = [t for t in version["tasks"] if t["name"] == choice.task_name]
    return version, task


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: c.store())
def test_a_user_interface_can_build_itself_from_the_registry(choice: ResolvedModel) -> None:
    version, task = of_registry(choice)
    assert (version["model_name"], version["release"]) == (
        choice.model_name,
        choice.version.release,
    )
    assert task["display_name"] == TASK_NAMES[choice.task_name]
    assert {p["arg_name"]: p["default"] for p in task["params"]} == {
        p.arg_name: p.start for p in choice.params
    }
    assert {p["type"] for p in task["params"]} <= {"str", "int", "float", "bool", "list", "tuple"}
    assert task["takes"]["num_channels"] == choice.spec().num_channels


def test_choices_ranges_and_channel_selectors_are_in_the_registry() -> None:
    _, task = of_registry(Registry.load().choose("nuclei"))
    params = {p["arg_name"]: p for p in task["params"]}
    assert params["postprocess"]["choices"] == ["watershed", "components"]
    assert (params["split_ratio"]["min"], params["split_ratio"]["max"]) == (0, 1)
    _, task = of_registry(Registry.load().choose("cellpose"))
    params = {p["arg_name"]: p for p in task["params"]}
    assert params["segment_channel"]["selector"] == {"start": 0, "label": "Grayscale"}
    assert params["anisotropy"] == {**params["anisotropy"], "type": "float", "default": None}


AVAILABLE = [
    pytest.param([], {}, "own", id="own"),
    pytest.param(["models/nuclei/nuclei.onnx"], {}, "bundled", id="bundled"),
    pytest.param(["/site/a.pt", "https://example.org/a.pt"], {}, "download", id="download"),
    pytest.param(["hf:owner/name@main/a.pt"], {"gated": True}, "gated", id="gated"),
    pytest.param(["/site/a.pt"], {}, "site", id="site"),
]


@pytest.mark.parametrize(("places", "more", "says"), AVAILABLE)
def test_availability_is_the_same_on_every_machine(
    places: list[str], more: dict[str, Any], says: str
) -> None:
    manifest = changed("versions/v1/tasks/nuclei/locations", places) | more
    registry = Registry({"toy": Manifest.model_validate(manifest)})
    assert generate.registry_json(registry)["models"][0]["versions"][0]["tasks"][0]["weights"] == {
        "availability": says,
        "locations": len(places),
        "bytes": None,
    }


# Default configs and names


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.params], ids=lambda c: c.store())
def test_a_default_config_changes_nothing(choice: ResolvedModel) -> None:
    path = ROOT / generate.CONFIGS / f"{choice.model_name}-{choice.task_name}.yml"
    config = read_document(path).data
    assert set(config) == {p.arg_name for p in choice.params}
    assert choice.values(config) == choice.values({})


def test_models_are_names_that_can_be_chosen() -> None:
    assert Models.NUCLEI.value == "nuclei"
    assert {m.value for m in Models} == {c.model_name for c in CHOICES}
    assert Registry.load().choose(Models.CELLPOSE_CYTO3).version_key == "cyto3"
    given = Params(input=".", model=Models.NUCLEI).model
    assert json.dumps(given) == '"nuclei"'


def test_two_names_that_are_one_in_python_are_refused() -> None:
    twin = {"model_name": "a-b", "tasks": MINIMAL["versions"]["v1"]["tasks"]}
    versions = {"v1": twin, "v2": {**twin, "model_name": "a_b"}}
    registry = Registry({"toy": Manifest.model_validate({**MINIMAL, "versions": versions})})
    with pytest.raises(TilewrightError, match="'a-b' and 'a_b' are one name in Python: A_B"):
        generate.models_module(registry)


# The run's parameters for Nextflow's launchers


def fields() -> dict[str, dict[str, Any]]:
    """Every parameter of nextflow_schema.json."""
    groups = nextflow_schema()["$defs"].values()
    listed = [item for group in groups for item in group["properties"].items()]
    assert len(listed) == len(dict(listed))
    return dict(listed)


def test_nextflows_schema_is_one_and_refers_to_all_its_groups() -> None:
    schema = nextflow_schema()
    Draft202012Validator.check_schema(schema)
    assert [group["title"] for group in schema["$defs"].values()] == list(FIRST.values())
    assert [ref["$ref"] for ref in schema["allOf"]] == [f"#/$defs/{n}" for n in schema["$defs"]]


def test_nextflows_schema_has_the_parameters_of_the_workflow_and_no_others() -> None:
    config = (ROOT / "conf" / "params.config").read_text()
    assert list(fields()) == re.findall(r"^params\.(\w+) = ", config, re.MULTILINE)
    assert set(fields()) == {f.alias or n for n, f in Params.model_fields.items()}


def test_nextflows_schema_takes_what_nextflow_gives() -> None:
    validator = Draft202012Validator(nextflow_schema())
    given = {"input": "a", "region": "0,0,64,64", "mpp": 0.5, "publish": "link", "strict": True}
    assert validator.is_valid(given)
    for wrong in ({"region": "0,0,64"}, {"mpp": 0}, {"publish": "move"}, {"pack": "many"}):
        assert not validator.is_valid(given | wrong), wrong
    assert not validator.is_valid({})


def test_the_models_page_lists_variants_and_what_was_measured_of_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    cellpose = page.partition("\n## Cellpose\n")[2].partition("\n## ")[0]
    assert "- `--variant 3d`: 2 channels, 3D; gives labels" in cellpose.splitlines()
    case = {"model_name": "a-b", "objects": 9, "difference": 0, "ap": 1, "sbe": None}
    case |= {"seconds_per_million": 2, "cpu_seconds_per_million": 1}
    env = {"first_seconds": 3, "again_seconds": 2, "gb": 1, "more_gb": 1}
    kept = {"environment": env, "cases": {"x": case, "y": case | {"variant": "3d", "note": "why"}}}
    (tmp_path / "a.json").write_text(json.dumps(kept))
    *_, flat, deep, _, note = measured.section({"a-b": "MIT"}, tmp_path)
    assert flat.startswith("| `a-b` | ")
    assert deep.startswith("| `a-b` `3d` | ")
    assert flat.endswith(" | MIT |")
    assert note == "`a-b` `3d`: why"


# Nothing is stale


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the pipeline, everything generated in it."""
    folder = tmp_path_factory.mktemp("generated")
    copy = copy_checkout(folder / "checkout", folder / "cache")
    (copy.root / "docs").mkdir()
    shutil.copy(ROOT / generate.TABLES, copy.root / generate.TABLES)
    shutil.copytree(measured.FOLDER, copy.root / measured.FOLDER.relative_to(ROOT))
    shutil.copy(encoders.FIGURES, copy.root / encoders.FIGURES.relative_to(ROOT))
    assert copy.cli("generate", cwd=folder).returncode == 0
    return copy


def test_what_is_generated_is_the_same_in_another_place(checkout: Checkout) -> None:
    for name, text in generate.generated().items():
        assert (checkout.root / name).read_text(encoding="utf-8") == text, name


def test_a_config_of_a_model_that_is_gone_is_stale_and_deleted(
    monkeypatch: pytest.MonkeyPatch, checkout: Checkout
) -> None:
    monkeypatch.setattr(generate, "ROOT", checkout.root)
    left = checkout.root / generate.CONFIGS / "gone-nuclei.yml"
    left.write_text("a: 1\n")
    with pytest.raises(TilewrightError, match=r"say: manifests/defaults/gone-nuclei\.yml\."):
        generate.check()
    assert generate.write() == ["manifests/defaults/gone-nuclei.yml"]
    assert not left.exists()
    generate.check()


def test_a_changed_table_of_parameters_is_stale_and_what_stands_around_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, checkout: Checkout
) -> None:
    monkeypatch.setattr(generate, "ROOT", checkout.root)
    page = checkout.root / generate.TABLES
    whole = page.read_text(encoding="utf-8")
    page.write_text(whole.replace("| `--pack` | 64 |", "| `--pack` | 8 |") + "More.\n")
    with pytest.raises(TilewrightError, match=r"say: docs/run\.md\."):
        generate.check()
    assert generate.write() == ["docs/run.md"]
    assert page.read_text(encoding="utf-8") == whole + "More.\n"
    page.write_text(whole.replace(TABLES_END, ""))
    with pytest.raises(TilewrightError, match="has no place for the parameters between"):
        generate.check()
    page.write_text(whole)


def test_help_without_links_keeps_words_and_leaves_references_out() -> None:
    assert plain("Versions of [Zarr](a.md#b), old:\nboth ([more](c.md)); or `x`: [here](#d).") == (
        "Versions of Zarr, old: both; or `x`."
    )


def test_a_checkout_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docs").write_text("a file where a folder should be")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    with pytest.raises(TilewrightError, match=r"docs/models\.md: can't be written") as caught:
        generate.write()
    assert caught.value.code == 2


def test_a_new_task_is_one_line_that_schema_registry_and_commands_follow(
    checkout: Checkout, tmp_path: Path
) -> None:
    """The last test of this checkout: the task stays in it."""
    source = checkout.root / "src" / "tilewright" / "registry" / "manifest.py"
    text = source.read_text(encoding="utf-8")
    more = text.replace("TASK_NAMES = {", 'TASK_NAMES = {\n    "spines": "Dendritic Spines",')
    source.write_text(more, encoding="utf-8")
    done = checkout.cli("generate", "--check", cwd=tmp_path)
    assert done.returncode == 65
    assert "tilewright: Not as the manifests and parameters say: " in done.stderr
    assert "registry.json, schema.json" in done.stderr
    assert "Run ./tilewright generate" in done.stderr
    written = checkout.cli("generate", cwd=tmp_path).stdout.split()
    assert written == ["registry.json", "schema.json"]
    manifest = {**MINIMAL, "versions": {"v1": {"tasks": {"spines": {"locations": []}}}}}
    (tmp_path / "toy.yml").write_text(yaml.safe_dump(manifest))
    schema = json.loads((checkout.root / "schema.json").read_text())
    assert Draft202012Validator(schema).is_valid(manifest)
    assert not faults(MINIMAL)
    assert faults(manifest)
    tasks = json.loads((checkout.root / "registry.json").read_text())["tasks"]
    assert tasks["spines"] == "Dendritic Spines"
    listed = checkout.cli("models", "--manifests", tmp_path, cwd=tmp_path, COLUMNS="200")
    assert re.search(r"toy-v1 +spines", listed.stdout), listed.stdout + listed.stderr
