"""Weights that a model's script can't load: its user's to mend, and no fault of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_files import node, write
from toy import SPEC

from tilewright import ROOT
from tilewright.errors import UNAVAILABLE, TilewrightError
from tilewright.predict.model_process import ModelProcess, is_of_weights

NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"


@pytest.mark.parametrize("kept", [0, 8, 100_000])
def test_a_damaged_network_is_named_with_what_to_do(tmp_path: Path, kept: int) -> None:
    weights = tmp_path / "w.onnx"
    weights.write_bytes(NUCLEI.read_bytes()[:kept] + b"\xff" * 50)
    go = ModelProcess(Path(sys.executable), ROOT / "bin" / "run_onnx.py", weights=str(weights),
                      device="cpu", spec=SPEC.to_dict(), params={}, timeout=60)  # fmt: skip
    said = r"w\.onnx: run_onnx\.py can't load these weights: .*If the file is damaged"
    with go as model, pytest.raises(TilewrightError, match=said) as caught:
        model.predict(np.zeros((1, 1, 64, 64), np.float32))
    assert caught.value.code == UNAVAILABLE
    assert "please report" not in str(caught.value)


def test_what_a_script_lacks_is_no_fault_of_its_weights() -> None:
    assert is_of_weights("InvalidProtobuf: x")
    assert is_of_weights("RuntimeError: size mismatch for conv.weight")
    assert not is_of_weights("ModuleNotFoundError: No module named 'torch'")


def test_weights_that_can_be_opened_and_then_fail_are_named(tmp_path: Path) -> None:
    relu = [node("Relu", "tiles", "maps")]
    port = ("tiles", "float32", (1, 1, 7, 7)), ("maps", "float32", (1, 1, 7, 7))
    weights = write(tmp_path / "w.onnx", relu, [port[0]], [port[1]])
    go = ModelProcess(Path(sys.executable), ROOT / "bin" / "run_onnx.py", weights=str(weights),
                      device="cpu", spec=SPEC.to_dict(), params={}, timeout=60)  # fmt: skip
    said = r"^run_onnx\.py with w\.onnx failed while predicting 1 tile"
    with go as model, pytest.raises(TilewrightError, match=said):
        model.predict(np.zeros((1, 1, 64, 64), np.float32))


def test_onnx_runtime_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Its Linux builds note a device's number in the home folder, and send events by HTTPS."""
    code = "import tilewright, onnxruntime as o, sys; o.InferenceSession(sys.argv[1])"
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "PATH": os.defpath}
    subprocess.run([sys.executable, "-c", code, NUCLEI], env=env, check=True)
    assert list(tmp_path.iterdir()) == []
