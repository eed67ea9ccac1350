"""In place of a model that the plugin offers: every connected bright piece of the first channel."""

import os
import time

import numpy as np
from scipy import ndimage

from tilewright.runtime.serve import serve


def load(weights, device, spec, params):
    return params


def predict(model, tiles):
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    return np.stack([ndimage.label(tile[0] > 0)[0] for tile in tiles])


serve(load, predict)
