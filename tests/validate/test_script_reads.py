"""Which parameters a script reads: itself, and by what it imports of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tilewright.registry.checks.scripts import reads
from tilewright.validate.validate import check_files

GOOD = Path(__file__).parents[1] / "manifests" / "rules" / "good.yml"
RULES = {"foreground_threshold", "min_area", "max_hole"}  # of postprocess, by params["…"]


@pytest.mark.parametrize(
    "script",
    [
        "from tilewright.runtime import postprocess",
        "from tilewright.runtime.postprocess import results",
        "import tilewright.runtime.postprocess as post",
        "def predict(model, tiles):\n    from tilewright.runtime.postprocess import results",
    ],
)
def test_a_parameter_that_our_helpers_need_is_read_however_they_are_imported(script: str) -> None:
    found = reads(script.encode())
    assert found.needed >= RULES
    assert found.known >= RULES
    assert "layout" in found.texts, "what a helper imports in turn is looked at as well"


def test_what_a_helper_does_without_needs_no_declaration() -> None:
    found = reads(b"from tilewright.runtime import tensors\nparams.get('own')")
    assert found.asked == {"own"}
    assert {"layout", "before"} <= found.texts


@pytest.mark.parametrize(
    "script",
    [
        "from tilewright.runtime.serve import serve",
        "from . import tensors",
        "import numpy, tilewright",
        "from tilewright.runtime import no_such_module",
    ],
)
def test_other_imports_read_no_parameter(script: str) -> None:
    found = reads(script.encode())
    assert not found.needed | found.asked | found.texts


@pytest.mark.parametrize("name", ["layout", "after", "postprocess", "threads"])
def test_a_parameter_of_any_helper_of_a_runner_may_be_declared(tmp_path: Path, name: str) -> None:
    text = GOOD.read_text()
    assert "arg_name: min_area" in text
    (tmp_path / "good.yml").write_text(text.replace("arg_name: min_area", f"arg_name: {name}"))
    said = [f.message for f in check_files([tmp_path / "good.yml"]).findings]
    assert not [message for message in said if "never reads" in message]
