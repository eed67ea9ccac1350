"""The judge of the files that we write: their schemas in the repository, by `jsonschema`."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from tilewright import ROOT


def faults(name: str, value: object) -> list[str]:
    """What ``schemas/<name>.json`` has against a file's content."""
    schema = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
    found = Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]
