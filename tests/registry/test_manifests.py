"""Folders of manifests: what overlays come to, and what is said of faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import site

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.registry.checks.run import run_spec
from tilewright.registry.documents import LARGEST, read_document
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.weights.config_files import config_values, downloaded
from tilewright.weights.weights import find

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


def refusal(*folders: Path) -> list[str]:
    """What is said of the manifests in some folders, a line each, without the folders' names."""
    says = r", line \d+: |there is no such folder|holds no manifest"
    with pytest.raises(TilewrightError, match=says) as caught:
        Registry.load(*folders)
    assert caught.value.code in (2, 65)
    lines = str(caught.value).strip().splitlines()
    return [re.sub(r"\S*/(?=[\w.-]+, line)", "", line) for line in lines]


# Faults

MANUAL = "docs/manifest.md lists every field."
ESCAPES = f"leads out of the folder it begins at; an absolute path may be anywhere. {MANUAL}"
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
        f"toy.yml, line 14: versions.v1.tasks.nuclei.locations: {ESCAPES}",
        id="escape",
    ),
    pytest.param(
        ("license: MIT", "config: a/../../b.yml"),
        f"toy.yml, line 4: config: {ESCAPES}",
        id="config-escapes",
    ),
    pytest.param(
        ("license: MIT", "config: http://x.org/b.yml"),
        f"toy.yml, line 4: config: must be a path or an https:// address. {MANUAL}",
        id="config-http",
    ),
    pytest.param(
        ("license: MIT", "environment: ../base"),
        "toy.yml, line 4: environment: '../base' should have lower-case letters, digits, _- "
        f"only. {MANUAL}",
        id="environment",
    ),
    pytest.param(
        ('"1.0"', '"../x"'),
        "toy.yml, line 12: versions.v1.release: '../x' should have letters, digits and ._+- only. "
        f"{MANUAL}",
        id="release",
    ),
    pytest.param(
        ("short_name: toy", "short_name: tö"),
        "toy.yml, line 2: short_name: 'tö' should have lower-case letters, digits, _ only. "
        f"{MANUAL}",
        id="non-ascii",
    ),
    pytest.param(
        ("name: Toy\nshort_name: toy", "name: Ärger\n"),
        f"toy.yml, line 1: the manifest: short_name: none can be made of 'Ärger', so write one. "
        f"{MANUAL}",
        id="non-ascii-name",
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
        "toy.yml, line 9: spec.variants.a/b: 'a/b' should have lower-case letters, digits",
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


OF_THE_RUN = [
    pytest.param(
        ("band: 16", "band: 120"),
        "toy.yml, line 8: toy-v1: band 120 and context 8 leave no core of y.",
        id="no-core",
    ),
    pytest.param(
        ("band: 16", "stride: 111"),
        "toy.yml, line 8: toy-v1: the stride 111 along y leaves a band of 64.5 px. "
        "Take 110 or 112.",
        id="half-a-pixel",
    ),
    pytest.param(
        ("size: 256", "size: 256.6"),
        "toy.yml, line 8: toy-v1: size 256.6 along y isn't a whole number of pixels. "
        "Take 256 or 257.",
        id="half-a-size",
    ),
    pytest.param(
        ("size: 256", "size: -1"),
        "toy.yml, line 8: toy-v1: a size is -1. Give at least 1.",
        id="size",
    ),
    pytest.param(
        ("spec: {num_channels: 1}", "spec: {num_channels: 1, mean: [0.5], std: [0.0]}"),
        "toy.yml, line 17: toy-v1: std is 0 for channel 0.",
        id="zero-std",
    ),
    pytest.param(
        ("num_channels: 2", "num_channels: 2\n  merge: {min_iou: 0.5}"),
        "toy.yml, line 10: toy-v1: merge has no option min_iou. It can have policy, connectivity",
        id="merge-option",
    ),
]


@pytest.mark.parametrize(("change", "says"), OF_THE_RUN)
def test_what_keeps_a_model_from_running_is_said_when_it_is_chosen(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    """Other models of the folder run all the same."""
    registry = Registry.load(site(tmp_path / "site", TOY.replace(*change)))
    assert run_spec(registry, registry.choose("nuclei")).model_name == "nuclei"
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught:
        run_spec(registry, registry.choose("toy", task="cyto"))
    assert caught.value.code == 65


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


def with_config(tmp_path: Path, config: str, **files: str) -> ResolvedModel:
    """The toy, with a config file for all and one for the weights at `files`' names."""
    for name, text in files.items():
        (tmp_path / f"{name}.yml").write_text(text)
    places = [{"location": str(tmp_path / f"{n}.pt"), "config_path": str(tmp_path / f"{n}.yml")}
              for n in files]  # fmt: skip
    text = TOY.replace("license: MIT", f"config: {config}")
    text = text.replace("{locations: /ours/toy.pt}", json.dumps({"locations": places}))
    return Registry.load(site(tmp_path / "site", text)).choose("toy")


def values(
    choice: ResolvedModel, folder: Path, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a run gives the script."""
    file = find(choice, folder).config
    return choice.values(given or {}, config_values(file, folder), file)


def test_config_values_come_between_the_defaults_and_the_users(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('{"sigma": 3.5, "layers": [1, 2]}')
    choice = with_config(tmp_path, str(tmp_path / "all.json"))
    assert values(choice, tmp_path) == {"sigma": 3.5, "layers": [1, 2]}
    given = {"sigma": 4, "layers": [3]}
    assert values(choice, tmp_path, given) == {"sigma": 4.0, "layers": [3]}


def test_the_config_of_the_first_weights_that_are_here_counts(tmp_path: Path) -> None:
    choice = with_config(tmp_path, "x.yml", near="sigma: 5\n", far="sigma: 6\n")
    (tmp_path / "far.pt").touch()
    assert values(choice, tmp_path) == {"sigma": 6.0}
    (tmp_path / "near.pt").touch()
    assert values(choice, tmp_path) == {"sigma": 5.0}


def test_a_wrong_value_in_a_config_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "all.yml").write_text("sigma: -1\n")
    with pytest.raises(
        TilewrightError, match=r"sigma is -1; it takes at least 0\. Change it in .*all"
    ):
        values(with_config(tmp_path, str(tmp_path / "all.yml")), tmp_path)


def test_a_config_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"none.yml, line 1: there is no such file"):
        values(with_config(tmp_path, str(tmp_path / "none.yml")), tmp_path)


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
    name = hashlib.sha256(address.encode()).hexdigest()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / f"{name}.yml").write_text("sigma: 7\n")
    assert values(choice, tmp_path) == {"sigma": 7.0}
    assert values(choice, tmp_path, {"sigma": 1}) == {"sigma": 1.0}
