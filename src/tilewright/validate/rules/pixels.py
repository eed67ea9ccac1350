"""Rules on pixel values: channels, mean and std, their scale, colour, stain, resampling."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tilewright.errors import TilewrightError
from tilewright.preprocess.resample import AREAS, KERNELS
from tilewright.preprocess.stain import Stain

from .subject import Case, Fault, Subject

SMALLEST_STD = 1e-6
PUBLISHED = (
    (0.485, 0.456, 0.406),  # ImageNet
    (0.229, 0.224, 0.225),
    (0.5, 0.5, 0.5),  # Inception
)
DECIMALS = 3  # a figure of at most so many was rounded by somebody
THREE = ("RGB", "BGR", "HED")
POLICIES = ("passthrough", "skip", "error")


def lengths(subject: Subject) -> Iterator[Fault]:
    """`mean` and `std` are both given or neither, and as long as num_channels and channel_names."""
    for case in subject.cases:
        spec = case.spec
        if (spec.mean is None) != (spec.std is None):
            there, lacks = ("mean", "std") if spec.std is None else ("std", "mean")
            yield Fault(case.at(there), f"{there} is given without {lacks}", f"add {lacks}")
            continue
        for name in ("mean", "std", "channel_names"):
            values = getattr(spec, name)
            if values is not None and len(values) != spec.num_channels:
                message = f"{name} has {len(values)} and num_channels is {spec.num_channels}"
                yield Fault(case.at(name), message, "give one for each channel")


def spread(subject: Subject) -> Iterator[Fault]:
    """Every std is finite and at least 1e-6, every mean finite."""
    for case in subject.cases:
        for number, value in enumerate(case.spec.std or ()):
            if not (math.isfinite(value) and value >= SMALLEST_STD):
                fix = "give the standard deviation of the training images"
                yield Fault(case.at("std"), f"std is {value:g} for channel {number}", fix)
        for number, value in enumerate(case.spec.mean or ()):
            if not math.isfinite(value):
                fix = "give the mean of the training images"
                yield Fault(case.at("mean"), f"mean is {value:g} for channel {number}", fix)


def scale(subject: Subject) -> Iterator[Fault]:
    """`mean` and `std` are on the scale of input_range."""
    for case in subject.cases:
        found, mean, std = case.spec.input_range, case.spec.mean, case.spec.std
        if found is None or not mean or not std or case.spec.color_space == "HED":
            continue
        low, high = found
        if not low < high:
            message = f"input_range [{low:g}, {high:g}] has no width"
            yield Fault(case.at("input_range"), message, "write [0, 1] or [0, 255]")
        elif high <= 1 and max(*mean, *std) > 1:
            message = f"mean or std {max(*mean, *std):g} is over 1 and input_range ends at {high:g}"
            yield Fault(case.at("mean"), message, "did you mean input_range: [0, 255]?")
        elif high > 1 and max(mean) <= 1:
            message = f"mean {max(mean):g} is at most 1 and input_range ends at {high:g}"
            yield Fault(case.at("mean"), message, "did you mean input_range: [0, 1]?")


def rounded(subject: Subject) -> Iterator[Fault]:
    """`mean` and `std` have four digits or more, unless they are ImageNet's or 0.5."""
    for case in subject.cases:
        for name in ("mean", "std"):
            values = getattr(case.spec, name)
            if not values or max(values) > 1 or values in PUBLISHED:
                continue
            if all(round(v, DECIMALS) == v for v in values):
                message = f"{name} {', '.join(f'{v:g}' for v in values)} looks rounded"
                yield Fault(case.at(name), message, "copy all digits of the source's config")


def resampling(subject: Subject) -> Iterator[Fault]:
    """`interpolation` is one we have; antialias isn't asked for with nearest, area or box."""
    for case in subject.cases:
        name = case.spec.interpolation
        if name not in KERNELS:
            fix = f"choose one of {', '.join(sorted(KERNELS))}"
            yield Fault(case.at("interpolation"), f"there is no interpolation {name!r}", fix)
        elif name in ("nearest", *AREAS) and case.fields.get("antialias") is True:
            message = f"antialias does nothing to {name}"
            yield Fault(case.at("antialias"), message, "leave it out, or interpolate bilinear")


def colour(subject: Subject) -> Iterator[Fault]:
    """RGB, BGR and HED have 3 channels, GRAY has 1."""
    for case in subject.cases:
        space, count = case.spec.color_space, case.spec.num_channels
        wanted = 3 if space in THREE else 1
        if space != "MULTI" and count != wanted:
            message = f"color_space {space} has {wanted} channels, and num_channels is {count}"
            yield Fault(case.at("num_channels"), message, f"write {wanted}, or color_space: MULTI")


def stain_densities(subject: Subject) -> Iterator[Fault]:
    """HED, whose values have no natural scale, comes with mean and std or a normalization."""
    for case in subject.cases:
        spec = case.spec
        if spec.color_space == "HED" and spec.mean is None and spec.normalization is None:
            message = "HED values are optical densities, and nothing scales them"
            yield Fault(case.at("color_space"), message, "give mean and std of HED")


def stain(subject: Subject) -> Iterator[Fault]:
    """A stain_normalization has RGB input, a `stain_target`, and a policy for empty tiles."""
    for case in subject.cases:
        if case.spec.stain_normalization is not None:
            yield from _stain(case)


def _stain(case: Case) -> Iterator[Fault]:
    spec, where = case.spec, case.at("stain_normalization")
    if spec.color_space not in ("RGB", "BGR") or spec.num_channels != 3:
        message = f"stains are of RGB, and color_space is {spec.color_space}"
        yield Fault(where, message, "write color_space: RGB and num_channels: 3")
    elif not spec.stain_target:
        fix = "give stain_target: its fit, or a target image and its sha256"
        yield Fault(where, "a method without its target's fit can't be repeated", fix)
    else:
        try:
            Stain(spec)
        except TilewrightError as error:  # vahadane, figures of another shape, an image gone
            yield Fault(where, error.what.rstrip("."), error.fix.rstrip("."))
    if spec.on_failure not in POLICIES:
        message = f"on_failure is {spec.on_failure!r}"
        yield Fault(case.at("on_failure"), message, f"write one of {', '.join(POLICIES)}")
