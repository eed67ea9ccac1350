"""What a run takes of this machine: room on its disk, and the time that is known of its model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tilewright.contract.jobs import Recipe
from tilewright.contract.layout import SAVE_PIXELS
from tilewright.contract.spec import ModelSpec

from .cut import DECODE_LIMIT
from .fit import Planned
from .params import Params
from .speeds import Speed, fitting, this_machine
from .speeds import known as known_speeds

LABEL_BYTES = 0.25  # of a model pixel, pyramid and all: 0.08 and 0.23 in the demo's images
STORE_BYTES = 500_000  # of a store besides: many small files, each of which fills whole blocks
PICTURE_PIXELS = 1536**2  # of the PNG beside a store, at most
REPORT_BYTES = 500_000  # of the report besides its pictures
BASE64 = 4 / 3  # of a picture's bytes, in the report
PYRAMID = 4 / 3  # of a picture's bytes, with its smaller levels
FLOAT = 4  # bytes of a map's value, at most


@dataclass(frozen=True)
class Disk:
    """Bytes that a run needs, about and at most; nothing is said of what can't be told.

    Parameters
    ----------
    results
        Of all stores; null where the model doesn't say how much it gives.
    work
        Of the work folder until it is cleaned; null as `results`.
    environment
        To install the model's environment; 0 where it is there, null where it wasn't measured.
    weights
        To fetch; 0 where they are here, null where the manifest doesn't say.
    """

    results: int | None
    work: int | None
    environment: int | None
    weights: int | None


@dataclass(frozen=True)
class Estimate:
    """How long prediction takes, by what this recipe took before; at most, where masks decide.

    Parameters
    ----------
    seconds
        Of all jobs, one after another, with loading the model in each.
    host, device
        Where that was measured: on this machine, unless only others ran it.
    here
        Whether it was this machine.
    tiles
        In how many tiles it was measured.
    seconds_per_million
        Of pixels as the model sees them, or of voxels.
    """

    seconds: float
    host: str
    device: str
    here: bool
    tiles: int
    seconds_per_million: float


def room(images: Sequence[Planned], spec: ModelSpec, params: Params) -> tuple[int, int] | None:
    """Bytes of results and of the work folder, about and at most; None where none can tell."""
    made = [_result_bytes(image, spec) for image in images]
    known = [n for n in made if n is not None]
    if len(known) < len(made):
        return None
    saved = sum(_saved_bytes(image, params.save_image) for image in images)
    stores = sum(known) + saved + STORE_BYTES * len(images)
    pictures = sum(min(math.prod(i.grid.shape[-2:]), PICTURE_PIXELS) * 3 for i in images)
    report = REPORT_BYTES + pictures * BASE64
    banks = sum(n * i.read_factor for n, i in zip(known, images, strict=True))
    copies = sum(_file_bytes(i) for i in images if i.decode_factor > DECODE_LIMIT)
    again = stores + pictures if params.publish == "copy" else 0  # MERGE leaves them there, too
    results = stores + pictures + report
    return round(results), round(banks + copies + again + pictures + report)


def _result_bytes(image: Planned, spec: ModelSpec) -> float | None:
    """Bytes of an image's result, without the image beside it."""
    pixels = image.planes * math.prod(image.grid.shape)
    if spec.result == "labels":
        return LABEL_BYTES * pixels
    if spec.result == "map":
        dense = spec.output_kind == "embedding"
        deep = spec.embedding_dim if dense else len(spec.classes or ())
        each = (spec.patch_size or 1) ** 2 if dense else 1
        return deep * pixels / each * FLOAT * PYRAMID if deep else None
    if spec.embedding_dim is None or spec.form == "token_sequence":
        return None
    return float(image.tiles * spec.embedding_dim * FLOAT)


def _saved_bytes(image: Planned, asked: bool | None) -> float:
    """Bytes of the image beside its result, were it not compressed."""
    pixels = image.planes * math.prod(image.grid.shape)
    saved = pixels <= SAVE_PIXELS if asked is None else asked
    return pixels * _pixel_bytes(image) * PYRAMID if saved else 0


def _file_bytes(image: Planned) -> float:
    """Bytes of all of an image, were it not compressed."""
    return float(math.prod(image.ref.shape) * np.dtype(image.ref.dtype).itemsize)


def _pixel_bytes(image: Planned) -> int:
    """Bytes of a pixel in all channels of the file."""
    sizes = dict(zip(image.ref.axes, image.ref.shape, strict=True))
    return int(sizes.get("C", 1) * np.dtype(image.ref.dtype).itemsize)


def seen_pixels(images: Iterable[Planned], spec: ModelSpec) -> int:
    """Pixels (of a volume, voxels) of all tiles as the model sees them, overlaps counted."""
    tile = spec.tile_seen
    if tile.variable_input:
        return sum(image.read_pixels for image in images)
    each = math.prod(tile.pixels(tile.size, a) for a in tile.axes)
    return sum(image.tiles for image in images) * each


def estimate(recipe: Recipe, pixels: int, jobs: int, *, gpu: bool) -> Estimate | None:
    """How long a run's prediction takes; None where this recipe never ran.

    Parameters
    ----------
    recipe
        The run's.
    pixels
        As the model sees them: `seen_pixels`.
    jobs
        How many PREDICT tasks there are.
    gpu
        Whether the model would compute on a GPU here.
    """
    here = this_machine()
    speed = fitting(known_speeds(recipe.model), recipe.digest, here, gpu=gpu)
    return _by(speed, pixels, jobs, here) if speed else None


def _by(speed: Speed, pixels: int, jobs: int, here: str) -> Estimate:
    rate = speed.per_million
    return Estimate(
        seconds=round(jobs * speed.load / speed.jobs + pixels / 1e6 * rate, 1),
        host=speed.host,
        device=speed.device,
        here=speed.host == here,
        tiles=speed.tiles,
        seconds_per_million=round(rate, 4),
    )
