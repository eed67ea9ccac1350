"""Which codec a store's chunks are best written with.

    ./tilewright bench codec [--side 2048]

Packs and unpacks, one chunk after the other on one core: dense uint32 labels in 2D and 3D, a real
image of 8 bit, the same as 16 bit with a camera's noise, pure noise, and a smooth float32 map.
Prints bytes, and MB/s of raw pixels by the time the core took.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numcodecs
import numpy as np
import tifffile
from drawn import Array, Lattice
from scipy import ndimage

from tilewright import ROOT
from tilewright.stores.pyramid import CHUNK, DEEP_CHUNK

SHUFFLES = {"none": 0, "bytes": 1, "bits": 2}
REPEATS = 3


def main() -> None:
    """Draw, pack, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    arrays = dict(draw(parser.parse_args().side))
    print("codec | " + " | ".join(f"{n}: %, write, read" for n in arrays))
    for name, codec in codecs():
        print(name, end="", flush=True)
        for array in arrays.values():
            share, write, read = measure(codec, array)
            print(f" | {100 * share:.2f}, {write:.0f}, {read:.0f}", end="", flush=True)
        print()


def draw(side: int) -> Iterator[tuple[str, Array]]:
    """Each array with its name."""
    scenes = {"labels": (side, side), "labels 3D": (side // 16, side // 4, side // 4)}
    for name, shape in scenes.items():
        window = tuple((n, 2 * n) for n in shape)  # ids of several bytes
        yield name, Lattice(tuple(9 * n for n in shape)).draw(window).astype(np.uint32)
    picture = tifffile.imread(ROOT / "examples" / "nuclei" / "fluorescence.tif")
    rows, columns = (np.arange(side) % n for n in picture.shape)
    image = picture[np.ix_(rows, columns)]
    rng = np.random.default_rng(0)
    yield "image 8 bit", image
    yield (
        "image 16 bit",
        (rng.poisson(image * 20.0) + 100 + rng.normal(0, 3, image.shape)).astype("u2"),
    )
    yield "noise 16 bit", rng.integers(0, 1 << 16, (side, side), np.uint16)
    smooth = ndimage.gaussian_filter(rng.standard_normal((side, side)), 8)
    yield "map float32", (1 / (1 + np.exp(-smooth / smooth.std() * 2))).astype(np.float32)


def codecs() -> Iterator[tuple[str, numcodecs.abc.Codec]]:
    """What is compared."""
    for level in (1, 3, 5):
        for name, shuffle in SHUFFLES.items():
            yield f"blosc zstd {level}, {name}", numcodecs.Blosc("zstd", level, shuffle)
    yield "blosc lz4 5, bits", numcodecs.Blosc("lz4", 5, 2)
    for level in (1, 3, 5):
        yield f"zstd {level}", numcodecs.Zstd(level)


def measure(codec: numcodecs.abc.Codec, array: Array) -> tuple[float, float, float]:
    """Bytes as a share of the raw ones, and MB/s of CPU time written and read; best of three."""
    parts = list(chunks(array))
    writes, reads = [], []
    for _ in range(REPEATS):
        start = time.process_time()
        packed = [codec.encode(c) for c in parts]
        between = time.process_time()
        for p in packed:
            codec.decode(p)
        writes.append(between - start)
        reads.append(time.process_time() - between)
    mega = array.nbytes / 1e6
    size = sum(len(p) for p in packed)
    return size / array.nbytes, mega / min(writes), mega / min(reads)


def chunks(array: Array) -> Iterator[Array]:
    """A store's chunks of it."""
    sides = list(DEEP_CHUNK.values()) if array.ndim == 3 else [CHUNK, CHUNK]
    for corner in np.ndindex(*(-(-n // s) for n, s in zip(array.shape, sides, strict=True))):
        box = tuple(slice(c * s, (c + 1) * s) for c, s in zip(corner, sides, strict=True))
        yield np.ascontiguousarray(array[box])


if __name__ == "__main__":
    main()
