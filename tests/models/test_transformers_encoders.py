"""Every encoder of the registry in transformers' format: its network, and its numbers in little.

The twins are written by transformers itself, two blocks deep and with random weights, and are
loaded by it: our script must give the same tokens of what our reader gives.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_little import WITHIN, misfits, names, off, picture, tile_of, values, whole

from tilewright.authoring.encoders import FIGURES, encoders, tokens
from tilewright.environments import interpreters
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.runtime.pooling import pool
from tilewright.validate.network import Network

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_transformers.py"
MINE = [c for c in encoders(Registry.load()) if c.manifest.runner == "transformers"]


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the runner's own environment, built if it isn't there."""
    return interpreters.build("transformers") / "bin" / "python"


@pytest.fixture(scope="session")
def built() -> dict[str, Network]:
    """Each encoder's whole network, without weights."""
    return whole(MINE, "transformers")


@pytest.mark.slow
@pytest.mark.parametrize("choice", MINE, ids=names(MINE))
def test_the_whole_network_is_what_its_manifest_says_and_its_publisher_counts(
    built: dict[str, Network], choice: ResolvedModel
) -> None:
    found = built[choice.model_name]
    assert found.error == ""
    assert misfits(choice, found) == []
    assert found.tokens == tokens(choice.spec())
    assert off(choice, found) < WITHIN
    kept = json.loads(FIGURES.read_text())[choice.model_name]
    assert kept == {"tokens": found.tokens, "parameters": found.parameters}


# The twins, in the model's environment: transformers' own file and loader beside our script.
TWINS = """
import json, runpy, sys, numpy, torch, transformers
script, folder = runpy.run_path(sys.argv[1]), sys.argv[2]

def refused(file, spec, params):
    try:
        script["load"](file, "cpu", spec, params)
    except ValueError as error:
        return str(error)
    return ""

told = {}
for line in sys.stdin:
    name, spec, params = json.loads(line)
    args = {**params["transformers_args"], "num_hidden_layers": 2}
    few = {"transformers_args": args}
    torch.manual_seed(0)
    kind = getattr(transformers, spec["architecture"])
    made = kind(kind.config_class(**args))
    for parameter in made.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    made.save_pretrained(folder + "/twin", safe_serialization=True)
    torch.save(made.state_dict(), folder + "/twin/twin.bin")
    own = transformers.AutoModel.from_pretrained(folder + "/twin", local_files_only=True).eval()
    picture = numpy.load(f"{folder}/{name}.picture.npy").astype("float32") / 255
    x = (picture - numpy.float32(spec["mean"])) / numpy.float32(spec["std"])
    with torch.inference_mode():
        x = torch.from_numpy(x.astype("float32")).permute(2, 0, 1)[None]
        wanted = own(pixel_values=x).last_hidden_state
    numpy.save(f"{folder}/{name}.wanted.npy", wanted.numpy())
    file = folder + "/twin/model.safetensors"
    model = script["load"](file, "cpu", spec, few)
    numpy.save(f"{folder}/{name}.npy",
               script["predict"](model, numpy.load(f"{folder}/{name}.tile.npy")))
    deeper = {"transformers_args": {**args, "num_hidden_layers": 3}}
    told[name] = {
        "deeper": refused(file, spec, deeper),
        "pickle": refused(folder + "/twin/twin.bin", spec, few),
        "prefix": refused(file, {**spec, "num_prefix_tokens": 2}, few),
        "class": refused(file, {**spec, "architecture": "HibouModel"}, few),
    }
print(json.dumps(told))
"""
Twins = tuple[Path, dict[str, dict[str, str]]]


@pytest.fixture(scope="session")
def twins(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """A folder with each twin's tokens, and what was said of what doesn't fit."""
    folder = tmp_path_factory.mktemp("twins")
    lines = []
    for choice in MINE:
        name, spec = choice.model_name, choice.spec()
        side = round(spec.tile_spec.size["y"])
        np.save(folder / f"{name}.picture.npy", picture(side, folder))
        np.save(folder / f"{name}.tile.npy", tile_of(choice, folder))
        asked: dict[str, Any] = {**spec.to_dict(), "precision": "fp32"}
        lines.append(json.dumps([name, asked, values(choice)]))
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), "-c", TWINS, str(SCRIPT), str(folder)]
    ran = subprocess.run(
        command, check=True, timeout=600, stdout=-1, text=True, env=env, input="\n".join(lines)
    )
    return folder, json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("choice", MINE, ids=names(MINE))
def test_a_twin_gives_what_transformers_gives(twins: Twins, choice: ResolvedModel) -> None:
    folder, name, spec = twins[0], choice.model_name, choice.spec()
    found, wanted = (np.load(folder / f"{name}{end}.npy") for end in ("", ".wanted"))
    assert np.ptp(wanted) > 0.1
    difference = float(np.abs(found - wanted).max())
    print(f"{name}: max abs difference {difference:.2g}")  # noqa: T201
    assert difference < 1e-5
    side = np.load(folder / f"{name}.tile.npy").shape[-2:]
    assert pool(found, spec.to_dict(), side).shape == (1, spec.embedding_dim)


@pytest.mark.slow
@pytest.mark.parametrize("choice", MINE, ids=names(MINE))
def test_what_does_not_fit_is_refused_in_a_sentence(twins: Twins, choice: ResolvedModel) -> None:
    said, name = twins[1][choice.model_name], choice.spec().architecture
    assert f"isn't a file of {name} weights: the layer " in said["deeper"]
    assert "is missing" in said["deeper"]
    assert said["pickle"].endswith(f"of {name} weights: it is no safetensors file.")
    prefix = choice.spec().num_prefix_tokens
    assert f"has {prefix} CLS and register tokens, and the manifest's" in said["prefix"]
    assert said["class"].startswith("architecture is 'HibouModel'; it is one of DINOv3ViTModel, ")
