"""An image that isn't the one that was planned, or that its plan doesn't fit."""

from __future__ import annotations

import numpy as np

from tilewright.contract.colours import COLOUR_SPACES, is_coloured
from tilewright.contract.jobs import EMPTY, ImageRef
from tilewright.contract.layout import Layout
from tilewright.contract.spec import ARRAY_AXES, ModelSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import Image

from .colour import span_of


def layout_of(image: Image, ref: ImageRef, spec: ModelSpec) -> Layout:
    """The geometry of an open image that its plan fits; no pixels are read.

    Raises
    ------
    TilewrightError
        When the spec asks for what it hasn't or what isn't known.
    """
    check_image(image, ref, spec)
    return Layout.of(ref, spec, level_sizes(image, ref), image.steps[ref.level])


def level_sizes(image: Image, ref: ImageRef) -> dict[str, int]:
    """Pixels along each axis of the level that is read."""
    return dict(zip(image.axes, image.levels[ref.level], strict=True))


def check_image(image: Image, ref: ImageRef, spec: ModelSpec) -> None:
    """Refuse a file that isn't the one that was planned, or that the plan doesn't fit.

    Parameters
    ----------
    image
        The file, open.
    ref
        What the plan says of it.
    spec
        The model's.

    Raises
    ------
    TilewrightError
        65, naming the file.
    """
    planned = dict(zip(ref.axes, ref.shape, strict=True))
    if any(image.size(a) != planned.get(a, 1) for a in ARRAY_AXES):
        raise TilewrightError(
            f"{image.path}: it has {_sizes(image.shape)} pixels ({image.axes}), and the plan "
            f"says {_sizes(ref.shape)} ({ref.axes}).",
            fix="Start the run again, and leave its images as they are meanwhile.",
        )
    if ref.level >= len(image.levels):
        raise TilewrightError(
            f"{image.path}: level {ref.level} is wanted, and its last is {len(image.levels) - 1}.",
            fix="Choose a resolution that it has.",
        )
    problem = _channel_problem(ref, image.size("C"), spec)
    if problem:
        raise TilewrightError(f"{image.path}: {problem}.", fix=_say_others(spec))


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _say_others(spec: ModelSpec) -> str:
    if spec.stain_normalization or is_coloured(spec.color_space):
        return "Give it red, green and blue of a colour picture, or choose another model."
    return "Choose others by --channels."


def _channel_problem(ref: ImageRef, there: int, spec: ModelSpec) -> str | None:
    """Why the model can't have the planned channels of an image that has so many."""
    if not all(EMPTY <= c < there for c in ref.channels):
        return f"channel {max(ref.channels)} is wanted, counted from 0, and it has {there}"
    count = len(ref.combined or ref.channels)
    takes = COLOUR_SPACES[spec.color_space].takes
    chosen = f"{count} channel is chosen" if count == 1 else f"{count} channels are chosen"
    if spec.stain_normalization and count != 3:
        return f"{chosen}, and stains are in 3"
    if takes is not None and count not in takes:
        return f"{chosen}, and {spec.color_space} is made from 3"
    gives = 1 if spec.color_space == "GRAY" else count
    if gives not in (1, spec.num_channels):
        return f"{chosen}, and the model takes {spec.num_channels}"
    return None


def no_tissue(image: Image, ref: ImageRef, spec: ModelSpec) -> TilewrightError:
    """The sentence for an image that a stain_normalization can't be fitted to."""
    return TilewrightError(
        f"{image.path}: has no tissue that stain_normalization {spec.stain_normalization} could be "
        "fitted to.",
        fix=f"{_say_range(ref, image.dtype)}"
        "Leave it out, or write on_failure: passthrough or skip in the manifest.",
    )


def _say_range(ref: ImageRef, dtype: np.dtype) -> str:
    """What to do first where nobody says which values are black and white; nothing of 8 bits."""
    if ref.range is not None or dtype.itemsize == 1:
        return ""
    low, high = span_of(None, dtype)
    return f"If its values don't go from {low:g} to {high:.10g}, say it by --range LOW,HIGH. "
