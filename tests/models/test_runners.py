"""What every runner shares: axes, dtype, steps and outputs of a network; ONNX files of any kind."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_files import node, write

from tilewright.runtime import tensors
from tilewright.runtime.postprocess import to_labels

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "bin/run_onnx.py"))
Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
TILES = RNG.normal(100, 60, (3, 2, 12, 16)).astype(np.float32)


def predict(file: Path, tiles: Array, kind: str = "map", **params: Any) -> Array:
    """What `run_onnx` gives."""
    model = SCRIPT["load"](str(file), "cpu", {"output_kind": kind}, {"threads": 1, **params})
    result: Array = SCRIPT["predict"](model, tiles)
    return result


def doubling(path: Path, shape: list[int | str], dtype: str = "float32") -> Path:
    """A network whose output is its input, as float32, twice over."""
    nodes = [node("Cast", "tiles", "real", to=1), node("Add", "real real", "maps")]
    return write(
        path / "net.onnx", nodes, [("tiles", dtype, shape)], [("maps", "float32", ["a"] * 4)]
    )


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        pytest.param(["b", 2, "h", "w"], {}, id="ours"),
        pytest.param(["b", "c", "h", "w"], {}, id="nothing-fixed"),
        pytest.param(["b", "h", "w", 2], {}, id="channels-last"),
        pytest.param([1, 12, 16, 2], {}, id="channels-last-one-at-a-time"),
        pytest.param([1, 2, 12, 16], {}, id="one-at-a-time"),
        pytest.param(["b", "w", "h", "c"], {"layout": "bxyc"}, id="said"),
    ],
)
def test_the_order_of_an_inputs_axes_makes_no_difference(
    tmp_path: Path, shape: list[int | str], params: dict[str, Any]
) -> None:
    file = doubling(tmp_path, shape)
    np.testing.assert_array_equal(predict(file, TILES, **params), 2 * TILES)


def test_a_layout_decides_which_axis_a_network_reads_as_channels(tmp_path: Path) -> None:
    """Or else the comparison above would prove nothing: the first channel is weighted alone."""
    shape: list[int | str] = ["b", "h", "w", 2]
    nodes = [node("Mul", "tiles factors", "maps")]
    ports = [("tiles", "float32", shape)], [("maps", "float32", shape)]
    file = write(tmp_path / "net.onnx", nodes, *ports, {"factors": np.float32([3, 1])})
    factors = np.float32([3, 1])[:, None, None]
    np.testing.assert_array_equal(predict(file, TILES), TILES * factors)


def test_a_network_of_one_channel_may_have_no_axis_for_it(tmp_path: Path) -> None:
    nodes = [node("Identity", "tiles", "maps")]
    shape: list[int | str] = ["b", "h", "w"]
    ports = [("tiles", "float32", shape)], [("maps", "float32", shape)]
    file = write(tmp_path / "net.onnx", nodes, *ports)
    np.testing.assert_array_equal(predict(file, TILES[:, :1]), TILES[:, :1])
    with pytest.raises(ValueError, match=r"input is b x h x w, .* by the parameter layout"):
        predict(file, TILES)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float16", "float32"])
def test_tiles_are_cast_to_what_the_input_holds(tmp_path: Path, dtype: str) -> None:
    """Whole numbers are rounded to, and what is outside the range is set to its end."""
    given = np.float32([-3, 0.4, 0.6, 7, 254.9, 300, 70000, 0.1])
    tiles = np.broadcast_to(given, (1, 2, 4, 8))
    least, most = {
        "uint8": (0, 255),
        "uint16": (0, 65535),
        "int32": (-(2**31), 2**31),
        "float16": (-65504, 65504),
    }.get(dtype, (-np.inf, np.inf))
    wanted = given.clip(least, most)
    wanted = wanted.astype(dtype) if "float" in dtype else np.round(wanted)
    file = doubling(tmp_path, ["b", 2, "h", "w"], dtype)
    found = predict(file, tiles)
    np.testing.assert_array_equal(
        found, np.broadcast_to(2 * wanted.astype(np.float32), found.shape)
    )


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_nothing_wraps_around_at_64_bits(dtype: str) -> None:
    given = np.float32([1e30, 3])
    found = tensors.cast(given, dtype)
    assert found[1] == 3
    assert found[0] > 9e18


def test_an_output_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    shape: list[int | str] = ["b", 2, "h", "w"]
    nodes = [node("Identity", "tiles", "same"), node("Neg", "tiles", "negative")]
    outputs = [("same", "float32", shape), ("negative", "float32", shape)]
    file = write(tmp_path / "net.onnx", nodes, [("tiles", "float32", shape)], outputs)
    for output in (None, "", "same", 0):
        np.testing.assert_array_equal(predict(file, TILES, output=output), TILES)
    for output in ("negative", 1, "1"):
        np.testing.assert_array_equal(predict(file, TILES, output=output), -TILES)
    with pytest.raises(ValueError, match=r"no output 'flows'; it has 0 \(same\), 1 \(negative\)"):
        predict(file, TILES, output="flows")


def test_a_network_of_two_inputs_is_refused_by_their_names(tmp_path: Path) -> None:
    inputs = [("image", "float32", ["b", 2]), ("mask", "float32", ["b", 2])]
    nodes = [node("Add", "image mask", "maps")]
    file = write(tmp_path / "net.onnx", nodes, inputs, [("maps", "float32", ["b", 2])])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"takes 2 inputs \(image, mask\)"):
        predict(file, TILES)


def test_steps_come_before_and_after_a_network(tmp_path: Path) -> None:
    file = doubling(tmp_path, ["b", 2, "h", "w"])
    before = [{"id": "scale_linear", "kwargs": {"gain": [0.01, 0.02], "axis": "channel"}}]
    after = [{"id": "sigmoid", "kwargs": {}}, {"id": "binarize", "kwargs": {"threshold": 0.9}}]
    found = predict(file, TILES, before=before, after=after)
    scaled = TILES.astype(float) * np.reshape([0.01, 0.02], (2, 1, 1))
    assert 0.1 < found.mean() < 0.9
    np.testing.assert_array_equal(found, 1 / (1 + np.exp(-2 * scaled)) > 0.9)


STEPS = [
    ("clip", {"min": 50, "max": 90.5}, lambda x: np.clip(x, 50, 90.5)),
    ("clip", {"max": 90.5}, lambda x: np.minimum(x, 90.5)),
    ("ensure_dtype", {"dtype": "uint8"}, lambda x: np.trunc(np.clip(x, 0, 255))),
    ("fixed_zero_mean_unit_variance", {"mean": 9.0, "std": 4.0}, lambda x: (x - 9) / 4),
    ("scale_linear", {"gain": 0.5, "offset": 3.0}, lambda x: x / 2 + 3),
    ("softmax", {}, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
]


@pytest.mark.parametrize(("name", "kwargs", "by_hand"), STEPS)
def test_each_step_does_what_its_name_says(name: str, kwargs: Any, by_hand: Any) -> None:
    found = tensors.apply([{"id": name, "kwargs": kwargs}], TILES)
    np.testing.assert_allclose(found, by_hand(TILES.astype(float)), rtol=1e-5, atol=1e-7)


def test_an_unknown_step_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no step 'invert'; it must be one of \['binarize'"):
        tensors.apply([{"id": "invert"}], TILES)


def test_an_embedding_passes_as_the_network_gives_it(tmp_path: Path) -> None:
    nodes = [node("ReduceMean", "tiles", "vectors", axes=[2, 3], keepdims=0)]
    ports = [("tiles", "float32", ["b", 2, "h", "w"])], [("vectors", "float32", ["b", 2])]
    file = write(tmp_path / "net.onnx", nodes, *ports)  # type: ignore[arg-type]
    found = predict(file, TILES, "embedding")
    np.testing.assert_allclose(found, TILES.mean((2, 3)), rtol=1e-6)


def test_labels_that_a_network_gives_itself_are_taken_as_they_are(tmp_path: Path) -> None:
    file = doubling(tmp_path, ["b", 1, "h", "w"], "int32")
    tiles = np.round(TILES[:, :1]).clip(0)
    found = predict(file, tiles, "labels", postprocess="labels")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, 2 * tiles[:, 0])


@pytest.mark.parametrize("value", [0.37, -1, np.nan, np.inf, 5e9])
def test_maps_that_are_no_labels_are_never_rounded_to_some(value: float) -> None:
    maps = np.zeros((1, 2, 4, 4), np.float32)
    maps[0, 1, 2, 2] = value
    assert to_labels(maps, {"postprocess": "labels"}).max() == 0
    says = re.escape(f"the network's map 1 holds {value:g}, which is no label")
    with pytest.raises(ValueError, match=says):
        to_labels(maps, {"postprocess": "labels", "map": 1})


def test_an_output_that_is_several_itself_is_no_array() -> None:
    with pytest.raises(ValueError, match="the network's output 'b' is a list, not one array"):
        tensors.choose({"a": TILES, "b": [TILES, TILES]}, "b")  # type: ignore[dict-item]


def test_a_network_of_volumes_needs_no_script_either(tmp_path: Path) -> None:
    """Its axes are the last of all in the file's own order."""
    volumes = np.zeros((2, 1, 6, 12, 16), np.float32)
    volumes[:, 0, 1:5, 2:8, 3:9], volumes[1, 0, 1:5, 2:8, 11:16] = 1, 1
    nodes = [node("Add", "tiles tiles", "maps")]
    ports = [(name, "float32", ["b", "d", "h", "w", 1]) for name in ("tiles", "maps")]
    file = write(tmp_path / "net.onnx", nodes, ports[:1], ports[1:])
    np.testing.assert_array_equal(predict(file, volumes), 2 * volumes)
    found = predict(file, volumes, "labels", postprocess="components")
    np.testing.assert_array_equal(found > 0, volumes[:, 0] > 0)
    assert found.max(axis=(1, 2, 3)).tolist() == [1, 2]


def test_a_rule_says_how_many_maps_it_takes() -> None:
    with pytest.raises(ValueError, match=r"watershed takes at least 3 maps .* it gets 2 x 12 x 16"):
        to_labels(TILES, {"postprocess": "watershed"})


@pytest.mark.parametrize(
    ("have", "want", "says"),
    [
        ("bcyx", "byx", "an array of 3 x 2 x 12 x 16 isn't bcyx with byx in it"),
        ("byx", "bcyx", "an array of 3 x 2 x 12 x 16 isn't byx"),
    ],
)
def test_axes_that_do_not_fit_are_said(have: str, want: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tensors.arrange(TILES, have, want)


def test_axes_come_go_and_change_places() -> None:
    found = tensors.arrange(TILES[:1], "bcyx", "xytc")
    np.testing.assert_array_equal(found, TILES[0].transpose(2, 1, 0)[:, :, None])
    np.testing.assert_array_equal(tensors.arrange(found, "xytc", "bcyx"), TILES[:1])


def test_maps_of_nan_are_no_objects_that_nobody_found() -> None:
    maps = np.full((1, 3, 8, 8), np.nan, np.float32)
    with pytest.raises(ValueError, match="the network's maps hold NaN"):
        to_labels(maps, {"postprocess": "components"})


def test_an_input_of_a_thousand_axes_is_told_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"x 1 x … \(1000 axes\), which doesn't fit") as caught:
        tensors.guess([1] * 1000, TILES)
    assert len(str(caught.value)) < 300
