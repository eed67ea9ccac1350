"""Rules on tiles: size, stride, unit, resolution, what is resized, axes and margins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tilewright.contract.blocks import MPP_TOLERANCE, Resolution
from tilewright.contract.spec import PADS, SPATIAL_AXES
from tilewright.registry.documents import Where
from tilewright.runtime.outputs import OUTPUT_TYPES

from .target import REGISTRY, WARNING, SpecCase, Violation

WHOLE_WITHIN = 1e-6  # px
POSSIBLE_MPP = (0.05, 50.0)  # µm per pixel: an electron micrograph's overview to a thumbnail
USUAL_MPP = (0.1, 10.0)
COARSEST_TOLERANCE = 0.2


def pixels(case: SpecCase, axis: str) -> float:
    """A tile's side at the model's resolution; 0 where there is none."""
    tile = case.spec.tile_spec
    return float(tile.size.get(axis, 0)) / (tile.unit_per_px or 1)


def seen(case: SpecCase) -> tuple[int, ...]:
    """Rows and columns of what the model sees: of a tile, resized and cropped."""
    size = tuple(round(pixels(case, a)) for a in "yx")
    return case.spec.seen(size) if min(size) > 0 else size


def sizes(case: SpecCase) -> Iterator[Violation]:
    """A tile has a size along y and x of at least 1, and 1 ≤ `stride` ≤ size."""
    size, stride = case.spec.tile_spec.size, case.tile.get("stride")
    if not {"y", "x"} <= set(size) <= set("zyx"):
        axes = ", ".join(map(str, size)) or "none"
        yield Violation(("tile_spec", "size"), f"size has {axes}", "give y and x (and z)")
        return
    if case.spec.tile_spec.stride_multiple < 1:
        where = ("tile_spec", "stride_multiple")
        yield Violation(where, "stride_multiple is under 1", "1 is any size")
    if case.spec.tile_spec.pad not in PADS:
        message = f"there is no pad {case.spec.tile_spec.pad!r}"
        yield Violation(("tile_spec", "pad"), message, f"choose one of {', '.join(PADS)}")
    if not all(math.isfinite(n) and n >= 1 for n in size.values()):
        where = ("tile_spec", "size")
        yield Violation(where, f"a size is {min(size.values()):g}", "give at least 1")
    strides = stride if isinstance(stride, Mapping) else dict.fromkeys(size, stride)
    for axis, step in strides.items():
        if step is not None and not 1 <= float(step) <= size.get(axis, 0):
            where = ("tile_spec", "stride")
            message = f"the stride {step:g} along {axis} isn't from 1 to {size.get(axis, 0):g}"
            yield Violation(where, f"{message}, so pixels are left out", "make it smaller")
            break


def whole_pixels(case: SpecCase) -> Iterator[Violation]:
    """Size, band, context and stride are whole pixels to 1e-6; `um` has a resolution and no z."""
    tile = case.spec.tile_spec
    if tile.unit_per_px is None:
        where = ("tile_spec", "unit")
        yield Violation(where, "unit um has no resolution in µm", "add resolution: {mpp: …}")
        return
    if tile.unit == "um" and "z" in tile.axes:
        where = ("tile_spec", "unit")
        message = "unit um, and tiles have slices, which aren't resampled"
        yield Violation(where, message, "give sizes in px")
        return
    for name in ("size", "context", "stride" if case.tile.get("stride") is not None else "band"):
        violation = next((f for axis in tile.axes if (f := _not_whole(case, name, axis))), None)
        if violation is not None:
            yield violation
            return


def _not_whole(case: SpecCase, name: str, axis: str) -> Violation | None:
    """A length that isn't a whole number of pixels, or a stride that leaves half a one of band."""
    tile, step = case.spec.tile_spec, 2 if name == "stride" else 1
    unit = tile.unit_per_px or 1.0
    value = tile.stride(axis) if name == "stride" else getattr(tile, name).get(axis, 0)
    rest = tile.size[axis] if name == "stride" else 0  # what is left of it lies on two sides
    found = (rest - value) / unit / step
    if not math.isfinite(found) or abs(found - round(found)) <= WHOLE_WITHIN:
        return None
    near = sorted(abs(rest - step * unit * n) for n in (math.floor(found), math.ceil(found)))
    words = f"take {near[0]:g} or {near[1]:g}"
    if name == "stride":
        band = tile.band.get(axis, 0) / unit
        message = f"the stride {value:g} along {axis} leaves a band of {band:g} px"
    elif tile.unit == "um":
        message = f"{name} {value:g} µm along {axis} is {abs(found):.6f} px"
    else:
        message = f"{name} {value:g} along {axis} isn't a whole number of pixels"
    return Violation(("tile_spec", name), message, words)


def resolution(case: SpecCase) -> Iterator[Violation]:
    """The resolution is one of mpp (0.05 to 50 µm), magnification or level, tolerance up to 0.2."""
    found = case.spec.tile_spec.resolution
    where: Where = ("tile_spec", "resolution")
    supported = case.spec.supported_mpp
    if found is None:
        if supported:
            fix = "set tile_spec's resolution to one of them"
            message = "supported_mpp is given, and no resolution"
            yield Violation(where, message, fix, concerns=REGISTRY)
        return
    if not 0 < found.tolerance <= COARSEST_TOLERANCE:
        where = ("tile_spec", "resolution", "tolerance")
        message = f"the tolerance {found.tolerance:g} isn't over 0 and up to 0.2"
        yield Violation(where, message, f"{MPP_TOLERANCE:g} is usual", concerns=REGISTRY)
    yield from _unusual(found)
    target = found.target_mpp
    if target is not None and not case.spec.supports(target):
        listed = ", ".join(f"{m:g}" for m in supported or ())
        where = ("tile_spec", "resolution", "mpp" if found.mpp is not None else "magnification")
        message = f"{target:g} µm per pixel isn't in supported_mpp ({listed})"
        yield Violation(where, message, "choose one of them")


def _unusual(resolution: Resolution) -> Iterator[Violation]:
    """What makes a resolution doubtful, though a run can read at it."""
    block, mpp = ("tile_spec", "resolution"), resolution.mpp
    if resolution.level is not None:
        message = "a level is another resolution in each file"
        yield Violation((*block, "level"), message, "give mpp, if the model has one", WARNING)
    elif resolution.magnification is not None:
        message = f"{resolution.magnification:g}x is approximate"
        fix = f"write mpp: {resolution.target_mpp:g}"
        yield Violation((*block, "magnification"), message, fix, WARNING)
    elif mpp is not None and not POSSIBLE_MPP[0] <= mpp <= POSSIBLE_MPP[1]:
        message = f"{mpp:g} µm per pixel isn't from 0.05 to 50"
        yield Violation((*block, "mpp"), message, "give µm per pixel", concerns=REGISTRY)
    elif mpp is not None and not USUAL_MPP[0] <= mpp <= USUAL_MPP[1]:
        message = f"{mpp:g} µm per pixel is unusual"
        yield Violation((*block, "mpp"), message, "check that it is in µm per pixel", WARNING)


def resized(case: SpecCase) -> Iterator[Violation]:
    """What `resize` and `crop` do is needed, fits, and the tile becomes one vector."""
    spec, where = case.spec, ("resize" if case.spec.resize else "crop",)
    size = tuple(round(pixels(case, a)) for a in "yx")
    if (spec.resize is None and spec.crop is None) or min(size) < 1:
        return
    between, last = replace(spec, crop=None).seen(size), spec.seen(size)
    known = OUTPUT_TYPES.get(spec.form)
    one_vector = spec.output_kind == "embedding" and known is not None and known.pooled
    if any(n > m for n, m in zip(last, between, strict=True)) and spec.crop:
        message = f"the crop of {last[0]} x {last[1]} px is larger than the tile then"
        yield Violation(("crop",), message, "crop less, or resize to more")
    elif not one_vector and (last != size or between != size or spec.tile_spec.variable_input):
        message = "pixels of a map would lie elsewhere than in the tile"
        yield Violation(where, message, "give tile_spec the size that the model sees")
    elif last == size:
        message = f"a tile of {size[0]} x {size[1]} px is already what the model sees"
        yield Violation(where, message, "leave resize and crop out", concerns=REGISTRY)


def axes(case: SpecCase) -> Iterator[Violation]:
    """`axes` are a tile's, each once: Y and X, Z if its size has z, C where there are channels."""
    found, tile = case.spec.axes, case.spec.tile_spec.axes.upper()
    where = ("axes",)
    if len(set(found)) != len(found) or not set(found) <= {"C", *SPATIAL_AXES.upper()}:
        yield Violation(where, f"axes {found} aren't some of CZYX, each once", f"write C{tile}")
    elif not {"Y", "X"} <= set(found):
        yield Violation(where, f"axes {found} lack Y or X", f"write C{tile}")
    elif set(found) - {"C"} != set(tile):
        message = f"axes {found}, and tile_spec's size has {tile.lower()}"
        yield Violation(where, message, "give z in both, or in neither")
    elif "C" not in found and case.spec.num_channels > 1:
        message = f"axes {found} have no C, and num_channels is {case.spec.num_channels}"
        yield Violation(where, message, f"write C{found}", concerns=REGISTRY)


def margins(case: SpecCase) -> Iterator[Violation]:
    """`band` and `context` are at least 0 and leave a core; context covers the receptive field."""
    tile, reach = case.spec.tile_spec, case.spec.receptive_field
    for axis in tile.axes:
        band, context = tile.band.get(axis, 0), tile.context.get(axis, 0)
        where = ("tile_spec", "band")
        stride = case.tile.get("stride")
        if stride is not None and "band" not in case.tile:
            where = ("tile_spec", "stride")
        if context < 0 or band < 0:
            message = f"the margins along {axis} are band {band:g} and context {context:g}"
            fix = "none is under 0; the stride is at most size - 2 * context"
            if stride is None or _fits(stride, tile.size, axis):
                yield Violation(where, message, fix)
            break
        if tile.stride(axis) <= 0:
            message = f"band {band:g} and context {context:g} leave no core of {axis}"
            yield Violation(where, message, "make the tile larger or them smaller")
            break
    yield from _exact(case, reach)


def _fits(stride: Any, size: Mapping[str, float], axis: str) -> bool:
    """Whether a stride is S8's business no more."""
    step = stride.get(axis, 0) if isinstance(stride, Mapping) else stride
    return bool(1 <= step <= size[axis])


def _exact(case: SpecCase, reach: int | None) -> Iterator[Violation]:
    if case.spec.equivalence != "exact":
        return
    tile = case.spec.tile_spec
    if reach is None:
        message = "equivalence exact has no receptive_field"
        fix = "say how far the network looks, in px, or write approx"
        yield Violation(("equivalence",), message, fix)
        return
    least = min((tile.context.get(a, 0) for a in tile.axes), default=0)
    if least < reach:
        message = f"the context {least:g} px is less than the receptive_field {reach} px"
        yield Violation(("tile_spec", "context"), message, f"make it at least {reach}")
    yield from _origins(case)


def _origins(case: SpecCase) -> Iterator[Violation]:
    """Tiles of an exact model begin and end at multiples of the network's total stride."""
    tile = case.spec.tile_spec
    step = tile.stride_multiple
    for axis in tile.axes if step > 0 else "":
        side = pixels(case, axis)
        stride = tile.stride(axis) * side / (tile.size[axis] or 1)
        if side % step or stride % step:
            where = ("tile_spec", "size")
            message = (
                f"along {axis} tiles of {side:g} px begin every {stride:g} px, and the "
                f"stride_multiple is {step}: tiles wouldn't equal the whole image"
            )
            fix = f"make size and 2 * (band + context) multiples of {step} px"
            yield Violation(where, message, fix)
            return
