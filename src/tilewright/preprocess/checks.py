"""What a spec asks for and can't be done, of any image or of this one, by name."""

from __future__ import annotations

import dataclasses

from tilewright.contract.jobs import EMPTY, ImageRef
from tilewright.contract.spec import ARRAY_AXES, ModelSpec
from tilewright.errors import USAGE, TilewrightError
from tilewright.images.image import Image

from . import intensity, resample
from .colour import COLOURS
from .stain import Stain

PADS = ("reflect", "edge", "zero", "white")
FAILURES = ("passthrough", "skip", "error")


def check_spec(spec: ModelSpec) -> None:
    """Refuse what a spec asks for and no tile can be made by.

    Raises
    ------
    TilewrightError
        2, naming the field and what it can be.
    """
    known = (
        ("color_space", spec.color_space, tuple(COLOURS)),
        ("interpolation", spec.interpolation, tuple(resample.KERNELS)),
        ("tile_spec's pad", spec.tile_spec.pad, PADS),
        ("on_failure", spec.on_failure, FAILURES),
    )
    for name, value, choices in known:
        if value not in choices:
            raise TilewrightError(
                f"{spec.model_name}: its {name} is {value!r}, which isn't there yet.",
                fix=f"It can be {', '.join(map(str, choices))}.",
                code=USAGE,
            )
    problem = (
        _axes_problem(spec) or _volume_problem(spec) or _resize_problem(spec) or _mpp_problem(spec)
    )
    if problem:
        raise TilewrightError(
            f"{spec.model_name}: {problem}.", fix="Change its manifest.", code=USAGE
        )
    intensity.settings(spec)
    if spec.stain_normalization is not None:
        Stain(spec)


def check_image(image: Image, ref: ImageRef, spec: ModelSpec) -> None:
    """Refuse a file that isn't the one that was planned, or that the plan doesn't fit.

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
    problem = _channel_problem(ref.channels, image.size("C"), spec)
    if problem:
        raise TilewrightError(f"{image.path}: {problem}.", fix="Choose others by --channels.")


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _channel_problem(chosen: tuple[int, ...], there: int, spec: ModelSpec) -> str | None:
    """Why the model can't have these channels of an image that has so many."""
    if not all(EMPTY <= c < there for c in chosen):
        return f"channel {max(chosen)} is wanted, counted from 0, and it has {there}"
    takes, _ = COLOURS[spec.color_space]
    if spec.stain_normalization and len(chosen) != 3:
        return f"{len(chosen)} channel is chosen, and stains are in 3"
    if takes is not None and len(chosen) not in takes:
        return f"{len(chosen)} channels are chosen, and {spec.color_space} is made from 3"
    gives = 1 if spec.color_space == "GRAY" else len(chosen)
    if gives not in (1, spec.num_channels):
        return f"{gives} channels are chosen, and the model takes {spec.num_channels}"
    return None


def _axes_problem(spec: ModelSpec) -> str | None:
    """What is wrong with the order of a tile's axes."""
    wanted = "C" + spec.tile_spec.axes.upper()
    if sorted(spec.array_axes) == sorted(wanted):
        return None
    return f"its axes are {spec.axes}, and its tiles have {', '.join(wanted)}"


def _volume_problem(spec: ModelSpec) -> str | None:
    """What can't be done to tiles that have slices."""
    if "z" not in spec.tile_spec.axes:
        return None
    if spec.tile_spec.unit == "um":
        return (
            "its tiles have slices, which aren't resampled, so tile_spec can't be in um but in px"
        )
    if spec.stain_normalization is not None:
        return "stain_normalization is for pictures of stained tissue, and its tiles are volumes"
    if spec.output_type == "dense":
        return "a dense embedding is of a picture's patches, and its tiles are volumes"
    return None


def _resize_problem(spec: ModelSpec) -> str | None:
    """Why tiles can't be resized or cropped: pixels of a result would lie elsewhere."""
    tile = spec.tile_spec
    size = tuple(tile.pixels(tile.size, a) for a in tile.axes)
    chain = (dataclasses.replace(spec, crop=None).seen(size), spec.seen(size))
    if chain == (size, size) and not (tile.variable_input and (spec.resize or spec.crop)):
        return None
    if spec.output_kind != "embedding" or spec.output_type in ("dense", "token_sequence"):
        return "resize and crop are for one vector a tile: labels and maps would lie elsewhere"
    return None


def _mpp_problem(spec: ModelSpec) -> str | None:
    """A wanted resolution that the model wasn't made for."""
    wanted = spec.tile_spec.resolution
    target = wanted.target_mpp if wanted else None
    if wanted is None or target is None or not spec.supported_mpp:
        return None
    if any(abs(target / m - 1) <= wanted.tolerance for m in spec.supported_mpp):
        return None
    listed = ", ".join(f"{m:g}" for m in spec.supported_mpp)
    return f"it is to read at {target:g} µm per pixel, and its supported_mpp is {listed}"
