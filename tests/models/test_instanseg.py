"""InstanSeg: its files give labels themselves, zipped or bare; what isn't one is refused."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
from loading import refused
from zoo import runs
from zoo.cases import CASES

from tilewright.errors import TilewrightError
from tilewright.registry.registry import Registry

CASE = CASES["instanseg"]
BOTH = dataclasses.replace(CASE, version="fluorescence_nuclei_and_cells", weights="cells.zip")


@pytest.mark.parametrize("version", Registry.load().manifests["instanseg"].versions)
def test_every_version_gives_labels_by_the_files_own_rule(version: str) -> None:
    found = Registry.load().choose("instanseg", version)
    assert found.values({})["postprocess"] == "labels"
    assert found.script().name == "run_torchscript.py"


def test_cells_are_the_second_map() -> None:
    cells, nuclei = (
        Registry.load().choose("instanseg", BOTH.version, t) for t in ("cyto", "nuclei")
    )
    assert cells.values({})["map"] == 1
    assert "map" not in nuclei.values({})


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of one map, in a zip as InstanSeg publishes its own."""
    return runs.made_weights(CASE, tmp_path_factory.mktemp("instanseg"))


@pytest.mark.slow
def test_the_file_in_its_zip_is_the_file(weights: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(weights) as archive:
        bare = archive.extract("single/instanseg.pt", tmp_path)
    tile = runs.main_tile(CASE)[..., :256, :256]
    zipped, alone = (runs.by_script(CASE, path, tile) for path in (weights, Path(bare)))
    np.testing.assert_array_equal(zipped, alone)
    assert zipped.max() > 10


@pytest.mark.slow
def test_nuclei_and_cells_are_two_maps_of_one_file(weights: Path, tmp_path: Path) -> None:
    file = runs.made_weights(BOTH, tmp_path)
    tile = runs.main_tile(CASE)[..., :256, :256]
    nuclei, cells = (
        runs.by_script(dataclasses.replace(BOTH, task=task), file, tile)[0]
        for task in ("nuclei", "cyto")
    )
    theirs = runs.by_library(BOTH, file, tile[0], tmp_path)
    np.testing.assert_array_equal(nuclei, theirs)
    assert min(nuclei.max(), cells.max()) > 10
    assert not np.array_equal(nuclei > 0, cells > 0)
    one = dataclasses.replace(BOTH, task="cyto")
    with pytest.raises(TilewrightError, match="map is 1, and the network gives 1 of a tile"):
        runs.by_script(one, weights, tile)


@pytest.mark.slow
def test_what_isnt_its_network_is_refused_in_a_sentence(weights: Path, tmp_path: Path) -> None:
    data = weights.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.zip").write_text("<html>404</html>")
    (tmp_path / "folder.zip").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("single/rdf.yaml", "name: InstanSeg")
    with zipfile.ZipFile(tmp_path / "pickle.zip", "w") as archive:
        archive.writestr("single/instanseg.pt", b"\x80\x04N.")
    says = {
        "cut.zip": "isn't a TorchScript archive: it is cut off; fetch or copy it anew",
        "text.zip": "isn't a TorchScript archive",
        "other.zip": "isn't a TorchScript archive",
        "pickle.zip": "isn't a TorchScript archive",
        "folder.zip": "is a folder; a TorchScript archive is one file",
    }
    refused(CASE, {tmp_path / name: words for name, words in says.items()})
    with pytest.raises(TilewrightError, match=r"pickle\.zip isn't a TorchScript") as fault:
        runs.by_script(CASE, tmp_path / "pickle.zip", np.zeros((1, 1, 64, 64), np.float32))
    assert "Traceback" not in str(fault.value)
