"""A transformer in little: CLS and four registers, then the mean colour of each patch."""

import numpy as np


def load(weights, device, spec, params):
    return None


def predict(model, tiles):
    n, c, height, width = tiles.shape
    patches = tiles.reshape(n, c, height // 14, 14, width // 14, 14).mean((3, 5))
    patches = patches.reshape(n, c, -1).transpose(0, 2, 1)
    prefix = np.zeros((n, 5, c), np.float32)
    return np.concatenate([prefix, patches.astype(np.float32)], axis=1)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
