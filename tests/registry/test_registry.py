"""Manifests, choices and what they come to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.registry.checks.run import check_spec
from tilewright.registry.documents import deep_merge
from tilewright.registry.manifest import Manifest, Param
from tilewright.registry.registry import Registry, ResolvedModel

MANIFESTS = sorted((ROOT / "manifests").glob("*.yml"))
MINIMAL = {
    "name": "Toy",
    "short_name": "toy",
    "metadata": {"description": "A toy."},
    "versions": {"v1": {"tasks": {"nuclei": {"locations": "weights.bin"}}}},
}


def choice(**changes: object) -> ResolvedModel:
    """The only choice of the minimal manifest, changed."""
    manifest = Manifest.model_validate(deep_merge(MINIMAL, changes))
    version = next(iter(manifest.versions))
    return ResolvedModel(manifest, version, next(iter(manifest.versions[version].tasks)))


def written(folder: Path, data: dict[str, object]) -> Path:
    """A folder with one manifest."""
    folder.mkdir(exist_ok=True)
    (folder / "toy.yml").write_text(yaml.safe_dump(data))
    return folder


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.stem)
def test_every_manifest_names_a_script_and_an_environment_that_exist(path: Path) -> None:
    manifest = Manifest.model_validate(yaml.safe_load(path.read_text()))
    assert manifest.short_name == path.stem
    assert (ROOT / "bin" / manifest.script).is_file()
    assert (ROOT / "envs" / f"{manifest.environment_name}.yml").is_file()


@pytest.mark.parametrize("found", list(Registry.load()), ids=lambda c: c.store())
def test_every_choice_has_a_spec_and_a_recipe(found: ResolvedModel) -> None:
    recipe = found.recipe(found.spec(), found.values({}))
    assert recipe.model.model_name == found.model_name
    assert {"predict", "preprocess", "runtime", "contract"} <= set(recipe.code)


def test_model_names_are_unique() -> None:
    names = [(c.model_name, c.task_name) for c in Registry.load()]
    assert len(names) == len(set(names))


def test_the_first_version_and_task_are_the_default() -> None:
    assert Registry.load().choose("cellpose").model_name == "cellpose-cyto3"
    assert Registry.load().choose("cellpose-nuclei").task_name == "nuclei"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param(("celpose",), "no model called 'celpose'.*cellpose", id="model"),
        pytest.param(("cellpose", "cyto9"), "no version of cellpose.*cyto3", id="version"),
        pytest.param(("nuclei", None, "mito"), "no task of nuclei.*nuclei", id="task"),
    ],
)
def test_an_unknown_choice_is_answered_with_what_there_is(
    asked: tuple[str, ...], says: str
) -> None:
    with pytest.raises(TilewrightError, match=says) as caught:
        Registry.load().choose(*asked)
    assert caught.value.code == 2


def test_specs_are_inherited_from_root_to_version_to_task() -> None:
    spec = choice(
        spec={"tile_spec": {"size": 256, "band": 16, "context": 8}, "num_channels": 1},
        versions={
            "v1": {
                "spec": {"num_channels": 2},
                "tasks": {"nuclei": {"spec": {"tile_spec": {"band": 32}}}},
            }
        },
    ).spec()
    assert (spec.num_channels, spec.tile_spec.size["y"]) == (2, 256)
    assert (spec.tile_spec.band["x"], spec.tile_spec.context["x"]) == (32, 8)


def test_stride_and_band_say_the_same() -> None:
    tile = choice(spec={"tile_spec": {"size": 256, "stride": 192, "context": 8}}).spec().tile_spec
    assert tile.band == {"y": 24, "x": 24}
    assert tile.stride("y") == 192


VARIANTS = {
    "merge": {"policy": "match"},
    "variants": {"keep": {"merge": {"policy": "keep"}, "classes": ["a", "b"]}},
}


def test_a_variant_is_merged_over_the_spec_and_ends_the_name_of_its_results() -> None:
    found = choice(spec=VARIANTS)
    assert (found.spec().merge, found.spec().classes) == ({"policy": "match"}, None)
    chosen = found.spec(variant="keep")
    assert (chosen.merge, chosen.classes) == ({"policy": "keep"}, ("a", "b"))
    assert found.store("keep") == "toy-v1-0-nuclei-keep.zarr"
    with pytest.raises(TilewrightError, match=r"no variant of toy-v1 called 'kep'.*keep"):
        found.spec(variant="kep")


def test_who_may_use_the_weights_is_the_versions_or_the_roots_to_say() -> None:
    root = {"gated": True, "access_url": "https://example.org/ask", "license": "MIT"}
    assert choice(**root).gated
    assert choice(**root).commercial_use is None
    open_one = choice(**root, versions={"v1": {"gated": False, "commercial_use": True}})
    assert (open_one.gated, open_one.commercial_use) == (False, True)
    assert (open_one.access_url, open_one.license) == ("https://example.org/ask", "MIT")


BAD = [
    pytest.param({"spec": {"tile_spec": {"size": 64, "band": 32}}}, "leave no core", id="core"),
    pytest.param({"spec": {"tile_spec": {"size": 9, "unit": "um"}}}, "no resolution", id="um"),
    pytest.param({"spec": {"tile_spec": {"size": 9, "stride": {"y": 3}}}}, "needs x", id="stride"),
    pytest.param({"spec": {"batch_size": 0}}, "at least 1", id="batch"),
]


@pytest.mark.parametrize(("changes", "says"), BAD)
def test_a_wrong_spec_names_its_field(changes: dict[str, object], says: str) -> None:
    with pytest.raises(TilewrightError, match=says):
        check_spec(choice(**changes).spec())


def test_an_overlay_replaces_a_manifest_whole(tmp_path: Path) -> None:
    over = {**MINIMAL, "short_name": "nuclei", "name": "Mine"}
    registry = Registry.load(written(tmp_path / "site", over))
    assert registry.manifests["nuclei"].name == "Mine"


def test_an_overlay_that_extends_puts_its_locations_first(tmp_path: Path) -> None:
    over = {
        "short_name": "nuclei",
        "extends": True,
        "versions": {"v1": {"tasks": {"nuclei": {"locations": "/site/nuclei.onnx"}}}},
    }
    found = Registry.load(written(tmp_path / "site", over)).choose("nuclei")
    assert [w.location for w in found.task.locations] == [
        "/site/nuclei.onnx",
        "models/nuclei/nuclei.onnx",
    ]


def test_all_wrong_manifests_are_named_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "a.yml").write_text("name: A\nshort_name: a\n")
    (site / "b.yml").write_text(
        "name: B\nshort_name: b\nversions: {}\nmetadata: {description: x}\n"
    )
    with pytest.raises(TilewrightError, match=r"a\.yml[\s\S]*b\.yml"):
        Registry.load(site)


PARAMS = [
    pytest.param({"value": 30.0, "min": 0}, -1, "at least 0", id="range"),
    pytest.param({"value": ["a", "b"]}, "c", "one of a, b", id="choice"),
    pytest.param({"value": 3}, "many", "of type int", id="type"),
    pytest.param({"value": 3}, True, "P is True; it takes a value of type int", id="flag"),
    pytest.param({"value": 0.5, "min": 0, "max": 1}, "nan", "P is .nan.; it takes a n", id="nan"),
    pytest.param({"dtype": "float"}, False, "P is False; it takes a value of type f", id="float"),
    pytest.param({"value": [1, 2]}, True, "P is True; it takes a value of type int", id="of some"),
]


@pytest.mark.parametrize(("param", "given", "says"), PARAMS)
def test_a_bad_value_is_refused_with_what_it_takes(
    param: dict[str, object], given: object, says: str
) -> None:
    with pytest.raises(TilewrightError, match=says):
        Param(name="P", **param).check(given)


def test_all_bad_values_of_a_config_are_named_at_once() -> None:
    with pytest.raises(TilewrightError, match="min_area is -1") as caught:
        Registry.load().choose("nuclei").values({"min_area": -1, "colour": "red"})
    assert "no parameter 'colour'" in str(caught.value)
