"""A model that is wrong on tiles that hold the value 251: ``params["gives"]`` says how."""

import numpy as np
from scipy import ndimage

from tilewright.runtime.serve import serve

WRONG = 251


def negative(labels):
    return -labels.astype(np.int64)


def real(labels):
    return labels.astype(np.float32)


def nan(labels):
    return np.where(labels > 0, np.float32(np.nan), np.float32(0))


def infinite(labels):
    return np.where(labels > 0, np.float32(np.inf), np.float32(0))


def huge(labels):
    """The same objects under the greatest numbers there are."""
    return np.where(labels > 0, np.iinfo(np.uint64).max - labels.astype(np.uint64), np.uint64(0))


def load(weights, device, spec, params):
    return spec, params


def predict(model, tiles):
    spec, params = model
    labels = np.stack([ndimage.label(tile[0] > 0)[0] for tile in tiles])
    if (tiles == WRONG).any():
        labels = globals()[params["gives"]](labels)
    return labels[:, None].astype(np.float32) if spec["output_kind"] == "map" else labels


serve(load, predict)
