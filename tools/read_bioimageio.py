"""What bioimageio.spec says of a package: ``python tools/read_bioimageio.py PATH ANSWER.json``.

Runs in the environment `bioimageio`; `tilewright.authoring.package` calls it. A description
of any format is given in the newest. Test tensors that come along are checked against it;
nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bioimageio.spec import InvalidDescr, load_description
from bioimageio.spec.model.v0_5 import ModelDescr, validate_tensors
from bioimageio.spec.utils import identify_bioimageio_yaml_file_name, load_array, read_yaml


def read(path: Path) -> dict[str, Any]:
    """The description as plain values and the format it was written in, or an `error`."""
    if path.is_dir():
        path = path / identify_bioimageio_yaml_file_name(p.name for p in path.iterdir())
    written = dict(read_yaml(path)).get("format_version")
    found = load_description(path, format_version="latest", perform_io_checks=False)
    if isinstance(found, InvalidDescr):
        errors = found.validation_summary.errors
        return {"error": "; ".join(f"{'.'.join(map(str, e.loc))}: {e.msg}" for e in errors[:5])}
    if not isinstance(found, ModelDescr):
        return {"error": f"it describes a {found.type}, not a model"}
    arrays = tensors(found, path.parent)
    validate_tensors(arrays, "test_tensor", pad_inputs="allow", crop_outputs="allow")
    values = found.model_dump(mode="json")
    for tensor in [*values["inputs"], *values["outputs"]]:
        array = arrays[tensor["id"]][1]
        shape = [] if array is None else array.shape
        tensor["test_shape"] = {a["id"]: n for a, n in zip(tensor["axes"], shape)}  # noqa: B905
    return {"format": written, "description": values}


def tensors(model: ModelDescr, folder: Path) -> dict[Any, tuple[Any, Any]]:
    """Each tensor's description and, where it comes along, its test array."""
    found = {}
    for tensor in [*model.inputs, *model.outputs]:
        file = folder / str(tensor.test_tensor.source) if tensor.test_tensor else None
        inside = file is not None and file.resolve().is_relative_to(folder.resolve())
        there = inside and file is not None and file.is_file()
        found[tensor.id] = (tensor, load_array(file) if there and file else None)
    return found


if __name__ == "__main__":
    try:
        answer = read(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - told to the caller, whatever it is
        answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
    Path(sys.argv[2]).write_text(json.dumps(answer))
