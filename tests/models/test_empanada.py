"""Empanada: what its script and manifest promise, and files that aren't its networks."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import refused
from scipy import ndimage
from zoo import runs
from zoo.cases import CASES

from tilewright import ROOT
from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry

CASE, DEEP = CASES["mitonet"], replace(CASES["mitonet-3d"], shape=(28, 64, 64))
PLUGIN = {  # what AI OnDemand's plugin writes for a user who changed nothing
    "plane": "XY",
    "downsampling": 1,
    "conf_threshold": 0.5,
    "center_threshold": 0.1,
    "min_distance": 3,
    "max_objects": 10000,
    "semantic_only": False,
    "fine_boundaries": False,
    "fill_holes_in_segmentation": False,
    "median_slices": 3,
    "label_erosion": 0,
    "label_dilation": 0,
    "pixel_vote_thr": 2,
    "allow_one_view": False,
}
OTHER = """
import sys, torch
class Other(torch.nn.Module):
    def forward(self, x):
        return x
torch.jit.script(Other()).save(sys.argv[1])
torch.save({"layer": torch.zeros(2)}, sys.argv[2])
"""
MANY = """
import sys
sys.path[:0] = sys.argv[1:]
from types import SimpleNamespace
import numpy as np
import run_empanada
one = np.ones(1, int)
objects = {7 + n: {"starts": n * one, "runs": one} for n in range(70_000)}
labels = run_empanada.painted(SimpleNamespace(shape3d=(7, 100, 100), instances=objects))
assert labels.ravel().tolist() == list(range(1, 70_001))
"""
HOLLOW = """
import sys
sys.path[:0] = sys.argv[1:]
import numpy as np
import run_empanada
labels = np.zeros((9, 9, 9), np.int32)
labels[1:8, 1:8, 1:8], labels[2:7, 2:7, 2:7], labels[4, 4, 4] = 1, 0, 2
wanted = np.where(labels == 0, 0, labels)
wanted[2:7, 2:7, 2:7] = 1
wanted[4, 4, 4] = 2
assert (run_empanada.fill_holes(labels) == wanted).all()
"""


@pytest.mark.parametrize("version", Registry.load().manifests["empanada"].versions)
def test_the_plugins_settings_are_taken_as_they_are(version: str) -> None:
    values = Registry.load().choose("empanada", version).values(PLUGIN)
    assert {k: values[k] for k in PLUGIN} == PLUGIN


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"plane": "ZX"}, "plane is 'ZX'", id="no-plane"),
        pytest.param({"downsampling": 3}, "downsampling is 3", id="no-power-of-two"),
        pytest.param({"conf_threshold": 1.5}, "conf_threshold is 1.5", id="no-probability"),
        pytest.param({"label_erosion": 51}, "label_erosion is 51", id="too-much"),
    ],
)
def test_what_would_change_the_result_and_isnt_done_is_refused(
    given: dict[str, object], says: str
) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)):
        Registry.load().choose("empanada").values(given)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as Empanada publishes its own."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("empanada"))


@pytest.mark.slow
def test_the_settings_do_what_they_say(good: Path) -> None:
    tile = runs.main_tile(CASE)[..., :256, :256]
    usual, sure, whole, small = (
        runs.by_script(replace(CASE, params=params), good, tile)[0]
        for params in (
            {},
            {"conf_threshold": 0.99},
            {"semantic_only": True},
            {"downsampling": 2},
        )
    )
    assert usual.max() > 10
    assert 0 < (sure > 0).sum() < (usual > 0).sum()
    assert 0 < whole.max() < usual.max(), "objects that touch stay one"
    assert small.shape == usual.shape
    assert not np.array_equal(small, usual)


@pytest.mark.slow
def test_what_isnt_its_network_is_refused_in_a_sentence(good: Path, tmp_path: Path) -> None:
    other, pickled, cut = (tmp_path / n for n in ("other.pth", "pickled.pth", "cut.pth"))
    (tmp_path / "other.py").write_text(OTHER)  # torch.jit.script reads its source
    command = [runs.python_of(CASE), tmp_path / "other.py", other, pickled]
    subprocess.run(command, check=True)
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    bad = {
        other: "it doesn't take interpolate_ins and render_steps",
        pickled: "isn't a TorchScript archive",
        cut: "isn't a TorchScript archive: it is cut off; fetch or copy it anew",
        tmp_path: "is a folder",
    }
    refused(CASE, bad)
    with pytest.raises(TilewrightError, match="isn't a TorchScript archive") as fault:
        runs.by_script(CASE, pickled, np.zeros((1, 1, 64, 64), np.float32))
    assert "Traceback" not in str(fault.value)


def in_its_python(code: str) -> None:
    """Run code that knows the script, in the environment."""
    paths = [str(ROOT / folder) for folder in ("bin", "src")]
    subprocess.run([runs.python_of(DEEP), "-c", code, *paths], check=True)


WAYS = [
    pytest.param({"plane": "XZ"}, id="one-way"),
    pytest.param({"pixel_vote_thr": 1, "allow_one_view": True}, id="all-that-was-seen"),
    pytest.param({"label_erosion": 1, "label_dilation": 2, "min_extent": 3}, id="reshaped"),
    pytest.param({"median_slices": 7, "fine_boundaries": True}, id="median"),
]


@pytest.mark.slow
@pytest.mark.parametrize("params", WAYS)
def test_a_volume_is_what_the_plugin_computes(
    good: Path, tmp_path: Path, params: dict[str, object]
) -> None:
    case = replace(DEEP, params=params)
    tile = runs.main_tile(case)
    theirs = runs.by_library(case, good, tile[0], tmp_path)
    np.testing.assert_array_equal(runs.by_script(case, good, tile)[0], theirs)
    assert theirs.max() >= 10, "too few objects to tell anything"


@pytest.mark.slow
def test_semantic_only_gives_the_pieces_of_what_two_of_three_ways_agree_on(good: Path) -> None:
    tile = runs.main_tile(DEEP)
    every, *single = (
        runs.by_script(replace(DEEP, params={"semantic_only": True, "plane": plane}), good, tile)[0]
        for plane in ("All", "XY", "XZ", "YZ")
    )
    votes = sum(n > 0 for n in single)
    np.testing.assert_array_equal(every > 0, votes >= 2)
    assert every.max() == ndimage.label(votes >= 2, np.ones((3, 3, 3)))[1] > 1


@pytest.mark.slow
def test_along_an_axis_of_fewer_planes_there_is_no_median(good: Path) -> None:
    tile = runs.main_tile(DEEP)[:, :, 8:10]
    few, none = (
        runs.by_script(replace(DEEP, params={"median_slices": n, "plane": "XY"}), good, tile)[0]
        for n in (3, 1)
    )
    assert few.shape == tile.shape[2:]
    assert few.max() > 1
    np.testing.assert_array_equal(few, none)


@pytest.mark.slow
def test_an_object_of_a_volume_is_filled_and_what_lies_in_it_stays() -> None:
    in_its_python(HOLLOW)


@pytest.mark.slow
def test_more_than_65535_objects_of_a_volume_keep_their_numbers() -> None:
    in_its_python(MANY)
