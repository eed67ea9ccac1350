"""true and false are no numbers, in every field of a manifest and every parameter of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tilewright.contract.blocks import Resolution
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.plan.params import Params, check_params
from tilewright.registry.diagnostics import faults
from tilewright.registry.documents import read_document
from tilewright.registry.manifest import Location, Manifest, Param, Publication
from tilewright.registry.registry import Registry

BLOCKS = {ModelSpec: (), TileSpec: ("tile_spec",), Resolution: ("tile_spec", "resolution")}
OTHERS = {
    Location: ("versions", "v1", "tasks", "nuclei", "locations", 0),
    Param: ("params", 0),
    Publication: ("metadata", "pubs", 0),
}
WHOLE: dict[str, Any] = {
    "name": "Toy",
    "short_name": "toy",
    "metadata": {"description": "A toy.", "pubs": [{"title": "a", "info": "b", "url": "c"}]},
    "params": [{"name": "P", "value": 1}],
    "spec": {"tile_spec": {"size": 64, "resolution": {"mpp": 0.5}}},
    "versions": {"v1": {"tasks": {"nuclei": {"locations": [{"location": "/a.pt"}]}}}},
}


def forms(hint: Any) -> list[Any]:
    """Values of a type's form in which a flag stands where it has a number."""
    if hint in (int, float):
        return [True]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [True] if all(isinstance(i, int) for i in inner) else []
    if origin is tuple:
        return [[flag, 2] for flag in forms(inner[0])]
    if origin is not None and issubclass(dict, origin if isinstance(origin, type) else str):
        return [{"y": flag, "x": 64} for flag in forms(inner[1])]
    return [form for i in inner for form in forms(i)]


def spec_fields() -> list[Any]:
    """Each numeric field of a spec, in each form it may be written in."""
    found = [
        pytest.param((*where, name), form, id=f"{kind.__name__}.{name}-{form}")
        for kind, where in BLOCKS.items()
        for name, hint in get_type_hints(kind).items()
        for form in forms(hint)
    ]
    tile = ("tile_spec",)
    short = [
        pytest.param((*tile, name), True, id=f"TileSpec.{name}-True")
        for name in ("size", "band", "context", "stride")
    ]
    return found + short


SETTINGS = [
    pytest.param(("normalization",), {"method": "percentile", "low": True}, id="normalization"),
    pytest.param(("resize",), {"shortest_edge": True}, id="resize"),
    pytest.param(("crop",), {"size": True}, id="crop"),
    pytest.param(("merge",), {"policy": "components", "connectivity": True}, id="merge"),
]


def refusal(folder: Path, manifest: dict[str, Any]) -> str:
    """What is said of a manifest, in one line."""
    (folder / "toy.yml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    document = read_document(folder / "toy.yml")
    with pytest.raises(ValidationError, match="Manifest") as caught:
        Manifest.model_validate(document.data)
    (problem,) = faults(caught.value, document)
    return str(problem)


def changed(where: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The whole manifest, with one value of another kind."""
    manifest = yaml.safe_load(yaml.safe_dump(WHOLE))
    block = manifest
    for key in where[:-1]:
        block = block[key]
    block[where[-1]] = value
    return manifest


def test_the_manifest_is_right_without_flags(tmp_path: Path) -> None:
    (tmp_path / "toy.yml").write_text(yaml.safe_dump(WHOLE))
    assert Registry.load(tmp_path).choose("toy").spec()


def test_the_table_has_every_number() -> None:
    ids = " ".join(str(p.id) for p in spec_fields())
    for name in ("ModelSpec.mean", "TileSpec.size-{", "Resolution.mpp", "ModelSpec.min_vram_gb"):
        assert name in ids
    assert len(spec_fields()) >= 26


@pytest.mark.parametrize(("where", "flag"), [*spec_fields(), *SETTINGS])
def test_a_flag_is_no_number_of_a_spec(tmp_path: Path, where: tuple[str, ...], flag: Any) -> None:
    line = refusal(tmp_path, changed(("spec", *where), flag))
    assert f"spec.{'.'.join(where)}" in line
    assert re.search("True.* should be a number|true and false are no setting here", line)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param((*place, name), id=f"{kind.__name__}.{name}")
        for kind, place in OTHERS.items()
        for name, hint in get_type_hints(kind).items()
        if forms(hint) and name not in ("value", "default")
    ],
)
def test_a_flag_is_no_number_of_another_block(tmp_path: Path, where: tuple[str, ...]) -> None:
    line = refusal(tmp_path, changed(where, True))
    assert f".{where[-1]}: True should be a number" in line


@pytest.mark.parametrize(
    "param",
    [{"value": True, "dtype": "float"}, {"value": [1, True]}, {"value": [1, 2], "default": True}],
)
def test_a_flag_is_no_value_of_a_numeric_parameter(tmp_path: Path, param: dict[str, Any]) -> None:
    line = refusal(tmp_path, changed(("params", 0), {"name": "P", **param}))
    assert "parameter P is a number, and true or false is none" in line


def numeric(model: type[BaseModel]) -> list[str]:
    """Names of the parameters that are a number."""
    return [name for name, hint in get_type_hints(model).items() if forms(hint) == [True]]


@pytest.mark.parametrize("name", numeric(Params))
def test_a_flag_is_no_number_of_a_run(name: str) -> None:
    _, (problem,) = check_params({"input": ".", name: True})
    assert problem.what == f"--{name} True: should be a number."


def test_a_runs_numbers_are_all_in_the_table() -> None:
    assert {"mpp", "gpus", "pack", "match_iou", "slurm_array"} <= set(numeric(Params))
    assert len(numeric(Params)) >= 16
