"""Scripts that were written for 0.1.0 find what they import."""

import subprocess
import sys

from tilewright import ROOT

SCRIPT = """
import inspect, sys
import tilewright
inspect.getmodule(sys._getframe())  # looks at every module's file, as torch does
assert "scipy" not in sys.modules and "numpy" not in sys.modules
from tilewright.serve import precision, serve
assert "numpy" in sys.modules and "zarr" not in sys.modules
from tilewright import tensors
from tilewright.postprocess import to_labels
from tilewright.tensors import ours
import tilewright.runtime.postprocess, tilewright.runtime.precision
import tilewright.runtime.serve, tilewright.runtime.tensors
assert serve is tilewright.runtime.serve.serve
assert precision is tilewright.runtime.precision.precision
assert to_labels is tilewright.runtime.postprocess.to_labels
assert tensors.ours is ours is tilewright.runtime.tensors.ours
"""


def test_what_a_script_of_0_1_imports_is_what_lies_in_runtime_now() -> None:
    src = str(ROOT / "src")
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, env={"PYTHONPATH": src})
