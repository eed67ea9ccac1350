"""bioimage.io packages for tests: descriptions in formats 0.4 and 0.5 with their files."""

from __future__ import annotations

import copy
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Values = dict[str, Any]
Array = np.ndarray[Any, Any]


def side(name: str, size: Any, **more: Any) -> Values:
    return {"type": "space", "id": name, "size": size, **more}


def like(name: str, **more: Any) -> Values:
    return side(name, {"tensor_id": "raw", "axis_id": name, **more.pop("size", {})}, **more)


def channels(*names: str) -> Values:
    return {"type": "channel", "id": "channel", "channel_names": list(names)}


ANY = {"min": 104, "step": 8}
NEWEST: Values = {
    "format_version": "0.5.3",
    "type": "model",
    "name": "Bright Things (test)",
    "description": "Makes maps of bright things.",
    "version": "0.2.1",
    "license": "MIT",
    "git_repo": "https://github.com/someone/things",
    "authors": [{"name": "Ada Maß", "affiliation": "Somewhere", "github_user": "octocat"}],
    "cite": [{"text": "Things, seen", "doi": "10.1234/things"}],
    "documentation": "README.md",
    "inputs": [
        {
            "id": "raw",
            "axes": [{"type": "batch"}, channels("r", "g", "b"), side("y", ANY), side("x", ANY)],
            "data": {"type": "float32"},
            "test_tensor": {"source": "in.npy"},
            "preprocessing": [],
        }
    ],
    "outputs": [
        {
            "id": "maps",
            "axes": [
                {"type": "batch"},
                channels("inside", "edge", "distance"),
                like("y", halo=48),
                like("x", halo=48),
            ],
            "data": {"type": "float32"},
            "test_tensor": {"source": "out.npy"},
            "postprocessing": [],
        }
    ],
    "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
}
"""A description in format 0.5, as people write it."""
OLDER: Values = {
    **{k: NEWEST[k] for k in ("type", "description", "license", "cite", "weights")},
    "name": "Older Bright Things",
    "format_version": "0.4.10",
    "timestamp": "2023-01-01T00:00:00",
    "authors": [{"name": "Ada", "github_user": "octocat"}],
    "documentation": "README.md",
    "inputs": [
        {
            "name": "raw",
            "axes": "bcyx",
            "shape": {"min": [1, 3, 104, 104], "step": [0, 0, 8, 8]},
            "data_type": "float32",
            "data_range": ["-inf", "inf"],
            "preprocessing": [],
        }
    ],
    "outputs": [
        {
            "name": "maps",
            "axes": "bcyx",
            "data_type": "float32",
            "data_range": ["-inf", "inf"],
            "shape": {"reference_tensor": "raw", "scale": [1, 0, 1, 1], "offset": [0, 1.5, 0, 0]},
            "halo": [0, 0, 48, 48],
            "postprocessing": [],
        }
    ],
    "test_inputs": ["in.npy"],
    "test_outputs": ["out.npy"],
}
"""A description in format 0.4."""


def put(values: Values, **changes: Any) -> Values:
    """A copy with values changed; ``inputs__0__axes`` names what is deeper."""
    changed = copy.deepcopy(values)
    for path, value in changes.items():
        *outer, last = [int(p) if p.isdigit() else p for p in path.split("__")]
        place: Any = changed
        for key in outer:
            place = place[key]
        place[last] = value
    return changed


def package(folder: Path, described: Values, weights: Path, given: Array, wanted: Array) -> Path:
    """A folder with a description and its files; the weights' digest is stated."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("# Things\n\n## Validation\n\nLook at it.\n")
    (entry,) = described["weights"].values()
    data = weights.read_bytes()
    (folder / entry["source"]).write_bytes(data)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    np.save(folder / "in.npy", given)
    np.save(folder / "out.npy", wanted)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(described, allow_unicode=True))
    return folder


def zipped(folder: Path) -> Path:
    """The same as a zip file beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


FLOAT = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}


def filled(axis: Values) -> Values:
    """An axis with what is there if nobody says so."""
    if axis["type"] == "batch":
        return {"id": "batch", "size": None, **axis}
    if axis["type"] == "channel":
        return axis
    size = axis["size"]
    offset = {"offset": 0, **size} if "axis_id" in size else size
    return {"scale": 1.0, **axis, "size": offset}


FULL = put(
    NEWEST,
    id=None,
    links=[],
    cite=[{**NEWEST["cite"][0], "url": None}],
    inputs__0__test_shape={},
    outputs__0__test_shape={},
    inputs__0__axes=[filled(axis) for axis in NEWEST["inputs"][0]["axes"]],
    outputs__0__axes=[filled(axis) for axis in NEWEST["outputs"][0]["axes"]],
    inputs__0__preprocessing=[FLOAT, FLOAT],
    outputs__0__postprocessing=[FLOAT],
)
"""As much of what bioimageio.spec makes of `NEWEST` as counts here."""
