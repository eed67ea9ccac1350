"""A model called in this process: the real worker and its banks without starting anything."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
from banking import recipe_of
from pictures import reference

from tilewright.contract.jobs import ImageRef, Job
from tilewright.contract.spec import ModelSpec
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.tile_results.check import check_results

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent
CONVNET = runpy.run_path(str(HERE / "models" / "run_convnet.py"))


class InProcess:
    """What `worker` asks of a model's process; `predict` takes (batch, C, ...) tiles."""

    batch_limit, seconds, device_name, precision = None, 0.0, "cpu", None
    unconfined: str | None = None
    versions: ClassVar[dict[str, str]] = {}

    def __init__(self, spec: ModelSpec, predict: Callable[[Array], Array]) -> None:
        self._spec, self._predict = spec.to_dict(), predict

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def map(self, batches: Iterable[tuple[Any, Array]], **_: Any) -> Iterator[tuple[Any, Array]]:
        for key, tiles in batches:
            results = np.asarray(self._predict(tiles))
            check_results(results, tiles, self._spec, "in process")
            yield key, results


def convnet(spec: ModelSpec, **params: Any) -> Callable[[], Any]:
    """What starts the network of ``models/run_convnet.py``."""
    return lambda: InProcess(
        spec, lambda tiles: CONVNET["predict"]((spec.to_dict(), params), tiles)
    )


def written(folder: Path, pixels: Array, axes: str = "", **more: Any) -> ImageRef:
    """An image as a TIFF."""
    folder.mkdir(exist_ok=True)
    path = folder / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    ref = reference(path, pixels, axes or "TZYX"[-pixels.ndim :])
    return ImageRef(**{**vars(ref), "key": "i000", "id": "a", **more})


def banked(
    folder: Path, ref: ImageRef, spec: ModelSpec, start: Callable[[], Any], jobs: int = 1
) -> list[Path]:
    """An image's tiles, predicted by some jobs; their banks in order."""
    folder.mkdir(exist_ok=True)
    with TileReader(ref, spec) as reader:
        total = len(reader.planes) * len(reader.grid)
    cuts = np.linspace(0, total, min(jobs, total) + 1).astype(int).tolist()
    banks = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        banks.append(folder / f"{number}.bank")
        job = Job("group", number, (ref,), ((ref.key, first, last),))
        run_job(job, recipe_of(spec), banks[-1], start=start, weights="w")
    return banks
