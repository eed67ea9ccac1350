"""Which precision a script should use: the spec's, or fp32 and one line where the device can't."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tilewright.runtime.precision import precision

ROOT = Path(__file__).parents[2]

DEVICES = [
    ("fp32", "cpu", "fp32"),
    ("fp32", "cuda:1", "fp32"),
    (None, "cuda", "fp32"),
    ("bf16", "cpu", "bf16"),
    ("fp16", "cuda", "fp16"),
    ("fp16", "cuda:1", "fp16"),
    ("fp16", "mps", "fp16"),
]
CANNOT = [("fp16", "cpu"), ("bf16", "mps"), ("bf16", "cuda")]  # the last: no torch here to tell


@pytest.mark.parametrize(("asked", "device", "used"), DEVICES)
def test_the_specs_precision_is_used_where_the_device_can(
    asked: str | None, device: str, used: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert precision({"precision": asked}, device) == used
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("asked", "device"), CANNOT)
def test_a_device_that_cannot_falls_back_and_says_so_in_one_line(
    asked: str, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert precision({"precision": asked}, device) == "fp32"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"tilewright: {device} doesn't compute in {asked} here; it is fp32 instead."


def test_another_precision_is_refused() -> None:
    spec: dict[str, Any] = {"precision": "fp8"}
    with pytest.raises(ValueError, match="precision is 'fp8'; it is one of fp32, fp16, bf16"):
        precision(spec, "cuda")


def test_an_onnx_file_says_that_it_computes_in_its_own_types(
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = runpy.run_path(str(ROOT / "bin" / "run_onnx.py"))
    weights = str(ROOT / "models" / "nuclei" / "nuclei.onnx")
    for asked, says in (("fp32", ""), ("bf16", "an ONNX file computes in its own types")):
        script["load"](weights, "cpu", {"precision": asked}, {"threads": 1})
        told = capsys.readouterr().err
        assert says in told
        assert len(told.splitlines()) == bool(says)
