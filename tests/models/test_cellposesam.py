"""Cellpose-SAM: what its files promise, and that its labels are the library's."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from zoo import runs
from zoo.cases import CASES

from tilewright import ROOT
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry
from tilewright.runtime.volumes import anisotropy

Array = np.ndarray[Any, Any]
SCRIPT = ROOT / "bin" / "run_cellposesam.py"
AIOD = json.loads((ROOT / "manifests" / "aiod" / "cellposesam.json").read_text())
PLUGIN = {p["arg_name"]: p["value"] for p in AIOD["params"]}  # for a user who changed nothing
CASE = CASES["cellposesam"]


def constant(name: str) -> Any:
    """A constant of the script, which can't be imported where there is no torch."""
    for node in ast.parse(SCRIPT.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


# The manifest.


@pytest.mark.parametrize("task", ["cyto", "nuclei"])
def test_the_plugins_version_is_the_same_file_here(task: str) -> None:
    (theirs,) = AIOD["versions"]["cpsam"]["tasks"][task]["locations"]
    (ours,) = Registry.load().choose("cellposesam", "cpsam", task).task.locations
    assert ours.location == theirs["location"]


def test_the_plugins_settings_are_taken_as_they_are() -> None:
    values = Registry.load().choose("cellposesam").values(PLUGIN)
    assert {k: values[k] for k in PLUGIN} == PLUGIN
    mine = Registry.load().choose("cellposesam").values({})
    assert {k for k in PLUGIN if mine[k] != PLUGIN[k]} == {"batch_size"}


def test_every_parameter_is_the_librarys_or_refused_or_of_no_use_here() -> None:
    values = Registry.load().choose("cellposesam").values({})
    refused = constant("REFUSED")
    assert set(values) == {*constant("USED"), *refused, "anisotropy", "channel_axis", "z_axis"}
    assert not any(values[name] for name in refused)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"do_3D": "often"}, "do_3D is 'often'", id="3d"),
        pytest.param({"stitch_threshold": 0.3}, "stitch_threshold is 0.3", id="stitching"),
        pytest.param({"tile_overlap": 0.6}, "tile_overlap is 0.6; it takes", id="overlap"),
        pytest.param({"anisotropy": -2.0}, "anisotropy is -2.0; it takes", id="negative"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_work(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)):
        Registry.load().choose("cellposesam").values(given)


def test_the_environment_pins_every_package_and_shares_torch_with_sam() -> None:
    pins = {}
    for name in ("sam", "cellposesam"):
        env = yaml.safe_load((ROOT / "envs" / f"{name}.yml").read_text())
        pins[name] = dict(p.split("==") for p in env["dependencies"][-1]["pip"])
    shared = pins["sam"].keys() & pins["cellposesam"].keys()
    same = {k for k in shared if pins["sam"][k] == pins["cellposesam"][k]}
    assert {"torch", "torchvision", "sympy", "pillow"} <= same


@pytest.mark.parametrize("model", ["cellpose", "cellposesam"])
def test_volumes_are_a_variant_that_is_told_how_big_its_pixels_are(model: str) -> None:
    choice = Registry.load().choose(model)
    flat, deep = choice.spec(), choice.spec(variant="3d")
    assert (flat.axes, flat.takes_pixel_size) == ("CYX", False)
    assert (deep.axes, deep.takes_pixel_size) == ("CZYX", True)
    assert deep.tile_spec.axes == "zyx"
    assert choice.store("3d") != choice.store()


@pytest.mark.parametrize(
    ("said", "um", "is_it"),
    [
        (None, (2.0, 0.5, 0.5), 4.0),
        (None, (2.0, 1.0, 4.0), 1.0),
        (3.0, (2.0, 0.5, 0.5), 3.0),
        (3.0, None, 3.0),
        (0.0, (2.0, 0.5, 0.5), 4.0),
        (None, (None, 0.5, 0.5), 1.0),
        (None, (2.0, None, None), 1.0),
        (None, None, 1.0),
    ],
)
def test_anisotropy_is_what_is_said_or_the_pixels_own(
    said: float | None, um: tuple[float | None, ...] | None, is_it: float
) -> None:
    assert anisotropy(said, um) == pytest.approx(is_it)


# In the real environment.

OTHERS = """
import sys, torch
from cellpose.vit import CPSAM

folder = sys.argv[1]
with torch.device("meta"):
    own = {name: torch.zeros(1, device="cpu").expand(t.shape)  # takes no room
           for name, t in CPSAM().state_dict().items()}
files = {
    "list": [torch.zeros(3)],
    "whole": torch.nn.Linear(2, 2),
    "foreign": {"W2": torch.zeros(192, 3, 8, 8), "encoder.cls_token": torch.zeros(1)},
    "headless": {n: t for n, t in own.items() if n != "out.bias"},
    "wider": own | {"out.weight": torch.zeros(1).expand(256, 256, 1, 1)},
    "more": own | {"decoder.weight": torch.zeros(3)},
    "parallel": {"module." + name: t for name, t in own.items()},
    "old": {n: t for n, t in own.items() if not n.startswith("diam_")},
}
for name, content in files.items():
    torch.save(content, folder + "/" + name)
"""
TRY = """
import sys

sys.path[:0] = sys.argv[1:3]
import run_cellposesam
from tilewright.runtime.precision import used

for path in sys.argv[3:]:
    try:
        network = run_cellposesam.load(path, "cpu", {"axes": "CYX", "precision": "bf16"}, {})[0]
        print("taken", used(), network.net.dtype, network.device)
    except Exception as error:
        print(type(error).__name__, " ".join(str(error).split()))
"""
REFUSED = [
    ("text", "ValueError", "doesn't hold plain tensors"),
    ("cut", "ValueError", "it is cut off; fetch or copy it anew"),
    ("whole", "ValueError", "doesn't hold plain tensors"),
    ("list", "ValueError", "it holds no layers by name"),
    ("foreign", "ValueError", "is missing"),
    ("cellpose3", "ValueError", "isn't a file of Cellpose-SAM weights: the layer W2 is missing"),
    ("parallel", "ValueError", "the layer W2 is missing"),  # the library takes it for Cellpose 3's
    ("headless", "ValueError", "the layer out.bias is missing"),
    ("wider", "ValueError", "out.weight is (256, 256, 1, 1), not (192, 256, 1, 1)"),
    ("more", "ValueError", "decoder.weight"),
    ("folder", "ValueError", "it is a folder"),
    ("nowhere", "FileNotFoundError", "nowhere"),
]


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of its own environment, built if it isn't there."""
    return runs.python_of(CASE)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the library's format that finds discs."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("cellposesam"))


def run(python: Path, code: str, *arguments: object) -> str:
    ran = subprocess.run(
        [str(python), "-c", code, *map(str, arguments)],
        check=True,
        timeout=900,
        stdout=subprocess.PIPE,
        text=True,
        env={**child_env(python.parents[1]), "OMP_NUM_THREADS": "2"},
    )
    return ran.stdout


@pytest.mark.slow
def test_a_file_that_isnt_a_whole_network_is_refused_with_its_fault(
    python: Path, tmp_path: Path
) -> None:
    """The library would go on with random layers, or download another network."""
    run(python, OTHERS, tmp_path)
    (tmp_path / "text").write_text("<html>404</html>\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut").write_bytes((tmp_path / "old").read_bytes()[:-4000])
    runs.made_weights(dataclasses.replace(CASES["cellpose"], weights="cellpose3"), tmp_path)
    files = [tmp_path / name for name in ("old", *(name for name, *_ in REFUSED))]
    taken, *answers = run(python, TRY, SCRIPT.parent, ROOT / "src", *files).splitlines()
    assert taken in ("taken bf16 torch.bfloat16 cpu", "taken fp32 torch.float32 cpu")
    for (name, kind, says), answer in zip(REFUSED, answers, strict=True):
        assert answer.startswith(kind), answer
        assert name in answer
        assert says in answer


@pytest.mark.slow
def test_what_cant_be_run_ends_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("<html>404</html>\n")
    tile = np.zeros((1, 3, 64, 64), np.float32)
    whole = dataclasses.replace(CASE, params={"batch_size": 1})
    for case, file, says in (
        (CASE, tmp_path / "text", "text isn't a file of Cellpose-SAM weights"),
        (CASE, tmp_path, "it is a folder"),
        (CASE, tmp_path / "nowhere", "nowhere: the model's weights is missing"),
    ):
        with pytest.raises(TilewrightError) as failed:
            runs.by_script(case, file, tile)
        assert says in str(failed.value)
        assert "Traceback" not in str(failed.value)
    found = runs.by_script(whole, weights, tile)
    assert (found.shape, found.dtype, found.any()) == ((1, 64, 64), np.int32, False)
