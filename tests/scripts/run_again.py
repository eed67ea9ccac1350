"""A model that says how often it was loaded, and takes another factor without, unless it is 0."""

import numpy as np

from tilewright.runtime.serve import serve

loads = []


def load(weights, device, spec, params):
    if params["factor"] < 0:
        raise ValueError(f"factor is {params['factor']}")
    loads.append(params)
    return params["factor"]


def again(model, params):
    return params["factor"] if params["factor"] > 0 else None


def predict(model, tiles):
    return np.concatenate([tiles * model, np.full_like(tiles, len(loads))], axis=1)


serve(load, predict, again)
