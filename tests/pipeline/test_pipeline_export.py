"""A run's `--export`: files arrive beside the stores, are not made again, and fail by name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from exporting import features
from running import Checkout, labels, run_json, store, tasks, write_discs

pytestmark = pytest.mark.nextflow
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def runs(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Done]]:
    """Two images exported, and the same again."""
    here = tmp_path_factory.mktemp("export")
    for seed, name in enumerate(("a", "b c")):
        write_discs(here / "in" / f"{name}.tif", seed=seed)
    done = []
    for number in range(2):
        done.append(checkout.run(here / "in", here / "out", "--export", "geojson,tiff"))
        (here / f"{number}").mkdir()
        (here / "out" / "trace.txt").rename(here / f"{number}" / "trace.txt")
    return here, done


def test_each_image_has_its_exports_beside_its_store(runs: tuple[Path, list[Done]]) -> None:
    here, (first, _) = runs
    assert first.returncode == 0, first.stderr
    for name in ("a", "b c"):
        there = store(here / "out", name)
        pixels = labels(here / "out", name)
        found = features(there.with_suffix(".geojson"))
        areas = [shapely.from_geojson(json.dumps(f["geometry"])).area for f in found]
        assert areas == np.bincount(pixels.ravel())[1:].tolist()
        assert np.array_equal(tifffile.imread(there.with_suffix(".tif")), pixels)


def test_run_json_lists_each_images_exports(runs: tuple[Path, list[Done]]) -> None:
    facts = run_json(runs[0] / "out")
    for image in facts["images"]:
        assert [e["format"] for e in image["exports"]] == ["geojson", "tiff"]
        assert all((runs[0] / "out" / e["path"]).is_file() for e in image["exports"])
        assert {e["path"].partition("/")[0] for e in image["exports"]} == {image["id"]}
    assert facts["unexported"] == []


def test_what_is_exported_is_not_exported_again(runs: tuple[Path, list[Done]]) -> None:
    here, (_, again) = runs
    assert again.returncode == 0, again.stderr
    ended = [[s for p, _, s in tasks(here / n) if p == "EXPORT"] for n in ("0", "1")]
    assert ended == [["COMPLETED"], ["CACHED"]]


def test_a_format_that_does_not_hold_the_result_stops_the_run_first(
    checkout: Checkout, tmp_path: Path
) -> None:
    write_discs(tmp_path / "in" / "a.tif")
    done = checkout.run(tmp_path / "in", tmp_path / "out", "--export", "hdf5")
    assert done.returncode == 2
    assert "--export: hdf5 holds table, and the result is labels" in done.stderr
    assert not list((tmp_path / "out").glob("a/*"))
