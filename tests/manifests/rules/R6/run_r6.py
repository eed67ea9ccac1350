"""Scales a whole batch by its own mean."""

import numpy as np


def load(weights, device, spec, params):
    return None


def predict(model, tiles):
    return (tiles[:, :1] - 2 * tiles[:, 2:] + tiles.mean()).astype(np.float32)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
