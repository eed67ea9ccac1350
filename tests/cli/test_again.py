"""A run once more: from its run.json alone, and refused where something has changed."""

import json
from pathlib import Path
from typing import Any

import pytest
import tifffile
from click.testing import CliRunner
from planning import grey, planned
from running import Checkout, discs

from tilewright import ROOT
from tilewright.cli import main
from tilewright.cli.again import read, repeated
from tilewright.errors import ProblemsError, TilewrightError
from tilewright.report.run_json import Context, Results, describe

NUCLEI = ROOT / "models" / "nuclei" / "nuclei.onnx"


def ran(tmp_path: Path, **params: object) -> Path:
    """The run.json of a run that planned two images, as REPORT writes it."""
    grey(tmp_path / "in" / "a.tif", (70, 70))
    grey(tmp_path / "in" / "b.tif")
    given = {"input": str(tmp_path / "in"), "weights_dir": str(tmp_path / "weights"), **params}
    plan = planned(tmp_path, **params)
    context: Context = {"launch_dir": str(tmp_path), "trace": "none", "work_dir": "."}
    context |= {"nextflow": "25", "params": given}
    context["started"] = json.dumps({"command": "x", "profile": "slurm", "configs": ["/s.config"]})
    facts = describe(plan.file, plan.recipe, Results({}, []), context)
    file = tmp_path / "out" / "run.json"
    file.parent.mkdir()
    file.write_text(json.dumps(facts.to_dict()))
    return file


def test_a_run_says_itself_how_it_is_repeated(tmp_path: Path) -> None:
    file = ran(tmp_path, region="0,0,20,20", match_iou=0.5)
    given, profile, configs = repeated(file, {})
    assert given == {
        "input": str(tmp_path / "in"),
        "outdir": str(tmp_path / "out"),
        "weights_dir": str(tmp_path / "weights"),
        "region": [0, 0, 20, 20],
        "match_iou": 0.5,
    }
    assert (profile, configs) == ("slurm", ("/s.config",))
    other, _, _ = repeated(file, {"outdir": str(tmp_path / "else")})
    assert other["outdir"] == str(tmp_path / "else")
    here, _, _ = repeated(file, {"outdir": "repeated"})
    assert here["outdir"] == str(Path.cwd() / "repeated")


def test_what_was_set_is_set_again(tmp_path: Path) -> None:
    file = ran(tmp_path, set="min_area=50")
    assert repeated(file, {})[0]["set"] == "min_area=50"
    assert json.loads(file.read_text())["params"]["set"] == {"value": "min_area=50", "from": "user"}


def test_all_that_has_changed_is_listed(tmp_path: Path) -> None:
    file = ran(tmp_path)
    (tmp_path / "in" / "a.tif").unlink()
    grey(tmp_path / "in" / "b.tif", (33, 40))
    grey(tmp_path / "in" / "c.tif")
    run = json.loads(file.read_text())
    file.write_text(json.dumps({**run, "made_by": {**run["made_by"], "script": "c0ffee"}}))
    with pytest.raises(ProblemsError, match="isn't there any more") as caught:
        repeated(file, {})
    text = str(caught.value)
    assert f"{tmp_path}/in/a.tif (image a) isn't there any more" in text
    assert f"{tmp_path}/in/b.tif (image b) has changed" in text
    assert "The image c wasn't there" in text
    assert "script: it is another one now" in text
    assert "environment" not in text


def test_what_a_sheet_says_otherwise_now_is_listed(tmp_path: Path) -> None:
    sheet = tmp_path / "s.csv"
    sheet.write_text("image,donor\nin/a.tif,D7\nin/b.tif,D8\n")
    file = ran(tmp_path, input=str(sheet))
    repeated(file, {})
    sheet.write_text("image,donor\nin/a.tif,D7\nin/b.tif,D9\n")
    with pytest.raises(
        ProblemsError,
        match=r"run\.json: The sheet says something else of the image b\. Put it back as it was",
    ):
        repeated(file, {})


def test_weights_of_ones_own_are_repeated_and_others_are_one_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(NUCLEI.read_bytes() + b"\x12\x01a")
    file = ran(tmp_path, weights=str(mine))
    assert repeated(file, {})[0]["weights"] == str(mine)
    mine.write_bytes(NUCLEI.read_bytes() + b"\x12\x01b")
    with pytest.raises(
        ProblemsError,
        match=r"run\.json: weights: they are others now, [0-9a-f]{12}\. Put it back as it was",
    ):
        repeated(file, {})


def test_another_mask_is_listed(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    ring = [[2, 2], [10, 2], [10, 10], [2, 10], [2, 2]]
    roi = tmp_path / "roi.geojson"
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    file = ran(tmp_path, mask=str(roi))
    given, _, _ = repeated(file, {})
    assert given["mask"] == str(roi)
    ring[1:3] = [[12, 2], [12, 10]]
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with pytest.raises(ProblemsError, match=r"The mask of the image a is another one now\."):
        repeated(file, {})


def test_tissue_that_is_found_again_is_no_other_mask(tmp_path: Path) -> None:
    file = ran(tmp_path, mask="tissue")
    run = json.loads(file.read_text())
    for image in run["images"]:
        image["mask"]["digest"] = "c0ffee"  # as it was found
    file.write_text(json.dumps(run))
    assert repeated(file, {})[0]["mask"] == "tissue"
    run["images"][0]["mask"]["rule"]["speck_mm2"] = 9.0
    file.write_text(json.dumps(run))
    with pytest.raises(
        ProblemsError,
        match=r"run\.json: The mask of the image a is another one now\. Put it back as it was",
    ):
        repeated(file, {})


def test_nothing_else_is_said_beside_again(tmp_path: Path) -> None:
    with pytest.raises(TilewrightError, match=r"takes --input, --model from .*may be --outdir"):
        repeated(tmp_path / "run.json", {"model": "nuclei", "input": "x", "outdir": "y"})


def test_a_plugins_run_is_the_plugins_to_repeat(tmp_path: Path) -> None:
    file = ran(tmp_path)
    run = json.loads(file.read_text())
    run["params"]["input"]["from"] = "default"
    file.write_text(json.dumps(run))
    with pytest.raises(TilewrightError, match=r"but a plugin's\. Start it from the plugin"):
        repeated(file, {})


@pytest.mark.parametrize("text", [None, "{", "[]", '{"params": {}}', "7"])
def test_a_file_that_says_too_little_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "run.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(TilewrightError, match=r"run\.json: can't be repeated \(.*finished run"):
        read(file)


def test_without_it_input_is_still_needed() -> None:
    done = CliRunner().invoke(main.main, ["run", "--model", "nuclei"])
    assert done.exit_code == 2
    assert "Missing option '--input'" in done.output


@pytest.mark.nextflow
def test_a_real_run_again_gives_the_same_bytes(checkout: Checkout, tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    tifffile.imwrite(images / "a.tif", discs((300, 280)))
    first = checkout.run(images, tmp_path / "one", "--match_iou", 0.3)
    assert first.returncode == 0, first.stderr
    words = ("run", "--again", tmp_path / "one" / "run.json", "--outdir", tmp_path / "two")
    second = checkout.cli(*words, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    run = json.loads((tmp_path / "two" / "run.json").read_text())
    assert run["params"]["match_iou"] == {"value": 0.3, "from": "user"}
    assert "--again" in run["command"]
    assert run["profile"] == "local"
    tifffile.imwrite(images / "a.tif", discs((300, 281)))
    refused = checkout.cli(*words, cwd=tmp_path)
    assert refused.returncode == 65
    assert "a.tif (image a) has changed" in refused.stderr


def contents(outdir: Path) -> dict[str, Any]:
    """Every file of the stores."""
    stores = [p for p in outdir.glob("*/*.zarr/**/*") if p.is_file()]
    return {str(p.relative_to(outdir)): p.read_bytes() for p in stores}
