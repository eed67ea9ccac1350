"""Every connected bright piece is an object; two pixel values kill the model."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from tilewright.serve import serve

DEADLY, DEADLY_ONCE = 251, 252


def load(weights, device, spec, params):
    time.sleep(float(os.environ.get("TOY_LOADS", "0")))
    return params


def predict(model, tiles):
    if (tiles == DEADLY).any() or ((tiles == DEADLY_ONCE).any() and is_first()):
        os.kill(os.getpid(), signal.SIGKILL)
    return np.stack([ndimage.label(tile[0] > 0)[0] for tile in tiles])


def is_first():
    """Whether nobody has asked before."""
    flag = Path(os.environ["TOY_FLAG"])
    asked = flag.exists()
    flag.touch()
    return not asked


serve(load, predict)
