"""What values a model expects of its input: black and white, or a mean and a spread."""

from __future__ import annotations

from .spec import ModelSpec

MEAN, STD = 3.0, (0.05, 5.0)
"""What a normalised model sees of real pixels: a mean under the one, a std between the others."""
LEAST_CONTRAST = 0.01
"""The std, of the whole range, over which a tile isn't background."""
SPREAD = (-3.0, 3.0)
"""Where nearly all values lie whose mean is 0 and whose std is 1."""
DENSITIES = "HED"
"""The colour space whose values are optical densities, made from black and white."""
Span = tuple[float, float]


def shown(value: float) -> str:
    """A pixel value for a sentence or a command, which says that very number."""
    short = f"{value:.10g}"
    return short if float(short) == value else repr(float(value))


def is_usual(mean: float, std: float) -> bool:
    """Whether a channel could be what a normalised model sees of real pixels."""
    return abs(mean) < MEAN and STD[0] < std < STD[1]


def is_normalised(spec: ModelSpec) -> bool:
    """Whether a model wants values of mean 0 and std 1, about."""
    return spec.mean is not None or spec.normalization is not None


def is_ranged(spec: ModelSpec) -> bool:
    """Whether the model's values follow from an image's black and white, and are on their scale."""
    return (
        spec.input_range is not None
        and spec.normalization is None
        and spec.color_space != DENSITIES
    )


def needs_range(spec: ModelSpec) -> bool:
    """Whether anything that a model sees depends on an image's black and white."""
    return (
        is_ranged(spec)
        or spec.color_space == DENSITIES
        or spec.stain_normalization is not None
        or spec.tile_spec.pad == "white"
    )


def expected(spec: ModelSpec) -> list[Span] | None:
    """Where each channel's values should lie; None where the model takes them as they are."""
    if spec.normalization is not None:
        percentile = spec.normalization.method == "percentile"
        return [(0.0, 1.0) if percentile else SPREAD] * spec.num_channels
    if is_ranged(spec) and spec.input_range is not None:
        mean, std = spec.mean or (0.0,) * spec.num_channels, spec.std or (1.0,) * spec.num_channels
        low, high = spec.input_range
        return [((low - m) / s, (high - m) / s) for m, s in zip(mean, std, strict=True)]
    return [SPREAD] * spec.num_channels if spec.mean is not None else None


def least_spread(spec: ModelSpec) -> float:
    """The std, in the model's values, over which a tile has content.

    A tile under it is background, of which no model expects a usual mean and std.
    """
    if is_normalised(spec):
        return STD[0]
    if is_ranged(spec) and spec.input_range is not None:
        return LEAST_CONTRAST * (spec.input_range[1] - spec.input_range[0])
    return 0.0
