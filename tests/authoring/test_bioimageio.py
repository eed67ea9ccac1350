"""bioimage.io descriptions: what becomes of each part, and what is refused.

They are as bioimageio.spec gives them; `test_package` proves that, by the library itself.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from packages import ANY, FLOAT, FULL, channels, like, put, side

from tilewright.authoring.bioimageio import translate
from tilewright.errors import TilewrightError

Values = dict[str, Any]
ZSCORE = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": 1e-6}}
RANGE = {
    "id": "scale_range",
    "kwargs": {"axes": ["y", "x"], "min_percentile": 5.0, "max_percentile": 99.8, "eps": 1e-6},
}
HALVED = {"id": "scale_linear", "kwargs": {"gain": 0.5, "offset": 0.0}}
SIGMOID: Values = {"id": "sigmoid", "kwargs": {}}


def before(*steps: Values, **changes: Any) -> Values:
    return put(FULL, inputs__0__preprocessing=[FLOAT, *steps, FLOAT], **changes)


def after(*steps: Values) -> Values:
    return put(FULL, outputs__0__postprocessing=[*steps, FLOAT])


def axes(*given: Values, result: tuple[Values, ...] = ()) -> Values:
    """The description with other spatial axes; the output's are the input's if left out."""
    batch: Values = {"type": "batch", "id": "batch", "size": None}
    outs = result or tuple(like(a["id"], scale=1.0, size={"offset": 0}) for a in given)
    inputs = [batch, channels("dna"), *({"scale": 1.0, **a} for a in given)]
    outputs = [batch, channels("inside"), *outs]
    return put(FULL, inputs__0__axes=inputs, outputs__0__axes=outputs)


def coarser(*scales: float) -> Values:
    """The description with output pixels so many times as large, along y and x."""
    given = side("y", ANY), side("x", ANY)
    outs = tuple(
        like(a, scale=s, halo=11, size={"offset": 0})
        for a, s in zip("yx", (*scales, *scales), strict=False)
    )
    return axes(*given, result=outs)


def spec_of(described: Values, **wishes: Any) -> Values:
    spec: Values = translate(described, **wishes).manifest["spec"]
    return spec


def test_who_made_it_and_what_it_is_reach_the_manifest() -> None:
    manifest = translate(FULL, task="nuclei").manifest
    assert manifest["name"] == "Bright Things (test)"
    assert manifest["short_name"] == "bright_things_test"
    assert manifest["license"] == "MIT"
    assert manifest["metadata"]["description"] == "Makes maps of bright things."
    assert manifest["metadata"]["repo"] == "https://github.com/someone/things"
    (author,) = manifest["metadata"]["authors"]
    assert author == {"name": "Ada Maß", "affiliation": "Somewhere", "github": "octocat"}
    (cited,) = manifest["metadata"]["pubs"]
    assert (cited["title"], cited["url"]) == ("Things, seen", "https://doi.org/10.1234/things")
    version = manifest["versions"]["0.2.1"]
    assert version["release"] == "0.2.1"
    assert version["tasks"]["nuclei"]["locations"] == [{"location": "weights.onnx"}]
    assert translate(put(FULL, id="zoo/affable-shark")).manifest["short_name"] == "affable_shark"


STEPS = [
    pytest.param([ZSCORE], {"method": "zscore", "scope": "image"}, None, id="zscore"),
    pytest.param(
        [RANGE],
        {"method": "percentile", "low": 5.0, "high": 99.8, "scope": "image"},
        None,
        id="range",
    ),
    pytest.param([HALVED], None, [HALVED], id="linear"),
    pytest.param([ZSCORE, HALVED, SIGMOID],
                 {"method": "zscore", "scope": "image"}, [HALVED, SIGMOID], id="zscore-then"),
    pytest.param([{"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}], None,
                 [{"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}], id="dtype"),
    pytest.param([{"id": "clip", "kwargs": {"min": 0.0, "max": 1.0, "max_percentile": None}}],
                 None, [{"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}], id="clip"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "normalization", "left"), STEPS)
def test_preprocessing_becomes_normalization_and_the_runners_steps(
    steps: list[Values], normalization: Values | None, left: list[Values] | None
) -> None:
    made = translate(before(*steps))
    assert made.manifest["spec"].get("normalization") == normalization
    assert made.config.get("before") == left


def test_fixed_means_become_mean_and_std_per_channel() -> None:
    kwargs = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "axis": "channel"}
    spec = spec_of(before({"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}))
    assert (spec["mean"], spec["std"]) == ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    kwargs = {"mean": 9.0, "std": 2.0}
    spec = spec_of(before({"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}))
    assert (spec["mean"], spec["std"]) == ([9.0] * 3, [2.0] * 3)


def test_what_differs_but_little_is_said() -> None:
    over = put(ZSCORE, kwargs__axes=["batch", "y", "x"])
    assert any("whole dataset" in note for note in translate(before(over)).notes)
    byte = put(FLOAT, kwargs__dtype="uint8")
    described = put(FULL, inputs__0__preprocessing=[byte, ZSCORE, FLOAT])
    assert any("for pixels of uint8" in note for note in translate(described).notes)
    assert translate(described).config.get("before") is None


JOINT = put(ZSCORE, kwargs__axes=None)
REFUSED = [
    pytest.param(before(JOINT), "zero_mean_unit_variance is over all channels", id="joint"),
    pytest.param(before(put(ZSCORE, kwargs__axes=["x"])), "is apart along y", id="one-axis"),
    pytest.param(before(put(ZSCORE, kwargs__eps=0.1)), "has eps 0.1", id="eps"),
    pytest.param(before(HALVED, ZSCORE), "zero_mean_unit_variance after other steps", id="late"),
    pytest.param(before({"id": "clip", "kwargs": {"min_percentile": 1.0}}),
                 "clip is at percentiles", id="clip"),
    pytest.param(before(put(HALVED, kwargs__axis="y")), "scale_linear is along y", id="axis"),
    pytest.param(after(ZSCORE), "maps's step zero_mean_unit_variance", id="after"),
    pytest.param(after({"id": "stardist_postprocessing", "kwargs": {}}),
                 "step stardist_postprocessing isn't there", id="stardist"),
    pytest.param(after({"id": "custom", "kwargs": {}}), "step custom isn't there", id="custom"),
    pytest.param(put(FULL, inputs=[FULL["inputs"][0], put(FULL["inputs"][0], id="hint")]),
                 "it takes 2 inputs (raw, hint)", id="two-inputs"),
    pytest.param(put(FULL, weights={"pytorch_state_dict": {"source": "w.pt"}, "keras_hdf5": None}),
                 "its weights are pytorch_state_dict only", id="state-dict"),
    pytest.param(put(FULL, weights__onnx__external_data={"source": "w.data"}),
                 "its ONNX weights are in two files", id="two-files"),
    pytest.param(axes(side("width", ANY), side("y", ANY)), "an axis width", id="axis-name"),
    pytest.param(axes(side("y", ANY)), "raw has no axes y and x", id="no-x"),
    pytest.param(axes({"type": "time", "id": "time", "size": 5}, side("y", ANY), side("x", ANY)),
                 "an axis time of more than one time", id="time"),
    pytest.param(axes(side("y", ANY), side("x", ANY), result=(
        like("y", scale=1.0, size={"offset": -8}), like("x", scale=1.0, size={"offset": 0}))),
        "maps isn't as large as, or a whole part of, its input", id="smaller"),
    pytest.param(coarser(1.5), "maps isn't as large as, or a whole part of,", id="one-and-a-half"),
    pytest.param(coarser(2.0, 1.0), "maps isn't as large as, or a whole part of,", id="uneven"),
]  # fmt: skip


@pytest.mark.parametrize(("described", "says"), REFUSED)
def test_what_cannot_be_done_exactly_is_refused_by_name(described: Values, says: str) -> None:
    with pytest.raises(TilewrightError, match=re.escape(says)) as refused:
        translate(described)
    assert refused.value.code == 65


def test_all_that_cannot_be_done_is_said_at_once() -> None:
    described = put(before(JOINT), outputs__0__postprocessing=[{"id": "custom", "kwargs": {}}])
    with pytest.raises(TilewrightError, match="step custom isn't there") as refused:
        translate(described)
    assert len(str(refused.value).splitlines()) == 2


SIZES = [
    # what the input's axes say, labels or maps, and the tile's size, band, context, and freedom
    pytest.param((104, 8), 48, 0, None, (512, 0, 56, True), id="maps"),
    pytest.param((104, 8), 48, 0, "components", (512, 64, 48, True), id="labels"),
    pytest.param((16, 16), 0, 0, None, (512, 0, 32, True), id="no-halo"),
    pytest.param((64, 32), 100, 0, "argmax", (768, 64, 128, True), id="wide-halo"),
    pytest.param((16, 16), 16, 1024, None, (1024, 0, 16, True), id="test-input-in-one-tile"),
    pytest.param((100, 8), 16, 0, None, (516, 0, 16, False), id="no-multiple"),
    pytest.param((100, 8), 16, 116, None, (116, 0, 16, False), id="no-multiple-tested"),
    pytest.param((256, 0), 32, 256, "components", (256, 64, 32, False), id="fixed"),
    pytest.param((128, 0), 16, 0, "components", (128, 32, 16, False), id="fixed-and-small"),
]


@pytest.mark.parametrize(("sizes", "halo", "tested", "labels", "wanted"), SIZES)
def test_a_tile_is_of_a_size_that_the_network_takes(
    sizes: tuple[int, int],
    halo: int,
    tested: int,
    labels: str | None,
    wanted: tuple[int, int, int, bool],
) -> None:
    least, step = sizes
    size: Any = {"min": least, "step": step} if step else least
    more = {"halo": halo} if halo else {}
    given = side("y", size), side("x", {"tensor_id": "raw", "axis_id": "y", "offset": 0})
    described = axes(
        *given, result=tuple(like(a, scale=1.0, size={"offset": 0}, **more) for a in "yx")
    )
    described = put(described, inputs__0__test_shape={"y": tested, "x": tested} if tested else {})
    imported = translate(described, labels=labels)
    tile = imported.manifest["spec"]["tile_spec"]
    for axis in "yx":
        found = tile["size"][axis], tile["band"][axis], tile["context"][axis]
        assert (*found, tile.get("variable_input", False)) == wanted
    assert tile.get("stride_multiple", 1) == (step if wanted[3] else 1)
    assert any("no halo" in note for note in imported.notes) == (not halo)


@pytest.mark.parametrize(("labels", "wanted"), [("components", (8, 8, 64)), (None, (0, 8, 32))])
def test_tiles_of_a_volume_overlap_along_z_too(
    labels: str | None, wanted: tuple[int, int, int]
) -> None:
    size: Any = {"min": 16, "step": 8}
    result = [like(a, scale=1.0, size={"offset": 0}, halo=8) for a in "zyx"]
    described = axes(*(side(a, size) for a in "zyx"), result=tuple(result))
    tile = translate(described, labels=labels).manifest["spec"]["tile_spec"]
    assert tuple(tile[name]["z"] for name in ("band", "context", "size")) == wanted


def test_maps_may_be_coarser_than_the_image_but_labels_may_not() -> None:
    tile = spec_of(coarser(16.0))["tile_spec"]
    assert tile["context"]["y"] == tile["context"]["x"] == 16 * 11
    assert tile["stride_multiple"] == 16
    assert tile["size"]["y"] == 16 * 44
    with pytest.raises(TilewrightError, match="maps isn't as large as its input"):
        spec_of(coarser(2.0), labels="components")


def test_labels_are_made_only_when_asked_for() -> None:
    maps = spec_of(FULL)
    assert (maps["output_kind"], maps["merge"]) == ("map", {"policy": "core"})
    assert maps["classes"] == ["inside", "edge", "distance"]
    made = translate(FULL, labels="watershed")
    assert made.manifest["spec"]["output_kind"] == "labels"
    assert made.config["postprocess"] == "watershed"
    assert {p["arg_name"] for p in made.manifest["params"]} >= {"seed_threshold", "min_area"}
    assert spec_of(FULL, labels="argmax")["merge"] == {"policy": "keep"}


def test_channels_have_their_names_and_red_green_blue_is_colour() -> None:
    spec = spec_of(FULL)
    assert (spec["num_channels"], spec["color_space"]) == (3, "RGB")
    spec = spec_of(axes(side("y", ANY), side("x", ANY)))
    assert (spec["num_channels"], spec["channel_names"]) == (1, ["dna"])
    assert spec["color_space"] == "MULTI"


def test_another_output_or_format_can_be_chosen() -> None:
    two = put(FULL, outputs=[FULL["outputs"][0], put(FULL["outputs"][0], id="flows")])
    assert "output" not in translate(two).config
    assert translate(two, output="flows").config["output"] == 1
    with pytest.raises(TilewrightError, match=r"--output x: .* Choose from: maps, flows"):
        translate(two, output="x")
    scripted = put(FULL, weights={"onnx": None, "torchscript": {"source": "w.pt"}})
    assert translate(scripted).manifest["runner"] == "torchscript"
    assert translate(scripted).config["dtype"] == "float32"


def test_channels_last_and_a_missing_channel_axis_are_the_runners_to_order() -> None:
    batch, *others = FULL["inputs"][0]["axes"]
    described = put(FULL, inputs__0__axes=[batch, *others[1:], others[0]])
    assert translate(described).config["layout"] == "byxc"
    described = put(axes(side("y", ANY), side("x", ANY)))
    described["inputs"][0]["axes"].pop(1)
    assert translate(described).config["layout"] == "byx"
    assert translate(described).manifest["spec"]["num_channels"] == 1
