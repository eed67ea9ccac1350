"""Between tiles and a network's own tensors: axes, dtype, steps per value, which output.

What every runner of a format shares. It runs in a model's environment: numpy, Python >= 3.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Sequence, Union

import numpy as np

Array = np.ndarray
Settings = Dict[str, Any]
PerChannel = Union[float, Sequence[float]]
"""One number, or one a channel."""
MOST_AXES = 8  # that are told of an array: a file may claim a thousand
Outputs = Union[Array, Sequence[Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Network:
    """A network as a function, and what its file says of its input.

    Parameters
    ----------
    call
        From one array to its output, or all of them in order; a mapping also names them.
    shape
        Length of each of the input's axes, anything but a number where it may vary; or None.
    dtype
        What the input holds.
    """

    call: Callable[[Array], Outputs]
    shape: Sequence[object] | None = None
    dtype: str = "float32"


def run(network: Network, tiles: Array, params: Settings, kind: str) -> Array:
    """One output of a network for a batch of tiles.

    Parameters
    ----------
    tiles
        (batch, C, (z,) y, x) float32.
    params
        ``layout``, ``output_layout``: the network's own order of axes, such as ``byxc``; if left
        out, `guess` and `like` say. ``output``: the output's name or number, else the first.
        ``before``, ``after``: steps, as `apply` takes them, ahead of the network and behind it.
    kind
        The spec's `output_kind`.

    Returns
    -------
        Maps (batch, class, (z,) y, x) float32; of an embedding what the network gives.

    Raises
    ------
    ValueError
        When axes, output or a step don't fit, in a sentence.
    """
    layout = params.get("layout") or guess(network.shape, tiles)
    alone = "b" not in layout or (network.shape or layout)[layout.index("b")] == 1
    parts = np.split(tiles, len(tiles)) if alone else [tiles]
    return np.concatenate([_run(network, part, layout, params, kind) for part in parts])


def _run(network: Network, tiles: Array, layout: str, params: Settings, kind: str) -> Array:
    own = own_layout(tiles)
    given = arrange(apply(params.get("before"), tiles), own, layout)
    found = choose(network.call(cast(given, network.dtype)), params.get("output"))
    if kind == "embedding":
        return found if "b" in layout else found[None]
    there = params.get("output_layout") or like(layout, own, found)
    maps = arrange(found, there, own).astype(np.float32, copy=False)
    return apply(params.get("after"), maps)


def ours(tiles: Array, spec: Settings) -> Array:
    """Tiles (batch, *axes) in our own order, (batch, C, (z,) y, x); `axes` are the spec's."""
    axes = spec.get("axes") or own_layout(tiles)[1:].upper()
    return arrange(tiles, ("b" if "C" in axes else "bc") + axes.lower(), own_layout(tiles))


def own_layout(tiles: Array) -> str:
    """Our order of axes, of tiles (batch, C, (z,) y, x): ``bcyx``, or ``bczyx`` in 3D."""
    return "bc" + "zyx"[5 - tiles.ndim :]


def guess(shape: Sequence[object] | None, tiles: Array) -> str:
    """The order of a network's input axes, from their declared lengths.

    It is ours, unless the last axis is as long as a tile has channels, and the second isn't; with
    one axis less it has no channels.

    Parameters
    ----------
    shape
        As in `Network`.
    tiles
        (batch, C, (z,) y, x).

    Raises
    ------
    ValueError
        When their numbers of axes don't fit.
    """
    own, channels = own_layout(tiles), tiles.shape[1]
    if shape is None:
        return own
    if len(shape) == len(own):
        last = shape[-1] == channels != shape[1]
        return own.replace("c", "") + "c" if last else own
    if len(shape) == len(own) - 1 and channels == 1:
        return own.replace("c", "")
    raise ValueError(
        f"the network's input is {_sizes(shape)}, which doesn't fit tiles of {own}: say which "
        "axis is which by the parameter layout, for example byxc"
    )


def like(layout: str, own: str, found: Array) -> str:
    """The order of an output's axes, from that of the input and their number.

    Parameters
    ----------
    layout, own
        The network's input's order, and ours, a letter an axis: ``byxc``.
    found
        The output, of any shape.

    Raises
    ------
    ValueError
        When neither has as many axes, with or without channels.
    """
    for known in (layout, own, own.replace("c", "")):
        if len(known) == found.ndim:
            return known
    raise ValueError(
        f"the network's output has {found.ndim} axes, {_sizes(found.shape)}: say which is which "
        f"by the parameter output_layout, for example {own}"
    )


def arrange(array: Array, have: str, want: str) -> Array:
    """The same values with their axes in another order; an axis of length 1 may come or go.

    Parameters
    ----------
    array
        Of any dtype; its axes are `have`.
    have, want
        A letter an axis: ``bcyx``.

    Returns
    -------
        With axes `want`, of `array`'s dtype, C-ordered; `array` itself where nothing changes.

    Raises
    ------
    ValueError
        When the array hasn't these axes, or an axis that goes is longer than 1.
    """
    if have == want:
        return array
    gone = tuple(i for i, axis in enumerate(have) if axis not in want)
    if array.ndim != len(have) or any(array.shape[i] != 1 for i in gone):
        raise ValueError(f"an array of {_sizes(array.shape)} isn't {have} with {want} in it")
    left = [axis for axis in have if axis in want]
    left += [axis for axis in want if axis not in have]
    array = np.squeeze(array, gone)
    array = array.reshape(array.shape + (1,) * (len(left) - array.ndim))
    return np.ascontiguousarray(array.transpose([left.index(axis) for axis in want]))


def cast(array: Array, dtype: str) -> Array:
    """The array in another dtype: whole numbers are rounded to, and nothing wraps around."""
    kind = np.dtype(dtype).kind
    if array.dtype == dtype or kind == "b":
        return array.astype(dtype, copy=False)
    if kind in "iu":
        limits = np.iinfo(dtype)
        most: float | np.floating = float(limits.max)
        if most > limits.max:  # of 64 bits: it was rounded up
            most = np.nextafter(most, 0)
        return np.rint(array.astype(np.float64)).clip(limits.min, most).astype(dtype)
    most = np.finfo(dtype).max
    return array.clip(-most, most).astype(dtype)


def choose(outputs: Outputs, wanted: str | int | None) -> Array:
    """The output of a name or number, of any shape and dtype; the first if none is wanted.

    Raises
    ------
    ValueError
        Naming those there are, when it isn't among them; when it is several itself.
    """
    found = _chosen(outputs, wanted)
    if isinstance(found, (list, dict)):
        raise ValueError(
            f"the network's output {wanted or 0!r} is a {type(found).__name__}, not one array: "
            "choose another by the parameter output, or change what the network gives"
        )
    return found


def _chosen(outputs: Outputs, wanted: str | int | None) -> Array:
    outputs = [outputs] if isinstance(outputs, np.ndarray) else outputs
    names = list(outputs) if isinstance(outputs, Mapping) else [""] * len(outputs)
    values = list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)
    if wanted is None or wanted == "":
        return values[0]
    if str(wanted) in names:
        return values[names.index(str(wanted))]
    if str(wanted).isdigit() and int(wanted) < len(values):
        return values[int(wanted)]
    known = [str(i) + f" ({name})" * bool(name) for i, name in enumerate(names)]
    raise ValueError(f"the network has no output {wanted!r}; it has {', '.join(known)}")


def apply(steps: Sequence[Settings] | None, array: Array) -> Array:
    """An array (batch, C, …) after steps ``{"id": …, "kwargs": {…}}``, one after the other.

    The names and meanings are those of bioimage.io's descriptions. Each looks at one pixel at a
    time, so tiles don't show.

    Raises
    ------
    ValueError
        When there is no such step.
    """
    for step in steps or ():
        if step["id"] not in VALUE_STEPS:
            raise ValueError(
                f"there is no step {step['id']!r}; it must be one of {sorted(VALUE_STEPS)}"
            )
        array = VALUE_STEPS[step["id"]](array, **(step.get("kwargs") or {}))
    return array


def _per_channel(value: PerChannel, array: Array) -> Array:
    return np.asarray(value, np.float32).reshape(-1, *[1] * (array.ndim - 2))


def _scale_linear(
    array: Array, gain: PerChannel = 1.0, offset: PerChannel = 0.0, axis: str = ""
) -> Array:
    return np.asarray(array * _per_channel(gain, array) + _per_channel(offset, array))


def _fixed(array: Array, mean: PerChannel, std: PerChannel, axis: str = "") -> Array:
    return np.asarray((array - _per_channel(mean, array)) / _per_channel(std, array))


def _binarize(array: Array, threshold: PerChannel, axis: str = "") -> Array:
    return (array > _per_channel(threshold, array)).astype(np.float32)


def _clip(array: Array, min: Any = None, max: Any = None) -> Array:
    return array.clip(min, max)


def _ensure_dtype(array: Array, dtype: str) -> Array:
    """The values that another dtype would hold: whole numbers are cut off to, not rounded."""
    kind = np.dtype(dtype).kind
    whole = np.trunc(array) if kind in "iu" else array
    return cast(whole, dtype).astype(np.float32)


def _sigmoid(array: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * array))  # never overflows


def _softmax(array: Array, axis: str = "channel") -> Array:
    exponents = np.exp(array - array.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


VALUE_STEPS: dict[str, Callable[..., Array]] = {
    "binarize": _binarize,
    "clip": _clip,
    "ensure_dtype": _ensure_dtype,
    "fixed_zero_mean_unit_variance": _fixed,
    "scale_linear": _scale_linear,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}


def _sizes(shape: Sequence[object]) -> str:
    more = f" x … ({len(shape)} axes)" if len(shape) > MOST_AXES else ""
    return " x ".join(map(str, shape[:MOST_AXES])) + more
