"""StarDist: what its script and manifest promise, and files that aren't its networks."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from loading import refused
from zoo import runs
from zoo.cases import CASES

from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry

CASE = CASES["stardist-2d"]
PLUGIN = {  # what AI OnDemand's plugin writes for a user who changed nothing
    "prob_thresh": None,
    "nms_thresh": None,
    "normalize_pmin": 1.0,
    "normalize_pmax": 99.8,
    "n_tiles": None,
    "normalize_img": True,
    "scale": None,
    "channel_idx": 0,
}


@pytest.mark.parametrize("version", Registry.load().manifests["stardist"].versions)
def test_the_plugins_settings_are_taken_as_they_are(version: str) -> None:
    values = Registry.load().choose("stardist", version).values(PLUGIN)
    assert {k: values[k] for k in PLUGIN} == PLUGIN


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"prob_thresh": 1.5}, "prob_thresh is 1.5; it takes", id="no-probability"),
        pytest.param({"normalize_pmin": 3}, "normalize_pmin is 3", id="scaled-by-the-pipeline"),
        pytest.param({"scale": 0.5}, "scale is 0.5", id="resolution"),
        pytest.param({"normalize_img": False}, "normalize_img is False", id="always-scaled"),
    ],
)
def test_what_would_change_the_result_and_isnt_done_is_refused(
    given: dict[str, object], says: str
) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)):
        Registry.load().choose("stardist").values(given)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as StarDist publishes its own: a zip."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("stardist"))


@pytest.mark.slow
def test_a_folder_is_the_network_that_its_zip_is(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        archive.extractall(tmp_path / "network")
    tile = runs.main_tile(CASE)[..., :256, :256]
    zipped, folder = (runs.by_script(CASE, w, tile) for w in (good, tmp_path / "network"))
    np.testing.assert_array_equal(zipped, folder)
    assert zipped.max() > 10


def rewritten(good: Path, path: Path, **changed: bytes | None) -> Path:
    """A zip with some files changed, or without them."""
    names = {"config": "config.json", "weights": "weights_best.h5"}
    other = {names[k]: v for k, v in changed.items()}
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = other.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return path


@pytest.mark.slow
def test_what_isnt_its_network_is_refused_in_a_sentence(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        config = json.loads(archive.read("config.json"))
        stored = archive.read("weights_best.h5")
    wider = json.dumps(config | {"unet_n_filter_base": 16}).encode()
    colours = json.dumps(config | {"n_channel_in": 3}).encode()
    (tmp_path / "text.zip").write_text("<html>404</html>")
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weights": [1.0]}))
    (tmp_path / "short.zip").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (tmp_path / "folder").mkdir()
    no_network = "not those of the network that config.json describes"
    care = json.dumps({"n_dim": 2, "n_channel_in": 1, "unet_n_depth": 2}).encode()
    bad = {
        tmp_path / "text.zip": "is no StarDist model",
        tmp_path / "model.pt": "is no StarDist model",
        tmp_path / "short.zip": "is no StarDist model: it is cut off; fetch or copy it anew",
        tmp_path / "folder": "lacks config.json or weights_best",
        rewritten(good, tmp_path / "bare.zip", weights=None): "lacks config.json or weights_best",
        rewritten(good, tmp_path / "wider.zip", config=wider): no_network,
        rewritten(good, tmp_path / "care.zip", config=care): no_network,
        rewritten(good, tmp_path / "list.zip", config=b"[2]"): "its config.json isn't one's",
        rewritten(good, tmp_path / "page.zip", config=b"<html>"): "its config.json isn't one's",
        rewritten(good, tmp_path / "colours.zip", config=colours): "2 dimensions and 3 channels",
        rewritten(good, tmp_path / "cut.zip", weights=stored[: len(stored) // 2]): no_network,
        rewritten(good, tmp_path / "text.h5.zip", weights=b"<html>"): no_network,
    }
    refused(CASE, bad)
    with pytest.raises(TilewrightError, match=no_network) as fault:
        runs.by_script(CASE, tmp_path / "wider.zip", np.zeros((1, 1, 64, 64), np.float32))
    assert "Traceback" not in str(fault.value)
