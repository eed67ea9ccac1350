"""Weights that a model's script can't load: its user's to mend, and no fault of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
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
