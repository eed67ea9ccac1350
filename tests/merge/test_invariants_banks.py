"""What the merge promises of banks and stores, I6 to I12, each by its number.

Who works, in which order and how often it is stopped changes no byte; memory doesn't grow with the
image. The scenes are `oracle`'s, banked and merged for real; `test_invariants` has the rest.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from banking import cut, merge_all, recipe_of, write_banks
from oracle import dense_cells
from pictures import reference
from running import ROOT, digests, level0

from tilewright.contract.canonical import save
from tilewright.contract.grid import Grid, Tile, TileAxis
from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.merge.write.bank_reader import BankReader
from tilewright.merge.write.stores import check_banks, merge_group
from tilewright.predict.worker import Notes, header
from tilewright.tile_results.bank import Bank, BankWriter, tile_name

Array = np.ndarray[Any, Any]

PLANE = TileSpec(
    {"y": 96, "x": 80}, band={"y": 12, "x": 12}, context={"y": 4, "x": 4}, variable_input=True
)
DEEP = TileSpec(
    {"z": 20, "y": 48, "x": 40},
    band={"z": 5, "y": 8, "x": 8},
    context={"z": 1, "y": 2, "x": 2},
    variable_input=True,
)
SCENES = {
    "2d": (dense_cells((300, 260), 8, 2), PLANE),
    "3d": (dense_cells((44, 90, 80), 5, 2), DEEP),
}
SCENE = pytest.mark.parametrize("scene", SCENES)
Seen = Callable[[str, int, Grid, Tile], Array]


def spec_of(scene: str, **more: Any) -> ModelSpec:
    tile = SCENES[scene][1]
    return ModelSpec("scene", "1", tile, axes="C" + tile.axes.upper(), **more)


def image_of(folder: Path, scene: str, **more: Any) -> ImageRef:
    """The scene's picture: its truth, in 200 shades."""
    pixels = (SCENES[scene][0] % 200).astype(np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels, photometric="minisblack")
    ref = reference(folder / "a.tif", pixels, "ZYX"[-pixels.ndim :], **more)
    return replace(ref, key="i000", id="a")


def shaken(truth: Array) -> Seen:
    """A model that draws each tile's objects up to a pixel off."""

    def seen(_: str, __: int, ___: Grid, tile: Tile) -> Array:
        shifts = np.random.default_rng(tile.index).integers(-1, 2, truth.ndim)
        box = tuple(slice(a, b) for a, b in tile.window)
        return np.array(np.roll(truth, shifts, range(truth.ndim))[box])

    return seen


def renumbered(seen: Seen, seed: int) -> Seen:
    """The same model, whose numbers are others in every tile, and above 2^32."""

    def other(image: str, plane: int, grid: Grid, tile: Tile) -> Array:
        labels = seen(image, plane, grid, tile)
        rng = np.random.default_rng([seed, tile.index])
        numbers = rng.permutation(int(labels.max()) + 1).astype(np.uint64) + (1 << 40)
        return np.where(labels > 0, numbers[labels], 0)

    return other


# --- I6: any order, any number -----------------


def said(out: Path) -> str:
    """What the report is told of the images; it is told of each job as well."""
    return str(json.loads((out / ".shown" / "merged.json").read_text())["images"])


@SCENE
def test_i6_no_order_number_of_jobs_or_processes_changes_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str
) -> None:
    ref, spec, found = image_of(tmp_path, scene), spec_of(scene), []
    monkeypatch.setattr("tilewright.merge.write.stores.PAYS_PIXELS", 1)
    for jobs, processes in ((1, 1), (2, 2), (5, 3)):
        monkeypatch.setenv("TILEWRIGHT_CPUS", str(processes))
        banks = write_banks(tmp_path / str(jobs), [ref], spec, shaken(SCENES[scene][0]), jobs)
        np.random.default_rng(jobs).shuffle(banks)  # type: ignore[arg-type]
        out = merge_all(banks, tmp_path / f"out{jobs}", spec, save_image=True)
        same = {".shown/merged.json": said(out), ".shown/merged.sha256": "of all that is there"}
        found.append(digests(out) | same)
    assert len(found[0]) > 20
    assert found[0] == found[1] == found[2]


@SCENE
def test_i6_a_permutation_or_offset_of_a_tiles_labels_changes_no_byte(
    tmp_path: Path, scene: str
) -> None:
    ref, spec, found = image_of(tmp_path, scene), spec_of(scene), []
    for seed in range(3):
        seen = shaken(SCENES[scene][0])
        seen = renumbered(seen, seed) if seed else seen
        banks = write_banks(tmp_path / str(seed), [ref], spec, seen)
        found.append(digests(merge_all(banks, tmp_path / f"out{seed}", spec)))
    assert len(found[0]) > 15
    assert found[0] == found[1] == found[2]


# --- I7: killed and repeated -----------------


@pytest.mark.parametrize("processes", [1, 2])
def test_i7_a_merge_that_is_killed_leaves_nothing_that_opens_and_then_gives_the_same_bytes(
    tmp_path: Path, processes: int
) -> None:
    ref, spec = image_of(tmp_path, "2d"), spec_of("2d")
    banks = write_banks(tmp_path / "banks", [ref], spec, shaken(SCENES["2d"][0]))
    group = Group("group", len(banks), MergeOptions("match", 0.25), "p.zarr", "everything")
    save(tmp_path / "group.json", group)
    save(tmp_path / "recipe.json", recipe_of(spec))
    whole_run = step(tmp_path, "whole", processes)
    assert whole_run.wait(120) == 0
    wanted = digests(tmp_path / "whole")
    stopped = 0
    for share in np.random.default_rng(1).uniform(0, 1, 4):
        run = step(tmp_path, "out", processes)
        kill_in_the_middle(run, tmp_path / "out", float(share))
        stopped += run.returncode == -signal.SIGKILL
        for store in (tmp_path / "out").rglob("p.zarr"):  # whole, or not there
            assert files(store) == files(tmp_path / "whole" / "a" / "p.zarr")
    assert stopped
    assert step(tmp_path, "out", processes).wait(120) == 0
    assert digests(tmp_path / "out") == wanted
    assert not list((tmp_path / "out").rglob("*.part"))


STEP = """
from tilewright.merge.write import stores
from tilewright.steps import merge, run
stores.PAYS_PIXELS = 1
run(merge.main)
"""


def step(folder: Path, out: str, processes: int) -> subprocess.Popen[bytes]:
    """The step MERGE in a process of its own; however small, an image is several processes'."""
    words = ("group.json", "recipe.json", "banks", out, f"{out}/.shown")
    return subprocess.Popen(
        [sys.executable, "-c", STEP, *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "TILEWRIGHT_CPUS": str(processes)},
    )


def kill_in_the_middle(run: subprocess.Popen[bytes], out: Path, share: float) -> None:
    """With signal 9, once it has begun to write and at most half a second later."""
    while not list(out.rglob("*.part")) and run.poll() is None:
        time.sleep(0.002)
    time.sleep(share * 0.5)
    run.kill()
    run.wait(10)


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


# --- I8: no objects at all -----------------


@SCENE
def test_i8_tiles_without_objects_make_an_empty_image(tmp_path: Path, scene: str) -> None:
    ref, spec = image_of(tmp_path, scene), spec_of(scene)
    nothing = np.zeros_like(SCENES[scene][0])
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(nothing[None]))
    store = merge_all(banks, tmp_path / "out", spec) / "a" / "p.zarr"
    found = level0(store, "labels/everything")
    assert found.dtype == np.uint8
    assert not found.any()
    assert found.shape == nothing.shape


# --- I9: memory doesn't grow with the image -----------------

ALLOWED = 10  # MB; the larger image's labels and pixels are 24 MB


def test_i9_the_memory_of_a_merge_does_not_grow_with_the_image(tmp_path: Path) -> None:
    """Little is held of any image (`lattice.hold_little`), and 360 tiles are not 36."""
    small, large = (peak_mb(tmp_path / str(side), side) for side in (800, 2800))
    assert large - small <= ALLOWED


def peak_mb(folder: Path, side: int) -> int:
    """Of a process that banks and merges an image of objects in rows and columns."""
    folder.mkdir()
    env = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "MALLOC_ARENA_MAX": "1"}
    words = [sys.executable, str(ROOT / "tests" / "lattice.py"), str(folder), str(side)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=200)
    return int(done.stdout)


def test_i9_of_a_tile_that_is_not_read_next_to_nothing_is_held(tmp_path: Path) -> None:
    """An image may have a million tiles, and each process opens all banks."""
    grid, n = Grid((TileAxis(8), TileAxis(8)), (8 * 40, 8 * 50)), 2000
    with BankWriter(tmp_path / "0.bank") as writer:
        for tile in range(n):
            for what in ("labels", "objects"):
                writer.put(tile_name("i000", 0, tile, what), np.full((8, 8), tile % 7))
        about = header(
            Job("group", 0, (), (("i000", 0, n),)), recipe_of(spec_of("2d")), "", Notes()
        )
        writer.close(about)
    tracemalloc.start()
    banked = BankReader("i000", grid, [Bank(tmp_path / "0.bank")])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 300 * n
    assert banked.numbers.tolist() == list(range(n))
    assert (banked.labels(0, 1234, 0) == 1234 % 7).all()
    with pytest.raises(TilewrightError, match="Tile 0 of plane 1 is in no bank"):
        banked.labels(1, 0, 0)


# --- I10: what is the same everywhere stays so -----------------


@SCENE
def test_i10_what_is_the_same_everywhere_stays_so(tmp_path: Path, scene: str) -> None:
    ref = image_of(tmp_path, scene)
    spec = spec_of(scene, output_kind="map", merge={"policy": "blend"})

    def seen(_: str, __: int, ___: Grid, tile: Tile) -> Array:
        return np.full((2, *(b - a for a, b in tile.window)), 0.7, np.float32)

    banks = write_banks(tmp_path / "banks", [ref], spec, seen)
    found = level0(merge_all(banks, tmp_path / "out", spec) / "a" / "p.zarr", "maps/everything")
    assert found.shape == (2, *SCENES[scene][0].shape)
    np.testing.assert_allclose(found, np.float32(0.7), atol=1e-6)


# --- I11: only banks of this recipe, and all of them -----------------


def changed(what: str) -> Recipe:
    """The 2D scene's recipe, but for one thing."""
    recipe, tile = recipe_of(spec_of("2d")), PLANE
    return {
        "size": replace(recipe, spec=spec_with(replace(tile, size={"y": 100, "x": 80}))),
        "band": replace(recipe, spec=spec_with(replace(tile, band={"y": 10, "x": 12}))),
        "pad": replace(recipe, spec=spec_with(replace(tile, pad="zero"))),
        "spec": replace(recipe, spec=replace(recipe.spec, normalization={"method": "zscore"})),
        "params": replace(recipe, params={"threshold": 2}),
        "weights": replace(recipe, weights="0" * 64),
        "script": replace(recipe, script={"name": "run.py", "digest": "0" * 64}),
        "code": replace(recipe, code={"worker.py": "0" * 64}),
    }[what]


def spec_with(tile: TileSpec) -> ModelSpec:
    return replace(spec_of("2d"), tile_spec=tile)


@pytest.mark.parametrize(
    "what", ["size", "band", "pad", "spec", "params", "weights", "script", "code"]
)
def test_i11_banks_of_another_geometry_spec_or_model_are_refused_by_name(
    tmp_path: Path, what: str
) -> None:
    ref, spec = image_of(tmp_path, "2d"), spec_of("2d")
    paths = write_banks(tmp_path / "banks", [ref], spec, cut(SCENES["2d"][0][None]), jobs=1)
    group = Group("group", 1, MergeOptions("match", 0.25), "p.zarr", "everything")
    check_banks(group, recipe_of(spec), [Bank(p) for p in paths])
    with pytest.raises(TilewrightError, match=r"^0\.bank: was made by another recipe \("):
        check_banks(group, changed(what), [Bank(p) for p in paths])


def test_i11_missing_banks_are_named(tmp_path: Path) -> None:
    ref, spec = image_of(tmp_path, "2d"), spec_of("2d")
    paths = write_banks(tmp_path / "banks", [ref], spec, cut(SCENES["2d"][0][None]))
    group = Group("group", 3, MergeOptions("match", 0.25), "p.zarr", "everything")
    for kept, missing in ((paths[::2], "group_3_00001.bank"), ([], "group_3_00000.bank, group_3")):
        with pytest.raises(TilewrightError, match=f"^{missing}.*: missing; group has") as caught:
            merge_group(group, recipe_of(spec), kept, tmp_path / "out", tmp_path / "shown")
        assert f"has {len(kept)} of its 3 banks" in str(caught.value)
        assert not (tmp_path / "out").exists()


# --- I12: every level is made of the one below -----------------


@pytest.mark.parametrize(
    ("scene", "about"),
    [
        ("2d", {"mpp": (0.5, 0.25)}),
        ("3d", {"mpp": (0.5, 0.5), "z_um": 0.5}),
        ("3d", {"mpp": (0.25, 0.25), "z_um": 2.0}),
        ("3d", {}),
    ],
)
def test_i12_levels_hold_ids_of_level_0_at_scales_that_fit_their_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str, about: dict[str, Any]
) -> None:
    monkeypatch.setattr("tilewright.stores.pyramid.COARSEST", 32)
    monkeypatch.setattr("tilewright.stores.pyramid.DEEP_COARSEST", 4000)
    ref, spec = image_of(tmp_path, scene, **about), spec_of(scene)
    banks = write_banks(tmp_path / "banks", [ref], spec, cut(SCENES[scene][0][None]))
    store = merge_all(banks, tmp_path / "out", spec) / "a" / "p.zarr"
    group: Any = zarr.open_group(store / "labels" / "everything", mode="r")
    levels = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert len(levels) >= 3
    first, places = np.asarray(group["0"]), [placed(level) for level in levels]
    for level, (scale, shift) in zip(levels, places, strict=True):
        by = np.round(scale / places[0][0]).astype(int)
        np.testing.assert_allclose(by, scale / places[0][0])
        np.testing.assert_allclose(shift - places[0][1], (scale - places[0][0]) / 2)
        found = np.asarray(group[level["path"]])
        assert found.shape == tuple(-(-n // b) for n, b in zip(first.shape, by, strict=True))
        assert set(np.unique(found)) <= set(np.unique(first))
        np.testing.assert_array_equal(found, first[tuple(slice(None, None, b) for b in by)])


def placed(level: dict[str, Any]) -> tuple[Array, Array]:
    """Scale and translation of a level, per axis."""
    scale, translation = level["coordinateTransformations"]
    return np.array(scale["scale"]), np.array(translation["translation"])
