"""The plugin's dialect, piece by piece: names, run lengths, tiles, previews, and its plan."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from running import ROOT, discs
from sites import site
from test_aiod import aiod

from tilewright.aiod.adapter import MANIFESTS, image_id, prep_hash, recognised
from tilewright.aiod.planning import plan_run, write_run
from tilewright.aiod.previews import Previews, clear, make, pieces
from tilewright.aiod.sizes import tiled
from tilewright.contract.exports import Export
from tilewright.contract.files import file_digest
from tilewright.contract.grid import grid
from tilewright.contract.jobs import ImageRef, Job
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.export import rle
from tilewright.export.export import export_group, link_weights
from tilewright.export.formats import aiod_rle, aiod_tiff
from tilewright.images.image import open_image
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.plan.plan import Plan, load_choice
from tilewright.preprocess.enhance import checked, opened
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.scan import copy_tiled
from tilewright.registry.registry import Registry
from tilewright.steps.export import main
from tilewright.stores.ome_zarr import StoreWriter
from tilewright.tile_results.banker import Work

HASH = "0123456789abcdef0123456789abcdef"
SPEC = TileSpec({"y": 64, "x": 64}, {"y": 8, "x": 8}, {"y": 4, "x": 4}, variable_input=True)


def loaded(path: Path) -> Any:
    """A mask that this test has written."""
    return pickle.loads(path.read_bytes())  # noqa: S301


def decoded(entries: list[dict[str, Any]], shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A slice painted from its entries, as the plugin does."""
    canvas = np.zeros(shape, int)
    for entry in entries:
        height, width = entry["size"]
        y, x = entry.get("offset", (0, 0))
        runs = [np.full(n, i % 2) for i, n in enumerate(entry["counts"])]
        inside = np.concatenate(runs).reshape(width, height).T.astype(bool)
        canvas[y : y + height, x : x + width][inside] = entry.get("idx", 1)
    return canvas


# Names


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cells.tif", "cells_tif"),
        ("a.b.ome.tif", "a.b_ome_tif"),
        ("x.OME.TIFF", "x_OME_TIFF"),
        ("d.ome.zarr", "d_ome_zarr"),
        ("my.image.czi", "my.image_czi"),
        ("with space.png", "with space_png"),
    ],
)
def test_an_images_name_has_its_ending_in_it(name: str, wanted: str) -> None:
    assert image_id(Path("/some/where") / name) == wanted


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([{"name": "CLAHE", "params": {"clipLimit": 3.0, "tileGridSize": [12, 12]}}], "e0337ccb"),
        (
            [{"name": "Downsample", "params": {"block_size": [2, 2], "method": "median"}}],
            "1b0ccd4f",
        ),
        ([{"name": "Filter", "params": {"footprint": "disk", "method": "mean"}}], "0e1918d6"),
        ([], ""),
    ],
)
def test_a_set_has_the_hash_that_the_plugin_gives_it(steps: list[Any], wanted: str) -> None:
    assert prep_hash(checked(steps)) == wanted


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"name": "Sharpen"}, "no preprocessing called 'Sharpen'. Choose from: Downsample, CLAHE"),
        ({"name": "CLAHE", "params": {"limit": 1}}, "CLAHE has no parameter 'limit'"),
        ({"name": "CLAHE", "params": {"clipLimit": -1}}, "clipLimit -1 can't be"),
        (
            {"name": "Filter", "params": {"size": 0}},
            r"Filter: size 0 can't be. Choose from: 1 whole",
        ),
        ({"name": "Filter", "params": {"method": "mode"}}, "Filter has no method 'mode'"),
        ({"name": "Filter", "params": {"footprint": "star"}}, "Filter has no footprint 'star'"),
        ({"name": "Downsample", "params": {"block_size": [2]}}, "block_size .2. can't be"),
        ({"name": "Downsample", "params": {"method": "mode"}}, "Downsample has no method 'mode'"),
    ],
)
def test_a_step_that_cannot_be_is_named(step: dict[str, Any], says: str) -> None:
    with pytest.raises(TilewrightError, match=says):
        checked([step])


# Run lengths


def test_a_mask_has_the_plugins_own_form(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 1], [0, 2, 0]], np.uint16)
    rle.write(tmp_path / "a.rle", [rle.encoded(labels), rle.encoded(labels * 0)], "instance")
    assert loaded(tmp_path / "a.rle") == [
        [
            {"size": [1, 2], "counts": [0, 2], "idx": 1, "offset": [0, 1], "full_size": [2, 3]},
            {"size": [1, 1], "counts": [0, 1], "idx": 2, "offset": [1, 1], "full_size": [2, 3]},
        ],
        [{"size": [2, 3], "counts": [6], "idx": 0}],
        {"metadata": {"mask_type": "instance"}},
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["a.rle"]


def test_a_volume_is_written_slice_by_slice(tmp_path: Path) -> None:
    sizes = []

    def slices() -> Iterator[Any]:
        for _ in range(3):
            sizes.append(sum(p.stat().st_size for p in tmp_path.iterdir()))
            yield rle.encoded(np.random.default_rng(0).integers(0, 9, (200, 200)))

    rle.write(tmp_path / "a.rle", slices(), "instance")
    assert sizes[0] < sizes[1] < sizes[2], "what came before is on the disk, not in memory"
    assert len(loaded(tmp_path / "a.rle")) == 4


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 41), (1, 30), (30, 1)])
def test_run_lengths_are_those_of_the_labels(shape: tuple[int, int]) -> None:
    labels = np.random.default_rng(sum(shape)).integers(0, 4, shape).astype(np.uint32)
    runs = rle.ColumnRuns(shape)
    for start in range(0, shape[1], 3):
        runs.add(labels[:, start : start + 3])
    assert np.array_equal(decoded(runs.objects(), shape), labels)
    assert np.array_equal(decoded([runs.foreground()], shape), labels > 0)
    assert runs.objects() == rle.encoded(labels)


def stored(folder: Path, labels: np.ndarray[Any, Any]) -> Path:
    """Labels ``(z,) y, x`` in a store of ours."""
    axes = "zyx"[-labels.ndim :]
    with StoreWriter(folder / "a.zarr") as store:
        pyramid = store.pyramid(
            "labels/cyto", labels.shape, labels.dtype, axes=axes, method="nearest"
        )
        for box in pyramid.shards():
            pyramid.write(box, labels[box])
        pyramid.build()
        store.finish({"image": {"id": "a"}})
    return folder / "a.zarr"


@pytest.mark.parametrize("shape", [(90, 70), (3, 90, 70), (600, 1030)])
@pytest.mark.parametrize("binary", [False, True])
def test_a_store_is_exported_whole(tmp_path: Path, shape: tuple[int, ...], binary: bool) -> None:
    labels = np.random.default_rng(1).integers(0, 9, shape).astype(np.uint16)
    wanted = labels > 0 if binary else labels
    group = stored(tmp_path, labels)
    aiod_tiff.write(group, tmp_path / "m_all.tiff", binary=binary)
    assert np.array_equal(tifffile.imread(tmp_path / "m_all.tiff"), wanted)
    aiod_rle.write(group, tmp_path / "m_all.rle", binary=binary)
    *slices, last = loaded(tmp_path / "m_all.rle")
    assert last == {"metadata": {"mask_type": "binary" if binary else "instance"}}
    planes = [decoded([s] if binary else s, shape[-2:]) for s in slices]
    assert np.array_equal(np.squeeze(planes), wanted)


def test_more_labels_than_rle_holds_ask_for_tiff(tmp_path: Path) -> None:
    labels = np.arange(70_000, dtype=np.uint32).reshape(280, 250)
    group = stored(tmp_path, labels)
    with pytest.raises(
        TilewrightError, match=r"more than 65,535 labels.* Choose tiff as the output"
    ):
        aiod_rle.write(group, tmp_path / "m_all.rle")
    assert not list(tmp_path.glob("*m_all*"))
    aiod_tiff.write(group, tmp_path / "m_all.tiff")
    assert tifffile.imread(tmp_path / "m_all.tiff").max() == 69_999


# Tiles


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("extent", [400, 1001])
def test_an_image_has_as_many_tiles_as_were_asked_for(
    count: int, share: float, extent: int
) -> None:
    cut = tiled(SPEC, {"y": (count, share, extent), "x": (None, 0.0, extent)})
    cells = grid(cut, (extent, extent))
    rows = cells.counts[0]
    assert rows == count
    assert cells.axes[1].size == 64
    assert cells.axes[0].band >= 8
    if count > 1:
        overlap = 2 * (cells.axes[0].band + 4)
        assert overlap >= share * cells.axes[0].size - 1


def test_more_tiles_than_fit_are_as_many_as_do() -> None:
    cells = grid(tiled(SPEC, {"y": (100, 0.0, 90), "x": (100, 0.5, 90)}), (90, 90))
    assert all(1 < n < 100 for n in cells.counts)
    fixed = TileSpec({"y": 64, "x": 64}, {"y": 8, "x": 8})
    assert tiled(fixed, {"y": (3, 0.0, 400), "x": (3, 0.0, 400)}) == fixed
    whole = replace(SPEC, whole=True)
    assert tiled(whole, {"y": (3, 0.1, 60), "x": (None, 0.1, 60)}) == whole


# Previews


@pytest.mark.parametrize(
    "parts", [[(0, 60)], [(0, 7), (7, 31), (31, 60)], [(i, i + 1) for i in range(60)]]
)
@pytest.mark.parametrize("slices", [1, 2, 5])
def test_previews_cover_every_pixel_once(parts: list[tuple[int, int]], slices: int) -> None:
    cells = grid(SPEC, (110, 150))
    count = len(cells) * slices
    seen = np.zeros((slices, 110, 150), int)
    tiles: list[int] = []
    for start, stop in parts:
        for piece in pieces(cells, slices, min(start, count), min(stop, count)):
            seen[tuple(slice(*side) for side in piece.box)] += 1
            tiles += piece.tiles
    assert len(cells) * 5 == 60
    assert (seen == 1).all()
    assert sorted(tiles) == list(range(count))
    if len(parts) == 1 and slices > 1:
        depths = {p.box[0][1] - p.box[0][0] for p in pieces(cells, slices, 0, count)}
        assert depths <= {2, 3}


def reference(shape: tuple[int, ...]) -> ImageRef:
    return ImageRef("i000", "a_tif", "a.tif", "0", "ZYX"[-len(shape) :], shape, "uint8")


def predicted(folder: Path, labels: np.ndarray[Any, Any]) -> Previews:
    """Previews of a volume whose tiles found these labels."""
    cells = grid(SPEC, labels.shape[-2:])
    ref = reference(labels.shape)
    job = Job("g", 0, (ref,), (("i000", 0, len(labels) * len(cells)),))
    shown = Previews(folder, job, ModelSpec("m", "1", SPEC))
    for z, plane in enumerate(labels):
        for tile in cells:
            window = plane[tuple(slice(*side) for side in tile.window)]
            shown(Work("i000", z, cells, tile, window[None], None), np.pad(window, 3)[3:, 3:])
    return shown


def test_previews_lie_at_the_place_that_their_names_say(tmp_path: Path) -> None:
    labels = np.random.default_rng(2).integers(0, 70_000, (3, 110, 150))
    folder, masks = tmp_path / "splits" / f".tiles-{HASH}", tmp_path / "x_masks"
    make(folder, masks)
    predicted(folder, labels)
    painted = np.zeros_like(labels)
    files = sorted(masks.iterdir())
    for path in files:
        stem, *places = path.stem.rsplit("_", 3)
        assert stem == f"a_tif_masks_{HASH}"
        x, y, z = (slice(*map(int, p[1:].split("-"))) for p in places)
        for plane, entries in zip(painted[z, y, x], loaded(path)[:-1], strict=True):
            plane[...] = decoded(entries, plane.shape)
    assert len(files) == 12
    assert np.array_equal(painted, np.where(labels > 0, (labels - 1) % 65_535 + 1, 0))
    assert [p.name for p in folder.iterdir()] == ["masks"]


def test_without_its_folder_a_late_task_shows_nothing(tmp_path: Path) -> None:
    labels = np.ones((1, 64, 64), int)
    folder, masks = tmp_path / f".tiles-{HASH}", tmp_path / "x_masks"
    make(folder, masks)
    (masks / f"a_tif_masks_{HASH}_all.rle").touch()
    (masks / f"a_tif_masks_{HASH[::-1]}_x0-1_y0-1_z0-1.rle").touch()
    left = set(masks.iterdir())
    predicted(folder, labels)
    assert len(set(masks.iterdir()) - left) == 1
    clear(folder, masks)
    predicted(folder, labels)
    assert set(masks.iterdir()) == left
    assert not folder.exists()


# What PLAN makes of it


def asked(tmp_path: Path, *images: Path, axes: str = "CYX", **params: Any) -> dict[str, Any]:
    """The plugin's parameters, as Nextflow hands them over among its own defaults."""
    cache = tmp_path / "base" / "aiod_cache"
    cache.mkdir(parents=True, exist_ok=True)
    lines = ["img_path,num_slices,height,width,channels,dtype"]
    for path in images:
        with open_image(path, axes=axes if tifffile.imread(path).ndim == 3 else None) as image:
            sizes = ",".join(str(image.size(a)) for a in "ZYXC")
        lines.append(f"{path},{sizes},")
    (cache / "all_img_paths.csv").write_text("\n".join(lines))
    (tmp_path / "model.yml").write_text("diameter: 0\n")
    return {
        "input": None, "pack": 64, "publish": "copy", "tile_size": None, "strict": False,
        "outdir": str(tmp_path / "base" / "results" / HASH), "env_root": str(tmp_path / "envs"),
        "weights_dir": str(tmp_path / "weights"),
        "root_dir": str(tmp_path / "base"), "img_dir": str(cache / "all_img_paths.csv"),
        "model": "cellpose", "model_type": "cyto3", "task": "cyto",
        "model_config": str(tmp_path / "model.yml"), "num_substacks": "auto,auto,auto",
        "overlap": "0.0,0.0,0.0", "iou_threshold": 0.8, "output_format": "rle",
        "output_mask_type": "auto", "preprocess": None, "postprocess": False, "param_hash": HASH,
    } | params  # fmt: skip


def test_a_sites_manifests_add_to_the_plugins_list(tmp_path: Path) -> None:
    """Version `cyto1` is AI OnDemand's name, so it is the plugin's manifest that is extended."""
    weights = tmp_path / "site" / "net"
    text = """
short_name: cellpose
extends: true
versions: {cyto1: {tasks: {cyto: {locations: [net]}}}}
"""
    folder = site(tmp_path / "site", text, "cellpose.yml")
    weights.write_text("weights")
    given = asked(tmp_path, picture(tmp_path / "a.tif"), manifests=str(folder), model_type="cyto1")
    plan = plan_run(given, tmp_path)
    assert plan.file.manifests == [str(MANIFESTS), str(folder)]
    assert plan.weights == file_digest(weights)
    (tmp_path / "plan.json").write_text(json.dumps(plan.file.to_dict()))
    choice, _, _ = load_choice(tmp_path / "plan.json")  # as FETCH does
    first, second = choice.task.locations
    assert first.location == str(weights)
    assert second.location.startswith("https://")
    alone = plan_run(asked(tmp_path, picture(tmp_path / "a.tif"), model_type="cyto2"), tmp_path)
    assert alone.file.manifests == [str(MANIFESTS)]


def test_a_slide_is_looked_at_everywhere_as_the_plugin_expects_all_previews(
    tmp_path: Path,
) -> None:
    plugin = recognised(asked(tmp_path, picture(tmp_path / "a.tif")))
    assert plugin is not None
    assert [row.mask for row in plugin.rows()] == ["none"]


def planned(tmp_path: Path, *images: Path, **params: Any) -> Plan:
    return plan_run(asked(tmp_path, *images, **params), Path("/"))


def picture(path: Path, shape: tuple[int, ...] = (90, 70)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, discs(shape[-2:]) * np.ones(shape, np.uint8))
    return path


def test_a_run_of_ours_is_not_the_plugins() -> None:
    assert recognised({"input": "a", "model": "cellpose"}) is None


def test_the_plugins_parameters_are_a_plan_of_ours(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, picture(tmp_path / "ä b" / "cells.tif"), picture(tmp_path / "z.ome.tif")
    )
    assert [i.ref.id for i in plan.images] == ["cells_tif", "z_ome_tif"]
    assert plan.params.pack == 8
    assert plan.params.outdir == str(tmp_path / "base" / "results" / HASH)
    out = tmp_path / "task"
    out.mkdir()
    write_run(plan, out)
    cache = tmp_path / "base" / "aiod_cache"
    told = json.loads((out / "plan.json").read_text())
    assert told["previews"]["masks"] == str(cache / "cellpose" / "cyto3_masks")
    (wanted,) = (json.loads(p.read_text()) for p in (out / "exports").iterdir())
    assert wanted.pop("asked")  # always anew: the plugin's folder isn't ours
    assert wanted == {
        "formats": ["aiod-rle"],
        "code": "",
        "folder": str(cache / "cellpose" / "cyto3_masks"),
        "ending": f"_masks_{HASH}_all",
        "binary": False,
        "links": str(cache / "cellpose" / "checkpoints"),
    }


def test_the_list_of_previews_is_there_before_them_and_a_crashed_runs_are_gone(
    tmp_path: Path,
) -> None:
    cells = picture(tmp_path / "cells.tif", (300, 200))
    sets = [[{"name": "Downsample", "params": {"block_size": [1, 2, 2], "method": "mean"}}], []]
    plan = planned(tmp_path, cells, preprocess=sets, num_substacks="2,1,auto")
    cache = tmp_path / "base" / "aiod_cache"
    masks, splits = cache / "cellpose" / "cyto3_masks", cache / "splits"
    make(splits / f".tiles-{HASH}", masks)
    stale = masks / f"cells_tif_masks_{HASH}_x0-9_y0-9_z0-1.rle"
    stale.touch()
    for _ in range(2):
        (tmp_path / "task").mkdir(exist_ok=True)
        write_run(plan, tmp_path / "task")
        assert not list(masks.iterdir())
    with (splits / f"substacks_{HASH}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["image_id"], r["prep_hash"], r["end_h"]) for r in rows] == [
        ("cells_tif", "", "150"),
        ("cells_tif", "", "300"),
        ("cells_tif", prep_hash(checked(sets[0])), "150"),
    ]
    assert rows[0]["img_path"] == str(cells)
    assert sorted(p.name for p in splits.iterdir()) == [f".tiles-{HASH}", f"substacks_{HASH}.csv"]


def test_a_volume_that_says_no_axes_is_read_as_the_plugin_shows_it(tmp_path: Path) -> None:
    stack = picture(tmp_path / "stack.tif", (5, 90, 70))
    given = asked(tmp_path, stack)
    sheet = Path(given["img_dir"])
    for sizes, axes in (("5,90,70,1", "ZYX"), ("1,90,70,5", "CYX")):
        sheet.write_text(f"img_path,num_slices,height,width,channels,dtype\n{stack},{sizes},uint8")
        plugin = recognised(given)
        assert plugin is not None
        assert [row.axes for row in plugin.rows()] == [axes]


def test_a_set_that_is_asked_for_twice_is_one(tmp_path: Path) -> None:
    cells = picture(tmp_path / "cells.tif")
    plan = planned(tmp_path, cells, preprocess=[[{"name": "CLAHE"}], [], [{"name": "CLAHE"}]])
    assert [image.ref.id for image in plan.images] == ["cells_tif", "cells_tif_e0337ccb"]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    images = [picture(tmp_path / folder / "a.tif") for folder in ("x", "y")]
    with pytest.raises(TilewrightError, match="have the same id 'a_tif'"):
        planned(tmp_path, *images)


BAD = [
    ({"output_format": "png"}, "The plugin's parameter output_format 'png': should be 'rle'"),
    ({"num_substacks": "2,x,1"}, "parameter num_substacks 'x': should be a whole number"),
    ({"overlap": "0.9,0,0"}, "parameter overlap '0.9': should be at most 0.5"),
    ({"param_hash": "../x"}, "The plugin's parameter param_hash '../x'"),
    ({"root_dir": "here"}, "The plugin's parameter root_dir 'here': should be an absolute path"),
    ({"preprocess": [[{"name": "Blur"}]]}, "There is no preprocessing called 'Blur'"),
    ({"model": "nosuch"}, "There is no model called 'nosuch'"),
    ({"model_type": "cyto9"}, "There is no version of cellpose called 'cyto9'"),
    ({"model_config": "/no/such.yml"}, "/no/such.yml"),
    ({"max_substack": [1, 2, 3]}, "There is no parameter --max_substack"),
]


@pytest.mark.parametrize(("params", "says"), BAD)
def test_a_wrong_parameter_ends_plan_with_a_sentence(
    tmp_path: Path, params: dict[str, Any], says: str
) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught:
        planned(tmp_path, picture(tmp_path / "a.tif"), **params)
    assert caught.value.code in (2, 65)


def test_a_wrong_config_file_is_named_value_by_value(tmp_path: Path) -> None:
    given = asked(tmp_path, picture(tmp_path / "a.tif"))
    Path(given["model_config"]).write_text("diameter: wide\nnoise: 3\n")
    with pytest.raises(TilewrightError, match=r"diameter is 'wide'[\s\S]*no parameter 'noise'"):
        plan_run(given, Path("/"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "has no images"), ("path\na.tif", "isn't the plugin's list of images"),
     ("img_path,num_slices,height,width,channels\na.tif,1,x,2,1", "isn't the plugin's list"),
     ("img_path,num_slices,height,width,channels\na.tif,1,inf,2,1", "isn't the plugin's list")],
)  # fmt: skip
def test_a_list_from_elsewhere_is_refused(tmp_path: Path, text: str, says: str) -> None:
    given = asked(tmp_path, picture(tmp_path / "a.tif"))
    Path(given["img_dir"]).write_text(text)
    with pytest.raises(TilewrightError, match=says) as caught:
        plan_run(given, Path("/"))
    assert caught.value.code == 65


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    plan = planned(tmp_path, picture(tmp_path / "a.tif"))
    (tmp_path / "base" / "aiod_cache" / "cellpose").write_text("in the way")
    (tmp_path / "task").mkdir()
    with pytest.raises(
        TilewrightError, match=r"cellpose.*: can't be written .*another base directory"
    ):
        write_run(plan, tmp_path / "task")


def test_a_model_without_labels_is_not_for_the_plugin(tmp_path: Path) -> None:
    choice = next(c for c in Registry.load() if c.spec().result != "labels")
    names = {"model": choice.model_name, "model_type": choice.version_key, "task": choice.task_name}
    given = asked(tmp_path, picture(tmp_path / "a.tif"), **names)
    Path(given["model_config"]).write_text("{}")
    with pytest.raises(TilewrightError, match=r"and the plugin shows labels\. Run it by"):
        plan_run(given, Path("/"))


def test_our_copy_of_the_registry_is_the_plugins_own() -> None:
    theirs = {p.name: p.read_bytes() for p in aiod().glob("*.json")}
    assert theirs == {p.name: p.read_bytes() for p in MANIFESTS.glob("*.json")}
    assert "MIT License" in (MANIFESTS / "LICENSE").read_text()


OFFERED = [
    pytest.param(
        c.manifest.short_name, c.version.slug, c.task_name, id=f"{c.model_name}-{c.task_name}"
    )
    for c in Registry.load(MANIFESTS)
    if (MANIFESTS / f"{c.manifest.short_name}.json").exists()
]


@pytest.mark.parametrize(("model", "version", "task"), OFFERED)
def test_every_model_of_the_plugin_is_planned_or_says_in_a_sentence_what_is_missing(
    tmp_path: Path, model: str, version: str, task: str
) -> None:
    """The config file has the manifest's own defaults, as the plugin writes them."""
    choice = Registry.load(MANIFESTS).choose(model, version, task)
    path, axes = picture(tmp_path / "a.tif"), choice.spec().axes.replace("C", "")
    if "Z" in axes:
        tifffile.imwrite(
            path, np.zeros((4, 32, 40), np.uint8), imagej=True, metadata={"axes": axes}
        )
    names = {"model": model, "model_type": version, "task": task}
    given = asked(tmp_path, path, axes=axes, **names)
    values = {p.arg_name: p.start for p in choice.params}
    Path(given["model_config"]).write_text(json.dumps(values))
    if (ROOT / "bin" / f"run_{model}.py").is_file():
        plan = plan_run(given, Path("/"))
        assert [j.images[0].id for j in plan.jobs] == ["a_tif"]
        return
    with pytest.raises(
        TilewrightError, match=r"has no script bin/|can't be run: no library"
    ) as caught:
        plan_run(given, Path("/"))
    assert caught.value.code == 69
    assert str(caught.value).startswith(f"The model {model} ")


# Preprocessing


@pytest.mark.parametrize("name", ["Downsample", "CLAHE", "Filter"])
def test_a_region_is_that_of_the_whole_image(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 4000, (2, 4, 61, 53)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    steps = checked([{"name": name, "params": {"size": 2} if name == "Filter" else {}}])
    with opened(tmp_path / "a.tif", axes="CZYX", scene=0, methods=steps) as image:
        whole = image.read(0, {})
        assert whole.shape == image.shape
        assert not np.array_equal(whole, pixels)
        rng = np.random.default_rng(4)
        for _ in range(8):
            box = [sorted(rng.integers(0, n + 1, 2)) for n in image.shape]
            index = {a: slice(*map(int, side)) for a, side in zip("CZYX", box, strict=True)}
            assert np.array_equal(image.read(0, index), whole[tuple(index.values())])
        assert np.array_equal(image.read(0, {"C": 1, "Z": 2}), whole[1, 2])


def test_clahe_of_a_big_slice_is_copied_once_and_of_reals_is_refused(tmp_path: Path) -> None:
    steps = checked([{"name": "CLAHE"}])
    tifffile.imwrite(tmp_path / "big.tif", shape=(8200, 8200), dtype=np.uint8)
    with opened(tmp_path / "big.tif", axes="YX", scene=0, methods=steps) as image:
        assert image.decode_factor((512, 512)) == float("inf")
    tifffile.imwrite(tmp_path / "real.tif", np.zeros((9, 9), np.float32))
    with pytest.raises(TilewrightError, match=r"real.tif: CLAHE can't take its float32 pixels"):
        opened(tmp_path / "real.tif", axes="YX", scene=0, methods=steps)


# Weights


def test_weights_are_shown_as_a_link_that_may_be_cleared(tmp_path: Path) -> None:
    weights = tmp_path / "kept" / "cyto3"
    weights.parent.mkdir()
    weights.write_text("numbers")
    folder = tmp_path / "cellpose" / "checkpoints"
    for _ in range(2):
        link_weights(weights, folder)
    assert [p.name for p in folder.iterdir()] == ["cyto3"]
    assert (folder / "cyto3").read_text() == "numbers"
    shutil.rmtree(folder)  # what the plugin does
    assert weights.is_file()
    (tmp_path / "file").touch()
    with pytest.raises(TilewrightError, match=r"file/checkpoints: can't be written"):
        link_weights(weights, tmp_path / "file" / "checkpoints")


def test_weights_that_another_program_put_there_stay(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    for name, text in (("ours/cyto3", "ours"), ("cyto3", "theirs")):
        (tmp_path / name).write_text(text)
    link_weights(tmp_path / "ours" / "cyto3", tmp_path)
    assert (tmp_path / "cyto3").read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cyto3", "ours"]


# What a failed export comes to


def test_an_image_that_is_not_exported_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    for number, most in enumerate((9, 70_000)):
        labels = np.arange(280 * 250, dtype=np.uint32).reshape(280, 250) % (most + 1)
        group = stored(tmp_path / f"stores{number}", labels)
        about = group / "zarr.json"
        about.write_text(about.read_text().replace('"id": "a"', f'"id": "image {number}"'))
    how = Export(("aiod-rle",), folder=str(tmp_path / "masks"), ending=f"_masks_{HASH}_all")
    made, failed = export_group(how, tmp_path, tmp_path / "out")
    assert made["path"] == str(tmp_path / "masks" / f"image 0_masks_{HASH}_all.rle")
    assert (made["id"], made["why"], failed["id"], failed["path"]) == (
        "image 0", None, "image 1", None
    )  # fmt: skip
    assert "Choose tiff" in str(failed["why"])
    assert [p.name for p in (tmp_path / "masks").iterdir()] == [f"image 0_masks_{HASH}_all.rle"]
    (tmp_path / "file").touch()
    blocked = export_group(
        replace(how, folder=str(tmp_path / "file" / "masks")), tmp_path, tmp_path
    )
    assert len(blocked) == 2
    assert all("can't be written" in str(f["why"]) for f in blocked)


def test_weights_that_cannot_be_shown_cost_no_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "stores", np.arange(100, dtype=np.uint32).reshape(10, 10))
    kept = hashlib.sha256(b"numbers").hexdigest()
    weights = tmp_path / "kept" / kept / "cyto3"
    weights.parent.mkdir(parents=True)
    weights.write_text("numbers")
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(tmp_path / "kept"))
    (tmp_path / "file").touch()
    how = Export(("aiod-tiff",), folder=str(tmp_path / "masks"), ending=f"_masks_{HASH}_all")
    how = replace(how, links=str(tmp_path / "file" / "checkpoints"))
    (tmp_path / "export.json").write_text(json.dumps(asdict(how)))
    for sha, why in ((kept, "checkpoints: can't be written"), ("cd" * 32, "are not in")):
        shown = tmp_path / f"shown-{sha}"
        main(str(tmp_path / "export.json"), sha, str(tmp_path), str(tmp_path / "out"), str(shown))
        (tmp_path / "masks" / f"a_masks_{HASH}_all.tiff").unlink()
        (made,) = json.loads((shown / "exported.json").read_text())["exports"]
        assert made["why"] is None
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("The weights aren't shown to the plugin. ")
        assert why in said


def test_a_scans_copy_is_of_the_prepared_pixels_and_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(6).integers(0, 4000, (2, 301, 257)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    steps = checked([{"name": "CLAHE"}, {"name": "Downsample"}])
    row = Row(tmp_path / "a.tif", "a", axes="CYX", prep=steps)
    spec = ModelSpec("m", "1", SPEC, num_channels=2, channel_names=("a", "b"))
    ref = plan_image(row, Params(input="a.tif"), spec).ref
    assert (ref.shape, ref.prep) == ((2, 150, 128), steps)
    copy_tiled(ref, tmp_path / "copy.zarr")
    copied = replace(ref, copy=str(tmp_path / "copy.zarr"))
    box = ((0, 150), (0, 128))
    with TileReader(ref, spec) as reader, TileReader(copied, spec) as other:
        assert np.array_equal(reader.raw(0, box), other.raw(0, box))
        assert reader.grid == other.grid
    with (
        opened(row.path, axes="CYX", scene=0, methods=steps) as image,
        TileReader(ref, spec) as reader,
    ):
        assert np.array_equal(reader.raw(0, box), image.read(0, {}))
