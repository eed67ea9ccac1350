"""A worker in the middle of a batch, to be killed; prints the model's process id."""

import sys
from pathlib import Path

import numpy as np

from tilewright.predict.model_process import ModelProcess

params = {"predict": sys.argv[1]}
script = Path(__file__).with_name("run_trouble.py")
with ModelProcess(
    Path(sys.executable), script, weights="", device="cpu", spec={}, params=params
) as model:
    _ = model.versions
    sys.stdout.write(f"{model.pid}\n")
    sys.stdout.flush()
    model.predict(np.zeros((1, 1, 4, 4), np.float32))
