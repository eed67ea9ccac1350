"""The words users read: complete, linked, and true where a program can tell."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

import tilewright
from tilewright import ROOT, __version__
from tilewright.api.tiles import ImageTile
from tilewright.cli import main
from tilewright.cli.envs import users_of
from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.plan.inputs import INPUT_COLUMNS
from tilewright.plan.params import Params
from tilewright.plan.plan_file import PlanFile
from tilewright.predict.model_process import ModelProcess
from tilewright.registry.manifest import (
    TASK_NAMES,
    Author,
    Location,
    Manifest,
    Metadata,
    Param,
    Publication,
    Task,
    Version,
)
from tilewright.registry.registry import Registry
from tilewright.report.run_file import RunFile
from tilewright.runtime.postprocess import to_labels
from tilewright.stores.columns import OBJECT_COLUMNS

DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "examples" / "nuclei" / "README.md",
]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
PASSED_ON = {"bench", "environments", "test"}  # what follows is another program's
BLOCKS = (Manifest, Version, Task, Location, Param, Metadata, Publication, Author)
SPECS = (ModelSpec, TileSpec, Resolution)


def named(page: Path) -> str:
    """A test's id: the page's path in the repository."""
    return str(page.relative_to(ROOT))


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next of any level."""
    text = TEXT[page]
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{named(page)} has no heading {heading}"
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """A table's cells by each of the names in backticks in its first one."""
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line[:3] == "| `"]
    return {name: cells for cells in table for name in re.findall(r"`([^`]+)`", cells[0])}


def anchors(page: Path) -> set[str]:
    """The anchors GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", TEXT[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def fenced(page: Path, language: str, holds: str) -> str:
    """The one code block of a language that holds some words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT[page], re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if holds in block]
    return str(found)


def commands(page: Path) -> list[list[str]]:
    """The launcher's command lines on a page, as words; a backslash goes on on the next line."""
    text = TEXT[page].replace("\\\n", " ")
    found = re.findall(r"(?:^ {4}|`|\()\"?(?:\$\()?\./tilewright ([^`\n)]*)", text, re.MULTILINE)
    return [re.sub(r"\s#.*", "", line).split() for line in found]


def options(command: str) -> set[str]:
    """Every option a command takes, `--help` aside."""
    return {o for p in main.main.commands[command].params for o in p.opts if o.startswith("--")}


# Nothing is missing


@pytest.mark.parametrize("command", sorted(main.main.commands))
def test_every_command_is_explained(command: str) -> None:
    assert any([command] == words[:1] for page in PAGES for words in commands(page))


@pytest.mark.parametrize("command", sorted(main.main.commands))
def test_every_option_is_explained(command: str) -> None:
    text = "".join(TEXT.values())
    assert {o for o in options(command) if f"`{o}`" not in text} == set()


def test_every_parameter_is_explained_with_its_default() -> None:
    table = rows(section(DOCS / "run.md", "Parameters"))
    for name, field in Params.model_fields.items():
        cells = table[f"--{field.alias or name}"]
        default = "required" if field.is_required() else str(field.default).lower()
        assert cells[1] == default, cells


def test_no_parameter_is_explained_that_there_is_not() -> None:
    named_there = {n for n in rows(section(DOCS / "run.md", "Parameters")) if n.startswith("--")}
    assert named_there == options("run")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.__name__)
def test_every_manifest_field_is_explained_and_no_other(block: Any) -> None:
    table = rows(section(DOCS / "manifest.md", block.__name__))
    assert set(table) == set(block.model_fields)


@pytest.mark.parametrize("block", SPECS, ids=lambda b: b.__name__)
def test_every_spec_field_is_explained_and_no_other(block: Any) -> None:
    table = rows(section(DOCS / "manifest.md", block.__name__))
    assert set(table) == {f.name for f in dataclasses.fields(block)}


def test_every_spec_default_is_the_one_explained() -> None:
    for block in (ModelSpec, Resolution):
        table = rows(section(DOCS / "manifest.md", block.__name__))
        for field in dataclasses.fields(block):
            told = table[field.name][1]
            if isinstance(field.default, (bool, int, float)):
                assert told == str(field.default).lower(), field.name
            elif isinstance(field.default, str) and field.default and field.name != "on_failure":
                assert told == field.default, field.name


def test_every_task_is_named() -> None:
    assert [t for t in TASK_NAMES if f"`{t}`" not in section(DOCS / "manifest.md", "Task")] == []


def test_every_column_of_a_csv_is_explained_and_no_other() -> None:
    assert set(rows(section(DOCS / "run.md", "A CSV"))) == set(INPUT_COLUMNS)


def test_every_column_of_a_table_is_explained_and_no_other() -> None:
    assert set(rows(section(DOCS / "output.md", "The table"))) == {*OBJECT_COLUMNS, "region"}


def test_every_key_of_run_json_is_explained_and_no_other() -> None:
    assert set(rows(section(DOCS / "output.md", "run.json"))) == {
        f.name for f in dataclasses.fields(RunFile)
    }


def test_every_key_of_plan_json_is_explained_and_no_other() -> None:
    assert set(rows(section(DOCS / "output.md", "plan.json"))) == {
        f.name for f in dataclasses.fields(PlanFile)
    }


# What is there is true


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_line_is_one_the_launcher_takes(page: Path) -> None:
    for words in commands(page):
        command, given = words[0], {w.partition("=")[0] for w in words[1:] if w.startswith("--")}
        assert command in main.main.commands, words  # so that --help lists it
        if command in main.main.commands and command not in PASSED_ON:
            assert given <= options(command), words


def test_every_model_whose_environment_is_built_in_the_docs_exists() -> None:
    built = [w[2:] for page in PAGES for w in commands(page) if w[:2] == ["envs", "build"]]
    names = {n for words in built for n in takewhile(lambda w: w[0] != "-", words)} - {"MODEL"}
    assert names
    assert all(users_of(Registry.load(), [n]) for n in names)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_of_ours_that_is_named_exists(page: Path) -> None:
    paths = re.findall(
        r"`((?:bin|src|docs|tests|modules|manifests|envs)/[\w./-]+\.\w+)`", TEXT[page]
    )
    made_by_reader = {
        *("manifests/blobs.yml", "bin/run_blobs.py", "tests/test_model_blobs.py"),
        *("manifests/my_nuclei.yml", "tests/test_model_my_nuclei.py"),
    }
    assert [p for p in paths if p not in made_by_reader and not (ROOT / p).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lines_are_short_enough_to_read_in_a_terminal(page: Path) -> None:
    prose = [
        s
        for s in TEXT[page].splitlines()
        if not s.startswith(("|", "!", "- [")) and "http" not in s
    ]
    assert [line for line in prose if len(line) > 110] == []


def test_the_readme_shows_the_picture_then_two_sentences_then_two_commands() -> None:
    blocks = TEXT[ROOT / "README.md"].split("\n\n")
    assert blocks[0].startswith("![")
    assert len(re.findall(r"\.(?:\s|$)", blocks[2])) == 2
    assert blocks[3] == "    ./tilewright demo\n    ./tilewright test"


def test_the_pictures_are_small_and_whole() -> None:
    overview = DOCS / "img" / "overview.png"
    assert overview.stat().st_size <= 500_000
    with Image.open(overview) as picture:
        picture.verify()
    ElementTree.parse(DOCS / "img" / "tiles.svg")  # noqa: S314 - our own file


def test_every_demo_image_has_its_origin_and_licence() -> None:
    page = ROOT / "examples" / "nuclei" / "README.md"
    table = rows(TEXT[page])
    images = {p.name for p in page.parent.iterdir() if p.suffix in (".tif", ".png")}
    assert {name for name in table if name in images} == images
    assert all(table[name][-1] == "CC0" for name in images)


def test_the_citation_and_the_changes_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == __version__
    assert citation["license"] == "BSD-3-Clause"
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")


# The examples of docs/manifest.md work; test_walk.py does docs/adding-a-model.md


def test_the_manifests_in_the_docs_are_taken_too(tmp_path: Path) -> None:
    page = DOCS / "manifest.md"
    (tmp_path / "site.yml").write_text(fenced(page, "yaml", "extends: true"))
    locations = Registry.load(tmp_path).choose("cellpose", "cyto3").task.locations
    assert locations[0].location == "/shared/models/cyto3"
    assert len(locations) == 2
    digest = yaml.safe_load(fenced(page, "yaml", "example.org"))
    assert Version.model_validate(digest["versions"]["v1"]).tasks["nuclei"].locations[0].sha256


NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 1))
"""
SAVE = """
import sys, torch
layers = {"0.weight": torch.tensor([1.0, 0, 1]).reshape(3, 1, 1, 1), "0.bias": torch.zeros(3)}
torch.save(layers, sys.argv[1])
"""


@pytest.mark.slow
def test_the_script_in_the_docs_runs_a_torch_network(tmp_path: Path) -> None:
    script, weights = tmp_path / "run_net.py", tmp_path / "net.pt"
    script.write_text(fenced(DOCS / "manifest.md", "python", "from net import Net"))
    assert len(script.read_text().splitlines()) <= 30
    (tmp_path / "net.py").write_text(NET)
    python = interpreters.build("torchscript", interpreters.default_root()) / "bin" / "python"
    env = child_env(python.parents[1])
    subprocess.run([python, "-c", SAVE, weights], check=True, timeout=300, env=env)
    coarse = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    tiles = coarse.repeat(8, 2).repeat(8, 3)
    settings = {"weights": str(weights), "device": "cpu", "params": {}, "timeout": 300, "env": env}
    with ModelProcess(python, script, spec={"output_kind": "labels"}, **settings) as model:
        labels = model.predict(tiles)
    assert labels.max() > 3
    maps = np.concatenate([tiles, 0 * tiles, tiles], 1)
    np.testing.assert_array_equal(labels, to_labels(maps, {}))


# The examples of docs/python.md work; its Dataset, too, where torch is


def test_tiles_are_read_as_the_docs_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (448, 900, 3), "uint8")
    tifffile.imwrite(tmp_path / "slide.tif", pixels, photometric="rgb")
    monkeypatch.chdir(tmp_path)
    exec(fenced(DOCS / "python.md", "python", "Resolution(mpp=0.5)"), {})  # noqa: S102
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "0 (3, 224, 224) (0.0, 0.0) (112.0, 112.0)"
    assert second == "1 (3, 224, 224) (0.0, 448.0) (112.0, 112.0)"
    assert third == "2 (3, 224, 224) (0.0, 896.0) (112.0, 1.0)"


def test_the_docs_name_every_part_of_a_tile_and_all_that_is_public() -> None:
    page = DOCS / "python.md"
    assert set(rows(section(page, "Tiles without the pipeline"))) >= {
        f.name for f in dataclasses.fields(ImageTile)
    }
    named = {name for line in rows(section(page, "From Python")) for name in line.split(", ")}
    assert {n.removeprefix("tilewright.") for n in named if "tilewright." in n} >= set(
        tilewright.__all__
    )


def test_the_docs_dataset_is_ten_lines_of_a_dataset(tmp_path: Path) -> None:
    """With stand-ins for the three names of torch that it uses; `base` has no torch."""
    code = fenced(DOCS / "python.md", "python", "class TileDataset")
    body = code[code.index("class TileDataset") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10
    pixels = np.arange(60 * 70, dtype="uint16").reshape(60, 70)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    torch = SimpleNamespace(
        utils=SimpleNamespace(data=SimpleNamespace(Dataset=object)),
        from_numpy=np.asarray,
        tensor=np.asarray,
    )
    names: dict[str, Any] = {"torch": torch, "tilewright": tilewright}
    exec(body, names)  # noqa: S102
    dataset = names["TileDataset"](tmp_path / "a.tif", TileSpec({"y": 60, "x": 35}))
    assert len(dataset) == 2
    array, origin = dataset[1]
    np.testing.assert_array_equal(array[0], pixels[:, 35:])
    assert origin.tolist() == [0, 35]
