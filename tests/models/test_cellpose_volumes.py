"""Both Cellposes' variant of volumes: the library's do_3D, by the image's own pixel sizes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from zoo import runs
from zoo.cases import CASES, Case
from zoo.scenes import balls, seen

from tilewright import ROOT
from tilewright.errors import TilewrightError

Array = np.ndarray[Any, Any]
FLAT, DEEP = CASES["cellposesam"], CASES["cellpose-3d"]
SMALL = dataclasses.replace(FLAT, variant="3d", params={"batch_size": 8})
APART = 4  # slices, over pixels' width
UM = (2.0, 0.5, 0.5)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made weights."""
    return tmp_path_factory.mktemp("volumes")


def sliced() -> Array:
    """uint8 ``(Z, Y, X)`` of balls, of which the microscope took every fourth slice."""
    return seen(balls((32, 56, 56), 6, seed=3)[::APART], "bright", seed=3)


def tile_of(volume: Array, channels: int) -> Array:
    """float32 ``(C, Z, Y, X)`` scaled as the pipeline does, other channels empty."""
    low, high = np.percentile(volume, (1, 99))
    tile = np.zeros((channels, *volume.shape), np.float32)
    tile[0] = (volume.astype(np.float32) - low) / (high - low)
    return tile


def by_script(case: Case, weights: Path, tile: Array, um: Any) -> Array:
    """Labels ``(Z, Y, X)`` of a tile ``(C, Z, Y, X)`` whose pixels are so big."""
    with runs.model_process(case, weights) as model:
        return np.asarray(model.predict(tile[None], um)[0])


def told(case: Case, anisotropy: float) -> Case:
    """The case with a user who says how far apart slices are."""
    return dataclasses.replace(case, params={**case.params, "anisotropy": anisotropy})


def test_a_volumes_labels_are_those_of_do_3d_by_its_pixels_or_the_user(
    made: Path, tmp_path: Path
) -> None:
    weights, tile = runs.made_weights(DEEP, made), tile_of(sliced(), 2)
    theirs = {a: runs.by_library(told(DEEP, a), weights, tile, tmp_path) for a in (1.0, APART)}
    assert theirs[APART].max() >= 10, "too few objects to tell anything"
    assert not np.array_equal(theirs[1.0], theirs[APART])
    for um, case, wanted in (
        (UM, DEEP, APART),
        ((None, 0.5, 0.5), DEEP, 1.0),
        (UM, told(DEEP, 1.0), 1.0),
    ):
        ours = by_script(case, weights, tile, um)
        np.testing.assert_array_equal(ours, theirs[wanted], err_msg=f"{um} {case.params}")


def test_an_images_own_pixel_sizes_reach_the_library_through_the_pipeline(
    made: Path, tmp_path: Path
) -> None:
    weights, volume = runs.made_weights(DEEP, made), sliced()
    tifffile.imwrite(
        tmp_path / "a.tif",
        volume,
        imagej=True,
        resolution=(1 / UM[1], 1 / UM[2]),
        metadata={"axes": "ZYX", "spacing": UM[0], "unit": "um"},
    )
    site = runs.overlay(DEEP, weights, tmp_path, 512)
    ran = subprocess.run(
        [
            *(ROOT / "tilewright", "run", "--input", tmp_path / "a.tif", "--model", "cellpose"),
            *("--variant", "3d", "--outdir", tmp_path / "out", "--manifests", site),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr[-2000:] + ran.stdout[-2000:]
    (image,) = json.loads((tmp_path / "out" / "run.json").read_text())["images"]
    assert not [said for said in image["remarks"] if "how far apart" in said]
    group: Any = zarr.open_group(tmp_path / "out" / "a" / "cellpose-cyto3-3.0.0-cyto-3d.zarr")
    found = np.asarray(group["labels/cyto/0"][...])
    wanted = runs.by_library(told(DEEP, APART), weights, tile_of(volume, 2), tmp_path)
    assert runs.average_precision(found, wanted) == 1
    assert np.array_equal(found > 0, wanted > 0)


def test_one_slice_is_no_volume(made: Path) -> None:
    tile = np.zeros((2, 1, 32, 32), np.float32)
    with pytest.raises(TilewrightError, match=r"\(1, 32, 32\) voxels are no volume: leave out"):
        by_script(DEEP, runs.made_weights(DEEP, made), tile, None)


def test_cellpose_sams_labels_of_a_volume_are_the_librarys_too(made: Path, tmp_path: Path) -> None:
    """A small one: of each plane along each axis the network sees 256 x 256 px."""
    truth = np.zeros((4, 30, 30), np.int32)
    y, x = np.mgrid[:30, :30]
    for number, (top, left) in enumerate(((7, 7), (7, 22), (22, 14)), 1):
        truth[:, (y - top) ** 2 + (x - left) ** 2 < 7**2] = number
    tile = tile_of(seen(truth, "bright", seed=2), 3)
    weights = runs.made_weights(FLAT, made)
    ours = by_script(SMALL, weights, tile, (0.75, 0.5, 0.5))
    theirs = runs.by_library(told(SMALL, 1.5), weights, tile, tmp_path)
    assert theirs.max() >= 2
    np.testing.assert_array_equal(ours, theirs)
