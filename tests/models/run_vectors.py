"""A tile's mean and deviation, channel by channel: an encoder whose answer is known."""

import numpy as np

from tilewright.runtime.serve import serve


def load(weights, device, spec, params):
    return spec["embedding_dim"]


def predict(dim, tiles):
    flat = tiles.reshape(len(tiles), -1)
    return np.stack([flat.mean(1), flat.std(1), flat.max(1)], axis=1)[:, :dim].astype("float32")


if __name__ == "__main__":
    serve(load, predict)
