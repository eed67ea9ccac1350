"""Rules on tiles: size, stride, unit, resolution, what is resized, axes and margins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tilewright.contract.spec import ARRAY_AXES

from .subject import WARNING, Case, Fault, Subject

WHOLE = 1e-6  # px
MPP = (0.05, 50.0)  # µm per pixel: an electron micrograph's overview to a slide's thumbnail
USUAL_MPP = (0.1, 10.0)
COARSEST_TOLERANCE = 0.2


def pixels(case: Case, axis: str) -> float:
    """A tile's side at the model's resolution; 0 where there is none."""
    size, tile = float(case.spec.tile_spec.size.get(axis, 0)), case.spec.tile_spec
    mpp = tile.resolution.target_mpp if tile.resolution else None
    return size / mpp if tile.unit == "um" and mpp else size


def seen(case: Case) -> tuple[int, ...]:
    """Rows and columns of what the model sees: of a tile, resized and cropped."""
    size = tuple(round(pixels(case, a)) for a in "yx")
    return case.spec.seen(size) if min(size) > 0 else size


def sizes(subject: Subject) -> Iterator[Fault]:
    """A tile has a size along y and x of at least 1, and 1 ≤ `stride` ≤ size."""
    for case in subject.cases:
        size, stride = case.spec.tile_spec.size, case.tile.get("stride")
        if not {"y", "x"} <= set(size) <= set("zyx"):
            axes = ", ".join(map(str, size)) or "none"
            yield Fault(case.at("tile_spec", "size"), f"size has {axes}", "give y and x (and z)")
            continue
        if case.spec.tile_spec.stride_multiple < 1:
            where = case.at("tile_spec", "stride_multiple")
            yield Fault(where, "stride_multiple is under 1", "1 is any size")
        if not all(math.isfinite(n) and n >= 1 for n in size.values()):
            where = case.at("tile_spec", "size")
            yield Fault(where, f"a size is {min(size.values()):g}", "give at least 1")
        strides = stride if isinstance(stride, Mapping) else dict.fromkeys(size, stride)
        for axis, step in strides.items():
            if step is not None and not 1 <= float(step) <= size.get(axis, 0):
                where = case.at("tile_spec", "stride")
                message = f"the stride {step:g} along {axis} isn't from 1 to {size.get(axis, 0):g}"
                yield Fault(where, f"{message}, so pixels are left out", "make it smaller")
                break


def whole_pixels(subject: Subject) -> Iterator[Fault]:
    """In unit `um` a resolution in µm is given, there is no z, and size / mpp is whole to 1e-6."""
    for case in subject.cases:
        tile = case.spec.tile_spec
        if tile.unit != "um":
            continue
        if tile.resolution is None or not tile.resolution.target_mpp:
            where = case.at("tile_spec", "unit")
            yield Fault(where, "unit um has no resolution in µm", "add resolution: {mpp: …}")
            continue
        if "z" in tile.axes:
            where = case.at("tile_spec", "unit")
            message = "unit um, and tiles have slices, which aren't resampled"
            yield Fault(where, message, "give sizes in px")
            continue
        for axis in tile.axes:
            side = pixels(case, axis)
            if abs(side - round(side)) > WHOLE:
                where = case.at("tile_spec", "size")
                message = f"{tile.size[axis]:g} µm along {axis} are {side:.6f} px"
                fix = "choose a size in µm, or unit px, that makes a whole number"
                yield Fault(where, message, fix)
                break


def resolution(subject: Subject) -> Iterator[Fault]:
    """The resolution is one of mpp (0.05 to 50 µm), magnification or level, tolerance up to 0.2."""
    for case in subject.cases:
        found = case.spec.tile_spec.resolution
        where, supported = case.at("tile_spec", "resolution"), case.spec.supported_mpp
        if found is None:
            if supported:
                fix = "set tile_spec's resolution to one of them"
                yield Fault(where, "supported_mpp is given, and no resolution", fix)
            continue
        given = [n for n in ("mpp", "magnification", "level") if getattr(found, n) is not None]
        if len(given) != 1:
            message = f"the resolution gives {' and '.join(given) or 'nothing'}"
            yield Fault(where, message, "give one of mpp, magnification and level")
            continue
        if not 0 < found.tolerance <= COARSEST_TOLERANCE:
            message = f"the tolerance {found.tolerance:g} isn't over 0 and up to 0.2"
            yield Fault(case.at("tile_spec", "resolution", "tolerance"), message, "0.05 is usual")
        yield from _mpp(case, given[0])


def _mpp(case: Case, given: str) -> Iterator[Fault]:
    resolution = case.spec.tile_spec.resolution
    where = case.at("tile_spec", "resolution", given)
    if resolution is None or (given == "level" and (resolution.level or 0) >= 0):
        message = "a level is another resolution in each file"
        yield Fault(where, message, "give mpp, if the model has one", WARNING)
        return
    if given == "magnification" and (resolution.magnification or 0) > 0:
        message = f"{resolution.magnification:g}x is approximate"
        yield Fault(where, message, f"write mpp: {resolution.target_mpp:g}", WARNING)
        return
    mpp, supported = resolution.target_mpp or 0.0, case.spec.supported_mpp
    if not MPP[0] <= mpp <= MPP[1]:
        yield Fault(where, f"{mpp:g} µm per pixel isn't from 0.05 to 50", "give µm per pixel")
    elif not USUAL_MPP[0] <= mpp <= USUAL_MPP[1]:
        message = f"{mpp:g} µm per pixel is unusual"
        yield Fault(where, message, "check that it is in µm per pixel", WARNING)
    if supported and not any(math.isclose(mpp, m, rel_tol=1e-6) for m in supported):
        listed = ", ".join(f"{m:g}" for m in supported)
        yield Fault(where, f"{mpp:g} isn't in supported_mpp ({listed})", "choose one of them")


def resized(subject: Subject) -> Iterator[Fault]:
    """What `resize` and `crop` do is needed, fits, and the tile becomes one vector."""
    for case in subject.cases:
        spec, where = case.spec, case.at("resize" if case.spec.resize else "crop")
        size = tuple(round(pixels(case, a)) for a in "yx")
        if (spec.resize is None and spec.crop is None) or min(size) < 1:
            continue
        between, last = replace(spec, crop=None).seen(size), spec.seen(size)
        if any(n > m for n, m in zip(last, between, strict=True)) and spec.crop:
            message = f"the crop of {last[0]} x {last[1]} px is larger than the tile then"
            yield Fault(case.at("crop"), message, "crop less, or resize to more")
        elif last == size:
            message = f"a tile of {size[0]} x {size[1]} px is already what the model sees"
            yield Fault(where, message, "leave resize and crop out")
        elif spec.output_kind != "embedding" or spec.output_type in ("dense", "token_sequence"):
            message = "pixels of a map would lie elsewhere than in the tile"
            yield Fault(where, message, "give tile_spec the size that the model sees")


def axes(subject: Subject) -> Iterator[Fault]:
    """`axes` are of TCZYX, each once, with Y and X; C where there are channels; Z as in size."""
    for case in subject.cases:
        found, where = case.spec.axes, case.at("axes")
        if len(set(found)) != len(found) or not set(found) <= set(ARRAY_AXES):
            yield Fault(where, f"axes {found} aren't some of TCZYX, each once", "write CYX")
        elif not {"Y", "X"} <= set(found):
            yield Fault(where, f"axes {found} lack Y or X", "write CYX")
        elif "C" not in found and case.spec.num_channels > 1:
            message = f"axes {found} have no C, and num_channels is {case.spec.num_channels}"
            yield Fault(where, message, f"write C{found}")
        elif ("Z" in found) != ("z" in case.spec.tile_spec.size):
            message = f"axes {found}, and tile_spec's size has {case.spec.tile_spec.axes}"
            yield Fault(where, message, "give z in both, or in neither")


def margins(subject: Subject) -> Iterator[Fault]:
    """`band` and `context` are at least 0 and leave a core; context covers the receptive field."""
    for case in subject.cases:
        tile, reach = case.spec.tile_spec, case.spec.receptive_field
        for axis in tile.axes:
            band, context = tile.band.get(axis, 0), tile.context.get(axis, 0)
            where = case.at("tile_spec", "band")
            stride = case.tile.get("stride")
            if stride is not None and "band" not in case.tile:
                where = case.at("tile_spec", "stride")
            if context < 0 or band < 0:
                message = f"the margins along {axis} are band {band:g} and context {context:g}"
                fix = "none is under 0; the stride is at most size - 2 * context"
                if stride is None or _fits(stride, tile.size, axis):
                    yield Fault(where, message, fix)
                break
            if 2 * (band + context) >= tile.size[axis]:
                message = f"band {band:g} and context {context:g} leave no core of {axis}"
                yield Fault(where, message, "make the tile larger or them smaller")
                break
        yield from _exact(case, reach)


def _fits(stride: Any, size: Mapping[str, float], axis: str) -> bool:
    """Whether a stride is S8's business no more."""
    step = stride.get(axis, 0) if isinstance(stride, Mapping) else stride
    return bool(1 <= step <= size[axis])


def _exact(case: Case, reach: int | None) -> Iterator[Fault]:
    if case.spec.equivalence != "exact":
        return
    tile = case.spec.tile_spec
    if reach is None:
        message = "equivalence exact has no receptive_field"
        fix = "say how far the network looks, in px, or write approx"
        yield Fault(case.at("equivalence"), message, fix)
        return
    least = min((tile.context.get(a, 0) for a in tile.axes), default=0)
    if least < reach:
        message = f"the context {least:g} px is less than the receptive_field {reach} px"
        yield Fault(case.at("tile_spec", "context"), message, f"make it at least {reach}")
    yield from _origins(case)


def _origins(case: Case) -> Iterator[Fault]:
    """Tiles of an exact model begin and end at multiples of the network's total stride."""
    tile = case.spec.tile_spec
    step = tile.stride_multiple
    for axis in tile.axes if step > 0 else "":
        side = pixels(case, axis)
        stride = tile.stride(axis) * side / (tile.size[axis] or 1)
        if side % step or stride % step:
            where = case.at("tile_spec", "size")
            message = (
                f"along {axis} tiles of {side:g} px begin every {stride:g} px, and the "
                f"stride_multiple is {step}: tiles wouldn't equal the whole image"
            )
            fix = f"make size and 2 * (band + context) multiples of {step} px"
            yield Fault(where, message, fix)
            return
