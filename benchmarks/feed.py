"""Whether the worker feeds a fast GPU: tiles a second, beside those the model could take.

    ./tilewright bench feed [--tiles 10000] [--runs 3] [--cores 2]

The model sleeps for exactly 1/500 s a tile: 224 x 224 x 3 uint8 pixels of the file's own
resolution, no overlap, as float32 of given mean and std, in batches of 64. The image is a TIFF of
256 x 256 px JPEG tiles, or an OME-Zarr of 512 x 512 px zstd chunks, and in the page cache.

*alone* is the model with batches that are there already: what the pipe and the sleep allow.
*fed* is a whole job, less loading the model. *share* is the fed rate over the one alone. *busy*
is what our processes computed, in cores: over `--cores`, the CPU is the limit. The target is a
share of 95 %, in the median of the runs.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import zarr
from skimage.data import immunohistochemistry

from tilewright.contract.jobs import Job, Recipe
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.predict.model_process import ModelProcess
from tilewright.predict.timing import Timing
from tilewright.predict.worker import run_job

TILE, BATCH, RATE = 224, 64, 500
SPEC = ModelSpec(
    "sleep", "1", TileSpec({"y": TILE, "x": TILE}), color_space="RGB", num_channels=3,
    input_range=(0, 1), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    output_kind="embedding", embedding_dim=3, batch_size=BATCH,
)  # fmt: skip
SCRIPT = Path(__file__).parent / "scripts" / "run_sleep.py"
PIECES = 16  # different ones in a file: of more, only writing it would take longer


def main() -> None:
    """Write both files, feed from each, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores])
    side = math.ceil(math.sqrt(asked.tiles)) * TILE
    print("layout   alone, tiles/s   fed, tiles/s   share   waiting   banking   busy, cores")
    with tempfile.TemporaryDirectory() as name:
        for layout in asked.layout:
            image = LAYOUTS[layout](Path(name), side)
            runs = [measure(image, Path(name)) for _ in range(asked.runs)]
            middle = sorted(runs, key=lambda r: r["share"])[len(runs) // 2]
            alone = statistics.median(r["alone"] for r in runs)
            shares = "   ".join(f"{100 * middle[k]:.1f} %" for k in ("share", "wait", "write"))
            print(f"{layout}   {alone:.1f}   {middle['fed']:.1f}   {shares}   {middle['busy']:.2f}")


def measure(image: Path, folder: Path) -> dict[str, float]:
    """One run alone and one of a job of all the image's tiles."""
    planned = plan_image(Row(path=image, id="image"), Params(input=str(image)), SPEC)
    ref = planned.ref.__class__(**{**vars(planned.ref), "key": "i000"})
    job = Job("bench", 0, (ref,), (("i000", 0, planned.tiles),))
    alone = by_itself(planned.tiles // BATCH)
    timing, before, begun = Timing(), cpu_seconds(), time.perf_counter()
    recipe = Recipe.trial(SPEC)
    run_job(job, recipe, folder / "bank", start=start, weights="", timing=timing)
    took = time.perf_counter() - begun - timing.load
    fed = timing.tiles / took
    return {
        "alone": alone,
        "fed": fed,
        "share": fed / alone,
        "wait": timing.read_wait / took,
        "write": timing.write / took,
        "busy": (cpu_seconds() - before) / took,
    }


def start() -> ModelProcess:
    """The sleeping model."""
    spec = SPEC.to_dict()
    python = Path(sys.executable)
    return ModelProcess(python, SCRIPT, weights="", device="cpu", spec=spec, params={})


def by_itself(batches: int) -> float:
    """Tiles a second of the model with one batch, again and again."""
    tiles = np.zeros((BATCH, 3, TILE, TILE), np.float32)
    with start() as model:
        _ = model.versions
        begun = time.perf_counter()
        for _ in model.map((i, tiles) for i in range(batches)):
            pass
        return batches * BATCH / (time.perf_counter() - begun)


def cpu_seconds() -> float:
    """That this process and its children have computed."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def piece(number: int, side: int) -> Any:
    """A square of tissue, (y, x, 3) uint8; each number is another."""
    picture = np.pad(immunohistochemistry(), [(0, 256), (0, 256), (0, 0)], "reflect")
    y, x = (number * 37) % 256, (number * 91) % 256
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def write_tiff(folder: Path, side: int) -> Path:
    """256 x 256 px JPEG tiles, as slide scanners write them."""
    path, n = folder / "image.tif", 256
    packed = [
        imagecodecs.jpeg8_encode(piece(i, n), level=85, subsampling="420") for i in range(PIECES)
    ]
    across = math.ceil(side / n)

    def tiles() -> Iterator[bytes]:
        for at in range(across * across):
            yield packed[(at * 7 + at // across) % PIECES]

    tifffile.imwrite(
        path, tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(n, n), photometric="ycbcr",
        subsampling=(2, 2), compression="jpeg",
    )  # fmt: skip
    return path


def write_zarr(folder: Path, side: int) -> Path:
    """512 x 512 px zstd chunks of one channel each, OME-Zarr 0.5."""
    path, n = folder / "image.zarr", 512
    group = zarr.open_group(path, mode="w", zarr_format=3)
    shape, chunks = (3, side, side), (1, n, n)
    codec = zarr.codecs.ZstdCodec(level=3)
    array = group.create_array(
        "0", shape=shape, chunks=chunks, dtype="uint8", compressors=[codec], filters=None
    )
    across = math.ceil(side / n)
    seen: dict[tuple[int, int], Path] = {}
    for at in np.ndindex(3, across, across):
        kind = (at[0], (at[1] * 7 + at[2]) % PIECES)
        there = path / "0" / "c" / "/".join(map(str, at))
        if kind in seen:  # another name of the same file
            there.parent.mkdir(parents=True, exist_ok=True)
            there.hardlink_to(seen[kind])
            continue
        y, x = (i * n for i in at[1:])
        part = piece(kind[1], n)[..., at[0]]
        array[at[0], y : y + n, x : x + n] = part[: side - y, : side - x]
        seen[kind] = there
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    multiscales = [{"axes": axes, "datasets": datasets, "name": "image"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


LAYOUTS: dict[str, Callable[[Path, int], Path]] = {"tiff": write_tiff, "zarr": write_zarr}

if __name__ == "__main__":
    main()
