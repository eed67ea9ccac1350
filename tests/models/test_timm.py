"""Any timm encoder: in its real environment, our embeddings are those of a plain PyTorch loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import tifffile
from pictures import reference
from running import Checkout, level0, store

from tilewright import ModelSpec, TileSpec
from tilewright.api.tiles import tiles
from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.merge.write.stores import merge_group
from tilewright.predict.model_process import ModelProcess
from tilewright.predict.worker import run_job
from tilewright.registry.registry import Registry

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_timm.py"
SIDE, PATCH, WIDTH = 56, 14, 48
ARGS = {
    "img_size": SIDE,
    "embed_dim": WIDTH,
    "depth": 2,
    "num_heads": 3,
    "mlp_layer": "SwiGLUPacked",
}
MEAN, STD = (0.7, 0.6, 0.5), (0.2, 0.25, 0.3)

# Runs in the model's environment: networks of random weights in several files.
MAKE = """
import sys, torch, timm
from safetensors.torch import save_file
folder, args = sys.argv[1], eval(sys.argv[2])
args["mlp_layer"] = timm.layers.SwiGLUPacked
torch.manual_seed(0)
vit = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, **args)
state = {k: torch.randn_like(v) * 0.05 + v for k, v in vit.state_dict().items()}
save_file(state, folder + "/vit.safetensors")
head = {"head.weight": torch.ones(3, 48), "head.bias": torch.ones(3)}
torch.save({"model": {**state, **head}}, folder + "/vit.pth")
torch.save(vit, folder + "/pickle.pth")
torch.save(torch.ones(3), folder + "/bare.pth")
save_file({k: v for k, v in state.items() if k != "norm.weight"}, folder + "/less.safetensors")
save_file({**state, "other": torch.ones(1)}, folder + "/more.safetensors")
save_file({**state, "norm.weight": torch.ones(3)}, folder + "/shape.safetensors")
resnet = timm.create_model("resnet10t", num_classes=0)
save_file(resnet.state_dict(), folder + "/resnet.safetensors")
"""

# The plain loop: nothing of ours but the tiles' pixels, one tile at a time.
LOOP = """
import numpy
vit.load_state_dict(state)
tokens, maps = [], []
with torch.no_grad():
    for tile in torch.from_numpy(numpy.load(folder + "/tiles.npy")):
        tokens.append(vit.eval().forward_features(tile[None])[0])
        maps.append(resnet.eval().forward_features(tile[None, :, :32, :32])[0])
numpy.save(folder + "/tokens.npy", torch.stack(tokens).numpy())
numpy.save(folder + "/maps.npy", torch.stack(maps).numpy())
"""

# The script's own functions, case by case, in one process: torch takes seconds to import.
CALL = """
import contextlib, io, json, runpy, sys, numpy
script, folder = runpy.run_path(sys.argv[1]), sys.argv[2]
told = {}
for name, file, spec, params, side in json.loads(sys.argv[3]):
    tiles = numpy.load(folder + "/tiles.npy")[:, :, :side, :side].copy()
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            model = script["load"](folder + "/" + file, "cpu", spec, params)
            numpy.save(folder + "/" + name + ".npy", script["predict"](model, tiles))
        except ValueError as error:
            told[name] = str(error)
            continue
    told[name] = said.getvalue()
print(json.dumps(told))
"""


def spec(output_type: str = "cls", **more: Any) -> ModelSpec:
    given: dict[str, Any] = {
        "model_name": "little",
        "version": "1",
        "tile_spec": TileSpec({"y": SIDE, "x": SIDE}, pad="white"),
        "num_channels": 3,
        "color_space": "RGB",
        "input_range": (0, 1),
        "mean": MEAN,
        "std": STD,
        "architecture": "vit_small_patch14_reg4_dinov2",
        "patch_size": PATCH,
        "num_prefix_tokens": 5,
        "base_dim": WIDTH,
        "output_kind": "embedding",
        "output_type": output_type,
        "batch_size": 4,
    }
    return ModelSpec(**{**given, **more})


def picture() -> Array:
    """(130, 150, 3) uint8 noise: 3 x 3 tiles, the last ones partly beyond the image."""
    return np.random.default_rng(0).integers(0, 256, (130, 150, 3)).astype(np.uint8)


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the runner's own environment, built if it isn't there."""
    return interpreters.build("timm", interpreters.default_root()) / "bin" / "python"


def run(python: Path, code: str, *words: object) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT / "src")}
    command = [str(python), "-c", code, *map(str, words)]
    ran = subprocess.run(command, check=True, timeout=300, stdout=-1, text=True, env=env)
    return ran.stdout


@pytest.fixture(scope="session")
def folder(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks, an image, its tiles by `tilewright.tiles`, and the plain loop's tokens and maps."""
    folder = tmp_path_factory.mktemp("timm")
    tifffile.imwrite(folder / "a.tif", picture(), photometric="rgb")
    np.save(folder / "tiles.npy", np.stack([t.pixels for t in tiles(folder / "a.tif", spec())]))
    run(python, MAKE + LOOP, folder, {k: v for k, v in ARGS.items() if k != "mlp_layer"})
    return folder


def process(python: Path, file: Path, spec: ModelSpec) -> ModelProcess:
    return ModelProcess(
        python,
        SCRIPT,
        weights=str(file),
        device="cpu",
        spec=spec.to_dict(),
        params={"timm_args": ARGS},
        timeout=300,
        env={**child_env(python.parents[1]), "OMP_NUM_THREADS": "2"},
    )


def ours(
    python: Path, folder: Path, out: Path, spec: ModelSpec, file: str = "vit.safetensors"
) -> Path:
    """The store that PREDICT and MERGE make of the image."""
    base = reference(folder / "a.tif", picture(), "YXC")
    ref = ImageRef(**{**vars(base), "key": "i000", "id": "a", "channels": (0, 1, 2)})
    recipe = Recipe.trial(spec)
    job = Job("g", 0, (ref,), (("i000", 0, 9),))
    start = lambda: process(python, folder / file, spec)  # noqa: E731
    run_job(job, recipe, out / "0.bank", start=start, weights="w")
    policy = "core" if spec.result == "map" else "rows"
    group = Group("g", 1, MergeOptions(policy, 0.25), "p.zarr", "embed")
    merge_group(group, recipe, [out / "0.bank"], out / "out", out / "shown")
    return out / "out" / "a" / "p.zarr"


PLAIN = {
    "cls": lambda t: t[:, 0],
    "patch_mean": lambda t: t[:, 5:].mean(axis=1),
    "cls+patch_mean": lambda t: np.hstack([t[:, 0], t[:, 5:].mean(axis=1)]),
    "token_sequence": lambda t: t,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_type", "file"),
    [(t, "vit.pth" if t == "cls" else "vit.safetensors") for t in PLAIN],
)
def test_embeddings_are_those_of_a_plain_loop(
    python: Path, folder: Path, tmp_path: Path, output_type: str, file: str
) -> None:
    table = anndata.read_zarr(
        ours(python, folder, tmp_path, spec(output_type), file) / "tables/embed"
    )
    found = table.obsm["tokens"] if output_type == "token_sequence" else table.X
    expected = PLAIN[output_type](np.load(folder / "tokens.npy"))
    assert np.ptp(expected) > 0.5
    difference = np.abs(found - expected).max()
    print(f"{output_type}, {file}: max abs difference {difference:.2g}")  # noqa: T201
    assert difference < 1e-5


@pytest.mark.slow
def test_a_dense_map_is_that_of_a_plain_loop(python: Path, folder: Path, tmp_path: Path) -> None:
    found = level0(ours(python, folder, tmp_path, spec("dense")), "maps/embed")
    tokens = np.load(folder / "tokens.npy")[:, 5:].reshape(3, 3, 4, 4, WIDTH)
    whole = tokens.transpose(4, 0, 2, 1, 3).reshape(WIDTH, 12, 12)
    assert found.shape == (WIDTH, 10, 11)  # 130 x 150 px in patches of 14
    assert np.abs(found - whole[:, :10, :11]).max() < 1e-5


BAD = [
    pytest.param(
        "vit.safetensors",
        {"num_prefix_tokens": 1},
        "vit_small_patch14_reg4_dinov2 has 5 CLS and register tokens, and the manifest's "
        "num_prefix_tokens is 1",
        id="registers-forgotten",
    ),
    pytest.param("vit.safetensors", {"patch_size": 16}, "has 14 px a side of what", id="patch"),
    pytest.param("vit.safetensors", {"base_dim": 384}, "has 48 numbers in a token", id="width"),
    pytest.param(
        "vit.safetensors", {"architecture": "vit_x"}, "no architecture 'vit_x'", id="name"
    ),
    pytest.param(
        "less.safetensors",
        {},
        "less.safetensors isn't a file of vit_small_patch14_reg4_dinov2 weights: "
        "the layer norm.weight is missing.",
        id="lacks",
    ),
    pytest.param("more.safetensors", {}, "_dinov2 has no layer other", id="more"),
    pytest.param("shape.safetensors", {}, "norm.weight is (3,), not (48,)", id="shape"),
    pytest.param("bare.pth", {}, "it holds no layers by name", id="bare"),
    pytest.param("pickle.pth", {}, "it doesn't hold plain tensors", id="pickle"),
    pytest.param("a.tif", {}, "it doesn't hold plain tensors", id="no-weights"),
]


RESNET = {"architecture": "resnet10t", "patch_size": 32, "num_prefix_tokens": 0, "base_dim": 512}
CASES = [
    *((f"bad{i}", *case.values[:2], ARGS, SIDE) for i, case in enumerate(BAD)),
    *((p, "vit.safetensors", {"precision": p}, ARGS, SIDE) for p in ("fp32", "fp16", "bf16")),
    ("resnet", "resnet.safetensors", RESNET, {}, 32),
    ("pooled", "resnet.safetensors", {**RESNET, "output_type": "patch_mean"}, {}, 32),
]


@pytest.fixture(scope="session")
def told(python: Path, folder: Path) -> dict[str, str]:
    """What each of `CASES` said; its tokens are in `folder`, unless it was refused."""
    cases = [
        (name, file, spec(**said).to_dict(), {"timm_args": args}, side)
        for name, file, said, args, side in CASES
    ]
    found: dict[str, str] = json.loads(run(python, CALL, SCRIPT, folder, json.dumps(cases)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BAD)), ids=[str(case.id) for case in BAD])
def test_what_does_not_fit_is_refused_at_load(told: dict[str, str], number: int) -> None:
    assert BAD[number].values[2] in told[f"bad{number}"]


@pytest.mark.slow
def test_bf16_changes_numbers_a_little_and_fp16_falls_back_on_the_cpu(
    told: dict[str, str], folder: Path
) -> None:
    fp32, fp16, bf16 = (np.load(folder / f"{p}.npy") for p in ("fp32", "fp16", "bf16"))
    assert "cpu doesn't compute in fp16 here; it is fp32 instead" in told["fp16"]
    assert told["fp32"] == ""
    np.testing.assert_array_equal(fp16, fp32)
    if told["bf16"]:  # of a CPU that hasn't it
        assert "cpu doesn't compute in bf16 here; it is fp32 instead" in told["bf16"]
        np.testing.assert_array_equal(bf16, fp32)
    else:
        assert 1e-4 < np.abs(bf16 - fp32).max() < 0.2


@pytest.mark.slow
def test_a_network_without_tokens_gives_its_last_map_as_tokens(
    told: dict[str, str], folder: Path
) -> None:
    found, expected = np.load(folder / "resnet.npy"), np.load(folder / "maps.npy")
    assert told["resnet"] == ""
    assert found.shape == (9, 1, 512)
    assert np.abs(found[:, 0] - expected[:, :, 0, 0]).max() < 1e-5


@pytest.mark.slow
def test_a_network_without_tokens_pools_its_last_map_itself(
    told: dict[str, str], folder: Path
) -> None:
    found, expected = np.load(folder / "pooled.npy"), np.load(folder / "maps.npy")
    assert told["pooled"] == ""
    assert np.abs(found - expected.mean(axis=(2, 3))).max() < 1e-5


def test_h0_mini_says_its_five_prefix_tokens_and_who_may_use_it() -> None:
    choice = Registry.load().choose("h0mini")
    made = choice.spec()
    assert (made.num_prefix_tokens, made.patch_size, made.embedding_dim) == (5, 14, 1536)
    assert made.mean == (0.707223, 0.578729, 0.703617)
    assert made.std == (0.211883, 0.230117, 0.177517)
    assert (choice.gated, choice.license) == (True, "CC-BY-NC-ND-4.0")
    lengths = {name: choice.spec(variant=name).embedding_dim for name in made.variants or {}}
    assert lengths == {
        "cls": 768,
        "patch_mean": 768,
        "cls+patch_mean": 1536,
        "dense": 768,
        "token_sequence": 768,
    }


MANIFEST = """
name: Little
short_name: little
metadata: {description: "An encoder that has learned nothing"}
license: MIT
runner: timm
config: CONFIG
spec:
  tile_spec: {size: 56, pad: white}
  num_channels: 3
  color_space: RGB
  input_range: [0, 1]
  mean: [0.7, 0.6, 0.5]
  std: [0.2, 0.25, 0.3]
  architecture: vit_small_patch14_reg4_dinov2
  patch_size: 14
  num_prefix_tokens: 5
  base_dim: 48
  output_kind: embedding
  output_type: cls+patch_mean
  embedding_dim: 96
  batch_size: 4
versions:
  v1:
    release: "1"
    tasks: {embed: {locations: [WEIGHTS]}}
"""


@pytest.mark.slow
@pytest.mark.nextflow
def test_a_manifest_alone_runs_an_encoder_through_the_pipeline(
    folder: Path, python: Path, checkout: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "args.json").write_text(json.dumps({"timm_args": ARGS}))
    text = MANIFEST.replace("CONFIG", str(tmp_path / "args.json"))
    text = text.replace("WEIGHTS", str(folder / "vit.safetensors"))
    (tmp_path / "manifests" / "little.yml").write_text(text)
    (tmp_path / "envs").mkdir()
    for name, prefix in (("base", Path(sys.prefix)), ("timm", python.parents[1])):
        (tmp_path / "envs" / name).symlink_to(prefix)
    ran = checkout.cli(
        *("run", "--input", folder / "a.tif", "--outdir", tmp_path / "out", "--model", "little"),
        *("--manifests", tmp_path / "manifests", "--env_root", tmp_path / "envs"),
        cwd=tmp_path,
        TILEWRIGHT_ENVS=str(tmp_path / "envs"),
    )
    assert ran.returncode == 0, ran.stderr
    assert "1 of 1 image, 9 tiles embedded" in ran.stdout
    table = anndata.read_zarr(store(tmp_path / "out", "a") / "tables" / "embed")
    expected = PLAIN["cls+patch_mean"](np.load(folder / "tokens.npy"))
    difference = np.abs(table.X - expected).max()
    print(f"through Nextflow: max abs difference {difference:.2g}")  # noqa: T201
    assert difference < 1e-5
    assert "9 tiles in 1 image" in (tmp_path / "out" / "report.html").read_text()
