"""Which of an image's levels a model reads, and how its pixels become the model's."""

from __future__ import annotations

import math

from tilewright.contract.spec import ModelSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import Image
from tilewright.images.pixel_size import in_words

from .pixel_size import PixelSize, sizes

ROUNDING = 1e-9
"""Share by which sizes that are equal, or just within a tolerance, may differ as computed."""


def resolution(image: Image, size: PixelSize, spec: ModelSpec) -> tuple[int, tuple[float, float]]:
    """Which level is read, and model pixels per pixel of it along y and x.

    The coarsest that is no coarser than the model's, its tolerance allowed for.

    Parameters
    ----------
    size
        The image's, which `pixel_size` found.
    spec
        Says the resolution it reads at, if any.

    Raises
    ------
    TilewrightError
        65, when there is no such level, it has fewer slices, or pixels are coarser than the
        model's or none that it takes.
    """
    wanted = spec.tile_spec.resolution
    if wanted is None or wanted.target_mpp is None:
        level = 0 if wanted is None else wanted.level or 0
        _check_level(image, level, spec)
        check_supported(image, size, level, spec)
        return level, (1.0, 1.0)
    target, mpp = wanted.target_mpp, size.mpp or (math.inf, math.inf)
    steps, coarsest = image.steps, target * (1 + wanted.tolerance) * (1 + ROUNDING)
    fit = [
        i
        for i, step in enumerate(steps)
        if _all_slices(image, i) and max(m * s for m, s in zip(mpp, step, strict=True)) <= coarsest
    ]
    if not fit:
        raise TilewrightError(
            f"{image.path}: has {in_words(mpp)} µm per pixel ({size.by}), coarser than the "
            f"{target:g} that {spec.model_name} reads at.",
            fix="Choose another model or a finer image; --mpp corrects a wrong pixel size.",
        )
    level = max(fit, key=lambda i: math.prod(steps[i]))
    ratios = [m * s / target for m, s in zip(mpp, steps[level], strict=True)]
    within = all(abs(r - 1) <= wanted.tolerance + ROUNDING for r in ratios)
    return level, (1.0, 1.0) if within else (ratios[0], ratios[1])


def _check_level(image: Image, level: int, spec: ModelSpec) -> None:
    """Refuse an image that hasn't the level that a spec reads, or not all slices there."""
    if level >= len(image.levels):
        raise TilewrightError(
            f"{image.path}: has {len(image.levels)} resolution levels, and {spec.model_name} "
            f"reads level {level}.",
            fix="Choose another model or image.",
        )
    if not _all_slices(image, level):
        raise TilewrightError(
            f"{image.path}: its level {level}, which {spec.model_name} reads, has fewer slices "
            "than level 0, and slices aren't resampled.",
            fix="Give the model's manifest another resolution.",
        )


def check_supported(image: Image, size: PixelSize, level: int, spec: ModelSpec) -> None:
    """Refuse an image read as it is whose pixels aren't of a size the model was made for.

    Parameters
    ----------
    size
        The image's.
    level
        Which level is read.
    spec
        Its `supported_mpp` are the sizes; none given, all are.

    Raises
    ------
    TilewrightError
        65, naming the size and those that it can be.
    """
    if not spec.supported_mpp or size.mpp is None:
        return
    read = [m * s for m, s in zip(size.mpp, image.steps[level], strict=True)]
    if not spec.supports(*read):
        raise TilewrightError(
            f"{image.path}: is read at {max(read):g} µm per pixel, and {spec.model_name} takes "
            f"{sizes(spec.supported_mpp)}.",
            fix="Give its manifest a resolution that it takes; --mpp corrects a wrong pixel size.",
        )


def _all_slices(image: Image, level: int) -> bool:
    """Whether a level has the slices of level 0: z isn't resampled."""
    at = image.axes.find("Z")
    return at < 0 or image.levels[level][at] == image.shape[at]
