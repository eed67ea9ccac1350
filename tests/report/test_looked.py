"""What was looked at, and what the model saw: both are told, and what can't be right of it."""

from __future__ import annotations

import pytest
from reported import TISSUE, Page, Run, grey, saw


def test_how_many_tiles_were_predicted_and_by_which_mask_is_told(run: Run) -> None:
    found = {**TISSUE, "min_tissue": 0.1}
    given = {**TISSUE, "by": "file", "file": "b <roi>.geojson", "rule": None, "min_tissue": 0.0}
    run.result("a", mask=found, predicted=2)
    run.result("b", "h", mask=given, predicted=1)
    run.result("c", "k")
    told, page = run.write()
    assert told["counts"]["tiles"] == 18
    assert told["counts"]["predicted"] == 9
    assert [i["mask"] for i in told["images"]] == [found, given, None]
    words = " ".join(Page(page).text.split())
    assert "9of 18 tiles predicted" in words
    assert "Looked at2 of 6 tiles with at least 10 % in the tissue found 2 \u00d7 3 tiles" in words
    assert "Looked at1 of 6 tiles in the mask b <roi>.geojson 2 \u00d7 3 tiles" in words
    assert "Looked atall 6 tiles 2 \u00d7 3 tiles; no mask: everywhere" in words


@pytest.mark.parametrize(
    ("by", "says", "fix"),
    [
        (
            "tissue",
            "No tissue was found",
            " If it has some, draw it, or say --mask none.",
        ),
        ("file", "Its mask has nothing inside", ""),
    ],
)
def test_a_slide_of_which_no_tile_was_predicted_is_said(
    run: Run, by: str, says: str, fix: str
) -> None:
    run.result("a", mask={**TISSUE, "by": by, "min_tissue": 0.0}, predicted=0, objects=0)
    told, page = run.write()
    line = f"{says}: none of its 6 tiles was predicted, and its result is empty.{fix}"
    assert f"a: {line}" in told["remarks"]
    assert line in told["images"][0]["remarks"]
    assert line in page
    assert told["failed"] == []


def test_of_an_image_without_a_result_the_planned_mask_is_told(run: Run) -> None:
    run.planned("a", mask={**TISSUE, "digest": None, "min_tissue": 0.0})
    told, _ = run.write()
    assert told["images"][0]["mask"]["by"] == "tissue"
    assert told["images"][0]["predicted"] is None
    assert not [line for line in told["remarks"] if "tissue" in line]


def test_what_the_model_saw_of_an_image_is_told_and_shown(run: Run) -> None:
    run.spec = {"input_range": (0.0, 1.0)}
    grey(run.here / "tile.png", 64, 64)
    taken = {"range": [0, 4095], "range_from": "SignificantBits 12"}
    run.result("a", seen=saw(0.31, 0.2, 0.97), tile="tile.png", **taken)
    grey(run.here / "merged" / "merged-g" / "tile.png", 64, 64)
    facts, page = run.write()
    (a,) = facts["images"]
    assert (a["range"], a["range_from"]) == ([0, 4095], "SignificantBits 12")
    assert a["seen"] == saw(0.31, 0.2, 0.97)
    assert (a["doubts"], facts["doubts"]) == ([], [])
    text = " ".join(Page(page).text.split())
    assert "0 to 4095, by SignificantBits 12" in text
    assert "Tile 3, counted from 0, as the model saw it" in text
    assert "Over the 4 of 6 tiles with content: mean 0.31, std 0.2, from 0 to 0.97" in text
    assert "A tile of a as the model saw it" in Page(page).every("alt")


def test_what_cant_be_right_is_a_remark_of_the_image_and_of_the_run(run: Run) -> None:
    run.spec = {"input_range": (0.0, 1.0)}
    taken = {"range": [0, 65535], "range_from": "uint16"}
    run.result("a", seen=saw(0.03, 0.02, 0.0624), **taken)
    run.result("b", seen=saw(0.5, 0.2, 0.99), **taken)
    run.refused("c", "c.tif: is damaged. Copy it again.")
    facts, page = run.write()
    a, b, c = facts["images"]
    (doubt,) = a["doubts"]
    assert doubt.startswith("The model saw it nearly black: 99.9 % is under 6.24 %")
    assert "--range 0,4095" in doubt
    assert a["remarks"][-1] == doubt
    assert (b["doubts"], c["doubts"], c["seen"]) == ([], [], None)
    assert facts["doubts"] == [f"a: {doubt}"]
    assert facts["remarks"][-1] == f"a: {doubt}"
    assert Page(page).text.count(doubt) == 1
    assert "What the model saw can't be right" in Page(page).text


def test_normalised_values_that_cant_be_right_are_told(run: Run) -> None:
    run.spec = {"normalization": {"method": "zscore"}}
    run.result("a", seen=saw(0.2, 70.0, 5000.0))
    facts, _ = run.write()
    (line,) = facts["doubts"]
    assert line.startswith(
        "a: What the model saw has a mean of 0.2 and a std of 70, and it expects"
    )
