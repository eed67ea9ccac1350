"""How a run is cut: small images into packs, a big one's tiles into jobs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from tilewright.contract.canonical import digest
from tilewright.contract.cut import bounds
from tilewright.contract.jobs import Job
from tilewright.contract.spec import ModelSpec
from tilewright.errors import USAGE, TilewrightError
from tilewright.preprocess.reader import needs_statistics

from .fit import JOB_PIXELS, MOST_JOBS, Planned
from .params import Params

SCAN_PIXELS = 1 << 26  # beyond it, statistics are found once, ahead
DECODE_LIMIT = 4.0  # times a file may be decoded before a tiled copy pays


def sized(spec: ModelSpec, params: Params) -> ModelSpec:
    """The spec with as many tiles per task as the user's minutes hold, if they said so.

    Nothing that was measured decides: another job is another task, and what was done is lost.

    Raises
    ------
    TilewrightError
        When only one of ``--job_minutes`` and ``--seconds_per_tile`` is given (2).
    """
    minutes, seconds = params.job_minutes, params.seconds_per_tile
    if (minutes is None) != (seconds is None):
        raise TilewrightError(
            "--job_minutes and --seconds_per_tile are needed together.",
            fix="Give both, or neither; `./tilewright plan` says what earlier runs measured.",
            code=USAGE,
        )
    if minutes is None or seconds is None:
        return spec
    tiles = min(60 * minutes / seconds, sys.maxsize)  # it may be infinite
    return replace(spec, tiles_per_task=max(1, int(tiles)))


def group_name(first: str) -> str:
    """A group's name, safe as a file name and without `_`: its first image's id, and a digest."""
    plain = re.sub("[^A-Za-z0-9.-]+", "-", first).strip("-.")[:40]
    return f"{plain or 'image'}-{digest(first)[:8]}"  # never a leading `-`: an option to `ln`


def job_pixels(spec: ModelSpec, image: Planned) -> int:
    """Model pixels one job may hold."""
    return spec.tiles_per_task * image.tile_pixels if spec.tiles_per_task else JOB_PIXELS


def scanned(spec: ModelSpec) -> ModelSpec:
    """What SCAN needs to know of a model: models that it is the same of share what SCAN finds.

    Where no statistics are needed, that is the tiles alone: two encoders of one tile look for a
    slide's tissue once.
    """
    if needs_statistics(spec):
        return spec
    seen = {n: getattr(spec, n) for n in ("tile_spec", "axes", "num_channels", "color_space")}
    return ModelSpec(model_name="any", version="0", **seen)


def needs_scan(image: Planned, spec: ModelSpec) -> bool:
    """Whether pixels are needed ahead: tissue, a tiled copy, statistics or jobs of a big image.

    Jobs of a big image with a mask are cut by what lies inside.
    """
    if image.ref.tissue is not None or image.decode_factor > DECODE_LIMIT:
        return True
    ahead = needs_statistics(spec) and image.counted > SCAN_PIXELS
    return ahead or (image.ref.mask is not None and image.tiles > tiles_per_job(spec, image))


def tiles_per_job(spec: ModelSpec, image: Planned) -> int:
    """How many of a big image's tiles one job may predict."""
    return max(1, job_pixels(spec, image) // image.tile_pixels)


def check_count(images: Sequence[Planned], spec: ModelSpec) -> None:
    """Refuse a run of more jobs than a workflow can have.

    Raises
    ------
    TilewrightError
        2, with the count and the image that has most of them.
    """
    counts = [-(-image.tiles // tiles_per_job(spec, image)) for image in images]
    counts = [count for count in counts if count > 1]  # the others share jobs
    if sum(counts) <= MOST_JOBS:
        return
    most = max(images, key=lambda i: i.tiles)
    raise TilewrightError(
        f"The run would have {sum(counts):,} jobs, and at most {MOST_JOBS:,} are taken; "
        f"{most.ref.path} alone has {most.tiles:,} tiles.",
        fix="Give fewer images, a part of them by --region, or more minutes by --job_minutes.",
        code=USAGE,
    )


def packs(images: list[Planned], most: int, spec: ModelSpec) -> Iterator[list[Planned]]:
    """Big images alone; small ones together in the order of their ids.

    A pack ends where the content says so (images' fingerprints), so that one more image changes
    one or two packs and not all that follow.

    Parameters
    ----------
    images
        In the order of their ids.
    most
        Images of a pack.
    spec
        Says how many model pixels a job may hold.
    """
    pack: list[Planned] = []
    pixels = 0
    for image in images:
        size, room = pixels_of([image]), job_pixels(spec, image)
        if needs_scan(image, spec) or size > room:
            yield [image]
            continue
        while pack and (len(pack) == most or pixels + size > room):
            end = _end(pack, most, room)
            yield pack[:end]
            pack = pack[end:]
            pixels = pixels_of(pack)
        pack.append(image)
        pixels += size
    if pack:
        yield pack


def pixels_of(images: Sequence[Planned]) -> int:
    """Model pixels of their tiles."""
    return sum(image.tiles * image.tile_pixels for image in images)


def _end(pack: Sequence[Planned], most: int, room: int) -> int:
    """Where a pack ends: of the places where it is nearly full, at the smallest fingerprint."""
    held = accumulate(pixels_of([image]) for image in pack)
    full = [n for n, px in enumerate(held, 1) if 8 * n >= 7 * most or 8 * px >= 7 * room]
    return min(full, key=lambda n: pack[n - 1].ref.fingerprint, default=len(pack))


def jobs_of(group: str, members: list[Planned], spec: ModelSpec) -> Iterator[Job]:
    """A group's jobs: one for a pack, as many as its tiles need for a big image.

    Where SCAN finds tissue they are the most that there can be.

    Parameters
    ----------
    group
        Its name.
    members
        One of `packs`, each with its key.
    spec
        Says how many model pixels a job may hold.
    """
    first = members[0]
    if len(members) > 1:
        refs = tuple(m.ref for m in members)
        yield Job(group, 0, refs, tuple((m.ref.key, 0, m.tiles) for m in members))
        return
    cut = bounds(first.tiles, tiles_per_job(spec, first))
    for number, (start, stop) in enumerate(cut):
        yield Job(group, number, (first.ref,), ((first.ref.key, start, stop),))
