"""Through the whole pipeline: tissue is found, published, given back corrected, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from running import (
    Checkout,
    are_the_same_objects,
    digests,
    discs,
    labels,
    pieces,
    run_json,
    tasks,
)
from skimage.draw import polygon

from tilewright.preprocess.tissue_file import seal_of

pytestmark = pytest.mark.nextflow
Array = np.ndarray[Any, Any]
OPTIONS = ("--model_type", "split", "--mpp", "3", "--mask")
HALF = np.s_[0:320, 0:160]
History = dict[str, tuple[list[tuple[str, str, str]], dict[str, Any], dict[str, str]]]
"""After each run: its tasks, its run.json and the digests of its results."""


def slide(seed: int) -> Array:
    """(320, 320) of which a half is dense with discs, and a disc is by itself far from it."""
    image = np.zeros((320, 320), np.uint8)
    image[HALF] = discs((320, 160), seed=seed, value=200)
    image[20:40, 280:300] = discs((20, 20), seed=seed, value=200)
    return image


def drawn(path: Path) -> Array:
    """The pixels of a file's polygons, by scikit-image."""
    inside = np.zeros((320, 320), bool)
    for feature in json.loads(path.read_text())["features"]:
        for number, ring in enumerate(feature["geometry"]["coordinates"]):
            x, y = np.array(ring).T - 0.5
            inside[polygon(y, x, inside.shape)] = number == 0  # type: ignore[no-untyped-call]
    return inside


def corrected(path: Path) -> Array:
    """Write a file again as a user does who has drawn a box round the one disc; its pixels."""
    said = json.loads(path.read_text())
    ring = [[270, 10], [310, 10], [310, 50], [270, 50], [270, 10]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    said["features"] = [{"type": "Feature", "geometry": geometry, "properties": {}}]
    path.write_text(json.dumps(said))
    box = np.zeros((320, 320), bool)
    box[10:50, 270:310] = True
    return box


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks") / "out"


@pytest.fixture(scope="module")
def history(checkout: Checkout, out: Path) -> History:
    """Tissue found; the same once more; one slide's tissue corrected and all given back."""
    images = out.parent / "in"
    images.mkdir()
    for name, pixels in {"a": slide(1), "b": slide(2), "glass": np.zeros((320, 320), "u1")}.items():
        tifffile.imwrite(images / f"{name}.tif", pixels)
    found: History = {}

    def run(name: str, mask: object) -> None:
        done = checkout.run(images, out, *OPTIONS, mask)
        assert done.returncode == 0, done.stderr
        found[name] = tasks(out), run_json(out), digests(out)

    run("first", "tissue")
    run("again", "tissue")
    corrected(out / "b" / "tissue.geojson")
    run("corrected", out)
    return found


def ran(history: History, name: str) -> list[tuple[str, str]]:
    """The processes and groups of the tasks that weren't cached, but for what always runs."""
    some = [(p, tag[0]) for p, tag, status in history[name][0] if status != "CACHED" and tag]
    return sorted((step, group) for step, group in set(some) if step != "PUBLISH")


def facts(history: History, name: str) -> dict[str, Any]:
    """What run.json says of the images, by their ids."""
    return {image["id"]: image for image in history[name][1]["images"]}


def test_tissue_lies_beside_the_stores_as_it_was_found(history: History, out: Path) -> None:
    published = [path for path in history["first"][2] if path.endswith(".geojson")]
    assert sorted(published) == [f"{name}/tissue.geojson" for name in ("a", "b", "glass")]
    assert seal_of(out / "a" / "tissue.geojson")


def test_only_the_objects_of_the_tissue_are_found(history: History, out: Path) -> None:
    inside = drawn(out / "a" / "tissue.geojson")
    assert inside[HALF].mean() > 0.9
    assert not inside[:, 200:].any()
    assert are_the_same_objects(labels(out, "a"), pieces(np.where(inside, slide(1), 0)))


def test_run_json_says_which_mask_and_how_many_tiles(history: History) -> None:
    run, images = history["first"][1], facts(history, "first")
    assert {i["mask"]["by"] for i in images.values()} == {"tissue"}
    assert 0 < images["a"]["predicted"] < images["a"]["tiles"]
    assert images["glass"]["predicted"] == images["glass"]["objects"] == 0
    assert run["counts"]["predicted"] == sum(i["predicted"] for i in images.values())
    assert run["counts"]["failed"] == 0


def test_a_slide_without_tissue_is_said_and_no_failure(history: History, out: Path) -> None:
    said = (
        "No tissue was found: none of its 16 tiles was predicted, and its result is empty. "
        "If it has some, draw it, or say --mask none."
    )
    assert f"glass: {said}" in history["first"][1]["remarks"]
    assert not labels(out, "glass").any()
    assert said in (out / "report.html").read_text()


def test_the_same_run_again_does_nothing(history: History) -> None:
    assert ran(history, "again") == []
    assert history["again"][2] == history["first"][2]


def test_a_corrected_mask_repeats_its_slide_alone(history: History, out: Path) -> None:
    assert {name for _, name in ran(history, "corrected")} == {"b"}
    before, after = history["first"][2], history["corrected"][2]
    assert {p.partition("/")[0] for p in after if after[p] != before.get(p)} == {"b"}
    mask = facts(history, "corrected")["b"]["mask"]
    assert (mask["by"], mask["file"]) == ("file", "tissue.geojson")
    assert facts(history, "corrected")["a"]["mask"]["by"] == "tissue"


def test_what_was_corrected_counts_and_stays(history: History, out: Path, tmp_path: Path) -> None:
    (tmp_path / "b.geojson").write_text(json.dumps({"features": []}))
    box = corrected(tmp_path / "b.geojson")
    assert are_the_same_objects(labels(out, "b"), pieces(np.where(box, slide(2), 0)))
    assert seal_of(out / "b" / "tissue.geojson") is None
    assert json.loads((out / "b" / "tissue.geojson").read_text())["features"][0]["properties"] == {}


def test_a_run_that_would_write_over_it_stops_before_anything(
    history: History, checkout: Checkout, out: Path
) -> None:
    kept = (out / "b" / "tissue.geojson").read_bytes()
    done = checkout.run(out.parent / "in", out, *OPTIONS, "tissue")
    assert done.returncode == 2
    assert "b/tissue.geojson: was edited since it was written" in done.stderr
    assert (out / "b" / "tissue.geojson").read_bytes() == kept
