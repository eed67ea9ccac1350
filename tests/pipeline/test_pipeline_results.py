"""What a user gets: one run of many kinds of images, looked at from all sides."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata  # type: ignore[import-untyped]
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from ome_models import metadata_of
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from pictures import write_ome_zarr
from running import (
    LIMIT,
    Array,
    Checkout,
    are_the_same_objects,
    digests,
    discs,
    labels,
    level0,
    pieces,
    run_json,
    store,
    tasks,
)
from skimage.measure import label, regionprops
from written import faults

pytestmark = pytest.mark.nextflow

TASK = "everything"
BIG, SMALL = (300, 340), (80, 100)


def drawn() -> dict[str, tuple[Array, str]]:
    """The images by id, with their axes: what each file holds."""
    stack = np.stack([discs(SMALL, seed, "uint16") for seed in range(6)])
    return {
        "plane": (discs(BIG, 1), "YX"),
        "sixteen": (discs(SMALL, 2, "uint16") * 600, "YX"),
        "real": (discs(SMALL, 3, "float32") / 100, "YX"),
        "stack": (stack.reshape(2, 3, *SMALL), "TZYX"),
        "colour": (np.stack([discs(SMALL, s) for s in (4, 5, 6)], axis=-1), "YXC"),
        "two": (np.stack([discs(SMALL, 7), discs(SMALL, 8)]), "CYX"),
        "old": (discs(SMALL, 9, "uint16"), "YX"),
        "new": (discs(SMALL, 10, "uint16"), "YX"),
    }


def seen(name: str) -> Array:
    """What the model is to find objects in: the channel asked for, or whatever isn't black."""
    pixels, axes = drawn()[name]
    if name == "two":
        return np.asarray(pixels[1])
    return np.asarray(pixels.max(axis=-1)) if axes == "YXC" else pixels


@pytest.fixture(scope="session")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of all images, each in a format of its own; µm per pixel: 0.5."""
    here = tmp_path_factory.mktemp("images")
    images = {name: pixels for name, (pixels, _) in drawn().items()}
    for name in ("plane", "sixteen", "real"):
        tifffile.imwrite(here / f"{name}.tif", images[name])
    tifffile.imwrite(here / "stack.ome.tif", images["stack"], metadata={"axes": "TZYX"})
    tifffile.imwrite(
        here / "two.ome.tif",
        images["two"],
        metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "actin"]}},
    )
    iio.imwrite(here / "colour.png", images["colour"])
    write_ome_zarr(here / "old.ome.zarr", [images["old"]], "YX", version="0.4")
    write_ome_zarr(here / "new.ome.zarr", [images["new"]], "YX", version="0.5")
    lines = ["image,mpp,channels"]
    lines += [f"{name}.tif,0.5," for name in ("plane", "sixteen", "real")]
    lines += ["stack.ome.tif,0.5,", "two.ome.tif,0.5,cells=actin", "colour.png,,"]
    lines += ["old.ome.zarr,,", "new.ome.zarr,,"]
    (here / "list.csv").write_text("\n".join(lines) + "\n")
    return here / "list.csv"


@pytest.fixture(scope="session")
def said(
    checkout: Checkout, sheet: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the command line said of the run, and its folder."""
    outdir = tmp_path_factory.mktemp("results") / "out"
    return checkout.run(sheet, outdir), outdir


@pytest.fixture(scope="session")
def outdir(said: tuple[subprocess.CompletedProcess[str], Path]) -> Path:
    """The run's results; read them, never write in them."""
    done, outdir = said
    assert done.returncode == 0, done.stderr
    return outdir


NAMES = list(drawn())


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_image_has_the_objects_it_was_drawn_with(outdir: Path, name: str) -> None:
    found, wanted = labels(outdir, name), pieces(seen(name))
    assert found.shape == wanted.shape
    planes = zip(
        found.reshape(-1, *found.shape[-2:]), wanted.reshape(-1, *found.shape[-2:]), strict=True
    )
    assert all(are_the_same_objects(a, b) for a, b in planes)


def test_an_image_of_twenty_tiles_has_labels_from_one_to_n(outdir: Path) -> None:
    plan = json.loads((outdir / "plan.json").read_text())
    assert {i["id"]: i["tiles"] for i in plan["images"]}["plane"] == 20
    found = np.unique(labels(outdir, "plane"))
    assert found.tolist() == list(range(len(found)))


def test_no_two_planes_of_a_stack_share_a_label(outdir: Path) -> None:
    found = [set(np.unique(p)) - {0} for p in labels(outdir, "stack").reshape(-1, *SMALL)]
    assert len(set.union(*found)) == sum(map(len, found)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_store_is_valid_ome_zarr(outdir: Path, name: str) -> None:
    root = metadata_of(store(outdir, name))
    for model, where in ((Image, ""), (Labels, "labels"), (ImageLabel, f"labels/{TASK}")):
        model.from_zarr(root[where] if where else root)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_the_image_at_the_root_is_the_input(outdir: Path, name: str) -> None:
    pixels, axes = drawn()[name]
    wanted = np.moveaxis(pixels, -1, 0) if axes == "YXC" else pixels
    found = level0(store(outdir, name))
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("name", ["plane", "real", "two", "colour", "old"])
def test_the_table_has_scikit_images_figures(outdir: Path, name: str) -> None:
    pixels, axes = drawn()[name]
    table = anndata.read_zarr(store(outdir, name) / "tables" / TASK)
    channels = pixels if axes == "YXC" else np.moveaxis(np.atleast_3d(pixels), 0, -1)
    channels = pixels[..., None] if axes == "YX" else channels
    props = regionprops(labels(outdir, name), intensity_image=channels.astype(np.float64))  # type: ignore[no-untyped-call]
    assert table.obs["id"].tolist() == [p.label for p in props]
    assert table.obs["area_px"].tolist() == [p.area for p in props]
    for column, get in FIGURES.items():
        assert np.allclose(table.obs[column], [get(p) for p in props]), column
    assert np.allclose(table.X, [p.intensity_mean for p in props], rtol=1e-6)


FIGURES: dict[str, Callable[[Any], float]] = {
    "centroid_y_px": lambda p: p.centroid[0],
    "centroid_x_px": lambda p: p.centroid[1],
    "bbox_y0_px": lambda p: p.bbox[0],
    "bbox_x0_px": lambda p: p.bbox[1],
    "bbox_y1_px": lambda p: p.bbox[2],
    "bbox_x1_px": lambda p: p.bbox[3],
}


def test_areas_are_in_square_micrometres_where_the_pixel_size_is_known(outdir: Path) -> None:
    known = anndata.read_zarr(store(outdir, "plane") / "tables" / TASK).obs
    assert np.allclose(known["area_um2"], known["area_px"] * 0.25)
    unknown = anndata.read_zarr(store(outdir, "colour") / "tables" / TASK).obs
    assert "area_um2" not in unknown


def test_pixel_sizes_come_from_the_csv_or_the_file(outdir: Path) -> None:
    for name in ("plane", "new"):  # the CSV says it of one, OME-Zarr's metadata of the other
        root: Any = zarr.open_group(store(outdir, name), mode="r").attrs["ome"]
        scale = root["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
        assert scale[-2:] == [0.5, 0.5]
        assert {a.get("unit") for a in root["multiscales"][0]["axes"]} == {"micrometer"}


def test_channels_keep_their_names(outdir: Path) -> None:
    table = anndata.read_zarr(store(outdir, "two") / "tables" / TASK)
    assert table.var_names.tolist() == ["mean_DAPI", "mean_actin"]


def test_report_run_plan_and_trace_lie_beside_the_stores(outdir: Path) -> None:
    files = {p.name for p in outdir.iterdir() if p.is_file()}
    tables = {"images.csv", "objects.csv"}
    told = {"report.html", "run.json", "run.sha256", "plan.json", "trace.txt", ".tilewright-lock"}
    assert files == tables | told
    assert {i["id"] for i in run_json(outdir)["images"]} == set(NAMES)
    assert run_json(outdir)["failed"] == []
    html = (outdir / "report.html").read_text()
    assert all(name in html for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_a_picture_of_its_own_proportions(outdir: Path, name: str) -> None:
    picture = iio.imread(store(outdir, name).with_suffix(".png"))
    height, width = picture.shape[:2]
    assert height / width == pytest.approx(
        labels(outdir, name).shape[-2] / labels(outdir, name).shape[-1], rel=0.02
    )


def test_the_next_plan_says_how_long_prediction_takes(
    checkout: Checkout, sheet: Path, outdir: Path
) -> None:
    """By the tiles of this run, and of others by the same recipe."""
    words = ("plan", "--input", sheet, "--outdir", outdir, *checkout.toy)
    found = json.loads(checkout.cli(*words, "--json", cwd=outdir.parent).stdout)["estimate"]
    jobs = run_json(outdir)["measured"]["jobs"]
    assert found["here"]
    assert found["device"] == "cpu"
    assert found["tiles"] >= sum(job["tiles"] for job in jobs) > 0
    assert all(job["pixels"] > job["tiles"] for job in jobs)
    assert found["seconds"] > 0
    assert " of prediction" in checkout.cli(*words, cwd=outdir.parent).stdout
    other = (*words, "--tile_size", "256", "--json")
    assert json.loads(checkout.cli(*other, cwd=outdir.parent).stdout)["estimate"] is None


def test_a_run_takes_no_more_room_than_its_plan_said(outdir: Path) -> None:
    said = json.loads((outdir / "plan.json").read_text())["disk"]
    work = outdir / ".tilewright" / "work"
    results = on_disk(outdir) - on_disk(outdir / ".tilewright")
    assert said["results"] / 20 < results <= said["results"]
    assert said["work"] / 20 < on_disk(work) <= said["work"]


def on_disk(folder: Path) -> int:
    """Bytes of all files in a folder, as their blocks are."""
    files = (p.lstat() for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sum(found.st_blocks * 512 for found in files)


def test_run_json_says_where_each_jobs_time_went(outdir: Path) -> None:
    run = json.loads((outdir / "run.json").read_text())
    jobs = run["measured"]["jobs"]
    assert len(jobs) == run["times"]["PREDICT"]["tasks"]
    assert sum(job["tiles"] for job in jobs) == run["counts"]["tiles"]
    assert all(job["seconds"] >= job["load"] > 0 for job in jobs)
    assert run["measured"]["seconds_per_tile"] > 0


def test_the_files_of_a_run_are_as_their_schemas_say(outdir: Path) -> None:
    for name in ("run", "plan"):
        assert faults(name, json.loads((outdir / f"{name}.json").read_text())) == []
    (recipe,) = outdir.glob(".tilewright/work/*/*/groups/../recipe.json")
    assert faults("recipe", json.loads(recipe.read_text())) == []
    attributes: Any = zarr.open_group(store(outdir, "plane"), mode="r").attrs["tilewright"]
    assert attributes["recipe"] == json.loads(recipe.read_text()) | {"config": None}  # its digest


def test_run_json_counts_the_jobs_that_ran_in_the_models_own_precision(outdir: Path) -> None:
    run = run_json(outdir)
    assert run["precision"] == [{"precision": None, "jobs": run["times"]["PREDICT"]["tasks"]}]


def test_small_images_share_their_tasks(outdir: Path) -> None:
    steps = ["MERGE", "PLAN", "PREDICT", "PUBLISH", "REPORT", "TABLES"]
    assert sorted(t[0] for t in tasks(outdir)) == steps


def test_plain_lines_with_percent_are_said_where_there_is_no_terminal(
    said: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, outdir = said
    assert "planning" in done.stderr
    assert re.search(r"predicting: \d+ % \(\d+ of \d+ tiles\)", done.stderr)
    assert "\x1b" not in done.stderr + done.stdout
    assert f"{len(NAMES)} of {len(NAMES)} images" in done.stdout
    assert str(outdir / "report.html") in done.stdout


def test_plain_nextflow_gives_the_same_bytes(
    checkout: Checkout, sheet: Path, outdir: Path, tmp_path: Path
) -> None:
    """As Nextflow 25.04 is set up by itself: its first parser, and its own progress."""
    words = ("--input", sheet, "--outdir", "plain", *checkout.toy, "-ansi-log", "false")
    done = subprocess.run(
        checkout.nextflow(*words),
        cwd=tmp_path,
        env={**checkout.env, "NXF_SYNTAX_PARSER": "v1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout
    assert len(digests(outdir)) > 100
    assert digests(tmp_path / "plain") == digests(outdir)


def test_real_nuclei_are_the_same_tiled_and_untiled(checkout: Checkout, tmp_path: Path) -> None:
    """The demo's image: twelve tiles, and one that holds it all."""
    found = []
    image = checkout.root / "examples" / "nuclei" / "fluorescence.tif"
    for size in (352, 704):
        outdir = tmp_path / str(size)
        words = ("run", "--input", image, "--outdir", outdir)
        done = checkout.cli(*words, "--tile_size", size, "--save_image", "false", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(labels(outdir, "fluorescence", "nuclei"))
    assert run_json(tmp_path / "352")["images"][0]["tiles"] == 12
    assert run_json(tmp_path / "704")["images"][0]["tiles"] == 1
    assert found[0].max() > 100
    assert are_the_same_objects(*found)


def test_a_store_for_older_readers_reaches_the_output_folder(
    checkout: Checkout, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "one.tif", discs(SMALL, 1))
    done = checkout.run(images, tmp_path / "out", "--ome_zarr", "0.4")
    assert done.returncode == 0, done.stderr
    assert (store(tmp_path / "out", "one") / ".zattrs").is_file()
    group: Any = zarr.open_group(store(tmp_path / "out", "one") / "labels" / TASK, mode="r")
    assert group.metadata.zarr_format == 2
    assert are_the_same_objects(group["0"][:], label(discs(SMALL, 1) > 0))
