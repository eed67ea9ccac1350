"""A model whose every answer is plain arithmetic, so that a change of results is ours."""

import numpy as np
from scipy import ndimage

try:
    from tilewright.runtime.serve import serve
except ImportError:  # a checkout from before `runtime`
    from tilewright.serve import serve

BRIGHT = 30  # above what enhancing makes of the background


def load(weights, device, spec, params):
    """Its spec says what it gives."""
    return spec


def predict(spec, tiles):
    """Of each tile (C, *spatial): connected pieces, two smoothed maps, or tokens of its patches."""
    gives = {"labels": pieces, "map": maps, "embedding": tokens}[spec["output_kind"]]
    return np.stack([gives(tile, spec) for tile in tiles])


def pieces(tile, spec):
    """Int32 like the first channel: a number for each bright piece."""
    return ndimage.label(tile[0] > BRIGHT)[0]


def maps(tile, spec):
    """(2, Y, X) float32: the first channel, smoothed over 3 and 5 pixels."""
    return np.stack([ndimage.uniform_filter(tile[0], size) for size in (3, 5)])


def tokens(tile, spec):
    """(1 + patches, 2 C): mean and greatest value of the whole tile, then of each patch."""
    side, (channels, rows, columns) = spec["patch_size"], tile.shape
    cut = tile.reshape(channels, rows // side, side, columns // side, side)
    whole = np.concatenate([tile.mean(axis=(1, 2)), tile.max(axis=(1, 2))])
    patches = np.concatenate([cut.mean(axis=(2, 4)), cut.max(axis=(2, 4))])
    return np.concatenate([whole[None], patches.reshape(2 * channels, -1).T])


if __name__ == "__main__":
    serve(load, predict)
