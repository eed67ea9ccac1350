"""`tilewright.tiles` gives what the pipeline's worker gives a model, and says where it is."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import Array, numbered, speckles, write_ome_zarr
from toy import HERE, start

import tilewright
from tilewright import ModelSpec, TileSpec
from tilewright.api.tiles import Tiles
from tilewright.contract.blocks import Resolution
from tilewright.contract.jobs import EnvironmentId, Job, Recipe, ScriptId
from tilewright.errors import TilewrightError
from tilewright.predict import model_process, worker
from tilewright.predict.worker import run_job
from tilewright.steps import predict as steps_predict

COARSE = ModelSpec(
    "m", "1",
    TileSpec({"y": 16, "x": 16}, band={"y": 2, "x": 2}, resolution=Resolution(mpp=0.8)),
    axes="YXC", num_channels=2, color_space="MULTI",
    normalization={"method": "percentile"}, batch_size=4,
)  # fmt: skip
SCALE = 0.5  # µm per pixel of the pictures


def picture(folder: Path, pixels: Array, axes: str) -> Path:
    """An OME-Zarr with a pixel size."""
    path = folder / "picture.zarr"
    write_ome_zarr(path, [pixels], axes, scale=SCALE, channels=["red", "green", "blue"])
    return path


def job(found: Tiles) -> Job:
    """All of an image's tiles as one job."""
    grids = found[-1].number + 1
    return Job("g", 0, (found.ref,), ((found.ref.key, 0, grids),))


def test_the_arrays_are_those_that_a_job_hands_its_model(tmp_path: Path) -> None:
    spec = COARSE.to_dict() | {"axes": "CYX"}
    spec = ModelSpec.from_dict(spec)
    path = picture(tmp_path, speckles((2, 3, 37, 53)), "TCYX")
    found = tilewright.tiles(path, spec, channels="blue,red")
    go = start("scripts/run_recorder.py", confine="off", folder=str(tmp_path))
    recipe = Recipe.trial(spec)
    run_job(job(found), recipe, tmp_path / "a.bank", start=go, weights="")
    batches = [np.load(p) for p in sorted(tmp_path.glob("*.npy"))]
    assert max(map(len, batches)) == spec.batch_size
    seen = np.concatenate(batches)
    assert len(seen) == len(found) == 2 * 2 * 3
    for tile, got in zip(found, seen, strict=True):
        assert tile.pixels.dtype == np.float32
        np.testing.assert_array_equal(tile.pixels, got)


def test_the_places_are_those_of_the_workers_windows(tmp_path: Path) -> None:
    path = picture(tmp_path, numbered("CYX"), "CYX")
    found = tilewright.tiles(path, COARSE, channels="0,2", region=(4, 6, 30, 40))
    recipe = Recipe.trial(COARSE)
    works = list(worker.tiles_of(job(found), recipe, worker.Notes()))
    assert len(works) == len(found) > 1
    for number, (tile, work) in enumerate(zip(found, works, strict=True)):
        assert tile.number == number
        assert tile.plane == {}
        assert tile.pixels.shape == (16, 16, 2)
        np.testing.assert_array_equal(tile.pixels, work.pixels)
        for axis, first in enumerate((2, 3)):  # of the whole image's: row 4 is in its row 2
            start, stop = work.tile.window[axis]
            assert tile.origin[axis] == pytest.approx((first + start) * 0.8 / SCALE)
            assert tile.extent[axis] == pytest.approx((stop - start) * 0.8 / SCALE)
            assert tile.origin_um is not None
            assert tile.origin_um[axis] == pytest.approx(tile.origin[axis] * SCALE)
    assert tile.extent_um is not None
    assert tile.extent_um[0] < 16 * 0.8  # cut at the region's end


def test_planes_come_one_after_the_other(tmp_path: Path) -> None:
    path = picture(tmp_path, numbered("TZYX"), "TZYX")
    found = tilewright.tiles(path, TileSpec({"y": 99, "x": 99}, variable_input=True))
    assert [t.plane for t in found] == [{"T": t, "Z": z} for t in range(2) for z in range(4)]
    whole = np.stack([t.pixels[0] for t in found]).reshape(2, 4, 37, 53)
    np.testing.assert_array_equal(whole, numbered("TZYX"))


def test_a_tile_spec_alone_gives_all_channels_as_they_are(tmp_path: Path) -> None:
    path = picture(tmp_path, numbered("CYX"), "CYX")
    tile = tilewright.tiles(path, TileSpec({"y": 20, "x": 30}))[0]
    np.testing.assert_array_equal(tile.pixels, numbered("CYX")[:, :20, :30])


def test_a_models_name_will_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", speckles((60, 70), "uint8"))
    found = tilewright.tiles(tmp_path / "a.tif", tilewright.Models.NUCLEI)
    assert found.spec == tilewright.Registry.load().choose("nuclei").spec()
    assert found[0].origin_um is None
    assert len(found) == 1


def test_tiles_outside_a_mask_are_not_among_them(tmp_path: Path) -> None:
    path = picture(tmp_path, numbered("YX"), "YX")
    inside = np.zeros((37, 53), "uint8")
    inside[30:, 45:] = 1
    tifffile.imwrite(tmp_path / "mask.tif", inside)
    found = tilewright.tiles(path, TileSpec({"y": 20, "x": 20}), mask=tmp_path / "mask.tif")
    assert [t.number for t in found] == [5]
    assert found[0].origin == (20, 40)
    assert found[0].inside is not None
    np.testing.assert_array_equal(found[0].inside, inside[20:, 40:] > 0)


def test_glass_has_no_tiles_where_the_spec_skips_it(tmp_path: Path) -> None:
    path = picture(tmp_path, np.full((3, 20, 20), 255, "uint8"), "CYX")
    target = {"means": [70, 20, -10], "stds": [15, 8, 6]}
    spec = ModelSpec(
        "m", "1", TileSpec({"y": 8, "x": 8}), num_channels=3, color_space="RGB",
        stain_normalization="reinhard", stain_target=target, on_failure="skip",
    )  # fmt: skip
    assert len(tilewright.tiles(path, spec)) == 0


def first(found: Tiles) -> Array:
    """In a process of its own."""
    return found[0].pixels


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_processes_read_the_same(tmp_path: Path, method: str) -> None:
    path = picture(tmp_path, speckles((3, 37, 53)), "CYX")
    found = tilewright.tiles(path, COARSE, channels="0,1")
    if sys.platform == "darwin" and method == "fork":
        pytest.skip("macOS doesn't fork safely")
    with get_context(method).Pool(1) as pool:
        got: Any = pool.apply(first, (found,))
    np.testing.assert_array_equal(got, found[0].pixels)


def test_the_statistics_travel_along(tmp_path: Path) -> None:
    path = picture(tmp_path, speckles((3, 37, 53)), "CYX")
    found = tilewright.tiles(path, COARSE, channels="0,1")
    assert pickle.loads(pickle.dumps(found)).ref.statistics == found.ref.statistics  # noqa: S301
    assert found.ref.statistics is not None


def test_tiles_of_tissue_are_those_of_a_run_and_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_HOME", str(tmp_path / "home"))
    pixels = np.zeros((320, 320), np.uint8)
    pixels[100:220, 20:160] = 200
    path = picture(tmp_path, pixels, "YX")
    spec = TileSpec({"y": 40, "x": 40})
    found = tilewright.tiles(path, spec, mask="tissue", mpp=3)
    whole = tilewright.tiles(path, spec, mask="none", mpp=3)
    assert len(whole) == 64
    there = {(int(t.origin[0]), int(t.origin[1])) for t in found}
    assert there >= {(y, x) for y in range(80, 220, 40) for x in range(0, 160, 40)}
    assert there <= {(y, x) for y in range(40, 260, 40) for x in range(0, 200, 40)}
    assert all(t.inside is not None and t.inside.any() for t in found)
    (kept,) = (tmp_path / "home" / "cache" / "tissue").iterdir()
    before = kept.stat().st_mtime_ns
    some = tilewright.tiles(path, spec, mask="tissue", mpp=3, min_tissue=1)
    assert 0 < len(some) < len(found)
    assert kept.stat().st_mtime_ns == before
    assert len(pickle.loads(pickle.dumps(found))) == len(found)  # noqa: S301


def test_it_is_a_sequence(tmp_path: Path) -> None:
    found = tilewright.tiles(picture(tmp_path, numbered("YX"), "YX"), TileSpec({"y": 20, "x": 20}))
    assert [t.number for t in found[1:5:2]] == [1, 3]
    assert found[-1].number == len(found) - 1 == 5
    with pytest.raises(IndexError, match="out of range"):
        found[6]


def test_what_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    path = picture(tmp_path, numbered("CYX"), "CYX")
    with pytest.raises(TilewrightError, match=r"has 3 channels .* takes 2"):
        tilewright.tiles(path, COARSE)


def test_a_script_learns_where_its_weights_are_and_the_recipe_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = hashlib.sha256(b"weights").hexdigest()
    for folder in ("bin", "envs", f"weights/{sha}", "out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin" / "run_recorder.py").symlink_to(HERE / "scripts" / "run_recorder.py")
    (tmp_path / "envs" / "base").symlink_to(sys.prefix)
    (tmp_path / "weights" / sha / "net.pt").write_text("weights")
    monkeypatch.setattr(model_process, "ROOT", tmp_path)
    monkeypatch.setenv("TILEWRIGHT_ENVS", str(tmp_path / "envs"))
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TILEWRIGHT_CONFINE", "off")  # since it tells by a file
    spec = ModelSpec("m", "1", TileSpec({"y": 64, "x": 64}))
    path = picture(tmp_path, numbered("YX"), "YX")
    recipe = replace(
        Recipe.trial(spec, {"folder": str(tmp_path / "out")}),
        environment=EnvironmentId("base", "", ""),
        script=ScriptId("run_recorder.py", ""),
    )
    before = recipe.digest
    for weights, expected in ((sha, str(tmp_path / "weights" / sha / "net.pt")), ("", None)):
        steps_predict.predict(
            job(tilewright.tiles(path, spec)), recipe, weights, tmp_path / "a.bank"
        )
        told = json.loads((tmp_path / "out" / "spec.json").read_text())
        assert told == json.loads(json.dumps(spec.to_dict())) | {"weights_source": expected}
    assert recipe.digest == before
