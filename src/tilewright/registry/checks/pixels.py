"""Rules on pixel values: channels, mean and std, their scale, colour, stain, resampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tilewright import ROOT
from tilewright.contract.colours import COLOUR_SPACES, STAIN_FIGURES, STAINED, is_coloured
from tilewright.contract.files import file_digest
from tilewright.contract.spec import INTERPOLATIONS, ModelSpec
from tilewright.contract.words import counted

from .target import REGISTRY, RUN, SpecCase, Violation

SMALLEST_STD = 1e-6
PUBLISHED = (
    (0.485, 0.456, 0.406),  # ImageNet
    (0.229, 0.224, 0.225),
    (0.5, 0.5, 0.5),  # Inception
)
DECIMALS = 3  # a figure of at most so many was rounded by somebody
FAILURES = ("passthrough", "skip", "error")
NOT_SMOOTHED = ("nearest", "area", "box")


def lengths(case: SpecCase) -> Iterator[Violation]:
    """`mean` and `std` are both given or neither, and as long as num_channels and channel_names."""
    spec = case.spec
    if (spec.mean is None) != (spec.std is None):
        there, lacks = ("mean", "std") if spec.std is None else ("std", "mean")
        message = f"{there} is given without {lacks}"
        yield Violation((there,), message, f"add {lacks}", concerns=REGISTRY)
        return
    for name in ("mean", "std", "channel_names"):
        values = getattr(spec, name)
        if values is not None and len(values) != spec.num_channels:
            message = f"{name} has {len(values)} and num_channels is {spec.num_channels}"
            yield Violation((name,), message, "give one for each channel")


def spread(case: SpecCase) -> Iterator[Violation]:
    """Every std is finite and at least 1e-6, every mean finite."""
    for number, value in enumerate(case.spec.std or ()):
        if not (math.isfinite(value) and value >= SMALLEST_STD):
            fix = "give the standard deviation of the training images"
            yield Violation(("std",), f"std is {value:g} for channel {number}", fix)
    for number, value in enumerate(case.spec.mean or ()):
        if not math.isfinite(value):
            fix = "give the mean of the training images"
            yield Violation(("mean",), f"mean is {value:g} for channel {number}", fix)


def scale(case: SpecCase) -> Iterator[Violation]:
    """`mean` and `std` are on the scale of input_range."""
    found, mean, std = case.spec.input_range, case.spec.mean, case.spec.std
    if found is None or not mean or not std or case.spec.color_space == "HED":
        return
    low, high = found
    if not low < high:
        message = f"input_range [{low:g}, {high:g}] has no width"
        yield Violation(("input_range",), message, "write [0, 1] or [0, 255]")
    elif high <= 1 and max(*mean, *std) > 1:
        message = f"mean or std {max(*mean, *std):g} is over 1 and input_range ends at {high:g}"
        yield Violation(("mean",), message, "did you mean input_range: [0, 255]?")
    elif high > 1 and max(mean) <= 1:
        message = f"mean {max(mean):g} is at most 1 and input_range ends at {high:g}"
        yield Violation(("mean",), message, "did you mean input_range: [0, 1]?")


def rounded(case: SpecCase) -> Iterator[Violation]:
    """`mean` and `std` have four digits or more, unless they are ImageNet's or 0.5."""
    for name in ("mean", "std"):
        values = getattr(case.spec, name)
        if not values or max(values) > 1 or values in PUBLISHED:
            return
        if all(round(v, DECIMALS) == v for v in values):
            message = f"{name} {', '.join(f'{v:g}' for v in values)} looks rounded"
            yield Violation((name,), message, "copy all digits of the source's config")


def resampling(case: SpecCase) -> Iterator[Violation]:
    """`interpolation` is one we have; antialias isn't asked for with nearest, area or box."""
    name = case.spec.interpolation
    if name not in INTERPOLATIONS:
        fix = f"choose one of {', '.join(sorted(INTERPOLATIONS))}"
        yield Violation(("interpolation",), f"there is no interpolation {name!r}", fix)
    elif name in NOT_SMOOTHED and case.fields.get("antialias") is True:
        message = f"antialias does nothing to {name}"
        fix = "leave it out, or interpolate bilinear"
        yield Violation(("antialias",), message, fix, concerns=REGISTRY)


def colour(case: SpecCase) -> Iterator[Violation]:
    """RGB, BGR and HED have 3 channels, GRAY has 1."""
    space, count = case.spec.color_space, case.spec.num_channels
    if space not in COLOUR_SPACES:
        fix = f"choose one of {', '.join(COLOUR_SPACES)}"
        yield Violation(("color_space",), f"there is no color_space {space!r}", fix)
        return
    wanted = COLOUR_SPACES[space].gives
    if wanted is not None and count != wanted:
        message = (
            f"color_space {space} has {counted(wanted, 'channel')}, and num_channels is {count}"
        )
        fix = f"write {wanted}, or color_space: MULTI"
        concerns = RUN if is_coloured(space) else REGISTRY  # grey is repeated
        yield Violation(("num_channels",), message, fix, concerns=concerns)


def stain_densities(case: SpecCase) -> Iterator[Violation]:
    """HED, whose values have no natural scale, comes with mean and std or a normalization."""
    spec = case.spec
    if spec.color_space == "HED" and spec.mean is None and spec.normalization is None:
        message = "HED values are optical densities, and nothing scales them"
        yield Violation(("color_space",), message, "give mean and std of HED")


def stain(case: SpecCase) -> Iterator[Violation]:
    """A stain_normalization has RGB input, a `stain_target`, and a policy for empty tiles."""
    if case.spec.on_failure not in FAILURES:
        message = f"on_failure is {case.spec.on_failure!r}"
        yield Violation(("on_failure",), message, f"write one of {', '.join(FAILURES)}")
    if case.spec.stain_normalization is not None:
        yield from _stain(case.spec)


def _stain(spec: ModelSpec) -> Iterator[Violation]:
    where, method = ("stain_normalization",), spec.stain_normalization
    if method not in STAIN_FIGURES:
        why = ": its fit takes minutes an image" if method == "vahadane" else ""
        message = f"stain_normalization {method} isn't there{why}"
        yield Violation(where, message, f"write {' or '.join(STAIN_FIGURES)}")
    elif spec.color_space not in STAINED or spec.num_channels != 3:
        message = f"stains are of RGB, and color_space is {spec.color_space}"
        yield Violation(where, message, "write color_space: RGB and num_channels: 3")
    elif "z" in spec.tile_spec.axes:
        message = "stains are of pictures, and its tiles are volumes"
        yield Violation(where, message, "leave stain_normalization out")
    elif not spec.stain_target:
        fix = "give stain_target: its fit, or a target image and its sha256"
        yield Violation(where, "a method without its target's fit can't be repeated", fix)
    else:
        yield from _stain_target(spec.stain_target, STAIN_FIGURES[method])


def _stain_target(
    given: Mapping[str, Any], figures: Mapping[str, tuple[int, ...]]
) -> Iterator[Violation]:
    """What keeps a target's own figures, or its image, from being one."""
    if set(given) == {"image", "sha256"}:
        path = ROOT / str(given["image"])
        if not path.is_file() or file_digest(path) != given["sha256"]:
            message = f"{path}: the stain_target isn't there, or has another digest"
            yield Violation(("stain_target",), message, "correct its image and sha256")
    elif {k: np.shape(v) for k, v in given.items()} != figures:
        shapes = " and ".join(f"{k} ({' x '.join(map(str, n))})" for k, n in figures.items())
        message = f"stain_target has {', '.join(given)}"
        yield Violation(("stain_target",), message, f"write {shapes}, or an image and its sha256")
