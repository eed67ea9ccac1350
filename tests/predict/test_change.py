"""Other parameters for a model that is there already."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.errors import TilewrightError
from tilewright.predict.model_process import ModelProcess

SCRIPTS = Path(__file__).parents[1] / "scripts"
ONE = np.ones((1, 1, 4, 4), np.float32)


def model(script: str, **params: Any) -> ModelProcess:
    spec = {"output_kind": "map"}
    python, file = Path(sys.executable), SCRIPTS / script
    return ModelProcess(python, file, weights="", device="cpu", spec=spec, params=params)


def test_a_script_that_can_takes_other_parameters_without_loading_anew() -> None:
    with model("run_again.py", factor=2) as process:
        for factor in (3, 3, 5):
            process.change({"factor": factor})
            assert process.predict(ONE)[0, :, 0, 0].tolist() == [factor, 1]
        process.change({"factor": 0})  # for which it says that it can't
        assert process.predict(ONE)[0, :, 0, 0].tolist() == [0, 2]


def test_any_other_script_loads_anew_in_its_process() -> None:
    with model("run_double.py", factor=2) as process:
        assert process.predict(ONE).max() == 2
        pid = process.pid
        process.change({"factor": 7})
        assert process.predict(ONE).max() == 7
        assert process.pid == pid


def test_before_anything_is_loaded_they_are_those_of_the_start() -> None:
    with model("run_again.py", factor=2) as process:
        process.begin_anew()
        process.change({"factor": 9})
        assert process.predict(ONE)[0, :, 0, 0].tolist() == [9, 1]


def test_parameters_that_the_model_refuses_are_one_sentence_and_it_can_begin_anew() -> None:
    with model("run_double.py", factor=2) as process:
        process.change({"factor": "x" * 3})
        with pytest.raises(TilewrightError, match=r"run_double\.py failed while predicting"):
            process.predict(ONE)
    with model("run_again.py", factor=1) as process:
        process.change({"factor": -1})
        process.begin_anew()
        process.change({"factor": 4})
        assert process.predict(ONE)[0, 0, 0, 0] == 4


def test_the_seconds_of_a_prediction_are_of_its_own_parameters() -> None:
    with model("run_again.py", factor=2) as process:
        process.predict(ONE)
        process.change({"factor": 3})
        assert process.seconds == 0
