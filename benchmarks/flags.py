"""How often does a flag of the report stand where it should, and where it shouldn't.

    ./tilewright bench flags --data DIR

DIR holds images `<name>.tif` with hand-made labels `<name>_labels.tif`, as BBBC038's are laid out.
Each image is judged as it is, and made worse: blurred by a Gaussian of 4, 6 or 8 px (with new noise
of 0.7 grey values), its contrast 2 % of what it was, its values stretched until a tenth is white
and all but a small nucleus replaced by background (both of fluorescence alone).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

from tilewright.merge.measure.flags import Judge
from tilewright.merge.measure.whole import white_of

Array = np.ndarray[Any, Any]
NAMES = ("out of focus", "saturated", "nearly empty", "hardly any contrast")
BLURS = (4, 6, 8)
NOISE = 0.7
FAINT = 0.02
SMALL, LEAST = 1 / 300, 30  # of an image's pixels; px
HALO = 5  # px round a nucleus


def main() -> None:
    """Judge every image and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    found: dict[tuple[str, str], Counter[str]] = {}
    for path in sorted(data.glob("*_labels.tif")):
        name = path.name.removesuffix("_labels.tif")
        image, labels = tifffile.imread(data / f"{name}.tif"), tifffile.imread(path)
        for made, pixels in worse(image, labels, np.random.default_rng(len(found))):
            counts = found.setdefault((name.partition("_")[0], made), Counter())
            counts["images"] += 1
            counts.update(judged(pixels))
    print(f"{'kind':6}{'made':12}{'images':>8}" + "".join(f"{n:>22}" for n in NAMES))
    for (kind, made), counts in sorted(found.items()):
        shares = "".join(f"{100 * counts[n] / counts['images']:>20.1f} %" for n in NAMES)
        print(f"{kind:6}{made:12}{counts['images']:>8}{shares}")


def judged(pixels: Array) -> list[str]:
    """Names of an image's flags."""
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels[..., :3], -1, 0)
    colour = len(planes) == 3
    light = colour and white_of(planes, planes.dtype) is not None
    judge = Judge(tuple(range(len(planes))), colour=colour, light=light)
    judge.look(planes)
    return [flag.name for flag in judge.flags()]


def worse(image: Array, labels: Array, rng: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """An image as it is and made worse, each by its name."""
    values = image.astype(np.float64)
    yield "as it is", image
    for sigma in BLURS:
        sides = (sigma, sigma, 0)[: image.ndim]
        soft = ndimage.gaussian_filter(values, sides) + rng.normal(0, NOISE, image.shape)
        yield f"blur {sigma} px", _bytes(soft)
    yield "faint", _bytes((values - values.mean()) * FAINT + values.mean())
    if image.ndim == 2:
        yield "bright", _bytes(values * 255 / np.percentile(values, 90))
        sizes = np.bincount(labels.ravel())[1:]
        small = np.flatnonzero((sizes > LEAST) & (sizes < SMALL * labels.size))
        ground = image[~ndimage.binary_dilation(labels > 0, iterations=HALO)]
        if small.size and ground.size:
            gone = ~ndimage.binary_dilation(labels == small[0] + 1, iterations=HALO)
            yield "emptied", np.where(gone, rng.choice(ground, image.shape), image)


def _bytes(values: Array) -> Array:
    return np.asarray(np.clip(values.round(), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
