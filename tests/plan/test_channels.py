"""Which of an image's channels a model sees: by names, in order, or as the user says."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from pictures import speckles
from planning import planned

from tilewright.cli.main import main
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import TilewrightError
from tilewright.images.image import open_image
from tilewright.plan.fit import plan_image
from tilewright.plan.inputs import Row
from tilewright.plan.params import Params
from tilewright.preprocess.reader import TileReader

TILE = TileSpec({"y": 16, "x": 16})
RGB = ModelSpec("colour", "1", TILE, num_channels=3, color_space="RGB")
BGR = dataclasses.replace(
    RGB, color_space="BGR", channel_names=("blue", "green", "red"), model_name="turned"
)
HED = dataclasses.replace(RGB, color_space="HED", normalization={"method": "zscore"})
GRAY = ModelSpec("grey", "1", TILE, color_space="GRAY")
ONE = ModelSpec("one", "1", TILE)
NAMED = ModelSpec("named", "1", TILE, num_channels=3, channel_names=("red", "green", "blue"))
TWO = ModelSpec("two", "1", TILE, num_channels=2, channel_names=("segment", "nucleus"))
STAINS = ("DAPI", "GFP", "Cy5")


def label(value: object) -> str:
    return value.model_name if isinstance(value, ModelSpec) else str(value)


def image(folder: Path, names: tuple[str | None, ...] = (), count: int = 0, **more: Any) -> Path:
    """An OME-TIFF of channels of noise, a plane each, with these names."""
    pixels = speckles((count or len(names), 16, 16), **more)
    path = folder / "a.ome.tif"
    about: dict[str, Any] = {"axes": "CYX"}
    if names:
        about["Channel"] = {"Name": list(names)}
    tifffile.imwrite(path, pixels, metadata=about, photometric="minisblack")
    if any(n is None for n in names):
        text = tifffile.tiffcomment(path)
        tifffile.tiffcomment(path, text.replace(' Name="None"', "").encode())
    return path


def read(path: Path, spec: ModelSpec, said: str | None = None) -> Any:
    """An image as it is planned for a model."""
    return plan_image(Row(path, "a", channels=said), Params(input="."), spec)


def commands(error: TilewrightError) -> list[str]:
    """Each ``--channels`` that an error says to use, as a shell takes it."""
    words = re.findall(r"--channels ((?:'[^']*'|[^\s'])+?)[.,]?(?= |$)", error.fix)
    return [shlex.split(word)[0] for word in words]


def refused(path: Path, spec: ModelSpec, said: str | None = None) -> TilewrightError:
    with pytest.raises(TilewrightError) as caught:
        read(path, spec, said)
    return caught.value


@pytest.mark.parametrize("spec", [RGB, BGR, HED, GRAY], ids=lambda s: s.color_space)
@pytest.mark.parametrize(
    "names",
    [STAINS, ("DAPI", "", ""), ("red", "green", "Cy5"), ("green", "red", ""), (*STAINS, "CD45")],
    ids=" ".join,
)
def test_named_channels_that_are_no_colours_are_never_taken_as_colours(
    tmp_path: Path, spec: ModelSpec, names: tuple[str, ...]
) -> None:
    error = refused(image(tmp_path, names), spec)
    assert names[0] in str(error)
    said = commands(error)
    assert said
    for one in said:
        assert read(tmp_path / "a.ome.tif", spec, one).ref.channels


def test_the_sentence_has_the_very_command(tmp_path: Path) -> None:
    error = refused(image(tmp_path, STAINS), RGB)
    assert "its channels are DAPI, GFP and Cy5, and colour takes red, green and blue" in error.what
    assert commands(error) == ["red=DAPI,green=GFP,blue=Cy5", "DAPI"]
    assert read(tmp_path / "a.ome.tif", RGB, "DAPI").channels == ("red, green, blue = DAPI (0)",)


@pytest.mark.parametrize(
    ("names", "reads"),
    [
        (("R", "G", "B"), (0, 1, 2)),
        (("Red", "GREEN", "blue"), (0, 1, 2)),
        (("blue", "green", "red"), (2, 1, 0)),
        (("r", "g", "b", "alpha"), (0, 1, 2)),
        (("Channel 0", "Channel 1", "Channel 2"), (0, 1, 2)),
        (("C:0", "C:1", "C:2"), (0, 1, 2)),
    ],
)
def test_colours_are_known_by_their_names(
    tmp_path: Path, names: tuple[str, ...], reads: tuple[int, ...]
) -> None:
    path = image(tmp_path, names)
    assert read(path, RGB).ref.channels == reads
    assert read(path, BGR).ref.channels == reads


def test_what_wants_blue_first_gets_what_is_named_blue_first(tmp_path: Path) -> None:
    path = image(tmp_path, STAINS, dtype="uint8")
    pixels = tifffile.imread(path)
    ref = read(path, BGR, "blue=DAPI,green=GFP,red=Cy5").ref
    with TileReader(ref, BGR) as reader:
        seen = reader.read(0, ((0, 16), (0, 16)))
    assert np.array_equal(seen, pixels), "its channels are blue, green and red"


def test_planes_without_names_are_taken_as_colours_with_a_sentence(tmp_path: Path) -> None:
    assert "first three are taken as red" in read(image(tmp_path, count=3), RGB).remarks[0]
    assert "its fourth is left out" in read(image(tmp_path, count=4), RGB).remarks[0]
    tifffile.imwrite(tmp_path / "rgb.tif", speckles((16, 16, 3), "uint8"), photometric="rgb")
    assert not read(tmp_path / "rgb.tif", RGB).remarks


def test_names_that_are_not_the_models_are_taken_in_order_and_said_with_the_way_out(
    tmp_path: Path,
) -> None:
    planned = read(image(tmp_path, ("DAPI", "GFP")), TWO)
    assert planned.channels == ("segment = DAPI (0)", "nucleus = GFP (1)")
    (said,) = planned.remarks
    assert said.startswith("Its channels DAPI and GFP are taken in order, as segment and nucleus.")
    asked = said.partition("--channels ")[2].rstrip(".")
    again = read(image(tmp_path, ("DAPI", "GFP")), TWO, asked)
    assert (again.channels, again.remarks) == (("segment = GFP (1)", "nucleus = DAPI (0)"), ())
    assert read(image(tmp_path, ("Channel 0", "Channel 1")), TWO).remarks == ()


def test_names_of_the_model_decide_over_the_order(tmp_path: Path) -> None:
    planned = read(image(tmp_path, ("Nucleus", "segment")), TWO)
    assert planned.ref.channels == (1, 0)
    assert planned.channels == ("segment = segment (1)", "nucleus = Nucleus (0)")
    error = refused(image(tmp_path, ("nucleus", "CD45")), TWO)
    assert commands(error) == ["segment=CD45,nucleus=nucleus"]


SAID = [
    (TWO, STAINS, "nucleus=DAPI,segment=2", ("segment = Cy5 (2)", "nucleus = DAPI (0)")),
    (TWO, STAINS, "nucleus=dapi", ("segment = none", "nucleus = DAPI (0)")),
    (TWO, STAINS, "NUCLEUS=dapi", ("segment = none", "nucleus = DAPI (0)")),
    (TWO, ("dapi", "DAPI"), "nucleus=DAPI", ("segment = none", "nucleus = DAPI (1)")),
    (TWO, STAINS, "2,0", ("segment = Cy5 (2)", "nucleus = DAPI (0)")),
    (ONE, STAINS, "GFP", ("channel 0 = GFP (1)",)),
    (GRAY, STAINS, "GFP", ("channel 0 = GFP (1)",)),
    (GRAY, STAINS, "0,2,1", ("red = DAPI (0)", "green = Cy5 (2)", "blue = GFP (1)")),
    (RGB, STAINS, "R=Cy5,g=GFP", ("red = Cy5 (2)", "green = GFP (1)", "blue = none")),
    (ONE, ("DAPI", None, "GFP"), "gfp", ("channel 0 = GFP (2)",)),
    (ONE, ("DAPI", None, "GFP"), "1", ("channel 0 = 1",)),
    (TWO, ("Alexa 488, 40x", "b"), 'b,"Alexa 488, 40x"', (1, 0)),
    (ONE, ("CD45 (Opal 520, 1:200)", "b"), "cd45 (Opal 520, 1:200)", (0,)),
    (TWO, ("a=b", "c"), "nucleus=a=b,segment=c", (1, 0)),
    (TWO, ("a=b", "c"), "c,a=b", (1, 0)),
    (TWO, ("nucleus=x", "c"), "nucleus=nucleus=x,segment=c", (1, 0)),
    (ONE, ("405", "488"), "488", ("channel 0 = 488 (1)",)),
    (ONE, ("Zellkern-Fa\u0308rbung", "b"), "zellkern-f\u00e4rbung", (0,)),
    (ONE, ("DAPI", "DAPI", "GFP"), "1", ("channel 0 = DAPI (1)",)),
    (ONE, ("1", "1", "2"), "#1", ("channel 0 = 1 (1)",)),
    (ONE, ("max(a,b)", "a", "b"), "max(a,b)", ("channel 0 = max(a,b) (0)",)),
    (TWO, STAINS, "segment=max(GFP,Cy5)", ("segment = max(GFP (1), Cy5 (2))", "nucleus = none")),
]


@pytest.mark.parametrize(("spec", "names", "said", "told"), SAID, ids=label)
def test_a_channel_is_asked_for_by_name_or_number(
    tmp_path: Path,
    spec: ModelSpec,
    names: tuple[str | None, ...],
    said: str,
    told: tuple[str, ...] | tuple[int, ...],
) -> None:
    planned = read(image(tmp_path, names), spec, said)
    assert not planned.remarks
    assert told in (planned.channels, planned.ref.channels)


def test_a_name_that_is_another_channels_number_is_said(tmp_path: Path) -> None:
    path = image(tmp_path, ("1", "2", "3"))
    named = read(path, ONE, "1")
    assert named.ref.channels == (0,)
    assert "1 in --channels is read as the name of channel 0" in named.remarks[0]
    assert "would be #1" in named.remarks[0]
    assert read(path, ONE, "#1").ref.channels == (1,)
    assert not read(path, ONE, '"1"').remarks


HINTS = [
    (TWO, STAINS, "nucleus=DPAI", "Did you mean 'DAPI'", "nucleus=DAPI"),
    (TWO, STAINS, "nucleus=DPAI,segment=GPF", "Did you mean 'DAPI'", None),
    (TWO, STAINS, "nucleus=Hoechst", "It has DAPI, GFP and Cy5", None),
    (TWO, (None, None, None), "DAPI", "Its channels have no names, only numbers: 0 to 2", "0"),
    (TWO, STAINS, "nucleus=7", "It has DAPI, GFP and Cy5", None),
    (TWO, STAINS, "nuclei=DAPI,segment=GFP", "", "nucleus=DAPI,segment=GFP"),
    (TWO, STAINS, "nucleus=DAPI,nucleus=GFP", "", "nucleus=DAPI,segment=GFP"),
    (TWO, STAINS, "0,1,2", "", "segment=DAPI,nucleus=GFP"),
    (TWO, STAINS, "Hoechst 3", "It has DAPI", None),
    (TWO, STAINS, ",", "", "segment=DAPI,nucleus=GFP"),
    (TWO, STAINS, "nucleus=", "", None),
    (TWO, STAINS, None, "", "segment=DAPI,nucleus=GFP"),
    (RGB, STAINS, "nucleus=DAPI", "", "DAPI"),
    (RGB, STAINS, "nucleus=DAPI,segment=GFP", "", "red=DAPI,green=GFP"),
    (HED, STAINS, "nucleus=DAPI", "", None),
    (GRAY, STAINS, "nucleus=DAPI", "", "DAPI"),
    (GRAY, (*STAINS, "b"), None, "", "DAPI"),
    (ONE, STAINS, None, "", "DAPI"),
    (ONE, ("DAPI", "dapi", "x"), "Dapi", "Say which one", "DAPI"),
    (ONE, ("DAPI", "DAPI", "GFP"), "DAPI", "Say which one", "0"),
    (TWO, ("DAPI", "DAPI", "GFP"), "nucleus=DAPI", "Say which one", "nucleus=0"),
    (ONE, ("1", "1", "2"), "1", "Say which one", "0"),
    (ONE, ("a, b", "c"), "a, b", "", None),
    (ONE, ("a=b", "c=d"), None, "", "0"),
    (ONE, ("max(a,b)", "c"), None, "", "0"),
    (TWO, STAINS, "segment=median(GFP,Cy5)", "put together by max, mean or sum", None),
    (TWO, STAINS, "segment=max(GPF,Cy5)", "Did you mean 'GFP'", "segment=max(GFP,Cy5)"),
    (TWO, STAINS, "segment=max()", "", None),
    (TWO, STAINS, "segmnt=max(GFP,Cy5)", "", "segment=max(GFP,Cy5)"),
]


@pytest.mark.parametrize(("spec", "names", "said", "says", "command"), HINTS, ids=label)
def test_every_hint_on_channels_works(
    tmp_path: Path,
    spec: ModelSpec,
    names: tuple[str, ...],
    said: str | None,
    says: str,
    command: str | None,
) -> None:
    path = image(tmp_path, names)
    error = refused(path, spec, said)
    assert says in error.fix
    hints = commands(error)
    if command is not None:
        assert sorted(hints[0].split(",")) == sorted(command.split(","))
    assert hints or spec is HED
    for one in hints:
        if not (spec is HED and "," not in one):
            read(path, spec, one)


@pytest.mark.parametrize("spec", [RGB, BGR, GRAY, ONE, TWO, HED], ids=lambda s: s.model_name)
@pytest.mark.parametrize("count", [2, 5])
def test_the_hint_for_a_number_that_does_not_fit_works(
    tmp_path: Path, spec: ModelSpec, count: int
) -> None:
    path = image(tmp_path, count=count)
    if spec.num_channels == count:
        return
    error = refused(path, spec)
    listed = "0 and 1" if count == 2 else f"0 to {count - 1}"
    assert f"has {count} channels ({listed})" in error.what
    hints = commands(error)
    assert hints or spec is HED
    for one in hints:
        read(path, spec, one)


def test_a_models_own_parameter_is_a_number_whatever_names_say(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image(tmp_path / "in", ("2", "1", "3"))
    (tmp_path / "own.yml").write_text("segment_channel: 1\nnucleus_channel: 2\n")
    plan = planned(tmp_path, model="cellpose", model_config=str(tmp_path / "own.yml"))
    assert plan.images[0].ref.channels == (0, 1)
    assert plan.images[0].channels == ("segment = 2 (0)", "nucleus = 1 (1)")


def test_plan_says_what_is_read_for_what_once_for_images_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = image(tmp_path / name, STAINS)
        path.rename(tmp_path / f"{name}.ome.tif")
    words = [
        "plan",
        "--input",
        str(tmp_path),
        "--model",
        "cellpose",
        "--outdir",
        str(tmp_path / "o"),
    ]
    words += ["--channels", "segment=gfp,nucleus=dapi"]
    told = CliRunner().invoke(main, words, env={"COLUMNS": "200"})
    assert told.exit_code == 0
    assert "channels a and b: segment = GFP (1), nucleus = DAPI (0)" in told.output


def test_channels_without_a_name_are_told_by_number(tmp_path: Path) -> None:
    path = image(tmp_path, ("DAPI", None, "GFP"))
    error = refused(path, TWO)
    assert "has 3 channels (DAPI, 1 and GFP)" in error.what
    assert read(path, TWO, "GFP,1").channels == ("segment = GFP (2)", "nucleus = 1")


def test_a_model_that_names_its_channels_after_colours_takes_colours(tmp_path: Path) -> None:
    error = refused(image(tmp_path, STAINS), NAMED)
    assert "takes red, green and blue" in error.what
    (said,) = commands(error)
    assert read(tmp_path / "a.ome.tif", NAMED, said).ref.channels == (0, 1, 2)
    assert read(image(tmp_path, ("b", "R", "g")), NAMED).ref.channels == (1, 2, 0)


@pytest.mark.parametrize(("labels", "named"), [
    (["DAPI", "GFP"] * 3, ("DAPI", "GFP")),
    ([f"c:{c + 1}/2 z:{z + 1}/3 - {n}" for z in range(3) for c, n in enumerate("ab")], ("a", "b")),
    ([f"c:{c + 1}/2 z:{z + 1}/3 - x.czi" for z in range(3) for c in range(2)], None),
    (list("abcdef"), None), (["DAPI", "GFP", "DAPI", "DAPI", "DAPI", "GFP"], None),
    ([""] * 6, None),
])  # fmt: skip
def test_imagejs_labels_name_channels_where_all_slices_agree(
    tmp_path: Path, labels: list[str], named: tuple[str, ...] | None
) -> None:
    about: Any = {"axes": "ZCYX", "Labels": labels}
    tifffile.imwrite(tmp_path / "a.tif", speckles((3, 2, 16, 16)), imagej=True, metadata=about)
    with open_image(tmp_path / "a.tif") as found:
        assert found.channel_names == named
