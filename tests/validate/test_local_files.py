"""`validate` opens files of weights that are here, and knows what a site's manifest extends."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from onnx_files import model, node, pooled
from sites import site

from tilewright import ROOT
from tilewright.validate.validate import Checked, check_files

NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"


def checked(path: Path, level: int = 1) -> Checked:
    """What is found in one manifest."""
    (found,) = check_files([path], level).manifests
    return found


def written(
    folder: Path, location: object = "net.onnx", spec: dict[str, Any] | None = None
) -> Path:
    """Our manifest of nuclei in a site's folder, with other weights and some of its spec."""
    ours = yaml.safe_load((ROOT / "manifests" / "nuclei.yml").read_text())
    ours["versions"]["v1"]["tasks"]["nuclei"]["locations"] = [location]
    ours["versions"]["v1"]["model_name"] = ours["short_name"] = "mine"
    ours["spec"] |= {"equivalence": "approx"} | (spec or {})
    return site(folder, yaml.safe_dump(ours), "mine.yml") / "mine.yml"


def errors(path: Path) -> list[str]:
    """Messages of the errors at the default level."""
    return [f.message for f in checked(path).findings if f.severity == "error"]


def test_a_file_that_fits_is_right(tmp_path: Path) -> None:
    path = written(tmp_path)
    shutil.copy(NUCLEI, tmp_path / "net.onnx")
    assert checked(path).findings == []


def test_an_onnx_file_of_other_channels_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "net.onnx").write_bytes(pooled(("batch", 1, "y", "x")))
    (found,) = checked(path).findings
    assert (found.id, found.severity) == ("L2", "error")
    assert found.message == "net.onnx takes 1 channel, and num_channels is 3"
    lines = path.read_text().splitlines()
    assert "num_channels: 3" in lines[found.line - 1]


@pytest.mark.parametrize(
    ("shape", "spec", "says"),
    [
        (("b", 3, 128, 128), {}, "takes tiles of 128 rows only, and the manifest has"),
        (("b", 3, 64, 64), {"tile_spec": {"size": 64}}, ""),
        (("b", 3, "y", 64), {"tile_spec": {"size": 96}}, "takes tiles of 64 columns only"),
        (("b", "y", "x", 3), {}, ""),
        (("b", "c", "y", "x"), {}, ""),
        ((3, "y"), {}, "the network's input is 3 x y, which doesn't fit tiles of bcyx"),
    ],
)
def test_an_onnx_files_sizes_are_the_manifests(
    tmp_path: Path, shape: tuple[int | str, ...], spec: dict[str, Any], says: str
) -> None:
    path = written(tmp_path, spec=spec)
    (tmp_path / "net.onnx").write_bytes(pooled(shape))
    found = errors(path)
    assert bool(found) == bool(says), found
    assert not says or says in found[0]


def test_a_file_that_is_no_network_or_has_two_inputs_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "net.onnx").write_text("no network")
    assert errors(path)[0].startswith("net.onnx can't be opened as ONNX: ")
    ports = [(name, "float32", ("b", 3, "y", "x")) for name in ("one", "two")]
    both = model([node("Add", "one two", "sum")], ports, [("sum", "float32", ("b", 3, "y", "x"))])
    (tmp_path / "net.onnx").write_bytes(both)
    assert errors(path) == ["net.onnx takes 2 inputs (one, two), and tiles are one"]


def test_a_pickle_for_a_torchscript_file_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, "net.pt")
    path.write_text(path.read_text().replace("runner: onnx", "runner: torchscript"))
    (tmp_path / "net.pt").write_bytes(pickle.dumps({"weights": [1.0]}))
    assert "net.pt isn't a TorchScript archive but what torch.save writes" in errors(path)[0]
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/code/net.py", "def forward(self, x):\n  return x\n")
        archive.writestr("net/constants.pkl", "")
    assert errors(path) == []


def test_a_wrong_digest_or_size_is_a_fault(tmp_path: Path) -> None:
    shutil.copy(NUCLEI, tmp_path / "net.onnx")
    (message,) = errors(written(tmp_path, {"location": "net.onnx", "sha256": "0" * 64}))
    assert "its digest is" in message
    (message,) = errors(written(tmp_path, {"location": "net.onnx", "bytes": 7}))
    assert f"it has {NUCLEI.stat().st_size} bytes, not 7" in message


def test_a_file_that_isnt_beside_its_manifest_is_a_fault_and_another_machines_is_not(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "net.onnx")
    (warning,) = checked(path).findings
    (error,) = checked(path, 2).findings
    assert (warning.severity, error.severity) == ("warning", "error")
    assert warning.message.endswith("net.onnx can't be had from here: there is no such file")
    assert error.message == warning.message
    assert errors(written(tmp_path, "/no/where/net.onnx")) == []


def test_a_folder_for_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    (message,) = errors(written(tmp_path))
    assert "it is a folder, and the model takes a file" in message


# What extends


def test_a_manifest_that_extends_ours_is_checked_over_it(tmp_path: Path) -> None:
    text = """
short_name: nuclei
extends: true
versions: {v1: {tasks: {nuclei: {locations: [net.onnx]}}}}
"""
    path = site(tmp_path, text, "mine.yml") / "mine.yml"
    shutil.copy(NUCLEI, tmp_path / "net.onnx")
    assert checked(path).findings == []
    (tmp_path / "net.onnx").write_bytes(pooled(("batch", 1, "y", "x")))
    (found,) = checked(path).findings
    assert found.message == "net.onnx takes 1 channel, and num_channels is 3"
    assert found.file == "manifests/nuclei.yml"  # where the channels are said


def test_a_manifest_that_extends_nothing_is_named(tmp_path: Path) -> None:
    path = site(tmp_path, "short_name: nuclie\nextends: true\n", "mine.yml") / "mine.yml"
    (found,) = checked(path).findings
    assert found.line == 2
    assert found.message == "there is no manifest 'nuclie' that could be extended"
    assert found.fix == "did you mean 'nuclei'?"
