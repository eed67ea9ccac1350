"""Which mask is which image's: words, files and folders, in the sheet and for all."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from planning import grey, planned

from tilewright.contract.jobs import ImageRef, MaskFacts
from tilewright.contract.spec import ModelSpec, TileSpec
from tilewright.errors import BAD_DATA, USAGE, ProblemsError, TilewrightError
from tilewright.images.image import open_image
from tilewright.plan.inputs import Row
from tilewright.plan.masks import masked, scan_code
from tilewright.plan.params import Params
from tilewright.plan.plan import Plan, write_plan
from tilewright.preprocess.tissue import TissueRule
from tilewright.preprocess.tissue_file import default_rule, found_by, seal_of, sealed


def square(path: Path, side: int = 8, at: int = 2) -> Path:
    """A GeoJSON of one square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = [[at, at], [at + side, at], [at + side, at + side], [at, at + side], [at, at]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def images(tmp_path: Path, *names: str) -> None:
    """Grey pictures of 32 x 40 px as the run's input."""
    for name in names:
        grey(tmp_path / "in" / f"{name}.tif")


def masks(plan: Plan) -> dict[str, str | None]:
    """By the ids of images the names of their masks: a file, `tissue` or None."""
    facts = {i.ref.id: i.ref.masked for i in plan.images}
    return {name: mask and (mask.file or mask.by) for name, mask in facts.items()}


def refs(plan: Plan) -> dict[str, ImageRef]:
    """The images by their ids."""
    return {i.ref.id: i.ref for i in plan.images}


def test_an_image_that_is_no_slide_has_no_mask_unless_one_is_asked_for(tmp_path: Path) -> None:
    images(tmp_path, "a")
    assert masks(planned(tmp_path)) == {"a": None}
    assert masks(planned(tmp_path, mask="none")) == {"a": None}
    assert masks(planned(tmp_path, mask="Tissue")) == {"a": "tissue"}
    assert refs(planned(tmp_path, mask="tissue"))["a"].tissue == default_rule()


@pytest.mark.parametrize(
    ("said", "wanted"), [(None, "tissue"), ("tissue", "tissue"), ("none", None)]
)
def test_a_slide_has_its_tissue_unless_none_is_asked_for(
    tmp_path: Path, said: Any, wanted: str | None
) -> None:
    images(tmp_path, "a")
    path = tmp_path / "in" / "a.tif"
    (ref,) = refs(planned(tmp_path)).values()
    spec = ModelSpec("m", "1", TileSpec({"y": 8, "x": 8}))
    with open_image(path) as image:
        assert not image.is_slide
        image.is_slide = True
        found = masked(ref, image, Row(path, "a", mask=said), Params(input="."), spec).masked
    assert (found.by if found else None) == wanted


def test_a_file_is_the_mask_of_every_image(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    path = square(tmp_path / "roi.geojson")
    found = refs(planned(tmp_path, mask=str(path)))
    assert {ref.mask and ref.mask[0] for ref in found.values()} == {str(path)}


def test_of_a_folder_each_image_gets_the_mask_that_is_called_as_it_is(tmp_path: Path) -> None:
    images(tmp_path, "a", "b", "c", "d", "é")
    square(tmp_path / "masks" / "a.geojson")
    square(tmp_path / "masks" / "b" / "tissue.geojson")
    square(tmp_path / "masks" / "d.tif.geojson")
    square(tmp_path / "masks" / "e\u0301.json")
    tifffile.imwrite(tmp_path / "masks" / "c.ome.tif", np.ones((16, 20), "uint8"))
    found = refs(planned(tmp_path, mask="masks"))
    names = {
        name: str(Path(ref.mask[0]).relative_to(tmp_path / "masks"))
        for name, ref in found.items()
        if ref.mask
    }
    assert names == {
        "a": "a.geojson", "b": "b/tissue.geojson", "c": "c.ome.tif", "d": "d.tif.geojson",
        "é": "e\u0301.json",
    }  # fmt: skip


def test_masks_may_lie_beside_their_images(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    square(tmp_path / "in" / "a.geojson")
    square(tmp_path / "in" / "b.geojson")
    assert masks(planned(tmp_path, mask="in")) == {"a": "a.geojson", "b": "b.geojson"}


def test_results_are_a_folder_of_masks_without_what_lies_beside_them(tmp_path: Path) -> None:
    images(tmp_path, "a")
    square(tmp_path / "out" / "a" / "tissue.geojson")
    (tmp_path / "out" / "run.json").write_text("{}")
    plan = planned(tmp_path, mask="out")
    assert masks(plan) == {"a": "tissue.geojson"}
    assert plan.warnings == planned(tmp_path).warnings


def test_an_image_without_a_mask_in_its_own_results_is_looked_at_as_without_one(
    tmp_path: Path,
) -> None:
    images(tmp_path, "a", "b", "c")
    square(tmp_path / "out" / "a" / "tissue.geojson")
    plan = planned(tmp_path, mask="out")
    assert masks(plan) == {"a": "tissue.geojson", "b": None, "c": None}
    line = f"Without a mask in {tmp_path}/out, and so looked at as without --mask: b, c."
    assert line in plan.found
    assert not plan.bad
    elsewhere = planned(tmp_path, mask="out", outdir=str(tmp_path / "other"))
    assert [row.id for row, _ in elsewhere.bad] == ["b", "c"]


def test_an_image_without_a_mask_in_the_folder_is_left_out_alone(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    square(tmp_path / "masks" / "a.geojson")
    plan = planned(tmp_path, mask="masks")
    assert masks(plan) == {"a": "a.geojson"}
    ((row, why),) = plan.bad
    assert (row.id, why.code) == ("b", BAD_DATA)
    assert f"{tmp_path}/in/b.tif: has no mask in {tmp_path}/masks: neither b.geojson" in str(why)
    with pytest.raises(ProblemsError, match=r"b\.tif: has no mask in"):
        planned(tmp_path, mask="masks", strict=True)


def test_an_image_with_two_masks_in_the_folder_is_left_out(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    square(tmp_path / "masks" / "a.geojson")
    square(tmp_path / "masks" / "a" / "tissue.geojson")
    square(tmp_path / "masks" / "b.geojson")
    ((_, why),) = planned(tmp_path, mask="masks").bad
    assert "a.tif: has several masks in" in str(why)
    assert "a/tissue.geojson and a.geojson" in str(why)


def test_masks_of_no_image_are_said_once(tmp_path: Path) -> None:
    images(tmp_path, "a")
    for name in "abcdefg":
        square(tmp_path / "masks" / f"{name}.geojson")
    said = [line for line in planned(tmp_path, mask="masks").warnings if "masks" in line]
    assert said == [
        f"{tmp_path}/masks: b.geojson, c.geojson, d.geojson and 3 more are masks of no image of "
        "this run."
    ]


def test_a_folder_whose_masks_are_of_no_image_at_all_stops_the_run(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    square(tmp_path / "masks" / "x.geojson")
    with pytest.raises(
        ProblemsError, match=r"its masks are x\.geojson, and none is called as an"
    ) as e:
        planned(tmp_path, mask="masks")
    assert e.value.code == USAGE
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProblemsError, match=r"empty: it has no mask.*Call each as.*a\.geojson"):
        planned(tmp_path, mask="empty")


def test_a_mask_that_isnt_there_stops_the_run(tmp_path: Path) -> None:
    images(tmp_path, "a")
    with pytest.raises(ProblemsError, match="--mask tisue: there is no such file or folder"):
        planned(tmp_path, mask="tisue")
    with pytest.raises(ProblemsError, match="--mask '': it is empty"):
        planned(tmp_path, mask="")  # as a shell makes of a variable that isn't set


def test_an_image_isnt_its_own_mask(tmp_path: Path) -> None:
    images(tmp_path, "a")
    with pytest.raises(ProblemsError, match=r"a\.tif: is given as its own mask\. Give an image or"):
        planned(tmp_path, mask=str(tmp_path / "in" / "a.tif"))


def test_a_file_may_be_called_as_the_word(tmp_path: Path) -> None:
    images(tmp_path, "a")
    square(tmp_path / "tissue" / "a.geojson")
    assert masks(planned(tmp_path, mask="./tissue")) == {"a": "a.geojson"}


def test_a_sheets_mask_wins_over_the_parameter(tmp_path: Path) -> None:
    images(tmp_path, *"abcde")
    square(tmp_path / "roi.geojson")
    square(tmp_path / "masks" / "d.geojson")
    square(tmp_path / "all.geojson")
    cells = {"a": "tissue", "b": "None", "c": "roi.geojson", "d": "masks", "e": ""}
    lines = ["image,mask", *(f"in/{name}.tif,{cell}" for name, cell in cells.items())]
    (tmp_path / "sheet.csv").write_text("\n".join(lines))
    given = {"input": str(tmp_path / "sheet.csv")}
    wanted = {"a": "tissue", "b": None, "c": "roi.geojson", "d": "d.geojson", "e": "all.geojson"}
    assert masks(planned(tmp_path, mask="all.geojson", **given)) == wanted
    assert masks(planned(tmp_path, **given)) == {**wanted, "e": None}


def test_a_mask_that_doesnt_fit_leaves_its_image_out(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    square(tmp_path / "masks" / "a.geojson")
    square(tmp_path / "masks" / "b.geojson", at=400)
    ((row, why),) = planned(tmp_path, mask="masks").bad
    assert row.id == "b"
    assert (
        "b.geojson: lies from y 400 to 408 and x 400 to 408, and its image is 32 x 40" in why.what
    )


def test_what_a_mask_says_of_nothing_is_a_remark_of_its_image(tmp_path: Path) -> None:
    images(tmp_path, "a")
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (image,) = planned(tmp_path, mask="a.geojson").images
    assert "Its mask has no polygon: nothing of it is looked at." in image.remarks


def test_tissue_of_an_image_without_a_pixel_size_is_a_remark(tmp_path: Path) -> None:
    images(tmp_path, "a")
    (image,) = planned(tmp_path, mask="tissue").images
    assert [line for line in image.remarks if line.startswith("Nothing says its pixel size, by")]
    (image,) = planned(tmp_path, mask="tissue", mpp=1).images
    assert not [line for line in image.remarks if "pixel size" in line]


# How much is predicted


def test_plan_json_says_which_mask_and_that_tiles_are_the_most(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    path = square(tmp_path / "masks" / "a.geojson")
    (image,) = planned(tmp_path, mask="masks").file.images
    assert image.mask is not None
    assert (image.mask.by, image.mask.file) == ("file", path.name)
    found, _ = planned(tmp_path, mask="tissue").file.images
    assert found.mask == MaskFacts("tissue", None, None, default_rule(), 0.0)


def test_an_image_whose_tissue_is_looked_for_is_scanned_alone(tmp_path: Path) -> None:
    images(tmp_path, "a", "b", "c")
    lines = ["image,mask", "in/a.tif,", "in/b.tif,tissue", "in/c.tif,"]
    (tmp_path / "sheet.csv").write_text("\n".join(lines))
    plan = planned(tmp_path, input=str(tmp_path / "sheet.csv"))
    assert [[i.id for i in j.images] for j in plan.jobs] == [["b"], ["a", "c"]]
    assert [g.jobs for g in plan.groups] == [None, 1]
    (name,) = plan.scans
    write_plan(plan, tmp_path / "plan")
    said = json.loads((tmp_path / "plan" / "scans" / f"{name}.json").read_text())
    assert said["image"]["tissue"] == default_rule()


def test_another_rule_changes_the_scan_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path, "a", "b")
    (tmp_path / "s.csv").write_text("image,mask\nin/a.tif,tissue\nin/b.tif,none")
    plans: list[dict[str, bytes]] = []
    for rule in (TissueRule(), replace(TissueRule(), speck_mm2=0.5)):
        monkeypatch.setattr("tilewright.plan.masks.default_rule", lambda r=rule: asdict(r))
        folder = tmp_path / f"plan{len(plans)}"
        monkeypatch.setenv("TILEWRIGHT_HOME", str(folder / "home"))  # another rule is other code
        write_plan(planned(tmp_path, input=str(tmp_path / "s.csv")), folder)
        files = [*folder.glob("*/*.json"), folder / "recipe.json"]
        plans.append({str(p.relative_to(folder)): p.read_bytes() for p in files})
    one, two = plans
    assert one.keys() == two.keys()
    assert [name.partition("/")[0] for name in one if one[name] != two[name]] == ["scans"]


def test_of_embeddings_a_tile_needs_a_tenth_of_tissue_and_else_a_pixel(tmp_path: Path) -> None:
    images(tmp_path, "a")
    least = {
        model: refs(planned(tmp_path, mask="tissue", model=model, mpp=0.5, channels="0"))[
            "a"
        ].min_tissue
        for model in ("nuclei", "h0-mini")
    }
    assert least == {"nuclei": 0.0, "h0-mini": 0.1}
    said = planned(tmp_path, mask="tissue", min_tissue=0.5)
    assert refs(said)["a"].min_tissue == 0.5
    said = planned(tmp_path, min_tissue=0.5)
    assert refs(said)["a"].min_tissue == 0
    assert "--min_tissue is given, and no image has a mask." in said.warnings
    with pytest.raises(ProblemsError, match=r"--min_tissue 1\.5"):
        planned(tmp_path, min_tissue=1.5)


# Tissue that was found before


def found_before(tmp_path: Path, **changes: Any) -> Path:
    """Tissue of an image as an earlier run has written it."""
    ref = replace(refs(planned(tmp_path, mask="tissue"))["a"], **changes)
    path = tmp_path / "out" / "a" / "tissue.geojson"
    path.parent.mkdir(parents=True)
    path.write_text(sealed([], found_by(ref, scan_code())))
    return path


def test_tissue_given_back_as_it_was_found_is_no_other_mask(tmp_path: Path) -> None:
    images(tmp_path, "a")
    found_before(tmp_path)
    assert refs(planned(tmp_path, mask="out")) == refs(planned(tmp_path, mask="tissue"))


@pytest.mark.parametrize(
    "changes",
    [{"fingerprint": "f"}, {"mpp": (9.0, 9.0)}, {"tissue": {"mpp": 4.0}}, {"scene": 1}],
    ids=str,
)
def test_tissue_that_would_be_found_otherwise_now_is_the_file_that_was_given(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    images(tmp_path, "a")
    found_before(tmp_path, **changes)
    assert masks(planned(tmp_path, mask="out")) == {"a": "tissue.geojson"}
    assert masks(planned(tmp_path, mask="tissue")) == {"a": "tissue"}  # ours: it is written again


def test_tissue_that_was_edited_is_never_written_over(tmp_path: Path) -> None:
    images(tmp_path, "a")
    path = found_before(tmp_path)
    square(path)
    with pytest.raises(ProblemsError, match=f"{path}: was edited since it was written") as caught:
        planned(tmp_path, mask="tissue")
    assert f"by --mask {tmp_path}/out; or move it away" in str(caught.value)
    assert caught.value.code == USAGE
    assert masks(planned(tmp_path, mask="out")) == {"a": "tissue.geojson"}
    assert masks(planned(tmp_path, mask="none")) == {"a": None}
    path.unlink()
    assert masks(planned(tmp_path, mask="tissue")) == {"a": "tissue"}


def test_one_letter_of_the_file_breaks_its_seal(tmp_path: Path) -> None:
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[1, 2]]]}}]
    text, path = sealed(features, "0" * 64), tmp_path / "t.geojson"
    path.write_text(text)
    assert seal_of(path) == "0" * 64
    assert json.loads(text)["features"] == features
    path.write_text(text.replace("1,2", "1,3"))
    assert seal_of(path) is None
    path.write_text(json.dumps(json.loads(text)))  # as another program writes it again
    assert seal_of(path) is None


def test_a_mask_in_a_file_that_cant_be_read_is_a_sentence(tmp_path: Path) -> None:
    images(tmp_path, "a")
    (tmp_path / "in" / "roi.geojson").mkdir()
    with pytest.raises((ProblemsError, TilewrightError), match=r"roi\.geojson"):
        planned(tmp_path, mask="in/roi.geojson")
