"""JSON Schemas (draft 2020-12) of a manifest, a run's parameters and the files that we write.

They come from the classes that check or write the same things; `cli.generate` writes them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from tilewright.contract.blocks import BLOCKS, Resolution
from tilewright.contract.spec import SPATIAL_AXES, ModelSpec, TileSpec
from tilewright.plan.params import FIRST, Params, plain
from tilewright.registry.manifest import Manifest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
FILLED_IN = ("model_name", "version")  # of a spec, by what stands around it


def manifest_schema(tasks: Mapping[str, str]) -> Schema:
    """What a manifest may say; `spec` is any part of a ModelSpec.

    Parameters
    ----------
    tasks
        Those that there can be, and their display names.
    """
    schema: Schema = tidy(Manifest.model_json_schema())
    defs = schema["$defs"]
    for name in [name for name in defs if name.endswith("Fields")]:
        del defs[name]  # what checks them; the spec's own classes explain them
    defs.update(spec_definitions())
    for block in (schema, defs["Version"], defs["Task"]):
        described(block, "spec", {"$ref": "#/$defs/ModelSpec"})
    one = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Location"}]}
    many = [*one["anyOf"], {"type": "array", "items": one}]
    described(defs["Task"], "locations", {"anyOf": many})
    names = ", ".join(f"{name} ({shown})" for name, shown in tasks.items())
    defs["Version"]["properties"]["tasks"] |= {
        "propertyNames": {"enum": list(tasks)},
        "description": f"What it can do, with its weights: {names}.",
    }
    loosen(schema)
    return {
        "$schema": DIALECT,
        "title": "A Tilewright manifest",
        "description": schema.pop("description"),
        **schema,
    }


def loosen(schema: Schema) -> None:
    """Require a whole manifest only where it doesn't extend another one."""
    task = {"required": schema["$defs"]["Task"].pop("required")}
    version = {
        "required": schema["$defs"]["Version"].pop("required"),
        "properties": {"tasks": {"additionalProperties": task}},
    }
    schema["if"] = {"properties": {"extends": {"const": True}}, "required": ["extends"]}
    schema["else"] = {
        "required": schema.pop("required"),
        "properties": {"versions": {"additionalProperties": version}},
    }


def spec_definitions() -> dict[str, Schema]:
    """ModelSpec, TileSpec and Resolution as people write them: every field may be left out."""
    spec: Schema = tidy(TypeAdapter(ModelSpec).json_schema())
    defs = {**spec.pop("$defs"), "ModelSpec": spec}
    for kind in (ModelSpec, TileSpec, Resolution, *BLOCKS.values()):
        block = defs[kind.__name__]
        block.pop("required", None)
        block["description"] = (inspect.getdoc(kind) or "").splitlines()[0]
        for name, told in explained(kind).items():
            described(block, name, block["properties"][name], told)
    for name in FILLED_IN:
        del spec["properties"][name]
    alternatives = {"type": "object", "additionalProperties": {"$ref": "#/$defs/ModelSpec"}}
    described(spec, "variants", alternatives)
    tile = defs["TileSpec"]["properties"]
    for name in ("size", "band", "context"):
        described(defs["TileSpec"], name, per_axis())
    tile["stride"] = {**per_axis(), "description": "Between two tiles' origins, in place of band."}
    return defs


def file_schema(kind: type) -> Schema:
    """A file that we write, by its dataclass: each key is there, and no other is."""
    schema: Schema = without_defaults(tidy(TypeAdapter(kind).json_schema(mode="serialization")))
    defs = schema.pop("$defs", {})
    for part in dataclasses_of(kind):
        block = schema if part is kind else defs[part.__name__]
        block["description"] = (inspect.getdoc(part) or "").splitlines()[0]
        for each in reversed(part.__mro__):
            for name, told in explained(each).items():
                key = name.removesuffix("_")
                described(block, key, block["properties"][key], told)
    for block in (schema, *defs.values()):
        if "properties" in block:
            block |= {"required": list(block["properties"]), "additionalProperties": False}
    return {"$schema": DIALECT, **schema, "$defs": defs}


def dataclasses_of(kind: type) -> list[type]:
    """A dataclass, and those that its fields are of."""
    found, todo = [kind], [*get_type_hints(kind).values()]
    while todo:
        hint = todo.pop()
        todo += get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in found:
            found.append(hint)
            todo += get_type_hints(hint).values()
    return found


def without_defaults(node: Any) -> Any:
    """A schema of what is always written."""
    if isinstance(node, list):
        return [without_defaults(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {key: without_defaults(value) for key, value in node.items() if key != "default"}


def explained(kind: type) -> dict[str, str]:
    """What a class' numpydoc section `Parameters` says of each field."""
    text = (inspect.getdoc(kind) or "").partition("Parameters\n----------\n")[2]
    found = {}
    for names, told in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", text, re.MULTILINE):
        for name in names.split(","):
            found[name.strip()] = " ".join(told.split())
    return found


def per_axis() -> Schema:
    """One number for y and x, or one per named axis."""
    number = {"type": "number"}
    axes = {"properties": dict.fromkeys(SPATIAL_AXES, number), "additionalProperties": False}
    return {"anyOf": [number, {"type": "object", **axes}]}


def described(block: Schema, name: str, field: Schema, told: str | None = None) -> None:
    """Put a field into a block; its description stays unless another is given.

    Parameters
    ----------
    block
        An object's schema with its ``properties``; changed in place.
    name
        The field's key there.
    told
        Its description; the one that `block` has for it if not given.
    """
    told = told or block["properties"][name].get("description")
    block["properties"][name] = {**field, "description": told} if told else field


def tidy(node: Any) -> Any:
    """A schema without the titles pydantic makes of names, and without defaults of null."""
    if isinstance(node, list):
        return [tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: tidy(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and (key, value) != ("default", None)
    }


def nextflow_schema() -> Schema:
    """Every parameter of a run in nf-core's form, which launchers turn into a page."""
    schema = Params.model_json_schema(by_alias=True)
    known: dict[str, Schema] = {n: parameter(f) for n, f in tidy(schema["properties"]).items()}
    defs: dict[str, Schema] = {}
    for name, field in known.items():
        if name in FIRST:
            block: Schema = {"title": FIRST[name], "type": "object", "properties": {}}
            defs[FIRST[name].lower().replace(" ", "_")] = block
        block["properties"][name] = field
        if name in schema["required"]:
            block.setdefault("required", []).append(name)
    return {
        "$schema": DIALECT,
        "title": "Tilewright's parameters",
        "description": "Any image model over images of any size, with seams that are measured.",
        "type": "object",
        "$defs": defs,
        "allOf": [{"$ref": f"#/$defs/{name}"} for name in defs],
    }


def parameter(field: Schema) -> Schema:
    """A field of Params as Nextflow gives it: one type, a number or a word; a box as its text."""
    kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
    field["description"] = plain(field["description"])
    one: Schema = {**(kinds[0] if kinds else {}), **field}
    if several := one.pop("oneOf", None):
        one.pop("discriminator", None)
        number, word = several
        return {**number, "type": ["number", "string"], "pattern": f"^{word['const']}$", **one}
    if one["type"] == "array":
        count = one["minItems"]
        pattern = rf"^\d+(,\d+){{{count - 1}}}$"
        return {"type": "string", "pattern": pattern, "description": one["description"]}
    return one
