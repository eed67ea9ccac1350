"""Folders of manifests: what overlays come to, and what is said of faults."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tifffile
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilewright import preprocess
from tilewright.configs import config_values, downloaded
from tilewright.documents import LARGEST, read_document
from tilewright.errors import TilewrightError
from tilewright.manifest import TASK_NAMES
from tilewright.plan import Plan, make_plan
from tilewright.registry import ROOT, Choice, Registry

TOY = """\
name: Toy
short_name: toy
metadata: {description: A toy.}
license: MIT
params:
  - {name: Sigma, arg_name: sigma, value: 2.0, min: 0}
spec:
  tile_spec: {size: 256, band: 16, context: 8}
  num_channels: 2
versions:
  v1:
    release: "1.0"
    tasks:
      nuclei: {locations: /ours/toy.pt}
      cyto:
        locations: []
        spec: {num_channels: 1}
"""


def site(folder: Path, text: str, name: str = "toy.yml") -> Path:
    """A folder with one more manifest."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def refusal(*folders: Path) -> list[str]:
    """What is said of the manifests in some folders, a line each, without the folders' names."""
    with pytest.raises(TilewrightError) as caught:
        Registry.load(*folders)
    assert caught.value.code in (2, 65)
    lines = str(caught.value).strip().splitlines()
    return [re.sub(r"\S*/(?=[\w.-]+, line)", "", line) for line in lines]


# Faults

MANUAL = "docs/manifest.md lists every field."
FAULTS = [
    pytest.param(
        ("license:", "licence:"),
        "toy.yml, line 4: the manifest: there is no field 'licence'. Did you mean 'license'?",
        id="root-key",
    ),
    pytest.param(
        ("min: 0", "mim: 0"),
        "toy.yml, line 6: params[0]: there is no field 'mim'. Did you mean 'min'?",
        id="param-key",
    ),
    pytest.param(
        ("band: 16", "strid: 200"),
        "toy.yml, line 8: spec.tile_spec: there is no field 'strid'. Did you mean 'stride'?",
        id="tile-key",
    ),
    pytest.param(
        ("spec: {num_channels: 1}", "spec: {num_chanels: 1}"),
        "toy.yml, line 17: versions.v1.tasks.cyto.spec: there is no field 'num_chanels'. "
        "Did you mean 'num_channels'?",
        id="task-spec-key",
    ),
    pytest.param(
        ("num_channels: 2", "num_channels: two"),
        f"toy.yml, line 9: spec.num_channels: 'two' should be a whole number. {MANUAL}",
        id="type",
    ),
    pytest.param(
        ('"1.0"', "1.0"),
        "toy.yml, line 12: versions.v1.release: 1.0 should be a text. Put it in quotes: \"1.0\".",
        id="number-as-text",
    ),
    pytest.param(
        ("metadata: {description: A toy.}", "metadata: {}"),
        f"toy.yml, line 3: metadata.description: is missing. {MANUAL}",
        id="missing",
    ),
    pytest.param(
        ("nuclei:", "nucleii:"),
        "toy.yml, line 14: versions.v1.tasks.nucleii: unknown task 'nucleii'. "
        "Did you mean 'nuclei'?",
        id="task",
    ),
    pytest.param(
        ("cyto:", "NUCLEI:"),
        "toy.yml, line 15: the task 'nuclei' is there twice. Capitals don't count: join the two.",
        id="task-twice",
    ),
    pytest.param(
        ("/ours/toy.pt", "../../etc/passwd"),
        "toy.yml, line 14: versions.v1.tasks.nuclei.locations: leads out of the repository; "
        f"an absolute path may be anywhere. {MANUAL}",
        id="escape",
    ),
    pytest.param(
        ("license: MIT", "config: a/../../b.yml"),
        f"toy.yml, line 4: config: leads out of the repository; an absolute path may be anywhere. "
        f"{MANUAL}",
        id="config-escapes",
    ),
    pytest.param(
        ("license: MIT", "config: http://x.org/b.yml"),
        f"toy.yml, line 4: config: must be a path or an https:// address. {MANUAL}",
        id="config-http",
    ),
    pytest.param(
        ("license: MIT", "environment: ../base"),
        f"toy.yml, line 4: environment: '../base' should match pattern "
        f"'^[a-z0-9][a-z0-9_-]*$'. {MANUAL}",
        id="environment",
    ),
    pytest.param(
        ('"1.0"', '"../x"'),
        f"toy.yml, line 12: versions.v1.release: '../x' should match pattern "
        f"'^[A-Za-z0-9][A-Za-z0-9._+-]*$'. {MANUAL}",
        id="release",
    ),
    pytest.param(
        ("short_name: toy", "short_name: tö"),
        f"toy.yml, line 2: short_name: 'tö' should match pattern '^[a-z0-9][a-z0-9_]*$'. {MANUAL}",
        id="non-ascii",
    ),
    pytest.param(
        ("name: Toy\nshort_name: toy", "name: Ärger\n"),
        f"toy.yml, line 1: the manifest: short_name: none can be made of 'Ärger', so write one. "
        f"{MANUAL}",
        id="non-ascii-name",
    ),
    pytest.param(
        ("band: 16", "band: 120"),
        "toy.yml, line 8: spec.tile_spec.band: a tile of 256 px has no core: ",
        id="no-core",
    ),
    pytest.param(
        ("size: 256", "size: -1"),
        f"toy.yml, line 8: spec.tile_spec.size: size and stride_multiple are over 0. {MANUAL}",
        id="size",
    ),
    pytest.param(
        ("spec: {num_channels: 1}", "spec: {mean: [0.5], std: [0.0]}"),
        "toy.yml, line 17: versions.v1.tasks.cyto.spec.std: ",
        id="zero-std",
    ),
    pytest.param(
        ("spec: {num_channels: 1}", "spec: {mean: [0.5], std: [.nan]}"),
        "toy.yml, line 17: .nan isn't a finite number. docs/manifest.md shows the form.",
        id="nan-std",
    ),
    pytest.param(
        ("num_channels: 2", "variants: {a: {precison: fp16}}"),
        "toy.yml, line 9: spec.variants.a: there is no field 'precison'. Did you mean 'precision'?",
        id="variant-key",
    ),
    pytest.param(
        ("num_channels: 2", "variants: {a/b: {precision: fp16}}"),
        "toy.yml, line 9: spec.variants.a/b: 'a/b' should match pattern ",
        id="variant-name",
    ),
    pytest.param(
        ("num_channels: 2", "variants: {a: {batch_size: 0}}"),
        "toy.yml, line 9: spec.variants.a.batch_size: ",
        id="variant-value",
    ),
    pytest.param(
        ("license: MIT", "extends: true"),
        "toy.yml, line 4: there is no manifest 'toy' that could be extended. Known: ",
        id="extends-nothing",
    ),
    pytest.param(
        ("license: MIT", "extends: cellpose"),
        f"toy.yml, line 4: extends: 'cellpose' should be true or false. {MANUAL}",
        id="extends-a-name",
    ),
    pytest.param(
        ("versions:\n", "versions:\n  #\n  v0:\n"),
        f"toy.yml, line 12: versions.v0: None should be a mapping of names to values. "
        f"{MANUAL}",
        id="empty-block",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), FAULTS)
def test_a_fault_is_one_line_with_its_place_and_what_to_do(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    assert change[0] in TOY
    (line,) = refusal(site(tmp_path / "site", TOY.replace(*change, 1)))
    assert line.startswith(says)
    assert line == says or not says.endswith(".")


ALLOWED = [
    pytest.param(("license: MIT", ""), id="no-licence"),
    pytest.param(("nuclei:", "Nuclei:"), id="capitals"),
    pytest.param(("name: Toy", "name: Zellkerne für Ü"), id="non-ascii-title"),
    pytest.param(("v1:", "Größe 2:"), id="non-ascii-version"),
    pytest.param(("short_name: toy", "# none"), id="no-short-name"),
    pytest.param(("num_channels: 2", "num_channels: 1e0"), id="yaml-1.2-number"),
]


@pytest.mark.parametrize("change", ALLOWED)
def test_what_people_may_write(tmp_path: Path, change: tuple[str, str]) -> None:
    registry = Registry.load(site(tmp_path / "site", TOY.replace(*change, 1)))
    found = registry.choose("toy", task="nuclei")
    assert (found.task_name, found.spec().tile_spec.size["y"]) == ("nuclei", 256)


def test_all_faults_of_all_files_are_listed_at_once(tmp_path: Path) -> None:
    folder = site(tmp_path / "site", TOY.replace("license:", "licence:").replace("two", "2"))
    site(folder, TOY.replace("toy", "other").replace("num_channels: 2", "x: 2"), "other.yaml")
    site(folder, "name: [\n", "third.yml")
    site(folder, '{"name": "Four",\n "nam": 4}', "four.json")
    lines = refusal(folder)
    starts = [line.partition(": ")[0] for line in lines]
    assert starts == [
        "third.yml, line 2",
        *["four.json, line 1"] * 2,
        "four.json, line 2",
        "other.yaml, line 9",
        "toy.yml, line 4",
    ]


def paths(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """What leads to each value of nested dicts and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield (*where, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*where, key))


def swapped(data: Any, where: tuple[Any, ...], value: Any) -> Any:
    """The same data with one value in another's place."""
    changed = json.loads(json.dumps(data))
    block = changed
    for key in where[:-1]:
        block = block[key]
    block[where[-1]] = value
    return changed


BARE = {
    "short_name": "cellpose",
    "name": "Cellpose",
    "metadata": {"description": "As AI OnDemand has it, without a spec."},
    "params": [{"name": "Diameter", "arg_name": "diameter", "value": 0}],
    "versions": {"cyto3": {"tasks": {"cyto": {"locations": "x"}}}},
}
STRANGE = [None, 3, -1.5, "x", "", [], {}, [1], [None], {"y": 1}, {"x": None}, True]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_any_place_loads_or_is_named_with_its_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    folders = [site(tmp_path / "a", TOY)]
    base = data.draw(st.sampled_from([yaml.safe_load(TOY), yaml.safe_load(OVER), BARE]))
    changed = swapped(
        base, data.draw(st.sampled_from([*paths(base)])), data.draw(st.sampled_from(STRANGE))
    )
    folders.append(site(tmp_path / "b", yaml.safe_dump(changed, sort_keys=False), "b.yml"))
    said = ""
    try:
        Registry.load(*folders)
    except TilewrightError as error:
        said = str(error).strip()
    assert all(re.match(r"/\S+/[ab]/\w+\.yml, line \d+: ", line) for line in said.splitlines()), (
        said
    )


@pytest.mark.parametrize("params", [3, -1.5, True, [3], {"a": 1}], ids=str)
def test_parameters_of_the_wrong_kind_without_a_spec_are_named(tmp_path: Path, params: Any) -> None:
    text = yaml.safe_dump({**BARE, "params": params}, sort_keys=False)
    lines = refusal(site(tmp_path / "site", text))
    assert any("params" in line for line in lines), lines


# Names that are there twice


def test_a_short_name_that_is_there_twice_names_both_files(tmp_path: Path) -> None:
    folder = site(site(tmp_path / "site", TOY), TOY, "zoo.json.yml")
    (line,) = refusal(folder)
    assert line.startswith("zoo.json.yml, line 2: the short_name 'toy' is that of ")
    assert line.endswith("toy.yml, line 2, too. Give each its own, or remove one file.")


def test_a_model_name_that_is_there_twice_names_both_files(tmp_path: Path) -> None:
    text = TOY.replace("v1:", "v1:\n    model_name: nuclei")
    (line,) = refusal(site(tmp_path / "site", text))
    assert line.startswith("toy.yml, line 12: versions.v1: the model_name 'nuclei' is that of ")
    ours = (ROOT / "manifests" / "nuclei.yml").read_text().splitlines()
    number = 1 + ours.index("    model_name: nuclei")
    assert f"that of nuclei.yml, line {number}, too." in line


def test_two_versions_of_one_line_may_not_share_a_name_either(tmp_path: Path) -> None:
    one = "{model_name: same, tasks: {nuclei: {locations: []}}}"
    text = TOY.partition("versions:")[0] + f"versions: {{a: {one}, b: {one}}}\n"
    (line,) = refusal(site(tmp_path / "site", text))
    assert "versions.b: the model_name 'same' is that of" in line


# Folders


def test_a_folder_that_isnt_there_or_holds_no_manifest_is_named(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(tmp_path / "none")[0]
    (tmp_path / "empty").mkdir()
    assert (
        "holds no manifest. Manifests are files that end in .yml" in refusal(tmp_path / "empty")[0]
    )


OVER = """\
short_name: toy
extends: true
versions:
  v1:
    tasks:
      Nuclei:
        locations: [/site/toy.pt, {location: /other/toy.pt}]
      cyto: {spec: {num_channels: 3}}
  v2:
    tasks: {mito: {locations: []}}
"""


def test_an_overlay_is_merged_over_what_is_there_its_locations_first(tmp_path: Path) -> None:
    first, second = site(tmp_path / "a", TOY), site(tmp_path / "b", OVER, "site.yml")
    third = site(
        tmp_path / "c", json.dumps(yaml.safe_load(OVER.partition("      cyto")[0])), "c.json"
    )
    registry = Registry.load(first, second, third)
    places = [w.location for w in registry.choose("toy", "v1", "nuclei").task.locations]
    site_two = ["/site/toy.pt", "/other/toy.pt"]
    assert places == [*site_two, *site_two, "/ours/toy.pt"]
    assert registry.choose("toy", "v1", "cyto").spec().num_channels == 3
    assert registry.choose("toy", "v2").task_name == "mito"
    assert registry.choose("toy").license == "MIT"


def test_a_fault_is_put_into_the_file_it_was_written_in(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    site(first, TOY.replace("/ours/toy.pt", "{location: /ours/toy.pt, size: 3}"))
    site(second, OVER.replace("{location: /other/toy.pt}", "{place: /other/toy.pt}"), "site.yml")
    assert sorted(line.partition(". ")[0] for line in refusal(first, second)) == [
        "site.yml, line 7: versions.v1.tasks.nuclei.locations[1].location: is missing",
        "site.yml, line 7: versions.v1.tasks.nuclei.locations[1]: there is no field 'place'",
        "toy.yml, line 14: versions.v1.tasks.nuclei.locations[2]: there is no field 'size'",
    ]


EMPTY = [
    pytest.param("versions:\n", "versions: None should be a mapping", id="versions"),
    pytest.param("versions: {v1: {tasks: }}\n", "versions.v1.tasks: None should", id="tasks"),
    pytest.param("versions: {v1: {tasks: {cyto: }}}\n", "tasks.cyto: None should", id="task"),
    pytest.param("versions: [v1]\n", "versions: ['v1'] should be a mapping", id="list"),
    pytest.param("params: 3\n", "params: 3 should be a list", id="params"),
]


@pytest.mark.parametrize(("text", "says"), EMPTY)
def test_a_block_of_the_wrong_kind_is_named_and_no_traceback(
    tmp_path: Path, text: str, says: str
) -> None:
    over = site(tmp_path / "b", f"short_name: toy\nextends: true\n{text}")
    (line,) = refusal(site(tmp_path / "a", TOY), over)
    assert line.startswith("toy.yml, line 3: ")
    assert says in line


# Config files


def with_config(tmp_path: Path, config: str, **files: str) -> Choice:
    """The toy, with a config file for all and one for the weights at `files`' names."""
    for name, text in files.items():
        (tmp_path / f"{name}.yml").write_text(text)
    places = [{"location": str(tmp_path / f"{n}.pt"), "config_path": str(tmp_path / f"{n}.yml")}
              for n in files]  # fmt: skip
    text = TOY.replace("license: MIT", f"config: {config}")
    text = text.replace("{locations: /ours/toy.pt}", json.dumps({"locations": places}))
    return Registry.load(site(tmp_path / "site", text)).choose("toy")


def test_config_values_come_between_the_defaults_and_the_users(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('{"sigma": 3.5, "layers": [1, 2]}')
    choice = with_config(tmp_path, str(tmp_path / "all.json"))
    assert choice.values({}) == {"sigma": 3.5, "layers": [1, 2]}
    assert choice.values({"sigma": 4, "layers": [3]}) == {"sigma": 4.0, "layers": [3]}


def test_the_config_of_the_first_weights_that_are_here_counts(tmp_path: Path) -> None:
    choice = with_config(tmp_path, "x.yml", near="sigma: 5\n", far="sigma: 6\n")
    (tmp_path / "far.pt").touch()
    assert choice.values({}) == {"sigma": 6.0}
    (tmp_path / "near.pt").touch()
    assert choice.values({}) == {"sigma": 5.0}


def test_a_wrong_value_in_a_config_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "all.yml").write_text("sigma: -1\n")
    with pytest.raises(
        TilewrightError, match=r"sigma is -1; it takes at least 0\. Change it in .*all"
    ):
        with_config(tmp_path, str(tmp_path / "all.yml")).values({})


def test_a_config_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"none.yml, line 1: No such file"):
        with_config(tmp_path, str(tmp_path / "none.yml")).values({})


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
            assert recipe.script["name"] == f"run_{short_name}.py"
            continue
        says = f"The model {short_name} has no script bin/run_{short_name}.py yet"
        with pytest.raises(TilewrightError, match=says) as caught:
            choice.recipe(choice.spec(), {})
        assert caught.value.code == 69
    assert "cellpose" in SCRIPTS


def test_cellpose_of_ai_ondemand_is_ours_with_its_own_parameters() -> None:
    theirs, ours = (r.manifests["cellpose"] for r in (Registry.load(aiod()), Registry.load()))
    pairs = {"cyto3": "cyto3", "cyto2": "cyto2", "cyto1": "cyto", "nuclei": "nuclei"}
    for name, own in pairs.items():
        task = next(iter(theirs.versions[name].tasks))
        spec, known = (Choice(m, v, task).spec() for m, v in ((theirs, name), (ours, own)))
        assert spec.to_dict() == {**known.to_dict(), "model_name": spec.model_name, "version": "0"}
        values = Choice(theirs, name, task).values({})
        assert set(values) == set(Choice(ours, own, task).values({}))
        assert (values["batch_size"], values["diameter"]) == (64, 0.0)
        assert values["diam_mean"] == (17.0 if name == "nuclei" else 0.0)
    choice = Choice(theirs, "cyto3", "cyto")
    assert choice.values({"diameter": 30.5})["diameter"] == 30.5
    with pytest.raises(TilewrightError, match="do_3D is True; it takes one of False"):
        choice.values({"do_3D": True})


AXES = [
    pytest.param("2D_versatile_fluo", "CYX", 1, "MULTI", "yx", id="YX"),
    pytest.param("2D_versatile_he", "YXC", 3, "RGB", "yx", id="YXC"),
    pytest.param("3D_demo", "CZYX", 1, "MULTI", "zyx", id="ZYX"),
]


@pytest.mark.parametrize(("version", "axes", "channels", "colour", "spatial"), AXES)
def test_without_a_spec_a_versions_axes_decide(
    version: str, axes: str, channels: int, colour: str, spatial: str
) -> None:
    spec = Registry.load(aiod()).choose("stardist", version).spec()
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
    return make_plan(given | {"weights_dir": str(tmp_path / "weights")} | params, tmp_path)


@pytest.mark.parametrize("name", sorted(set(THEIRS) - SCRIPTS))
def test_a_model_without_a_script_ends_plan_with_the_scripts_name(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(TilewrightError) as caught:
        planned(tmp_path, model=name, manifests=str(aiod()))
    assert caught.value.code == 69
    assert str(caught.value).strip() == (
        f"The model {name} has no script bin/run_{name}.py yet. "
        "Choose another model (./tilewright models lists them) or add the script."
    )


CHOSEN = [
    pytest.param({}, (0, 1), id="none"),
    pytest.param({"segment_channel": 2, "nucleus_channel": 1}, (1, 0), id="both"),
    pytest.param({"segment_channel": 2}, (1, preprocess.EMPTY), id="segment"),
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
    assert plan.to_dict()["store"] == "nuclei-1.0.0-nuclei-rough.zarr"
    with pytest.raises(TilewrightError, match="no variant of nuclei called 'fine'"):
        planned(tmp_path, manifests=str(folder), variant="fine", channels="0")


class Configs(BaseHTTPRequestHandler):
    """Serves a config file, a huge one, or nothing, and counts."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = {"/net.json": b'{"sigma": 3.5}', "/huge.yml": b"#" * (LARGEST + 1)}.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Configs.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Configs) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_a_config_file_is_downloaded_once(tmp_path: Path, server: str) -> None:
    for _ in range(2):
        assert read_document(downloaded(f"{server}/net.json", tmp_path)).data == {"sigma": 3.5}
    assert Configs.asked == ["/net.json"]
    assert len(list((tmp_path / "configs").iterdir())) == 1


def test_a_config_file_that_cant_be_had_is_named_and_nothing_is_kept(
    tmp_path: Path, server: str
) -> None:
    with pytest.raises(TilewrightError, match=r"/none.yml can't be had.*404.*Try again"):
        downloaded(f"{server}/none.yml", tmp_path)
    with pytest.raises(TilewrightError, match=r"it has more than 1048576 bytes"):
        downloaded(f"{server}/huge.yml", tmp_path)
    assert not list(tmp_path.rglob("*.yml"))


def test_a_downloaded_config_file_is_what_a_model_gets(tmp_path: Path) -> None:
    address = "https://example.org/net.yml"
    choice = with_config(tmp_path, address)
    with pytest.raises(TilewrightError, match="a config file that isn't here: https"):
        choice.values({})
    name = hashlib.sha256(address.encode()).hexdigest()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / f"{name}.yml").write_text("sigma: 7\n")
    base = config_values(choice, tmp_path)
    assert choice.values({}, base) == {"sigma": 7.0}
    assert choice.values({"sigma": 1}, base) == {"sigma": 1.0}
