"""The model `toy` without Nextflow: its spec, images, jobs and process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tifffile
from pictures import reference
from running import discs

from tilewright.contract.jobs import Group, ImageRef, Job, MergeOptions, Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.merge.write.stores import merge_group
from tilewright.predict.confinement import Confine
from tilewright.predict.model_process import ModelProcess
from tilewright.predict.worker import run_job
from tilewright.preprocess.reader import TileReader
from tilewright.registry.registry import Registry

HERE = Path(__file__).parent
SPEC = Registry.load(HERE / "models").choose("toy").spec()
GROUP = Group("group", 3, MergeOptions("match", 0.25), "toy.zarr", "everything")


def recipe(**params: Any) -> Recipe:
    """A recipe of the model `toy`."""
    return Recipe.trial(SPEC, params)


def image(folder: Path, key: str = "i000", shape: tuple[int, int] = (200, 240)) -> ImageRef:
    """An image of nine tiles or, if it is smaller, of one."""
    pixels = discs(shape, seed=int(key[1:]))
    tifffile.imwrite(folder / f"{key}.tif", pixels)
    ref = reference(folder / f"{key}.tif", pixels, "YX")
    return ImageRef(**{**vars(ref), "key": key})


def job(*images: ImageRef) -> Job:
    """All tiles of the images."""
    parts = []
    for ref in images:
        with TileReader(ref, SPEC) as reader:
            parts.append((ref.key, 0, len(reader.grid)))
    return Job("group", 0, images, tuple(parts))


def start(
    script: str, timeout: float = 20, confine: Confine = "auto", **params: Any
) -> Callable[[], ModelProcess]:
    """What starts one of the tests' model scripts; one that tells by a file isn't confined."""
    return start_with(SPEC, script, timeout, confine, **params)


def start_with(
    spec: ModelSpec, script: str, timeout: float = 20, confine: Confine = "auto", **params: Any
) -> Callable[[], ModelProcess]:
    """The same, for a model of another spec."""
    options: dict[str, Any] = {"weights": "", "device": "cpu", "params": params, "confine": confine}
    python = Path(sys.executable)
    return lambda: ModelProcess(
        python, HERE / script, spec=spec.to_dict(), timeout=timeout, **options
    )


def thirds(folder: Path) -> list[Path]:
    """The banks of one image's nine tiles, by three jobs."""
    whole = job(image(folder))
    return [predicted(whole, n, folder / f"group_3_{n:05d}.bank") for n in range(3)]


def predicted(whole: Job, number: int, out: Path, weights: str = "w") -> Path:
    """The bank of a third of an image's tiles."""
    ((key, _, tiles),) = whole.parts
    assert tiles == 9
    part = replace(whole, job=number, parts=((key, 3 * number, 3 * number + 3),))
    run_job(part, recipe(), out, start=start("models/run_toy.py"), weights=weights)
    return out


def merged(banks: list[Path], out: Path, group: Group = GROUP, **params: Any) -> Path:
    """The folder of stores that banks of the model `toy` become."""
    merge_group(group, recipe(**params), banks, out, out / ".shown")
    return out
