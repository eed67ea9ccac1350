"""Every encoder of the registry that timm loads: its facts, its network, and its numbers in little.

The weights aren't here. A twin has the same arguments, two blocks and random weights: what our
reader and script make of a picture must be what timm's own transform and network make of it. The
whole network is built without weights, for its tokens and parameters.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_little import WITHIN, misfits, names, off, picture, tile_of, values, whole
from PIL import Image

from tilewright.authoring.encoders import FIGURES, encoders, tokens
from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec
from tilewright.environments import interpreters
from tilewright.errors import TilewrightError
from tilewright.registry.checks.run import check_spec
from tilewright.registry.registry import Registry, ResolvedModel
from tilewright.runtime.pooling import pool
from tilewright.validate.network import Network, networks

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_timm.py"
ENCODERS = encoders(Registry.load())
TIMM = [choice for choice in ENCODERS if choice.manifest.runner == "timm"]
COUNTED = [choice for choice in TIMM if choice.version.parameters]
"""Those whose parameters somebody counts."""
FACTS = {
    *("architecture", "mean", "std", "interpolation", "antialias", "tile_spec", "input_range"),
    *("num_channels", "color_space", "axes", "output_type", "embedding_dim", "precision"),
    *("license", "gated", "locations"),
}
"""What somebody must state of every encoder."""
OF_PATCHES = {"patch_size", "num_prefix_tokens"}
OTHERS = {"resolution", "sha256", "parameters", "commercial_use", "weights_prefix"}
OTHERS |= {"timm_args", "transformers_args"}


@pytest.mark.parametrize("choice", ENCODERS, ids=names(ENCODERS))
def test_somebody_states_each_fact_of_an_encoder(choice: ResolvedModel) -> None:
    stated = [*choice.manifest.sources.items(), *choice.version.sources.items()]
    facts = {fact for _, fields in stated for fact in fields}
    fields, spec = choice.fields(), choice.spec()
    known = set(ModelSpec.__dataclass_fields__) | {"locations", "gated"} | OTHERS
    assert facts <= known
    wanted = FACTS | ({"supported_mpp", "resolution"} if spec.supported_mpp else set())
    wanted |= OF_PATCHES if spec.patch_size else set()
    wanted |= {name for name in ("crop", "resize") if fields.get(name)}
    wanted |= {"parameters"} if choice.version.parameters else set()
    wanted |= {"sha256"} if choice.sha256 else set()
    wanted |= set(values(choice))
    assert wanted - facts == set()


def test_there_are_twenty_encoders_and_some_are_open() -> None:
    assert len(ENCODERS) >= 20
    assert sum(not choice.gated for choice in ENCODERS) >= 10


@pytest.mark.parametrize("choice", ENCODERS, ids=names(ENCODERS))
def test_the_gpu_memory_holds_the_parameters_in_fp32(choice: ResolvedModel) -> None:
    built = json.loads(FIGURES.read_text())[choice.model_name]["parameters"]
    gb = choice.spec().min_vram_gb or 0
    assert 0 <= gb - (built * 4 / 1e9 + 2) < 1 or choice.model_name == "h0-mini"


@pytest.mark.parametrize(
    ("name", "tile", "says"),
    [
        ("virchow2", {"mpp": 0.8}, "0.8 µm per pixel isn't in supported_mpp (0.25, 0.5, 1, 2)"),
        ("uni", {"side": 225}, "a tile of 225 px isn't a whole number of patches of 16 px"),
    ],
    ids=["mpp", "patch"],
)
def test_tiles_that_an_encoder_was_not_made_for_are_refused_before_a_run(
    name: str, tile: dict[str, float], says: str
) -> None:
    spec = next(c for c in ENCODERS if c.model_name == name).spec()
    side = tile.get("side", 224)
    resolution = Resolution(mpp=tile.get("mpp", 0.5))
    tiles = replace(spec.tile_spec, size={"y": side, "x": side}, resolution=resolution)
    with pytest.raises(TilewrightError, match=re.escape(says)):
        check_spec(replace(spec, tile_spec=tiles))


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the runner's own environment, built if it isn't there."""
    return interpreters.build("timm") / "bin" / "python"


@pytest.fixture(scope="session")
def built() -> dict[str, Network]:
    """Each encoder's whole network, without weights."""
    return whole(TIMM, "timm")


@pytest.mark.slow
@pytest.mark.parametrize("choice", TIMM, ids=names(TIMM))
def test_the_whole_network_is_what_its_manifest_says(
    built: dict[str, Network], choice: ResolvedModel
) -> None:
    found, spec = built[choice.model_name], choice.spec()
    assert found.error == ""
    assert misfits(choice, found) == []
    assert found.tokens == (tokens(spec) if spec.patch_size else None)
    kept = json.loads(FIGURES.read_text())[choice.model_name]
    assert kept == {"tokens": found.tokens, "parameters": found.parameters}


@pytest.mark.slow
@pytest.mark.parametrize("choice", COUNTED, ids=names(COUNTED))
def test_the_whole_network_has_the_published_number_of_parameters(
    built: dict[str, Network], choice: ResolvedModel
) -> None:
    assert off(choice, built[choice.model_name]) < WITHIN


@pytest.mark.slow
def test_registers_that_are_not_counted_are_told_without_weights(python: Path) -> None:
    choice = next(c for c in TIMM if c.model_name == "h0-mini")
    wrong = ModelSpec.from_dict({**choice.spec().to_dict(), "num_prefix_tokens": 1})
    (found,) = networks([(wrong, values(choice))], python, SCRIPT)
    assert "has 5 CLS and register tokens, and the manifest's num_prefix_tokens is 1" in found.error


# The twins, in the model's environment: timm's own transform and network beside our script.
TWINS = """
import json, runpy, sys, numpy, torch, timm
from PIL import Image
from safetensors.torch import save_file
script, folder = runpy.run_path(sys.argv[1]), sys.argv[2]
told = {}
for line in sys.stdin:
    name, spec, params, tile, side = json.loads(line)
    conv = "resnet" in spec["architecture"] or "convnext" in spec["architecture"]
    few = {"layers": [1] * 4} if "resnet" in spec["architecture"] else {"depths": [1] * 4}
    few = few if conv else {"depth": 2}
    args = {**(params.get("timm_args") or {}), **few}
    params = {**params, "timm_args": dict(args)}
    for key, value in args.items():
        if key in ("mlp_layer", "act_layer"):
            args[key] = getattr(timm.layers, value, None) or getattr(torch.nn, value)
    torch.manual_seed(0)
    net = timm.create_model(spec["architecture"], pretrained=False, num_classes=0, **args).eval()
    state = {k: torch.randn_like(v) * 0.02 + v if v.is_floating_point() else v
             for k, v in net.state_dict().items()}
    state = {k: v.abs() if k.endswith("running_var") else v for k, v in state.items()}
    net.load_state_dict(state)
    file = folder + "/twin.safetensors"
    prefix = params.get("weights_prefix") or ""
    save_file({prefix + k: v for k, v in state.items()}, file)
    own = net.pretrained_cfg
    config = {key: spec[key] for key in ("mean", "std", "interpolation")}
    if "." in spec["architecture"]:
        config = {key: own[key] for key in config}
    transform = timm.data.create_transform(
        input_size=(3, side, side), crop_pct=side / tile, **config)
    picture = Image.open(f"{folder}/{tile}.png")
    with torch.inference_mode():
        x = transform(picture)[None]
        if spec["output_type"] == "cls+patch_mean":
            all_ = net.forward_features(x)
            wanted = torch.cat([all_[:, 0], all_[:, net.num_prefix_tokens:].mean(1)], -1)
        else:
            wanted = net(x)
    numpy.save(f"{folder}/{name}.wanted.npy", wanted.numpy())
    model = script["load"](file, "cpu", spec, params)
    numpy.save(f"{folder}/{name}.npy",
               script["predict"](model, numpy.load(f"{folder}/{name}.tile.npy")))
    said = {"hub": own.get("hf_hub_id"), "license": own.get("license")}
    if not conv:
        deeper = {**params, "timm_args": {**params["timm_args"], "depth": 3}}
        try:
            script["load"](file, "cpu", spec, deeper)
        except ValueError as error:
            said["deeper"] = str(error)
    told[name] = said
print(json.dumps(told))
"""


@pytest.fixture(scope="session")
def twins(
    python: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder with what each twin's tokens or vectors are, and what timm says of it."""
    folder = tmp_path_factory.mktemp("twins")
    for side in {round(choice.spec().tile_spec.size["y"]) for choice in TIMM}:
        Image.fromarray(picture(side, folder)).save(folder / f"{side}.png")
    lines = []
    for choice in TIMM:
        spec, found = choice.spec(), tile_of(choice, folder)
        np.save(folder / f"{choice.model_name}.tile.npy", found)
        asked = {**spec.to_dict(), "precision": "fp32"}
        tile = round(spec.tile_spec.size["y"])
        lines.append(json.dumps([choice.model_name, asked, values(choice), tile, found.shape[-1]]))
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), "-c", TWINS, str(SCRIPT), str(folder)]
    ran = subprocess.run(
        command, check=True, timeout=600, stdout=-1, text=True, env=env, input="\n".join(lines)
    )
    return folder, json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("choice", TIMM, ids=names(TIMM))
def test_a_twin_gives_what_timm_gives(
    twins: tuple[Path, dict[str, dict[str, Any]]], choice: ResolvedModel
) -> None:
    folder, name, spec = twins[0], choice.model_name, choice.spec()
    found, wanted = (np.load(folder / f"{name}{end}.npy") for end in ("", ".wanted"))
    side = np.load(folder / f"{name}.tile.npy").shape[-2:]
    vector = pool(found, spec.to_dict(), side) if found.ndim == 3 else found
    assert vector.shape == wanted.shape == (1, spec.embedding_dim)
    assert np.ptp(wanted) > 0.1
    difference = float(np.abs(vector - wanted).max())
    print(f"{name}: max abs difference {difference:.2g}")  # noqa: T201
    assert difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice",
    [c for c in TIMM if c.spec().patch_size],
    ids=[c.model_name for c in TIMM if c.spec().patch_size],
)
def test_a_checkpoint_of_another_depth_is_refused_in_a_sentence(
    twins: tuple[Path, dict[str, dict[str, Any]]], choice: ResolvedModel
) -> None:
    said = twins[1][choice.model_name]["deeper"]
    assert f"isn't a file of {choice.spec().architecture} weights" in said
    assert "the layer blocks.2." in said
    assert "is missing" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice",
    [c for c in TIMM if "." in c.spec().architecture],
    ids=[c.model_name for c in TIMM if "." in c.spec().architecture],
)
def test_what_timm_publishes_is_where_and_by_what_licence_it_says(
    twins: tuple[Path, dict[str, dict[str, Any]]], choice: ResolvedModel
) -> None:
    said = twins[1][choice.model_name]
    assert choice.task.locations[0].location.startswith(f"hf:{said['hub']}@")
    assert said["license"] == choice.license.lower()
