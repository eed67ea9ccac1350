"""Segment Anything 2: what its files promise, and that its labels are the library's."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from loading import refused, run
from zoo import runs
from zoo.cases import CASES
from zoo.scenes import seen

from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry
from tilewright.runtime.torch_weights import Weights

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "bin" / "run_sam2.py"
AIOD = json.loads((ROOT / "manifests" / "aiod" / "sam2.json").read_text())
PLUGIN = {p["arg_name"]: p["value"] for p in AIOD["params"]}  # for a user who changed nothing
VERSIONS = Registry.load().manifests["sam2"].versions
CASE = CASES["sam2-tiny"]
FEW = {"points_per_side": 2, "points_per_batch": 16, "stability_score_thresh": 0.8}
SIZES = [(96, 12, "t"), (96, 16, "s"), (112, 24, "b+"), (144, 48, "l")]  # width, depth


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """The script, whose functions of layers need no torch."""
    found = importlib.util.spec_from_file_location("run_sam2", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


# The manifest.


@pytest.mark.parametrize("version", AIOD["versions"])
def test_the_plugins_versions_are_the_same_files_here(version: str) -> None:
    (theirs,) = AIOD["versions"][version]["tasks"]["everything"]["locations"]
    (ours,) = Registry.load().choose("sam2", version).task.locations
    assert ours.location == theirs["location"]


def test_the_plugins_settings_reach_the_script_as_they_are() -> None:
    values = Registry.load().choose("sam2").values(PLUGIN)
    assert values == {**PLUGIN, "max_mask_region_area": 0}
    assert values == Registry.load().choose("sam2").values({})


def test_each_version_names_its_own_file() -> None:
    for name, version in VERSIONS.items():
        (where,) = version.tasks["everything"].locations
        stem = where.location.rpartition("/")[2].removesuffix(".pt")
        newer, size = stem.partition("_")[0], stem.partition("hiera_")[2]
        assert name.endswith("_2.1") == (newer == "sam2.1")
        found = Registry.load().choose("sam2", name)
        letter = "b+" if size == "base_plus" else size[0]
        assert found.spec().architecture == f"{newer}_hiera_{letter}"


def test_the_environment_pins_every_package_and_shares_torch_with_sam() -> None:
    pins = {}
    for name in ("sam", "sam2"):
        env = yaml.safe_load((ROOT / "envs" / f"{name}.yml").read_text())
        pins[name] = dict(p.split("==") for p in env["dependencies"][-1]["pip"])
    shared = pins["sam"].keys() & pins["sam2"].keys()
    assert {"torch", "torchvision", "numpy"} <= shared
    assert {k: pins["sam"][k] for k in shared} == {k: pins["sam2"][k] for k in shared}


# Which network: its weights say, and the manifest may not say another.


def weights_of(width: int, depth: int, *more: str) -> Weights:
    patches = {"image_encoder.trunk.patch_embed.proj.weight": np.zeros((width, 3, 7, 7))}
    blocks = [f"image_encoder.trunk.blocks.{n}.norm1.weight" for n in range(depth)]
    return Weights("x.pt", "SAM 2", {**patches, **dict.fromkeys([*blocks, *more])})


@pytest.mark.parametrize(("width", "depth", "size"), SIZES)
@pytest.mark.parametrize(("more", "release"), [((), "sam2"), (("no_obj_embed_spatial",), "sam2.1")])
def test_the_network_is_the_weights_own(
    script: ModuleType, width: int, depth: int, size: str, more: tuple[str, ...], release: str
) -> None:
    found = weights_of(width, depth, *more)
    name = f"{release}_hiera_{size}"
    for said in ({}, {"architecture": "hiera"}, {"architecture": name}):
        assert script.kind_of(found, said) == name
    other = f"{'sam2' if more else 'sam2.1'}_hiera_{size}"
    says = f"x.pt holds {name}, and architecture in the manifest says {other}."
    with pytest.raises(ValueError, match=re.escape(says)):
        script.kind_of(found, {"architecture": other})


@pytest.mark.parametrize(("width", "depth"), [(0, 0), (96, 13), (768, 12)])
def test_weights_of_no_such_network_are_refused(script: ModuleType, width: int, depth: int) -> None:
    with pytest.raises(ValueError, match="isn't a file of SAM 2 weights: it is none of sam2_"):
        script.kind_of(weights_of(width, depth), {})


# In the real environment.

SHAPES = """
import sys

sys.path.insert(0, sys.argv[1])
import run_sam2, torch
from sam2.build_sam import build_sam2
from tilewright.runtime.torch_weights import Weights

linspace = torch.linspace  # whose values the library looks at, and layers' nobody
torch.linspace = lambda *a, **k: linspace(*a, **{"device": "cpu", **k})
for kind in run_sam2.KINDS:
    with torch.device("meta"):
        own = build_sam2(f"configs/{kind.partition('_')[0]}/{kind}.yaml", device="meta",
                         apply_postprocessing=False).state_dict()
    found = Weights("x.pt", "SAM 2", own)
    assert run_sam2.kind_of(found, {"architecture": kind}) == kind
    print(kind, len(own))
"""
OTHERS = """
import sys, torch

good, folder = torch.load(sys.argv[1])["model"], sys.argv[2]
files = {
    "list": [torch.zeros(3)],
    "sam1": {"image_encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16)},
    "half": {"model": {name: good[name] for name in good if "mask_decoder" not in name}},
    "wider": {"model": good | {"no_mem_embed": torch.zeros(1, 1, 128)}},
    "older": {"model": {n: t for n, t in good.items()
                        if n != "no_obj_embed_spatial" and "tpos_proj" not in n}},
    "whole": {"model": torch.nn.Linear(2, 2)},
}
for name, content in files.items():
    torch.save(content, folder + "/" + name + ".pt")
data = open(sys.argv[1], "rb").read()
open(folder + "/cut.pt", "wb").write(data[: len(data) // 2])
"""
HALF = """
import sys
import torch

sys.path.insert(0, sys.argv[1])
import run_sam2
from tilewright.runtime.device import has_bf16

torch.manual_seed(0)
picture, found = torch.rand(1, 3, 1024, 1024), []
for precision in ("fp32", "bf16"):
    spec = {"input_range": (0, 255), "precision": precision}
    params = {"points_per_side": 2, "crop_n_layers": 0, "crop_n_points_downscale_factor": 1}
    generator, *_ = run_sam2.load(sys.argv[2], "cpu", spec, params)
    with torch.inference_mode():
        found.append(generator.predictor.model.forward_image(picture)["backbone_fpn"])
for full, short in zip(*found):
    assert full.dtype == short.dtype == torch.float32
    assert torch.equal(full, short) != has_bf16("cpu")
    print(float((full - short).norm() / full.norm()))
"""


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of its own environment, built if it isn't there."""
    return runs.python_of(CASE)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of 2.1 in Meta's format, whose masks are what has the point's colour."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("sam2"))


def labels(weights: Path, tile: Array, spec: dict[str, Any] | None = None, **params: Any) -> Array:
    """By the script and the pipe."""
    case = dataclasses.replace(CASE, params={**FEW, **params})
    return np.asarray(runs.by_script(case, weights, tile[None], **(spec or {}))[0])


def discs() -> tuple[Array, Array]:
    """Four discs of their own colours, a point in each, of which one has a hole and a speck.

    The truth, and the tile.
    """
    y, x = np.mgrid[:160, :160]
    truth = np.zeros((160, 160), np.int32)
    for number, (top, left) in enumerate(((40, 40), (40, 120), (120, 40), (120, 120)), 1):
        truth[(y - top) ** 2 + (x - left) ** 2 < 26**2] = number
    truth[(y - 30) ** 2 + (x - 30) ** 2 < 4**2] = 0
    truth[(y - 80) ** 2 + (x - 80) ** 2 < 4**2] = 1
    return truth, np.moveaxis(seen(truth, "coloured").astype(np.float32) / 255, -1, 0)


@pytest.mark.slow
def test_every_configuration_comes_with_the_library_and_is_told_by_its_layers(python: Path) -> None:
    found = run(python, SHAPES, SCRIPT.parent).splitlines()
    assert [line.split()[0] for line in found] == [
        f"{release}_hiera_{size}" for release in ("sam2", "sam2.1") for *_, size in SIZES
    ]


@pytest.mark.slow
def test_small_holes_and_pieces_are_mended_without_cuda(weights: Path) -> None:
    """The library itself leaves them, with a warning."""
    truth, tile = discs()
    as_they_are = labels(weights, tile)
    mended = labels(weights, tile, min_mask_region_area=200)
    hole, speck = (truth == 0) & (as_they_are == 0), np.zeros(truth.shape, bool)
    speck[76:85, 76:85] = True
    assert as_they_are[30, 30] == 0
    assert as_they_are[80, 80] == as_they_are[40, 55] > 0
    assert mended[30, 30] == mended[40, 55] > 0
    assert not mended[speck].any()
    assert len(np.unique(mended)) == 5
    assert hole.any()


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"multimask_output": True}, {"use_m2m": True}], ids=str)
def test_the_other_ways_to_masks_are_the_librarys_too(
    weights: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    _, tile = discs()
    case = dataclasses.replace(CASE, params={**FEW, **params})
    theirs = runs.by_library(case, weights, tile, tmp_path)
    assert len(np.unique(theirs)) >= 5, "a disc isn't found"
    np.testing.assert_array_equal(labels(weights, tile, **params), theirs)


@pytest.mark.slow
def test_crops_without_any_mask_are_background(weights: Path) -> None:
    """The library itself fails there."""
    black = np.zeros((3, 64, 64), np.float32)
    found = labels(weights, black, points_per_side=2, crop_n_layers=1)
    assert (found.shape, found.dtype, found.any()) == ((64, 64), np.int32, False)


@pytest.mark.slow
def test_in_half_precision_the_encoder_alone_runs(python: Path, weights: Path) -> None:
    assert all(float(line) < 0.1 for line in run(python, HALF, SCRIPT.parent, weights).splitlines())


@pytest.mark.slow
def test_a_file_that_isnt_a_whole_network_is_refused_with_its_fault(
    python: Path, weights: Path, tmp_path: Path
) -> None:
    run(python, OTHERS, weights, tmp_path)
    (tmp_path / "text.pt").write_text("<html>404</html>\n")
    (tmp_path / "folder.pt").mkdir()
    says = {
        "text.pt": "doesn't hold plain tensors",
        "whole.pt": "doesn't hold plain tensors",
        "cut.pt": "it is cut off; fetch or copy it anew",
        "list.pt": "it holds no layers",
        "sam1.pt": "it is none of sam2_hiera_t, sam2_hiera_s",
        "half.pt": "the layer sam_mask_decoder.conv_s0.bias is missing",
        "wider.pt": "no_mem_embed is (1, 1, 128), not (1, 1, 256)",
        "older.pt": "older.pt holds sam2_hiera_t, and architecture in the manifest says sam2.1_hi",
        "folder.pt": "it is a folder",
        "nowhere.pt": "nowhere.pt",
    }
    refused(CASE, {tmp_path / name: words for name, words in says.items()})
    with pytest.raises(TilewrightError, match="is a folder") as fault:
        labels(tmp_path / "folder.pt", np.zeros((3, 64, 64), np.float32))
    assert "Traceback" not in str(fault.value)
