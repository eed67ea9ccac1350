"""A file of weights is opened as tensors or not at all, and is exactly the network or refused."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.runtime.torch_weights import Weights

OWN = {"a": np.zeros(3), "b": np.zeros((2, 4))}


def weights(**layers: Any) -> Weights:
    return Weights("x.pth", "Net", layers)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ({"a": OWN["a"]}, "the layer b is missing."),
        ({**OWN, "c": np.zeros(1)}, "Net has no layer c."),
        ({**OWN, "a": np.zeros(4)}, "a is (4,), not (3,)."),
        ({**OWN, "a": "text"}, "a is (), not (3,)."),
        ({"c": 1, "d": 1}, "the layer a is missing (4 layers don't fit)."),
    ],
)
def test_a_file_is_exactly_the_network_or_refused(layers: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match="weights") as refused:
        weights(**layers).check(OWN)
    assert str(refused.value) == f"x.pth isn't a file of Net weights: {says}"


def test_layers_may_be_missing_or_more_where_the_script_says_so() -> None:
    weights(**OWN).check(OWN)
    weights(a=OWN["a"]).check(OWN, optional={"b"})
    weights(**OWN, head_1=1, head_2=2).check(OWN, ignore=["head_"])
    weights(**OWN, head=1, other=2).check(OWN, ignore=[""])
    with pytest.raises(ValueError, match="Net has no layer other"):
        weights(**OWN, head=1, other=2).check(OWN, ignore=["head"])


def test_an_optional_or_ignored_name_excuses_no_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"b is \(9,\), not \(2, 4\)"):
        weights(**{**OWN, "b": np.zeros(9)}).check(OWN, optional={"b"}, ignore=[""])


# In a real environment with torch.

READ = """
import json, pathlib, sys, torch
from safetensors.torch import save_file
from tilewright.runtime.torch_weights import read

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)
layers = torch.nn.Linear(3, 2).state_dict()

class Evil:
    def __reduce__(self):
        return (pathlib.Path.touch, (folder / "ran",))

save_file(layers, folder / "safetensors")
torch.save(layers, folder / "zip")
torch.save(layers, folder / "old", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "state": {"net." + n: v for n, v in layers.items()}}, folder / "inside")
torch.save(torch.ones(3), folder / "bare")
torch.save({0: torch.ones(3)}, folder / "numbers")
torch.save({"weight": layers["weight"], "bias": Evil()}, folder / "evil")
torch.save(torch.nn.Linear(3, 2), folder / "whole")
(folder / "like_safetensors").write_text('8 bytes {"a": 1}')
(folder / "text").write_text("<html>404</html>")
(folder / "empty").touch()
(folder / "cut").write_bytes((folder / "zip").read_bytes()[:500])
(folder / "folder").mkdir()

told = {}
for path in [*folder.iterdir(), folder / "nowhere"]:
    network = torch.nn.Linear(3, 2).train()
    try:
        found = read(str(path), "Net", inside=["model", "state"], prefix="net.").fill(network)
        same = all(torch.equal(layers[n], v) for n, v in network.state_dict().items())
        told[path.name] = "taken" if found is network and same and not network.training else "bad"
    except Exception as error:
        told[path.name] = type(error).__name__ + " " + str(error)
told["ran"] = (folder / "ran").exists()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each of the files that `READ` makes."""
    python = interpreters.build("timm", interpreters.default_root()) / "bin" / "python"
    command = [str(python), "-c", READ, str(tmp_path_factory.mktemp("weights"))]
    env = child_env(python.parents[1])
    ran = subprocess.run(command, check=True, timeout=300, stdout=-1, text=True, env=env)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["safetensors", "zip", "old", "inside"])
def test_layers_are_taken_from_every_format_that_holds_plain_tensors(
    told: dict[str, Any], name: str
) -> None:
    assert told[name] == "taken"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "evil", "like_safetensors", "text", "empty"])
def test_what_isnt_plain_tensors_is_refused_and_never_run(told: dict[str, Any], name: str) -> None:
    assert told[name].startswith("ValueError")
    assert f"{name} isn't a file of Net weights: it doesn't hold plain tensors." in told[name]
    assert told["ran"] is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [("cut", "it is cut off; fetch or copy it anew"), ("folder", "it is a folder")],
)
def test_what_isnt_a_whole_file_is_refused(told: dict[str, Any], name: str, says: str) -> None:
    assert told[name].endswith(f"{name} isn't a file of Net weights: {says}.")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bare", "numbers"])
def test_tensors_without_names_are_refused(told: dict[str, Any], name: str) -> None:
    assert f"{name} isn't a file of Net weights: it holds no layers by name." in told[name]


@pytest.mark.slow
def test_a_folder_is_said_to_be_one(told: dict[str, Any]) -> None:
    assert "folder isn't a file of Net weights: it is a folder." in told["folder"]


@pytest.mark.slow
def test_a_file_that_isnt_there_is_said_to_be_missing(told: dict[str, Any]) -> None:
    assert told["nowhere"].startswith("FileNotFoundError")
