"""The page needs nothing from elsewhere, shows what MERGE made, and trusts nothing users wrote."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported import EVIL, STORE, TILE, VOLUMES, Page, Run, grey

from tilewright.contract.grid import grid
from tilewright.merge.measure import picture
from tilewright.merge.measure.seam import Seam
from tilewright.report import cards as shown_cards
from tilewright.report.cards import PICTURES, SEAM_ZOOM, scale_bar, um_per_model_px
from tilewright.report.page import channels_said
from tilewright.report.scores_page import with_scores

SCRIPT = Path(shown_cards.__file__).with_name("report.js").read_text(encoding="utf-8")


def test_what_users_wrote_is_never_markup(run: Run) -> None:
    run.given = {"input": f"/data/{EVIL}"}
    run.result(EVIL, group="g1")
    run.refused(f"{EVIL}2", f"{EVIL}: is empty.", group="g2")
    run.bad = [{"id": f'"><img src=x onerror={EVIL}', "path": EVIL, "why": EVIL, "code": 65}]
    _, html = run.write()
    page = Page(html)
    assert EVIL not in html
    assert EVIL in page.text
    assert [t for t, _ in page.tags].count("script") == 1
    assert page.code.strip().endswith(SCRIPT.strip())
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]


def test_the_page_needs_nothing_from_elsewhere(run: Run) -> None:
    run.result("a")
    page = Page(run.write()[1])
    assert not {t for t, _ in page.tags} & {"link", "iframe", "object", "base", "form"}
    (policy,) = [c for c in page.every("content") if "default-src" in c]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert page.every("src")
    assert all(src.startswith("data:image/png;base64,") for src in page.every("src"))


def test_pictures_in_the_page_are_those_that_merge_made(run: Run) -> None:
    run.result("a")
    shown = [base64.b64decode(src.split(",")[1]) for src in Page(run.write()[1]).every("src")]
    assert [imagecodecs.png_decode(p).shape for p in shown] == [(96, 128, 3), (288, 384, 3)]


def whole_of(run: Run, **more: Any) -> dict[str, Any]:
    """What MERGE says of a big image, and its pictures: the whole as a JPEG, a heat map, places."""
    folder = run.here / "merged" / "merged-g"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("w.jpg", "dense.jpg", "sparse.jpg"):
        (folder / name).write_bytes(imagecodecs.jpeg8_encode(np.zeros((100, 120, 3), np.uint8)))
    for name in ("heat.png", "components.png"):
        grey(folder / name, 100, 120)
    places = [
        {"rank": rank, "file": f"{rank}.jpg", "sides": [100, 120], "box": box, "value": value}
        for rank, box, value in (
            ("dense", [2000, 3000, 100, 120], 81),
            ("sparse", [0, 0, 100, 120], 1),
        )
    ]
    heat = {"file": "heat.png", "low": 0.0, "high": 612.4, "unit": "objects per mm²"}
    heat |= {"side": [40.0, 40.0], "side_um": [20.0, 20.0]}
    whole = {"file": "w.jpg", "sides": [960, 1200], "extent": [8000, 10000], "at": {}}
    return whole | {"places": places, "mask": "tissue.geojson", "heat": heat} | more


BIG = {"shape": [8000, 10000], "model_shape": [8000, 10000], "mpp": [0.5, 0.5], "overview": None}


def test_a_big_image_is_shown_whole_by_its_density_and_by_places(run: Run) -> None:
    run.result("a", whole=whole_of(run), **BIG)
    page = Page(run.write()[1])
    text = " ".join(page.text.split())
    kinds = [src.partition(";")[0] for src in page.every("src")]
    assert kinds == [
        "data:image/jpeg",
        "data:image/png",
        "data:image/png",
        *["data:image/jpeg"] * 2,
    ]
    assert "The whole image, 8000 \u00d7 10000 px, shrunk 8.33-fold." in text
    assert "outline of the tissue" in text
    assert "Objects per mm² of what was looked at, in squares of 20 \u00d7 20 µm" in text
    assert (
        "Dense: 81 objects, most of all windows. From y 2,000, x 3,000, 100 \u00d7 120 px" in text
    )
    assert "Sparse: 1 object, least of all windows that have any. From y 0, x 0" in text
    assert "612 objects per mm²" in text
    assert "1 mm" in text


def test_a_mask_that_was_given_is_called_by_its_file(run: Run) -> None:
    run.result("a", whole=whole_of(run, mask=f"{EVIL}.tif"), **BIG)
    text = run.write()[1]
    assert f"outline of the mask {html.escape(EVIL)}.tif" in text
    assert EVIL not in text


def test_components_say_how_much_they_explain(run: Run) -> None:
    run.spec = {"output_kind": "embedding", "output_type": "cls", "embedding_dim": 4}
    made = {"file": "components.png", "explained": [0.41, 0.123, 0.05], "rows": 500}
    facts = {"dim": 4, "rows": 1000, "tokens": None, "type": "cls"}
    whole = whole_of(run, components=made, heat=None)
    run.result("a", whole=whole, embeddings=facts, **BIG)
    text = " ".join(Page(run.write()[1]).text.split())
    assert "They explain 41 %, 12 % and 5 % of the variance of 500 tiles, evenly spaced." in text
    assert "Highest: mean of the first component 81, the highest of all windows" in text


def test_the_slice_that_is_shown_is_named(run: Run) -> None:
    run.spec = {"tile_spec": VOLUMES}
    run.result("a", shown_at={"z": 6}, axes="ZYX", shape=[9, 96, 128], model_shape=[9, 96, 128])
    text = " ".join(Page(run.write()[1]).text.split())
    assert (
        "The whole image, 96 \u00d7 128 px, slice 6, counted from 0: the one with most obj" in text
    )


@pytest.mark.parametrize(
    ("axes", "channels", "said"),
    [
        ("YX", ["red, green, blue = 0"], "its only channel, as red, green and blue alike"),
        ("CYX", ["red, green, blue = 0"], "channel 0, as red, green and blue alike"),
        ("CYX", ["nucleus = DAPI (1)", "segment = none"], "nucleus = DAPI (1), segment = none"),
        ("YXC", ["red = 0", "green = 1"], "red = channel 0, green = channel 1"),
    ],
)
def test_channels_are_said_in_words(axes: str, channels: list[str], said: str) -> None:
    shape = [{"C": 3, "Y": 9, "X": 9}[a] for a in axes]
    image: Any = SimpleNamespace(axes=axes, shape=shape, channels=channels)
    assert channels_said(image) == said


def test_an_image_without_pictures_is_still_told_of(run: Run) -> None:
    run.result("a", overview=None, seam="gone.png", area_px=[], objects=0)
    page = Page(run.write()[1])
    assert page.every("src") == []
    assert f"a/{STORE}" in page.text


def test_only_the_first_images_have_pictures_and_all_are_in_the_table(run: Run) -> None:
    for n in range(PICTURES + 5):
        run.result(f"image #{n:03d}")
    page = Page(run.write()[1])
    assert len(page.every("src")) == 2 * PICTURES
    assert "first 100 of 105 images" in page.text
    assert sum(tag == "tr" for tag, _ in page.tags) == 1 + 105  # no trace, so no second table
    ids, inside = page.every("id"), [h for h in page.every("href") if h.startswith("#")]
    assert len(inside) == PICTURES + 1
    assert {h[1:] for h in inside} <= set(ids)
    links = [unquote(h) for h in page.every("href") if h.startswith("report/")]
    beyond = [f"image #{n:03d}" for n in range(PICTURES, PICTURES + 5)]
    assert links == [f"report/{i}/{f}.png" for i in beyond for f in ("picture", "picture", "seam")]
    files = {p.relative_to(run.here / "out") for p in (run.here / "out" / "report").rglob("*.png")}
    assert files == {Path(link) for link in links}


def test_a_run_of_a_few_images_makes_no_further_files(run: Run) -> None:
    run.result("a")
    run.write()
    assert {p.name for p in (run.here / "out").iterdir()} == {
        "images.csv",
        "report.html",
        "run.json",
    }


def test_a_row_says_what_it_is_filtered_by(run: Run) -> None:
    rule = "px that edges take; over 11 px"
    flags = [
        {"name": "out of focus", "figure": figure, "rule": rule, "channel": channel}
        for figure, channel in ((14.71, "DAPI"), (20, "GFP"))
    ]
    run.result("a", flags=flags)
    run.result("b", objects=0)
    run.refused("c", "is empty.")
    facts, page = run.write()
    assert [i["flags"] for i in facts["images"]] == [flags, [], []]
    read = Page(page)
    assert read.every("data-is") == [
        "with a flag|out of focus|with a note",
        "without a flag|without objects|with a note",
        "without a result",
    ]
    offered = [attrs["value"] for tag, attrs in read.tags if tag == "option"]
    assert set(offered) == {"", *"|".join(read.every("data-is")).split("|")}
    text = " ".join(read.text.split())
    assert "out of focus (DAPI) 14.7 px that edges take; over 11 px" in text
    assert "out of focus (DAPI), out of focus (GFP)" in text


def test_histograms_are_drawn_with_units_and_said_in_words(run: Run) -> None:
    area = {"column": "area_um2", "unit": "µm²", "start": 0.0, "step": 50.0, "counts": [1, 0, 3]}
    light = {**area, "column": "mean_channel_0", "unit": "", "step": 0.5, "channel": "DAPI"}
    run.result(
        "a", histograms=[{**area, "below": 0, "above": 2}, {**light, "below": 1, "above": 0}]
    )
    page = Page(run.write()[1])
    assert [d for d in page.every("d") if d.startswith("M0 64v")] == [
        "M0 64v-21.33h72V64zM160 64v-64h72V64z"
    ] * 2
    assert page.every("aria-label")[1:3] == [
        "Area in µm², from 0 to 150: most objects, 3, have 100 to 150",
        "Mean intensity of DAPI in the image's own values, from 0 to 1.5: most objects, 3, "
        "have 1 to 1.5",
    ]
    text = " ".join(page.text.split())
    assert "3 objects 0 50 150 Area, µm² (2 greater, not drawn)" in text
    assert "Mean intensity of DAPI, the image's own values (1 smaller, not drawn)" in text


def test_licence_and_citation_are_there_without_a_click(run: Run) -> None:
    run.result("a")
    text = Page(run.write()[1]).text
    assert "Licence of its weights: CC0-1.0." in text
    run.spec = {"license": None}
    assert "not stated: ask its authors" in Page(run.write()[1]).text


def test_scores_have_a_place_which_may_be_filled_again(run: Run) -> None:
    run.result("a")
    page = run.write()[1]
    once = with_scores(page, "<p>F1 0.9</p>")
    assert once.count("F1") == 1
    assert with_scores(with_scores(once, "<p>F1 0.8</p>"), "<p>F1 0.9</p>") == once
    assert with_scores("no place", "<p>F1</p>") == "no place"


def test_pictures_stop_at_a_size_but_the_first_is_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_cards, "PICTURE_BYTES", 1)
    for n in range(3):
        run.result(f"image-{n}")
    page = Page(run.write()[1])
    assert len(page.every("src")) == 2
    assert "first 1 of 3 images" in page.text


def test_sizes_are_given_in_pixels_and_where_known_in_square_micrometres(run: Run) -> None:
    run.result("a", mpp=[0.5, 0.25])  # 0.125 µm² per pixel
    text = " ".join(Page(run.write()[1]).text.split())
    assert "20.5 px = 2.56 µm² 5 to 95 %: 10 to 1,234 px (1.25 to 154 µm²)" in text


def test_a_seam_at_which_no_objects_meet_isnt_the_worst(run: Run) -> None:
    run.result("a", seam_at={"axes": "yx", "tall": 1, "meet": 0})
    text = " ".join(Page(run.write()[1]).text.split())
    assert "A seam, enlarged: objects meet at no border between two tiles more often" in text
    assert "worst" not in text


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"z": 3, "axes": "yx"}, "Slice 3, counted from 0."),
        ({"t": 2, "axes": "yx"}, "Time point 2, counted from 0."),
        ({"t": 2, "axes": "yx", "z": 3}, "Slice 3, counted from 0. Time point 2, counted from 0."),
        ({"t": 2, "axes": "zx", "y": 4}, "rows are slices. Time point 2, counted from 0."),
    ],
)
def test_a_stacks_seam_says_in_which_plane_it_is(run: Run, at: dict[str, Any], said: str) -> None:
    run.result("a", seam_at={**at, "tall": 1, "meet": 9})
    assert said in " ".join(Page(run.write()[1]).text.split())


def test_sizes_of_an_image_without_a_pixel_size_are_in_pixels_only(run: Run) -> None:
    run.result("a")
    text = " ".join(Page(run.write()[1]).text.split())
    assert "20.5 px 5 to 95 %: 10 to 1,234 px Image" in text


@pytest.mark.parametrize(
    ("sbe", "cells", "says"),
    [
        (0.5, [2, 3], "The seams can't be seen."),
        (1.5, [2, 3], "The seams can't be seen."),
        (1.51, [2, 3], "The seams are hard to see."),
        (2.0, [2, 3], "The seams are hard to see."),
        (2.01, [2, 3], "a little more often"),
        (36.0, [2, 3], "cut at seams"),
        (3.0, [2, 3], "a little more often"),
        (0.0, [2, 3], "joined across"),
    ],
)
def test_the_seam_score_is_explained(
    run: Run, sbe: float | None, cells: list[int], says: str
) -> None:
    run.result("a", sbe=sbe, grid=cells)
    text = Page(run.write()[1]).text
    assert says[0].lower() + says[1:] in text
    assert text.count("SBE") == 1


def test_nothing_is_said_of_seams_where_no_score_is_defined(run: Run) -> None:
    run.result("a", sbe=None)
    run.result("b", sbe=None)
    text = Page(run.write()[1]).text
    assert "SBE" not in text
    assert "seams" not in text.lower().replace(str(run.here).lower(), "")


def test_of_several_images_the_worst_seams_are_named(run: Run) -> None:
    for name, sbe in (("a", 1.0), ("b", 2.5), ("c", None), ("d", 1.2)):
        run.result(name, sbe=sbe)
    text = " ".join(Page(run.write()[1]).text.split())
    assert "It can be told of 3 of 4 images" in text
    assert "The median is 1.20; the highest is that of b, 2.50: objects meet" in text


def test_the_lines_to_open_a_store_survive_odd_names(run: Run) -> None:
    name = "-it's $(a) 核"
    run.result(name)
    text = Page(run.write()[1]).text
    napari = next(line for line in text.splitlines() if "napari --plugin" in line)
    assert shlex.split(napari.split("napari --plugin")[1])[-1] == f"./{name}/{STORE}"
    assert f"anndata.read_zarr({f'{name}/{STORE}/tables/nuclei'!r})" in text


@given(width=st.integers(1, 5000), um=st.none() | st.floats(0.001, 100))
def test_a_scale_bar_is_as_long_as_it_says(width: int, um: float | None) -> None:
    bar = scale_bar(width, um)
    length, unit = bar.text.split()
    there = bar.percent / 100 * width * (um or 1)
    assert unit == ("px" if um is None else "mm" if there > 999 else "µm")
    assert float(length) == pytest.approx(there / (1000 if unit == "mm" else 1), rel=1e-2)
    assert 10 - 0.01 <= bar.percent <= 25
    assert f"{float(length):.0e}"[0] in "125"


def test_a_resampled_region_has_its_own_micrometres_per_pixel() -> None:
    """100 px of 0.5 µm, from column 20 to the end at 100, read as 160 px: 0.25 µm each."""
    image: Any = SimpleNamespace(
        mpp=(9, 0.5), axes="CYX", shape=(3, 50, 100), model_shape=(50, 160)
    )
    assert um_per_model_px(image, [0, 20, 50, 999]) == pytest.approx(0.25)


def test_seams_are_enlarged_as_much_as_the_report_believes(tmp_path: Path) -> None:
    cells = grid(TILE, (96, 128))
    merged: Any = SimpleNamespace(
        grid=cells,
        image=SimpleNamespace(
            raw=lambda _, box: np.zeros((1, *(b - a for a, b in box))),
            lost=lambda _, box: np.zeros([b - a for a, b in box], bool),
        ),
        labels=lambda _, box: np.zeros([b - a for a, b in box], np.uint32),
    )
    seam = Seam(axis=0, box=((55, 57), (0, 56)), transitions=1, expected=0.0)
    section = picture.seam_section(merged, seam)
    picture.seam_picture(merged, section, merged.labels, tmp_path / "seam.png")
    shown = imagecodecs.png_decode((tmp_path / "seam.png").read_bytes())
    assert shown.shape[:2] == (96 * SEAM_ZOOM, 128 * SEAM_ZOOM)


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    run.result("a")
    run.task("PLAN")
    assert run.write() == run.write()


def test_many_failures_are_folded_by_their_reason_with_counts(run: Run) -> None:
    run.result("good")
    bad = [(f"d{n}", "/data/d{n}.tif: is empty. Copy it again.") for n in range(30)]
    bad += [(f"o{n}", f"/data/o{n}.tif: has {n + 5} channels.") for n in range(12)]
    run.bad = [
        {"id": i, "path": f"/data/{i}.tif", "why": why.format(n=i[1:]), "columns": {}, "code": 65}
        for i, why in bad
    ]
    page = Page(run.write()[1])
    text = " ".join(page.text.split())
    assert "42 images have no result 30 images: is empty. Copy it again. d0 /data/d0.tif" in text
    assert text.count("is empty. Copy it again.") == 1
    assert "o9 /data/o9.tif: has 14 channels. 2 more images, each with a reason of its own" in text
    assert sum(tag == "details" and attrs.get("class") == "reason" for tag, attrs in page.tags) == 2


def test_a_few_failures_are_told_one_by_one(run: Run) -> None:
    run.result("good")
    run.bad = [
        {"id": i, "path": f"{i}.tif", "why": f"{i}.tif: is empty.", "columns": {}, "code": 65}
        for i in "abc"
    ]
    page = Page(run.write()[1])
    assert "3 images have no result a a.tif: is empty. b b.tif" in " ".join(page.text.split())
    assert not [a for tag, a in page.tags if tag == "details" and a.get("class") == "reason"]


def test_failed_exports_share_a_reason_whatever_their_stores_are_called(run: Run) -> None:
    names = [f"image {n}" for n in range(5)]
    for name in names:
        run.result(name)
    folder = run.here / "merged" / "told-g"
    folder.mkdir()
    made = [
        {"id": n, "format": f, "path": None, "why": f"stores1/{n}/{STORE}: no.", "code": 65}
        for n in names
        for f in ("roi", "tiff")
    ]
    (folder / "exported.json").write_text(json.dumps({"exports": made}))
    text = " ".join(Page(run.write()[1]).text.split())
    assert f"5 images: no. image 0 image 0/{STORE} image 1" in text
