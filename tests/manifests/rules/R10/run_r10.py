"""Divides by the range of a tile, and minds when there is none."""

import numpy as np


def load(weights, device, spec, params):
    return None


def predict(model, tiles):
    spread = np.ptp(tiles, axis=(1, 2, 3), keepdims=True)
    if not np.ptp(tiles[:, 0], axis=(1, 2)).all():
        raise ValueError("the tile is empty")
    return ((tiles[:, :1] - tiles[:, 2:]) / spread).astype(np.float32)


if __name__ == "__main__":
    from tilewright.runtime.serve import serve

    serve(load, predict)
