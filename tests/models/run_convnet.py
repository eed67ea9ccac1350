"""A small convolutional network whose tiles equal the whole image, bit for bit: for the tests.

Two scales, as a U-Net has: a convolution; a pool by the total stride, a convolution at that scale
and back up; a last convolution over both. Every sum is taken in one order, so a pixel's value
depends on nothing but the pixels it sees. `RADIUS` says how far that is.
"""

import numpy as np
from scipy import ndimage

from tilewright.runtime.serve import serve

SEED, SPREAD = 5, 0.15


def radius(stride):
    """Pixels beyond which an input can't change an output."""
    return 2 * stride + 1


def weights(axes):
    """Three layers' (out, in, 3, ...) float32: one at the centre, noise around it."""
    rng = np.random.default_rng(SEED)
    made = []
    for out, channels in ((2, 1), (2, 2), (2, 4)):
        layer = rng.normal(0, SPREAD, (out, channels) + (3,) * axes) / channels
        layer[(slice(None), slice(None)) + (1,) * axes] += 1 / channels
        made.append(layer.astype(np.float32))
    return made


def convolved(image, layer):
    """(in, ...) to (out, ...), zeros outside; shifted images are added up one after the other."""
    axes = image.ndim - 1
    padded = np.pad(image, [(0, 0)] + [(1, 1)] * axes)
    result = np.zeros((len(layer), *image.shape[1:]), np.float32)
    for shift in np.ndindex(*(3,) * axes):
        at = tuple(slice(s, s + n) for s, n in zip(shift, image.shape[1:], strict=True))
        for channel in range(len(image)):
            factors = layer[(slice(None), channel, *shift)].reshape((-1,) + (1,) * axes)
            result += factors * padded[channel][at]
    return result


def pooled(image, stride):
    """The greatest value of each block."""
    split = [m for n in image.shape[1:] for m in (n // stride, stride)]
    blocks = image.reshape(len(image), *split)
    return blocks.max(axis=tuple(range(2, blocks.ndim, 2)))


def raised(image, stride):
    """Every pixel becomes a block."""
    for axis in range(1, image.ndim):
        image = image.repeat(stride, axis)
    return image


def network(tile, stride, coarse):
    """(1, ...) to (2, ...), at the tile's resolution or the stride's."""
    first, deep, last = weights(tile.ndim - 1)
    fine = np.maximum(convolved(tile, first), 0)
    below = np.maximum(convolved(pooled(fine, stride), deep), 0)
    if coarse:
        return below
    return convolved(np.concatenate([fine, raised(below, stride)]), last)


def load(weights, device, spec, params):
    return spec, params


def predict(model, tiles):
    """The network's map or, thresholded, its connected pieces."""
    spec, params = model
    stride = spec["tile_spec"]["stride_multiple"]
    maps = np.stack([network(t, stride, bool(params.get("coarse"))) for t in tiles])
    if spec["output_kind"] == "map":
        return maps
    return np.stack([ndimage.label(m[0] > params["threshold"])[0] for m in maps])


if __name__ == "__main__":
    serve(load, predict)
