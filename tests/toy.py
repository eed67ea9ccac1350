"""The model `toy` without Nextflow: its spec, images, jobs and process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tifffile
from pictures import reference
from running import discs

from tilewright.jobs import ImageRef, Job, Recipe
from tilewright.pipe import ModelProcess
from tilewright.preprocess import TileReader
from tilewright.registry import Registry
from tilewright.spec import ModelSpec

HERE = Path(__file__).parent
SPEC = Registry.load(HERE / "models").choose("toy").spec()


def recipe(**params: Any) -> Recipe:
    """A recipe of the model `toy`."""
    return Recipe({}, SPEC, params, None, {}, {}, {})


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


def start(script: str, timeout: float = 20, **params: Any) -> Callable[[], ModelProcess]:
    """What starts one of the tests' model scripts."""
    return start_with(SPEC, script, timeout, **params)


def start_with(
    spec: ModelSpec, script: str, timeout: float = 20, **params: Any
) -> Callable[[], ModelProcess]:
    """The same, for a model of another spec."""
    options: dict[str, Any] = {"weights": "", "device": "cpu", "params": params}
    python = Path(sys.executable)
    return lambda: ModelProcess(
        python, HERE / script, spec=spec.to_dict(), timeout=timeout, **options
    )
