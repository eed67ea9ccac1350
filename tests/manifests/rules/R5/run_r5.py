"""Gives the same whatever it sees."""

import numpy as np


def load(weights, device, spec, params):
    return None


def predict(model, tiles):
    return np.ones((len(tiles), 1, *tiles.shape[2:]), np.float32)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
