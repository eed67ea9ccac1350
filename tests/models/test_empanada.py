"""Empanada: what its script and manifest promise, and files that aren't its networks."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loading import refused
from zoo import runs
from zoo.cases import CASES

from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry

CASE = CASES["mitonet"]
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


@pytest.mark.parametrize("version", Registry.load().manifests["empanada"].versions)
def test_the_plugins_settings_are_taken_as_they_are(version: str) -> None:
    values = Registry.load().choose("empanada", version).values(PLUGIN)
    assert {k: values[k] for k in PLUGIN} == PLUGIN


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"plane": "XZ"}, "plane is 'XZ'", id="one-plane-after-the-other"),
        pytest.param({"downsampling": 3}, "downsampling is 3", id="no-power-of-two"),
        pytest.param({"conf_threshold": 1.5}, "conf_threshold is 1.5", id="no-probability"),
        pytest.param({"label_erosion": 2}, "label_erosion is 2", id="3d-only"),
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
