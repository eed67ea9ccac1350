"""Cellpose: what its files promise, and, in its real environment, that our labels are its own."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from loading import run

from tilewright.contract.grid import grid
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess
from tilewright.registry.registry import Registry, ResolvedModel

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_cellpose.py"
SITE = "https://www.cellpose.org/models/"
PLUGIN = {  # what AI OnDemand's plugin writes for a user who changed nothing but the size
    "diameter": 25,
    "segment_channel": 0,
    "nucleus_channel": 0,
    "do_3D": False,
    "stitch_threshold": 0.0,
    "cellprob_threshold": 0.0,
    "flow_threshold": 0.4,
    "niter": 0,
    "batch_size": 64,
    "min_size": 15,
}
EMPTY = {"anisotropy", "channel_axis", "z_axis"}  # the plugin's others, null unless set


def choice(version: str) -> ResolvedModel:
    return Registry.load().choose("cellpose", version)


def constant(name: str) -> Any:
    """A constant of the script, read without running it: it needs torch."""
    for node in ast.parse(SCRIPT.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"no {name} in {SCRIPT.name}")


def benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "cellpose_tiles.py"
    found = importlib.util.spec_from_file_location("cellpose_tiles", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("asked", "model_name", "task", "file"),
    [
        ("cyto3", "cellpose-cyto3", "cyto", "cyto3"),
        ("cyto2", "cellpose-cyto2", "cyto", "cyto2torch_0"),
        ("cyto", "cellpose-cyto", "cyto", "cytotorch_0"),
        ("cyto1", "cellpose-cyto", "cyto", "cytotorch_0"),  # the plugin's name for it
        ("nuclei", "cellpose-nuclei", "nuclei", "nucleitorch_0"),
    ],
)
def test_each_version_names_the_published_weights(
    asked: str, model_name: str, task: str, file: str
) -> None:
    found = choice(asked)
    assert (found.model_name, found.task_name) == (model_name, task)
    assert [where.location for where in found.task.locations] == [SITE + file]


def test_cyto3_is_what_a_user_gets_who_names_no_version() -> None:
    assert Registry.load().choose("cellpose").version_key == "cyto3"


@pytest.mark.parametrize("version", ["cyto3", "cyto2", "cyto", "nuclei"])
def test_the_plugins_settings_reach_the_script_as_they_are(version: str) -> None:
    values = choice(version).values(PLUGIN)
    assert {k: values[k] for k in PLUGIN} == PLUGIN
    assert set(values) >= EMPTY


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"diameter": -3}, "diameter is -3; it takes at least 0", id="negative"),
        pytest.param({"diameter": "big"}, "diameter is 'big'", id="text"),
        pytest.param({"do_3D": "often"}, "do_3D is 'often'", id="3d"),
        pytest.param({"stitch_threshold": 0.3}, "stitch_threshold is 0.3", id="stitching"),
        pytest.param({"batch_size": 0}, "batch_size is 0; it takes at least 1", id="no-batch"),
        pytest.param({"diametre": 30}, "has no parameter 'diametre'", id="misspelt"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_work(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)) as refused:
        choice("cyto3").values(given)
    assert refused.value.code == 2


def test_the_nuclei_differ_only_in_the_size_the_network_works_at() -> None:
    """Its published file may not hold that size; the library knows it by the file's name."""
    cyto, nuclei = choice("cyto3").values({}), choice("nuclei").values({})
    assert {k for k in cyto if cyto[k] != nuclei[k]} == {"diam_mean"}
    assert nuclei["diam_mean"] == 17


def test_the_manifest_and_the_script_have_the_same_parameters_and_defaults() -> None:
    values, defaults = choice("cyto3").values({}), constant("DEFAULTS")
    assert {k: values[k] for k in defaults} == defaults
    unused = set(constant("REFUSED")) | set(constant("NEEDLESS"))
    assert set(values) == set(defaults) | unused | {"diam_mean", "anisotropy"}


def test_the_environment_pins_every_package() -> None:
    env = yaml.safe_load((ROOT / "envs" / "cellpose.yml").read_text())
    *plain, packages = env["dependencies"]
    assert env["name"] == "cellpose"
    assert plain == ["python=3.11", "pip"]
    pins = dict(p.split("==") for p in packages["pip"])
    assert pins["cellpose"] == "3.1.1.3"
    assert tuple(map(int, pins["numpy"].split("."))) < (2, 1), "cellpose 3.1.1.3 wants numpy < 2.1"
    assert "torch" in pins


def test_the_benchmarks_peer_gets_the_tiles_that_the_pipeline_cuts(tmp_path: Path) -> None:
    bench = benchmark()
    (tmp_path / "cellpose.json").write_text(json.dumps(bench.overlay(Path("/weights"))))
    spec = Registry.load(tmp_path).choose("cellpose").spec(tile_size=bench.TILE)
    tiles = grid(spec.tile_spec, (bench.SIDE, bench.SIDE))
    ours = [tuple(slice(*side) for side in tile.window) for tile in tiles]
    assert ours == bench.windows()
    assert len(ours) == 64


# In the real environment: a minute, and gigabytes once.

MAKE = """
import sys, torch
from cellpose.resnet_torch import CPnet

torch.manual_seed(0)
folder = sys.argv[1]
net = CPnet([2, 32, 64, 128, 256], 3, sz=3)
net.save_model(folder + "/cells.pth")
state = dict(net.state_dict())
torch.save({k: v for k, v in state.items() if not k.startswith("diam_")}, folder + "/nucleitorch_0")
torch.save({k: v for k, v in state.items() if k != "output.2.weight"}, folder + "/headless.pth")
torch.save({"W2": torch.zeros(3)}, folder + "/transformer.pth")
torch.save([torch.zeros(3)], folder + "/list.pth")
torch.save(net, folder + "/whole.pth")
CPnet([1, 32, 64, 128, 256], 3, sz=3).save_model(folder + "/one-channel.pth")
CPnet([2, 32, 64, 128, 256], 2, sz=3).save_model(folder + "/two-maps.pth")
"""
"""Weights: `cells.pth` and `nucleitorch_0` are good, the others not."""

LIBRARY = """
import json, sys
import numpy as np
from cellpose.models import CellposeModel

folder, cases = sys.argv[1], json.loads(sys.argv[2])
for name, file, settings in cases:
    network = CellposeModel(pretrained_model=folder + "/" + file, gpu=False)
    tile = np.load(folder + "/" + name + ".npy")
    masks = network.eval(tile, channel_axis=0, normalize=False, **settings)[0]
    np.save(folder + "/" + name + ".masks.npy", masks)
"""
"""What a user of the library alone would write."""

REFUSE = """
import sys

sys.path[:0] = sys.argv[1:3]
import run_cellpose

for path in sys.argv[3:]:
    try:
        run_cellpose.load(path, "cpu", {}, {})
        print("taken")
    except Exception as error:
        print(type(error).__name__, " ".join(str(error).split()))
"""

MANY = {"cellprob_threshold": -8.0, "flow_threshold": 0.0, "min_size": 5}
"""Settings by which a network that has learned nothing finds many objects."""


def speckled(channels: int, height: int, width: int) -> Array:
    """(channels, height, width) float32: square speckles of 8 px, from 0 to 1."""
    rng = np.random.default_rng(2)
    coarse = rng.random((channels, height // 8 + 1, width // 8 + 1), dtype=np.float32)
    fine: Array = np.kron(coarse, np.ones((1, 8, 8), np.float32))[:, :height, :width]
    return fine


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of Cellpose's own environment, built if it isn't there."""
    return interpreters.build("cellpose", interpreters.default_root()) / "bin" / "python"


@pytest.fixture(scope="session")
def weights(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights files, good and bad."""
    folder = tmp_path_factory.mktemp("weights")
    run(python, MAKE, folder)
    (folder / "text.pth").write_text("<html>404</html>\n")
    (folder / "empty.pth").touch()
    return folder


def ours(
    python: Path,
    file: Path,
    tiles: list[Array],
    params: dict[str, Any],
    home: Path,
    **spec: Any,
) -> list[Array]:
    """The labels of each tile by the script and the pipe, with an empty home folder."""
    with ModelProcess(
        python,
        SCRIPT,
        weights=str(file),
        device="cpu",
        spec=choice("cyto3").spec().to_dict() | spec,
        params=params,
        timeout=600,
        env={**child_env(python.parents[1]), "HOME": str(home), "OMP_NUM_THREADS": "2"},
    ) as model:
        return [model.predict(tile[None])[0] for tile in tiles]


TWO = speckled(2, 131, 160)
GREY = TWO[:1]
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    # a network and what is set, as our script takes it
    "plain": ("cells.pth", {}),
    "set": ("cells.pth", {"diameter": 40.0, "niter": 300, "max_size_fraction": 1.0}),
    "nuclei": ("nucleitorch_0", {"diam_mean": 17.0, "diameter": 20.0}),
}
TILES = {
    # a tile as the pipeline gives it, as a user of the library gives it, and its `channels`
    "grey-repeated": (GREY.repeat(2, 0), GREY, [0, 0]),
    "grey-and-empty": (np.concatenate([GREY, 0 * GREY]), GREY, [0, 0]),
    "two": (TWO, TWO, [1, 2]),
    "two-swapped": (TWO[::-1].copy(), TWO, [2, 1]),
}
CASES = [("plain", t) for t in TILES] + [("set", "two"), ("nuclei", "two")]


@pytest.fixture(scope="session")
def expected(python: Path, weights: Path) -> dict[tuple[str, str], Array]:
    """The library's own labels, all cases in one process."""
    cases = []
    for name, tile in CASES:
        file, settings = RUNS[name]
        np.save(weights / f"{name}-{tile}.npy", TILES[tile][1])
        said = {k: v for k, v in settings.items() if k != "diam_mean"}  # the file's name says it
        said |= {**MANY, "channels": TILES[tile][2]}
        cases.append((f"{name}-{tile}", file, said))
    run(python, LIBRARY, weights, json.dumps(cases))
    return {(n, t): np.load(weights / f"{n}-{t}.masks.npy") for n, t in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_labels_are_the_librarys_own_value_for_value(
    name: str,
    python: Path,
    weights: Path,
    expected: dict[tuple[str, str], Array],
    tmp_path: Path,
) -> None:
    file, params = RUNS[name]
    renamed = tmp_path / "weights"  # our file has no telling name
    renamed.symlink_to(weights / file)
    home = tmp_path / "home"
    home.mkdir()
    asked = [t for n, t in CASES if n == name]

    found = ours(python, renamed, [TILES[t][0] for t in asked], {**MANY, **params}, home)

    for tile, labels in zip(asked, found, strict=True):
        assert len(np.unique(labels)) > 3, f"{tile}: too few objects to tell anything"
        np.testing.assert_array_equal(labels, expected[name, tile], err_msg=tile)
    assert not (home / ".cellpose").exists(), "something was downloaded"


@pytest.mark.slow
def test_ai_ondemands_own_manifest_runs_the_same_network(
    python: Path, weights: Path, expected: dict[tuple[str, str], Array], tmp_path: Path
) -> None:
    theirs = pytest.importorskip("aiod_registry", reason="its package is for Python 3.11 and 3.12")
    registry = Registry.load(Path(theirs.__file__).parent / "manifests")
    needless = {"channel_axis": 0, "z_axis": 1, "anisotropy": 2.0}
    values = registry.choose("cellpose", "cyto3").values({**MANY, **needless})
    (found,) = ours(python, weights / "cells.pth", [TILES["two"][0]], values, tmp_path)
    np.testing.assert_array_equal(found, expected["plain", "two"])


@pytest.mark.slow
def test_half_precision_is_said_to_be_full_on_the_cpu(
    python: Path,
    weights: Path,
    expected: dict[tuple[str, str], Array],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file, tile = weights / "cells.pth", TILES["two"][0]
    (found,) = ours(python, file, [tile], MANY, tmp_path, precision="bf16")
    np.testing.assert_array_equal(found, expected["plain", "two"])
    said = capfd.readouterr().err
    without = "cpu doesn't compute in bf16 here; it is fp32 instead."  # of CPUs that have none
    assert "Cellpose's layers for the CPU are float32: fp32 is used." in said or without in said


@pytest.mark.slow
def test_channels_and_settings_change_the_labels(expected: dict[tuple[str, str], Array]) -> None:
    """Or else the comparison with the library would prove nothing."""
    distinct = [("plain", "grey-repeated"), ("plain", "two"), ("plain", "two-swapped")]
    distinct += [("set", "two"), ("nuclei", "two")]
    assert len({expected[case].tobytes() for case in distinct}) == len(distinct)


REFUSED = [
    ("text.pth", "ValueError", "doesn't hold plain tensors"),
    ("empty.pth", "ValueError", "doesn't hold plain tensors"),
    ("whole.pth", "ValueError", "doesn't hold plain tensors"),
    ("list.pth", "ValueError", "it holds no layers by name"),
    ("transformer.pth", "ValueError", "is missing"),
    ("headless.pth", "ValueError", "the layer output.2.weight is missing"),
    ("one-channel.pth", "ValueError", "is (1,), not (2,)"),
    ("two-maps.pth", "ValueError", "output.2.bias is (2,), not (3,) (2 layers don't fit)"),
    ("nowhere.pth", "FileNotFoundError", "nowhere.pth"),
]


@pytest.mark.slow
def test_a_file_that_isnt_a_whole_network_is_refused_with_its_fault(
    python: Path, weights: Path
) -> None:
    """The library would go on with random layers, or download another network."""
    files = [weights / name for name, _, _ in REFUSED] + [weights / "cells.pth"]
    *answers, good = run(python, REFUSE, SCRIPT.parent, ROOT / "src", *files).splitlines()
    assert good == "taken"
    for (name, kind, says), answer in zip(REFUSED, answers, strict=True):
        assert answer.startswith(kind), answer
        assert name in answer
        assert says in answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "params", "says"),
    [
        pytest.param("text.pth", {}, "text.pth isn't a file of Cellpose 3 weights", id="weights"),
        pytest.param("cells.pth", {"do_3D": True}, "do_3D is True, which isn't used", id="setting"),
    ],
)
def test_what_cant_be_run_ends_in_one_sentence(
    file: str, params: dict[str, Any], says: str, python: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)) as failed:
        ours(python, weights / file, [TWO], params, tmp_path)
    assert "Traceback" not in str(failed.value)
