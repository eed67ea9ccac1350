"""PanSeg: what its script and manifest promise, and files that aren't its networks."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zoo import runs
from zoo.cases import CASES

from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess
from tilewright.registry.registry import Registry

CASE = CASES["panseg"]
MAP = {"output_kind": "map", "classes": ["boundary"]}
PLUGIN = {  # what AI OnDemand's plugin writes for a user who changed nothing
    "patch": None,
    "patch_halo": None,
    "single_batch_mode": True,
    "model_update": False,
    "disable_tqdm": False,
    "ws_threshold": 0.5,
    "ws_sigma_seeds": 1.0,
    "ws_stacked": False,
    "ws_sigma_weights": 2.0,
    "ws_min_size": 100,
    "ws_alpha": 1.0,
    "ws_pixel_pitch": None,
    "ws_apply_nonmax_suppression": False,
    "gasp_linkage_criteria": "average",
    "gasp_beta": 0.5,
    "gasp_post_minsize": 100,
    "n_threads": 6,
    "voxel_size": None,
    "voxel_size_unit": "um",
}
FILES = """
import sys, pathlib, torch
from pytorch3dunet.unet3d.model import ResidualUNet3D, UNet2D, UNet3D
good, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
torch.manual_seed(3)
layers = torch.load(good, weights_only=True)["model_state_dict"]
def keep(name, what):
    torch.save(what, folder / name)
keep("plain.pytorch", layers)
keep("parallel.pytorch", {"module." + name: layer for name, layer in layers.items()})
last = {n: torch.cat([-layers[n], layers[n]]) for n in ("final_conv.weight", "final_conv.bias")}
keep("nuclei.pytorch", {**layers, **last})
keep("flat.pytorch", UNet2D(1, 1, f_maps=16, num_levels=3).state_dict())
keep("batch.pytorch", UNet3D(1, 1, f_maps=8, num_levels=3, layer_order="bcr").state_dict())
keep("three.pytorch", UNet3D(1, 3, f_maps=8, num_levels=3).state_dict())
keep("colours.pytorch", UNet3D(3, 1, f_maps=8, num_levels=3).state_dict())
keep("residual.pytorch", ResidualUNet3D(1, 1, f_maps=8, num_levels=3).state_dict())
keep("other_order.pytorch", UNet3D(1, 1, f_maps=8, num_levels=3, layer_order="crg").state_dict())
keep("other.pytorch", {"layer": torch.zeros(2)})
keep("whole.pytorch", UNet3D(1, 1, f_maps=8, num_levels=3))
(folder / "cut.pytorch").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
(folder / "text.pytorch").write_text("<html>404</html>")
"""


@pytest.mark.parametrize("version", Registry.load().manifests["panseg"].versions)
def test_the_plugins_settings_are_taken_as_they_are(version: str) -> None:
    values = Registry.load().choose("panseg", version).values(PLUGIN)
    assert values == PLUGIN


@pytest.mark.parametrize("version", Registry.load().manifests["panseg"].versions)
def test_every_version_gives_cells_or_maps_and_scales_a_whole_image(version: str) -> None:
    choice = Registry.load().choose("panseg", version)
    cells, maps = choice.spec(), choice.spec(variant="boundaries")
    assert (cells.output_kind, maps.output_kind) == ("labels", "map")
    assert ("Z" in cells.axes) == ("3D" in version)
    boundary = ("boundary",)
    assert maps.classes == (("nuclei", *boundary) if choice.task_name == "nuclei" else boundary)
    for spec in (cells, maps):
        assert spec.normalization
        assert (spec.normalization.method, spec.normalization.scope) == ("zscore", "image")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"ws_threshold": 1.5}, "ws_threshold is 1.5", id="no-probability"),
        pytest.param({"model_update": True}, "model_update is True", id="other-weights"),
        pytest.param({"gasp_linkage_criteria": "sum"}, "gasp_linkage_criteria is 'sum'", id="way"),
        pytest.param({"gasp_beta": 0}, "gasp_beta is 0", id="below"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)):
        Registry.load().choose("panseg").values(given)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as pytorch-3dunet's trainer keeps its own."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("panseg"))


@pytest.fixture(scope="session")
def files(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of other files of weights: those of `FILES`."""
    folder = tmp_path_factory.mktemp("files")
    subprocess.run([runs.python_of(CASE), "-c", FILES, good, folder], check=True)
    return folder


def part() -> np.ndarray[Any, Any]:
    """A piece of the case's picture, standardised: (1, 1, 40, 96, 96)."""
    return runs.main_tile(CASE)[..., :96, :96]


@pytest.mark.slow
def test_the_map_is_the_librarys_network(good: Path, tmp_path: Path) -> None:
    tile = part()
    np.save(tmp_path / "tile.npy", tile[0])
    out = tmp_path / "map.npy"
    runs.in_its_environment(CASE, "map", good, tmp_path / "tile.npy", out)
    ours = runs.by_script(CASE, good, tile, **MAP)[0]
    np.testing.assert_allclose(ours, np.load(out), atol=1e-5)
    assert ours.min() < 0.1
    assert ours.max() > 0.9


@pytest.mark.slow
def test_in_tiles_the_map_tells_inside_from_boundary_as_in_one(good: Path, tmp_path: Path) -> None:
    """Not to the last bit: a group norm sees its whole tile."""
    tiled, whole = (
        runs.by_pipeline(CASE, good, tmp_path / str(size), size, "--variant", "boundaries")
        for size in CASE.sizes
    )
    assert (tiled.tiles, whole.tiles) == (9, 1)
    assert whole.result.shape == (1, *CASE.shape)
    beside = np.abs(tiled.result - whole.result)
    assert beside.mean() < 0.01
    assert np.mean(beside > 0.1) < 0.001
    assert np.mean((tiled.result > 0.5) != (whole.result > 0.5)) < 0.002


@pytest.mark.slow
def test_layers_alone_and_of_several_gpus_are_the_same_network(good: Path, files: Path) -> None:
    tile = part()
    wanted = runs.by_script(CASE, good, tile)
    assert wanted.max() >= 10
    for name in ("plain", "parallel"):
        found = runs.by_script(CASE, files / f"{name}.pytorch", tile)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_the_settings_do_what_they_say(good: Path) -> None:
    tile = part()
    usual, all_apart, joined, by_plane, mutex = (
        runs.by_script(replace(CASE, params=params), good, tile)[0]
        for params in (
            {},
            {"gasp_beta": 0.99, "ws_min_size": 20, "gasp_post_minsize": 0},
            {"gasp_beta": 0.01},
            {"ws_stacked": True},
            {"gasp_linkage_criteria": "mutex_watershed"},
        )
    )
    count = len(np.unique(usual))
    assert len(np.unique(all_apart)) > count
    assert len(np.unique(joined)) < count
    assert len(np.unique(by_plane)) >= 10
    assert len(np.unique(mutex)) >= 10
    assert not np.array_equal(by_plane, usual)


@pytest.mark.slow
def test_nothing_lies_outside_all_nuclei_of_a_network_of_two_maps(files: Path) -> None:
    tile, weights = part(), files / "nuclei.pytorch"
    nuclei, boundary = runs.by_script(CASE, weights, tile, output_kind="map")[0]
    found = runs.by_script(CASE, weights, tile)[0]
    assert not found[nuclei < 0.5].any()
    sizes = np.bincount(found.ravel())[1:]
    assert (sizes[sizes > 0] >= 100).all()
    assert (sizes > 0).sum() >= 10
    assert (boundary[found > 0] <= 0.5).all()


@pytest.mark.slow
def test_a_flat_network_segments_planes_and_a_flat_volume_is_as_the_library_has_it(
    good: Path, files: Path, tmp_path: Path
) -> None:
    plane = replace(CASE, version="confocal_2D_unet_ovules_ds2x")
    tile = part()[:, :, 5]
    found = runs.by_script(plane, files / "flat.pytorch", tile)
    assert found.shape == (1, 96, 96)
    flat = np.zeros((1, 1, 16, 32, 32), np.float32)
    nothing = runs.by_script(CASE, good, flat)[0]
    assert nothing.all()  # no voxel is background
    np.testing.assert_array_equal(nothing, runs.by_library(CASE, good, flat[0], tmp_path))


@pytest.mark.slow
def test_its_own_config_file_says_what_layers_cant(good: Path) -> None:
    """The groups of a group norm leave no trace in its layers."""
    choice, python, tile = runs.choice_of(CASE), runs.python_of(CASE), part()
    whole = {"name": "UNet3D", "in_channels": 1, "out_channels": 1, "f_maps": 8, "num_levels": 3}
    found = []
    for groups in (8, 2):
        with ModelProcess(
            python,
            choice.script(),
            weights=str(good),
            device="cpu",
            spec=choice.spec().to_dict() | MAP,
            params={**choice.values({}), "model": {**whole, "num_groups": groups}},
            timeout=runs.LIMIT,
            env=child_env(python.parents[1]),
        ) as model:
            found.append(np.asarray(model.predict(tile)))
    np.testing.assert_array_equal(found[0], runs.by_script(CASE, good, tile, **MAP))
    assert not np.allclose(found[1], found[0], atol=1e-3)


@pytest.mark.slow
def test_what_isnt_its_network_is_refused_in_a_sentence(files: Path) -> None:
    bad = {
        "flat": "it is of 2 dimensions, 1 channels and 1 maps",
        "three": "it is of 3 dimensions, 1 channels and 3 maps",
        "colours": "it is of 3 dimensions, 3 channels and 1 maps",
        "residual": "it has no encoders and decoders of double convolutions",
        "other_order": "layers don't fit",
        "other": "it has no encoders and decoders of double convolutions",
        "whole": "it doesn't hold plain tensors",
        "cut": "it is cut off; fetch or copy it anew",
        "text": "it doesn't hold plain tensors",
    }
    tile = np.zeros((1, 1, 16, 32, 32), np.float32)
    paths = {files / f"{name}.pytorch": says for name, says in bad.items()}
    for path, says in {**paths, files: "it is a folder"}.items():
        with pytest.raises(TilewrightError) as refused:
            runs.by_script(CASE, path, tile)
        assert says in str(refused.value), path.name
        assert "isn't a file of pytorch-3dunet's U-Net weights" in str(refused.value), path.name
        assert "Traceback" not in str(refused.value), path.name
