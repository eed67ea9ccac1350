"""The axes of a bioimage.io description: their order, and the tiles that fit them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tilewright.errors import BAD_DATA, TilewrightError

Values = dict[str, Any]

SIZE = {2: 512, 3: 128}  # px; a tile's side where the package leaves it open
DEPTH = 32  # px; the same along z
MOST_SIZE = 2048  # px; a test input that is larger is cut
MOST_LEAST = 256  # px; a least size up to which tiles may vary
GUESS = 32  # px; context where the package gives no halo
USUAL_BAND = {"z": 8, "y": 64, "x": 64}  # px; to match objects


@dataclass(frozen=True)
class Side:
    """One spatial axis, in pixels.

    Parameters
    ----------
    least, step
        The sizes that the network takes: `least`, `least + step`, …; of step 0 only `least`.
    halo
        What is to be cut on each side of the output.
    tested
        The test input's length, or 0.
    """

    least: int
    step: int
    halo: int
    tested: int


def cannot(why: str, fix: str = "docs/bioimageio.md says what can be imported.") -> TilewrightError:
    """What a package asks for that isn't there."""
    return TilewrightError(f"The package can't be imported: {why}.", fix=fix, code=BAD_DATA)


def layouts(given: Values, result: Values) -> tuple[str, str]:
    """The orders of axes of the input and the output, a letter an axis.

    Raises
    ------
    TilewrightError
        When an axis isn't there.
    """
    orders = _layout(given), _layout(result)
    if not {"y", "x"} <= set(orders[0]):
        raise cannot(f"its input {given['id']} has no axes y and x")
    return orders


def _layout(tensor: Values) -> str:
    letters = ""
    for axis in tensor["axes"]:
        kind, size = axis["type"], axis.get("size")
        if kind in ("time", "index") and size != 1:
            raise cannot(f"{tensor['id']} has an axis {axis['id']} of more than one {kind}")
        if kind == "space" and axis["id"] not in ("z", "y", "x"):
            raise cannot(f"{tensor['id']} has an axis {axis['id']}, which is none of z, y and x")
        letters += axis["id"] if kind == "space" else kind[0]
    return letters


def _coarseness(given: Values, result: Values, labels: bool) -> int:
    """How many pixels of the input, along each axis, are one of the output."""
    sides = {a["id"]: a for a in given["axes"] if a["type"] == "space"}
    outs = {a["id"]: a for a in result["axes"] if a["type"] == "space"}
    found = {_times(axis, outs[name], sides) if name in outs else 0 for name, axis in sides.items()}
    if len(found) > 1 or 0 in found or (labels and found != {1}):
        wanted = "as large as" if labels else "as large as, or a whole part of,"
        raise cannot(
            f"its output {result['id']} isn't {wanted} its input",
            "Such a network needs a script (docs/adding-a-model.md).",
        )
    return found.pop()


def _times(given: Values, result: Values, inputs: dict[str, Values]) -> int:
    """How many times as long an input's axis is as the output's; 0 if no whole number."""
    size = result["size"]
    if isinstance(size, int):
        whole = isinstance(given["size"], int) and given["size"] % size == 0
        return int(given["size"] // size) if whole else 0
    like = inputs.get(size["axis_id"])
    if like is None or size["offset"] or _extent(like, inputs) != _extent(given, inputs):
        return 0
    times = result["scale"] / like["scale"]
    return int(times) if times == int(times) else 0


def _extent(axis: Values, axes: dict[str, Values]) -> tuple[int, int]:
    """An input axis's least size and the step to the next, 0 where it is fixed."""
    size = axis["size"]
    if isinstance(size, int):
        return size, 0
    if "min" in size:
        return size["min"], size["step"]
    like = axes.get(size["axis_id"])
    if like is None or "axis_id" in (like["size"] if isinstance(like["size"], dict) else {}):
        raise cannot(f"the size of its axis {axis['id']} is that of another tensor's")
    least, step = _extent(like, axes)
    ratio = like["scale"] / axis["scale"]
    return int(least * ratio + size["offset"]), int(step * ratio)


def tile_spec(given: Values, result: Values, labels: bool, notes: list[str]) -> Values:
    """ModelSpec's `axes` and `tile_spec`; what was left open is chosen.

    Parameters
    ----------
    given, result
        The input and the output as a description of format 0.5 has them; lengths in px.
    labels
        Whether maps become objects: tiles get a band, and the output is as large as the input.
    notes
        Gets a sentence on each choice that the user should look at.

    Raises
    ------
    TilewrightError
        When the output's size doesn't fit the input's (65).
    """
    coarse = _coarseness(given, result, labels)
    sides = _sides(given, result, coarse)
    if not any(side.halo for side in sides.values()):
        notes.append(f"The package gives no halo; a context of {GUESS} px at most is a guess.")
    free = all(s.step and s.least % s.step == 0 and s.least <= MOST_LEAST for s in sides.values())
    tile = (_free if free else _fixed)(sides, labels, coarse)
    if free and any(s.least > s.step for s in sides.values()):
        least = max(s.least for s in sides.values())
        notes.append(f"The package is for images of at least {least} px a side.")
    return {"tile_spec": tile, "axes": "C" + "".join(sides).upper()}


def _sides(given: Values, result: Values, coarse: int) -> dict[str, Side]:
    axes = {a["id"]: a for a in given["axes"] if a["type"] == "space"}
    halos = {a["id"]: coarse * (a.get("halo") or 0) for a in result["axes"]}
    tested = given.get("test_shape") or {}
    return {
        a: Side(*_extent(axes[a], axes), halos.get(a, 0), int(tested.get(a, 0)))
        for a in "zyx"
        if a in axes
    }


def _free(sides: dict[str, Side], labels: bool, coarse: int) -> Values:
    """Tiles of any size: none is smaller than the network takes, the test input fits into one."""
    multiple = math.lcm(coarse, *(side.step for side in sides.values()))
    guess = 0 if any(side.halo for side in sides.values()) else GUESS
    size, band, context = {}, {}, {}
    for axis, side in sides.items():
        band[axis] = _up(USUAL_BAND[axis] if labels else 0, multiple)
        shortest = math.ceil(side.least / 2) - band[axis]  # the last tile may be little more
        context[axis] = _up(max(side.halo or guess, shortest), multiple)
        fits = side.tested if side.tested <= MOST_SIZE else 0
        size[axis] = _up(max(_usual(axis, sides), 4 * (band[axis] + context[axis]), fits), multiple)
    tile = {"size": size, "band": band, "context": context, "variable_input": True}
    return {**tile, "stride_multiple": multiple}


def _fixed(sides: dict[str, Side], labels: bool, coarse: int) -> Values:
    """Tiles of one size: the only one, else the test input's, else the usual one."""
    size, band, context = {}, {}, {}
    for axis, side in sides.items():
        size[axis] = side.least
        if side.step:
            more = math.ceil(max(_usual(axis, sides) - side.least, 0) / side.step) * side.step
            size[axis] = side.tested or side.least + more
        guess = 0 if any(s.halo for s in sides.values()) else min(GUESS, size[axis] // 8)
        context[axis] = _up(side.halo or guess, coarse)
        most = max(0, (3 * size[axis] // 4 - 2 * context[axis]) // 2)  # a quarter stays its core
        band[axis] = min(USUAL_BAND[axis], most) if labels else 0
    return {"size": size, "band": band, "context": context}


def _up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple


def _usual(axis: str, sides: dict[str, Side]) -> int:
    return DEPTH if axis == "z" else SIZE[len(sides)]
