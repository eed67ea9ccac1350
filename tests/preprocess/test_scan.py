"""A big image is looked at once, ahead: its statistics, and a copy where tiles cost too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import reference, speckles, write_over
from running import (
    Checkout,
    are_the_same_objects,
    discs,
    labels,
    pieces,
    tasks,
)

from tilewright.contract.canonical import save
from tilewright.contract.jobs import Job, Scan
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.images.image import Image, open_image
from tilewright.plan.plan import Plan, make_plan, write_plan
from tilewright.preprocess.reader import TileReader
from tilewright.preprocess.scan import copy_tiled, scan

Array = np.ndarray[Any, Any]
LAYOUTS: dict[str, dict[str, Any]] = {
    "striped": {"rowsperstrip": 300, "compression": "zlib"},
    "tiled": {"tile": (64, 64), "compression": "zlib"},
}


def picture() -> Array:
    """(600, 1300) uint16: noise in which no two regions have the same percentiles."""
    rng = np.random.default_rng(1)
    return (rng.random((600, 1300)) * np.linspace(100, 60_000, 1300)).astype("uint16")


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of the picture in each layout, for a machine on which it is big."""
    monkeypatch.setattr("tilewright.plan.cut.SCAN_PIXELS", 1000)
    monkeypatch.setattr("tilewright.images.source.CACHE_BYTES", 0)
    (tmp_path / "in").mkdir()
    for name, layout in LAYOUTS.items():
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", picture(), **layout)
    given = {"input": "in", "tile_size": 256, "weights_dir": str(tmp_path / "weights")}
    plan = make_plan(given, tmp_path)
    write_plan(plan, tmp_path / "plan")
    return plan


def scanned(folder: Path, name: str) -> tuple[list[Job], Path]:
    """The jobs that SCAN writes for an image, and where its copy would be."""
    (asked,) = (folder / "plan" / "scans").glob(f"{name}-*.json")
    here = folder / name
    here.mkdir()
    scan(asked, here / "jobs", here / "copy.zarr", here / "found")
    return [Job.load(p) for p in sorted((here / "jobs").iterdir())], here / "copy.zarr"


def test_the_workflow_gets_jobs_of_big_images_from_scan_only(planned: Plan, tmp_path: Path) -> None:
    assert len(planned.scans) == 2
    assert list((tmp_path / "plan" / "jobs").iterdir()) == []
    written = [json.loads(p.read_text()) for p in (tmp_path / "plan" / "scans").iterdir()]
    assert sorted(s["image"]["id"] for s in written) == sorted(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_statistics_are_those_of_all_pixels_whatever_the_layout(
    planned: Plan, tmp_path: Path, name: str
) -> None:
    (first, *_), _ = scanned(tmp_path, name)
    figures = first.images[0].statistics
    assert figures is not None
    ((low, high),) = figures["values"][0]
    assert low == pytest.approx(np.percentile(picture(), 1), abs=1)
    assert high == pytest.approx(np.percentile(picture(), 99.8), abs=1)


def test_only_a_file_that_tiles_would_decode_again_and_again_is_copied(
    planned: Plan, tmp_path: Path
) -> None:
    striped, copy = scanned(tmp_path, "striped")
    assert striped[0].images[0].copy == str(copy)
    with open_image(copy) as image:
        found = image.read(0, {"Y": slice(0, 600), "X": slice(0, 1300)})
    assert np.array_equal(np.squeeze(found), picture())
    tiled, nothing = scanned(tmp_path, "tiled")
    assert tiled[0].images[0].copy is None
    assert not nothing.exists()


def test_a_model_sees_the_same_of_a_copy_as_of_the_file(planned: Plan, tmp_path: Path) -> None:
    spec: ModelSpec = planned.recipe.spec
    seen = []
    for name in LAYOUTS:
        (first, *_), _ = scanned(tmp_path, name)
        with TileReader(first.images[0], spec) as reader:
            seen.append([reader.read(0, t.window) for t in list(reader.grid)[::30]])
    assert len(seen[0]) > 10
    assert all(np.array_equal(a, b) for a, b in zip(*seen, strict=True))


def test_scanned_jobs_hold_every_tile_once(planned: Plan, tmp_path: Path) -> None:
    jobs, _ = scanned(tmp_path, "tiled")
    tiles = [n for job in jobs for _, a, b in job.parts for n in range(a, b)]
    (image,) = [i for i in planned.images if i.ref.id == "tiled"]
    assert tiles == list(range(image.tiles))


@pytest.mark.parametrize(
    ("layout", "widths"),
    [
        pytest.param({"tile": (64, 64), "compression": "zlib"}, [4096, 904], id="tiled"),
        pytest.param({"rowsperstrip": 50, "compression": "zlib"}, [5000], id="striped"),
        pytest.param({}, [4096, 904], id="not-compressed"),
    ],
)
def test_a_copy_is_read_in_pieces_unless_strips_would_be_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any], widths: list[int]
) -> None:
    """4 MB hold two shards of 3 channels, 300 rows and 2048 columns."""
    pixels = speckles((300, 5000, 3), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **layout)
    monkeypatch.setattr("tilewright.preprocess.scan.BAND_BYTES", 4_000_000)
    read, found = Image.read, []

    def seen(image: Image, level: int, index: Any) -> Array:
        found.append(read(image, level, index))
        return found[-1]

    monkeypatch.setattr(Image, "read", seen)
    copy_tiled(reference(tmp_path / "a.tif", pixels, "YXC"), tmp_path / "copy.zarr")
    assert [piece.shape for piece in found] == [(300, width, 3) for width in widths]
    with open_image(tmp_path / "copy.zarr") as image:
        assert np.array_equal(read(image, 0, {}), pixels.transpose(2, 0, 1))


def test_a_damaged_file_is_not_copied_but_read_tile_by_tile(tmp_path: Path) -> None:
    pixels = speckles((300, 200), "uint8")
    for name, numbers in (("hurt", (4,)), ("whole", ())):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, pixels, rowsperstrip=20, compression="zlib")
        write_over(path, *numbers)
        spec = ModelSpec("a", "1", TileSpec({"y": 64, "x": 64}))
        asked = Scan(reference(path, pixels, "YX"), 20, 20, spec, copy=True, code="")
        save(tmp_path / f"{name}.json", asked)
        scan(
            tmp_path / f"{name}.json",
            tmp_path / name,
            tmp_path / f"{name}.zarr",
            tmp_path / "found",
        )
        (job,) = (Job.load(found) for found in (tmp_path / name).iterdir())
        made = tmp_path / f"{name}.zarr"
        assert job.images[0].copy == (str(made) if name == "whole" else None)
        assert made.exists() == (name == "whole")


def test_a_copy_of_a_colour_picture_has_all_its_channels_in_one_chunk(tmp_path: Path) -> None:
    for dtype, chunk in (("uint8", (3, 300, 512)), ("uint16", (1, 300, 512))):
        pixels = speckles((300, 700, 3), dtype)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
        copy_tiled(reference(tmp_path / "a.tif", pixels, "YXC"), tmp_path / "copy.zarr")
        with open_image(tmp_path / "copy.zarr") as image:
            assert image.chunks == [chunk]
            assert np.array_equal(image.read(0, {}), pixels.transpose(2, 0, 1))


@pytest.mark.nextflow
@pytest.mark.slow
def test_an_image_over_the_limit_has_the_same_labels_striped_and_tiled(
    checkout: Checkout, tmp_path: Path
) -> None:
    """8,400 x 8,400 px are more than 2^26, and one strip holds them all: more than is kept."""
    pixels = np.tile(discs((420, 420)), (20, 20))
    (tmp_path / "in").mkdir()
    for name, layout in LAYOUTS.items():
        wide = {"tile": (512, 512)} if name == "tiled" else {"rowsperstrip": 8400}
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", pixels, **layout | wide)
    words = ("--model_type", "scaled", "--tile_size", "1024", "--save_image", "false")
    done = checkout.run(tmp_path / "in", tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    names = [process for process, _, _ in tasks(tmp_path / "out")]
    assert names.count("SCAN") == 2
    striped, tiled = (labels(tmp_path / "out", name) for name in ("striped", "tiled"))
    assert np.array_equal(striped, tiled)
    assert are_the_same_objects(striped, pieces(pixels))
