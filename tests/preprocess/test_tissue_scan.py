"""SCAN finds an image's tissue and cuts its jobs by it; what comes of them is the tissue's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import tifffile
import zarr
from inprocess import InProcess
from running import are_the_same_objects, discs, level0, pieces

from tilewright.contract.grid import Grid
from tilewright.contract.jobs import ImageRef, Job, Scan
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.images.mask import Mask
from tilewright.merge.write.facts import MergedImage
from tilewright.merge.write.stores import merge_group
from tilewright.plan.plan import Plan, make_plan, write_plan
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.scan import predicted, scan
from tilewright.preprocess.tissue_file import default_rule, seal_of

Array = np.ndarray[Any, Any]
SPEC = {
    "tile_spec": {"size": 128, "band": 24, "context": 8, "variable_input": True},
    "axes": "CYX", "num_channels": 1, "color_space": "GRAY", "output_kind": "labels",
    "merge": {"policy": "match"}, "batch_size": 4, "tiles_per_task": 8,
}  # fmt: skip
MODEL = {
    "name": "Pieces", "short_name": "pieces", "runner": "onnx", "license": "BSD-3-Clause",
    "metadata": {"description": "What is bright"}, "params": [], "spec": SPEC,
}  # fmt: skip
"""Its network is never run: `merged` does what it says."""
SIDE = 640
TISSUE = np.s_[320:640, 0:320]


def slide() -> Array:
    """Dense discs in a quarter, and one by itself in the opposite corner; 1 µm a pixel."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[TISSUE] = discs((320, 320), value=200)
    image[40:60, 580:600] = discs((20, 20), value=200)
    return image


def planned(folder: Path, pixels: Array, spec: Any = None, **params: Any) -> Plan:
    """A plan of one image whose tissue is looked for."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "weights.onnx").write_bytes(b"none")
    tasks = {"everything": {"locations": [str(folder / "site" / "weights.onnx")]}}
    versions = {"v1": {"release": "1", "tasks": tasks}}
    model = {**MODEL, "spec": {**SPEC, **(spec or {})}, "versions": versions}
    (folder / "site" / "pieces.json").write_text(json.dumps(model))
    tifffile.imwrite(folder / "in" / "a.tif", pixels, photometric="minisblack")
    given = {"input": "in", "manifests": "site", "model": "pieces", "mpp": 1, "mask": "tissue"}
    given |= {"weights_dir": str(folder / "weights"), **params}
    plan = make_plan(given, folder)
    write_plan(plan, folder / "plan")
    return plan


def scanned(folder: Path) -> list[Job]:
    """The jobs that SCAN writes."""
    (asked,) = (folder / "plan" / "scans").iterdir()
    scan(asked, folder / "jobs", folder / "copy.zarr", folder / "found")
    names = sorted((folder / "jobs").iterdir())
    jobs = [Job.load(path) for path in names]
    assert [p.name for p in names] == [f"{j.group}_{j.jobs}_{j.job:05d}.json" for j in jobs]
    return jobs


def tissue(folder: Path) -> dict[str, Any]:
    """The file that SCAN leaves to be published."""
    return dict(json.loads((folder / "found" / "a" / "tissue.geojson").read_text()))


def tissue_mask(ref: ImageRef, shape: tuple[int, int] = (SIDE, SIDE)) -> Array:
    """Which pixels of the whole are in an image's mask."""
    with Mask(ref, (1, 1)) as mask:
        return mask.inside(((0, shape[0]), (0, shape[1])))


def merged(folder: Path, plan: Plan, jobs: list[Job]) -> tuple[Path, MergedImage]:
    """The store of each tile's bright pieces that jobs come to; and what is said of it."""
    spec = plan.recipe.spec
    model = InProcess(spec, lambda tiles: np.stack([pieces(t[0]) for t in tiles]))
    (folder / "banks").mkdir()
    for job in jobs:
        out = folder / "banks" / f"{job.job}.bank"
        run_job(job, plan.recipe, out, start=lambda: model, weights="w")  # type: ignore[arg-type, return-value]
    banks, (group,) = sorted((folder / "banks").iterdir()), plan.groups
    merge_group(group, plan.recipe, banks, folder / "stores", folder / "shown")
    (facts,) = json.loads((folder / "shown" / "merged.json").read_text())["images"]
    return folder / "stores" / "a" / group.store, MergedImage.from_dict(facts)


def seen(jobs: list[Job], grid: Grid, ref: ImageRef) -> list[list[int]]:
    """By job, which of its tiles have a pixel of the mask."""
    inside = tissue_mask(ref)
    there = [inside[tuple(slice(*side) for side in t.window)].any() for t in grid]
    return [[n for _, a, b in job.parts for n in range(a, b) if there[n]] for job in jobs]


def test_what_quarter_is_tissue_is_found_and_no_speck(tmp_path: Path) -> None:
    planned(tmp_path, slide())
    inside = tissue_mask(scanned(tmp_path)[0].images[0])
    assert inside[TISSUE].mean() > 0.9
    inside[TISSUE] = False
    assert inside.sum() < 0.05 * SIDE**2
    assert not inside[:200, 440:].any()


def test_the_tissue_is_annotations_that_qupath_reads(tmp_path: Path) -> None:
    planned(tmp_path, slide())
    scanned(tmp_path)
    said = tissue(tmp_path)
    assert said["type"] == "FeatureCollection"
    (feature,) = said["features"]
    assert feature["type"] == "Feature"
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"]["name"] == "Tissue"
    (ring,) = feature["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert seal_of(tmp_path / "found" / "a" / "tissue.geojson")


def test_jobs_share_the_tiles_that_have_tissue(tmp_path: Path) -> None:
    plan = planned(tmp_path, slide())
    (image,) = plan.images
    jobs = scanned(tmp_path)
    assert [n for j in jobs for _, a, b in j.parts for n in range(a, b)] == list(range(image.tiles))
    found = seen(jobs, image.grid, jobs[0].images[0])
    sizes = [len(part) for part in found]
    assert 2 < len(jobs) < len(plan.jobs) / 2
    assert max(sizes) <= 8 + 1  # about: a mask is looked at in places
    assert min(sizes) >= 4


def test_objects_are_those_of_the_tissue_however_jobs_are_cut(tmp_path: Path) -> None:
    plan = planned(tmp_path, slide())
    jobs = scanned(tmp_path)
    store, facts = merged(tmp_path, plan, jobs)
    wanted = pieces(np.where(tissue_mask(jobs[0].images[0]), slide(), 0))
    assert are_the_same_objects(level0(store, "labels/everything"), wanted)
    assert facts.predicted == sum(map(len, seen(jobs, plan.images[0].grid, jobs[0].images[0])))
    said: Any = zarr.open_group(store, mode="r").attrs["tilewright"]
    assert said["tiles"] == {"grid": [9, 9], "total": 81, "visited": facts.predicted}
    mask = said["image"]["mask"]
    assert (mask["by"], mask["rule"], mask["min_tissue"]) == ("tissue", default_rule(), 0)
    assert mask["digest"] == jobs[0].images[0].mask[1]  # type: ignore[index]


def test_a_missing_bank_of_jobs_that_scan_cut_is_refused_by_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, slide())
    jobs = scanned(tmp_path)
    name = f"{jobs[1].group}_{len(jobs)}_00001.bank"
    with pytest.raises(TilewrightError, match=f"{name}: missing; .* {len(jobs) - 1} of its"):
        merged(tmp_path, plan, [jobs[0], *jobs[2:]])


def test_a_bank_of_another_cut_is_refused(tmp_path: Path) -> None:
    plan = planned(tmp_path, slide())
    jobs = scanned(tmp_path)
    stray = replace(jobs[-1], jobs=len(jobs) + 1)
    with pytest.raises(
        TilewrightError, match=rf"is of {len(jobs) + 1} jobs, wanted are {len(jobs)}"
    ):
        merged(tmp_path, plan, [*jobs[:-1], stray])


def test_a_slide_without_tissue_is_an_empty_result(tmp_path: Path) -> None:
    plan = planned(tmp_path, np.zeros((SIDE, SIDE), np.uint8))
    jobs = scanned(tmp_path)
    assert len(jobs) == 1
    assert tissue(tmp_path)["features"] == []
    store, facts = merged(tmp_path, plan, jobs)
    assert (facts.why, facts.objects, facts.predicted) == (None, 0, 0)
    assert not level0(store, "labels/everything").any()
    assert len(anndata.read_zarr(store / "tables" / "everything")) == 0


KINDS = {
    "map": {"output_kind": "map", "merge": {"policy": "blend"}, "classes": ["a", "b"]},
    "classes": {"merge": {"policy": "keep"}, "classes": ["a", "b"]},
    "embeddings": {
        "output_kind": "embedding", "embedding_dim": 7, "tile_spec": {"size": 64}, "merge": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_without_tissue_a_result_of_any_kind_is_empty(tmp_path: Path, kind: str) -> None:
    plan = planned(tmp_path, np.zeros((SIDE, SIDE), np.uint8), KINDS[kind])
    store, facts = merged(tmp_path, plan, scanned(tmp_path))
    assert (facts.why, facts.predicted) == (None, 0)
    if facts.embeddings:
        assert (facts.embeddings.rows, facts.embeddings.dim) == (0, 7)
        assert anndata.read_zarr(store / "tables" / "everything").shape == (0, 7)
    else:
        folder = "maps" if kind == "map" else "labels"
        assert not level0(store, f"{folder}/everything").any()


@pytest.mark.parametrize("box", ["320,0,320,320", "0,320,320,320", "300,100,200,400"])
def test_of_a_region_the_tissue_in_it_is_predicted(tmp_path: Path, box: str) -> None:
    plan = planned(tmp_path, slide(), region=box)
    jobs = scanned(tmp_path)
    store, _ = merged(tmp_path, plan, jobs)
    y, x, height, width = map(int, box.split(","))
    whole = np.where(tissue_mask(jobs[0].images[0]), slide(), 0)
    wanted = pieces(whole[y : y + height, x : x + width])
    assert are_the_same_objects(level0(store, "labels/everything"), wanted)


def test_slices_and_time_points_share_the_tissue_of_the_middle_slice(tmp_path: Path) -> None:
    volume = np.stack([slide() // 4, slide(), slide() // 2])
    plan = planned(tmp_path, volume, axes="ZYX")
    jobs = scanned(tmp_path)
    (image,) = plan.images
    assert image.planes == 3
    assert [n for j in jobs for _, a, b in j.parts for n in range(a, b)] == list(range(image.tiles))
    store, _ = merged(tmp_path, plan, jobs)
    inside = tissue_mask(jobs[0].images[0])
    found = level0(store, "labels/everything")
    assert np.array_equal(found > 0, np.where(inside, volume, 0) > 0)


def test_the_pixel_size_that_the_user_says_is_that_of_the_tissue(tmp_path: Path) -> None:
    """At 0.05 µm a pixel the quarter is smaller than a speck."""
    planned(tmp_path, slide(), mpp=0.05)
    scanned(tmp_path)
    assert tissue(tmp_path)["features"] == []


def test_a_rule_of_the_scan_is_the_one_that_counts(tmp_path: Path) -> None:
    planned(tmp_path, slide())
    (asked,) = (tmp_path / "plan" / "scans").iterdir()
    said = json.loads(asked.read_text())
    said["image"]["tissue"]["speck_mm2"] = 5.0
    asked.write_text(json.dumps(said))
    assert Scan.load(asked).image.tissue == default_rule() | {"speck_mm2": 5.0}
    scanned(tmp_path)
    assert tissue(tmp_path)["features"] == []


def test_a_mask_that_is_given_cuts_the_jobs_of_a_big_image_and_isnt_written(tmp_path: Path) -> None:
    ring = [[0, 320], [320, 320], [320, 640], [0, 640], [0, 320]]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    plan = planned(tmp_path, slide(), mask="a.geojson")
    jobs = scanned(tmp_path)
    assert 2 < len(jobs) < len(plan.jobs)
    assert jobs[0].images[0].mask == plan.images[0].ref.mask
    assert not (tmp_path / "found").exists()
    _, facts = merged(tmp_path, plan, jobs)
    assert facts.objects == pieces(slide()[TISSUE]).max()
    assert facts.mask is not None
    assert (facts.mask.by, facts.mask.file) == ("file", "a.geojson")


@pytest.mark.parametrize("least", [0.0, 0.1, 0.5, 1.0])
def test_a_tile_is_predicted_if_so_much_of_it_is_tissue(tmp_path: Path, least: float) -> None:
    plan = planned(tmp_path, slide(), min_tissue=least)
    jobs = scanned(tmp_path)
    _, facts = merged(tmp_path, plan, jobs)
    inside = tissue_mask(jobs[0].images[0])
    parts = [inside[tuple(slice(*s) for s in t.window)] for t in plan.images[0].grid]
    assert facts.predicted == sum(part.any() and part.mean() >= least for part in parts)


def test_which_tiles_are_predicted_is_nearly_known_ahead(tmp_path: Path) -> None:
    """SCAN looks at some places of each tile: of a smooth mask it errs at the rim alone."""
    planned(tmp_path, slide())
    (ref,) = scanned(tmp_path)[0].images
    spec = ModelSpec(
        "m", "1", TileSpec({"y": 32, "x": 32}), axes="CYX", num_channels=1, color_space="GRAY"
    )
    inside = tissue_mask(ref)
    with TileReader(ref, spec) as reader:
        wanted = [inside[tuple(slice(*s) for s in t.window)].any() for t in reader.grid]
    found = np.zeros(len(wanted), bool)
    found[predicted(ref, spec)] = True
    assert (found != wanted).mean() < 0.02
